"""The set of scenes: its pairs, its rows, what matched scenes share, and that constraints hold."""

import dataclasses
import math
from collections import Counter
from functools import lru_cache

import numpy as np
import pytest

from samediff_stimuli.blender_scenes import masks, pairing, scenes
from samediff_stimuli.blender_scenes.data import Mesh
from samediff_stimuli.blender_scenes.pairing import Row
from samediff_stimuli.blender_scenes.scenes import SceneOptions
from samediff_stimuli.recipe import InputError
from samediff_stimuli.tokens import patch_coverage

PLAIN = SceneOptions()
GOLDENS = ["b48f4bf2f24884da", "e4f1213ed1f79c18"]


def prism(corners, width, depth, height):
    """A stand-in for an object: an upright prism over an ellipse of so many corners."""
    angles = 2 * np.pi * (np.arange(corners) + 0.5) / corners
    ring = np.stack([width * np.cos(angles), depth * np.sin(angles)], axis=1)
    low, high = (np.c_[ring, np.full(corners, z)] for z in (0.0, height))
    after = (np.arange(corners) + 1) % corners
    sides = [(i, j, j + corners, i + corners) for i, j in enumerate(after)]
    caps = [(corners, corners + i, corners + i + 1, -1) for i in range(1, corners - 1)]
    faces = np.array(sides + caps)
    return Mesh(
        vertices=np.round(np.concatenate([low, high]), 6),
        faces=faces,
        uv=np.zeros((len(faces), 4, 2)),
        material=np.zeros(len(faces), dtype=np.int64),
        smooth=np.zeros(len(faces), dtype=np.bool_),
    )


MESHES = {
    f"o{n:02}": prism(4 + 2 * (n % 5), 0.35 + 0.03 * n, 0.3 + 0.02 * n, 0.3 + 0.25 * (n * 7 % 6))
    for n in range(16)
}
NAMES = tuple(MESHES)


@lru_cache(maxsize=4096)
def made(index, seed=0, split="test", options=PLAIN):
    """One row of the set of stand-ins."""
    return scenes.scene(seed, split, pairing.config_of(index), options, MESHES)


def breaches(scene, patch=0):
    """What a scene does not keep of the set's promises, from its own masks."""
    got = masks.annotate(scene, MESHES)
    boxes, (a, b) = got.full_boxes[:2], scene.objects[:2]
    gap = math.dist((a.x, a.y), (b.x, b.y)) - sum(masks.radius(MESHES[p.model]) for p in (a, b))
    broken = {
        "margin": boxes.min() < 4 or boxes.max() > scene.size - 4,
        "visibility": (got.visibility[:2] < 550).any(),
        "distractors": (got.visibility[2:] < 250).any() or (got.full_pixels[2:] < 20).any(),
        "gap": gap < 0,
    }
    if patch:  # the patches that a box touches, as a picture
        blocks = np.zeros((2, scene.size // patch, scene.size // patch), dtype=bool)
        for block, (x0, y0, x1, y1) in zip(blocks, boxes.tolist(), strict=True):
            block[y0 // patch : -(-y1 // patch), x0 // patch : -(-x1 // patch)] = True
        cover = patch_coverage(got.instances[None], patch, 2)[0] > 0
        broken["patches"] = (blocks[0] & blocks[1]).any()
        broken["outside"] = (cover & ~blocks.reshape(2, -1)).any()
        broken["hidden"] = not scene.objects[2:] and (got.visibility[:2] < 1000).any()
    return [name for name, is_so in broken.items() if is_so]


def test_sixteen_same_and_sixteen_different_pairs():
    """Each object is in one same pair and in two different ones, once first and once second."""
    found = pairing.pairs(3, NAMES)
    same, different = found[0::2], found[1::2]
    assert sorted(same) == [(n, n) for n in NAMES]
    assert len(set(different)) == 16
    assert all(a != b for a, b in different)
    assert len({frozenset(pair) for pair in different}) == 16
    assert sorted(a for a, _ in different) == sorted(b for _, b in different) == list(NAMES)
    assert [a for a, _ in same] == [a for a, _ in different]


def test_the_cycle_is_one_and_hangs_on_the_seed():
    """Walking from pair to pair meets every object; another seed walks another way."""
    after = dict(pairing.pairs(0, NAMES)[1::2])
    walk = [NAMES[0]]
    while after[walk[-1]] != walk[0]:
        walk.append(after[walk[-1]])
    assert len(walk) == 16
    assert pairing.pairs(0, NAMES) == pairing.pairs(0, NAMES) != pairing.pairs(1, NAMES)


def test_rows_number_the_whole_set():
    """1,024 rows are 32 pairs x 8 configurations x 4 views, each once, matched rows adjacent."""
    rows = [pairing.config_of(index) for index in range(1024)]
    assert set(rows) == {Row(p, c, v) for p in range(32) for c in range(8) for v in range(4)}
    for same, different in zip(rows[0::2], rows[1::2], strict=True):
        assert same == different._replace(pair=different.pair - 1)
    assert {row.configuration for row in rows[:128]} == {0}


def test_matched_scenes_differ_in_the_second_model_alone():
    """Camera, places, turns, light, room, sampling: all of a matched scene is the same."""
    options = SceneOptions(distractors=2)
    for index in range(0, 64, 2):
        same, different = (made(i, options=options) for i in (index, index + 1))
        a, b = same.objects[:2]
        assert a.model == b.model != different.objects[1].model
        assert len({p.model for p in (*different.objects[:2], *same.objects[2:])}) == 4
        swapped = dataclasses.replace(b, model=different.objects[1].model)
        objects = (a, swapped, *same.objects[2:])
        assert dataclasses.replace(same, objects=objects) == different


def test_a_configuration_is_one_arrangement_seen_four_times():
    """The views of a configuration share all but the camera and the sampling."""
    views = [made(index) for index in range(0, 8, 2)]
    for other in views[1:]:
        first = dataclasses.replace(views[0], camera=other.camera, seed=other.seed)
        assert first == other
    assert len({view.seed for view in views}) == len({view.camera for view in views}) == 4


def test_draws_are_bounded():
    """Camera, light, room and turns keep to their ranges, at every fourth row of a set."""
    for index in range(0, 128, 4):
        scene = made(index)
        view = pairing.config_of(index).view
        offset = np.subtract(scene.camera.position, scene.camera.target)
        away = float(np.linalg.norm(offset))
        assert 5.6 - 1e-5 <= away <= 6.8 + 1e-5
        azimuth = math.degrees(math.atan2(offset[0], -offset[1]))
        assert abs(azimuth - (-54, -18, 18, 54)[view]) <= 8 + 1e-3
        assert 22 - 1e-3 <= math.degrees(math.asin(offset[2] / away)) <= 42 + 1e-3
        assert 44 <= scene.camera.lens <= 54
        assert 2.8 <= scene.camera.f_stop <= 5.6
        points = np.array([(p.x, p.y, 0.42) for p in scene.objects])
        _, depth = masks.project(points, scene.camera, 224)
        assert min(depth) - 1e-5 <= scene.camera.focus <= max(depth) + 1e-5
        light, room = scene.light, scene.room
        assert abs(light.azimuth) <= 25
        assert 24 <= light.elevation <= 40
        assert 4 <= light.sun <= 6
        assert 1 <= light.sky <= 1.6
        assert 0 <= room.table < scenes.TABLES
        assert 0 <= room.wall < scenes.WALLS
        assert all(0 <= pose.turn < 360 for pose in scene.objects)
        assert all(abs(pose.x) < 3 and abs(pose.y) < 3 for pose in scene.objects)


def test_draws_vary():
    """Over 16 configurations hardly a value comes twice, and objects stand on either side."""
    found = [made(index) for index in range(0, 128, 8)]
    assert len({scene.light for scene in found}) == 16
    assert len({scene.objects[0].turn for scene in found}) > 12
    assert len({scene.room.table for scene in found}) > 3
    assert 2 <= sum(scene.objects[0].x < scene.objects[1].x for scene in found) <= 14
    assert 2 <= sum(scene.objects[0].y < scene.objects[1].y for scene in found) <= 14


def test_scenes_are_a_function_of_their_arguments():
    """A scene made again in another order, without any cache, has the same bytes."""
    digests = [made(index).digest() for index in range(16)]
    scenes._setting.cache_clear()
    again = {
        i: scenes.scene(0, "test", pairing.config_of(i), PLAIN, MESHES).digest()
        for i in reversed(range(16))
    }
    assert digests == [again[i] for i in range(16)]


def test_known_scenes_stay():
    """The first and the last scene of the set of stand-ins are those they always were."""
    boxes = {n: prism(4, 0.3 + k / 16, 0.3 + k / 32, 0.5 + k / 16) for k, n in enumerate(NAMES)}
    found = [
        scenes.scene(0, "test", pairing.config_of(i), PLAIN, boxes).digest()[:16] for i in (0, 1023)
    ]
    assert found == GOLDENS


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"split": "train"}, {"options": SceneOptions(distractors=1)}]
)
def test_seeds_and_splits_differ(change):
    """Another seed, split or number of distractors gives other scenes."""
    assert made(0, **change).digest() != made(0).digest()
    if "options" not in change:
        assert made(0, **change).light != made(0).light


def test_no_turn_is_in_two_splits():
    """Splits have disjoint configurations: the hundredths of a turn tell the split."""
    for number, split in enumerate(scenes.SPLITS):
        for index in (0, 8, 130):
            for pose in made(index, split=split).objects:
                assert round(pose.turn * 100) % len(scenes.SPLITS) == number


def test_size_and_samples_leave_scenes_alone():
    """A larger picture or more samples show the same scenes."""
    large = SceneOptions(image_size=512, samples=32)
    one, other = made(10), made(10, options=large)
    assert (other.size, other.samples) == (512, 32)
    assert dataclasses.replace(other, size=224, samples=16) == one


@pytest.mark.parametrize(
    ("options", "patch"),
    [
        (PLAIN, 0),
        (SceneOptions(distractors=2), 0),
        (SceneOptions(patch_size=16), 16),
        (SceneOptions(patch_size=32, distractors=1), 32),
    ],
)
def test_scenes_meet_their_constraints(options, patch):
    """Margin, visibility, gap and patches hold in the first rows of each kind of set."""
    broken = {i: breaches(made(i, options=options), patch) for i in range(48)}
    assert not {i: which for i, which in broken.items() if which}


@pytest.mark.slow
def test_the_whole_set_meets_its_constraints():
    """All 1,024 scenes keep margin, visibility and gap; both labels show each object as often."""
    count: dict[str, Counter[str]] = {"same": Counter(), "different": Counter()}
    for index in range(1024):
        scene = made(index)
        assert not breaches(scene), pairing.config_of(index)
        a, b = (pose.model for pose in scene.objects)
        count["same" if a == b else "different"].update((a, b))
    assert count["same"] == count["different"] == dict.fromkeys(NAMES, 64)
    assert len({made(index).digest() for index in range(1024)}) == 1024


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"image_size": 16}, "image_size 16 is out of range; legal: 32"),
        ({"samples": 0}, "samples 0"),
        ({"distractors": 4}, "distractors 4 is out of range; legal: 0 .. 3"),
        ({"patch_size": 15}, "patch_size 15 is not legal for image_size 224; legal: 4, 7, 8"),
        ({"patch_size": 56}, "patch_size 56"),
    ],
)
def test_wrong_options_are_refused(wrong, part):
    """An option out of range is refused in one line with the legal set."""
    with pytest.raises(InputError, match=part) as caught:
        SceneOptions(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "split", "count", "part"),
    [
        (Row(32, 0, 0), "test", 16, "pair 32 is out of range; legal: 0 .. 31"),
        (Row(0, 0, 4), "test", 16, "view 4 is out of range; legal: 0 .. 3"),
        (Row(0, -1, 0), "test", 16, "configuration -1"),
        (Row(0, 0, 0), "tset", 16, "unknown split 'tset'; known: test, train"),
        (Row(0, 0, 0), "test", 2, "2 objects, 2 of them different"),
        (Row(0, 0, 0), "test", 3, "distractors 2 are more than the 1 models"),
    ],
)
def test_wrong_rows_are_refused(row, split, count, part):
    """A row, split or set of objects that makes no scene is refused in one line."""
    few = {name: MESHES[name] for name in NAMES[:count]}
    with pytest.raises(InputError, match=part) as caught:
        scenes.scene(0, split, row, SceneOptions(distractors=2), few)
    assert "\n" not in str(caught.value)


def test_objects_that_do_not_fit_end_in_one_line(monkeypatch):
    """Where no draw can meet the constraints the search ends and names its specification."""
    scenes._setting.cache_clear()
    monkeypatch.setattr(scenes, "PLACEMENTS", 5)
    giants = {f"g{n}": prism(8, 2.4, 2.4, 3.0 + n / 9) for n in range(3)}
    with pytest.raises(InputError, match="in 5 tries") as caught:
        scenes.scene(7, "test", Row(1, 2, 0), PLAIN, giants)
    assert "\n" not in str(caught.value)
    assert "seed 7, split 'test', configuration 2, distractors 0" in str(caught.value)
