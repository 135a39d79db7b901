"""The photorealistic set as a task: its rows, what they say of images, and how it is made."""

import json
import os
import subprocess
import sys
from functools import lru_cache

import numpy as np
import pytest
from click.testing import CliRunner

from samediff_stimuli import generate, make_recipe, tasks
from samediff_stimuli.blender_scenes import objects, pairing, photoreal, scenes, session
from samediff_stimuli.blender_scenes.photoreal_options import PhotorealOptions
from samediff_stimuli.blender_scenes.process import RendererProcess, RenderingError
from samediff_stimuli.cards.audit import audit
from samediff_stimuli.cli import main
from samediff_stimuli.manifest import load
from samediff_stimuli.recipe import InputError
from samediff_stimuli.shards import IMAGE, ShardReader, array_digest, image_digest
from samediff_stimuli.tokens import patch_coverage
from samediff_stimuli.verification import verify
from tests.blender_scenes.sheets import RELEASE
from tests.stand_in import StandIn

SMALL = {"image_size": 48, "quality": "preview", "configurations": 1}
TINY = SMALL | {"held_out_objects": 13}  # 24 images of 3 objects, 104 of 13
SYMMETRIC = {"pawn", "vase", "candlestick", "spinning_top", "honey_jar"}
ALONE = {"box", "visible_box", "full_pixels", "visible_pixels", "visibility"}
OWN = {"index", "label", "object"}


@lru_cache(maxsize=4)
def rows(split="test", seed=0, **options):
    """The recipe and the whole table of a split."""
    recipe = make_recipe("photoreal", seed, PhotorealOptions(**options))
    count = tasks.split_of(recipe, split).rows
    return recipe, photoreal.design(recipe, split, 0, count)


def test_the_papers_set_has_1024_images():
    """16 same and 16 different pairs, 8 configurations, 4 cameras, half of them same."""
    recipe = make_recipe("photoreal", 0)
    assert [(split.name, split.rows) for split in photoreal.splits(recipe)] == [("test", 1024)]
    assert photoreal.TASK.image_shape(recipe) == (224, 224, 3)
    assert photoreal.scene_of(recipe, photoreal.design(recipe, "test", 5, 6).row(0)).samples == 16


def test_matched_rows_differ_in_the_second_model_alone():
    """What does not follow from the models is equal in both rows of a group."""
    _, table = rows(configurations=2)
    names = set(table) - OWN - ALONE
    assert {"position", "turn", "camera_position", "sun_azimuth", "render_seed"} <= names
    for name in names:
        assert np.array_equal(table[name][0::2], table[name][1::2]), name
    assert np.array_equal(table["object"][0::2, 0], table["object"][1::2, 0])
    assert (table["object"][0::2, 1] != table["object"][1::2, 1]).all()
    assert 0.3 < table["label"][0::2].mean() < 0.7  # neither comes first


def test_every_object_is_as_often_in_each_place_of_each_label():
    """Per label and place, each object occurs as often; the different pairs are 16."""
    _, table = rows(configurations=2)
    for label in (0, 1):
        pairs = table["object"][table["label"] == label]
        for place in (0, 1):
            assert set(np.bincount(pairs[:, place], minlength=16)) == {8}
        assert len({tuple(sorted(pair)) for pair in pairs.tolist()}) == 16


def test_a_row_is_its_scene():
    """The scene read back from a row is the one that was drawn, to the last bit."""
    recipe, table = rows(configurations=2)
    meshes = {name: objects.mesh_of(name) for name in objects.registry()}
    for index in range(0, table.n_rows, 17):
        place = photoreal.place_of(recipe, "test", index)
        drawn = scenes.scene(0, "test", place, scenes.SceneOptions(), meshes)
        assert photoreal.scene_of(recipe, table.row(index)) == drawn


def check_annotations(recipe, table, which):
    """What a row says of its objects is what its instance map and whole masks say."""
    for index in which:
        row = table.row(index)
        found = photoreal.annotation(recipe, row)
        for number, box in enumerate(row["box"]):
            whole, seen = found.full_masks[number], found.instances == number + 1
            assert not (seen & ~whole).any()
            assert (row["full_pixels"][number], row["visible_pixels"][number]) == (
                whole.sum(),
                seen.sum(),
            )
            share = 1000 * seen.sum() / whole.sum()
            assert abs(row["visibility"][number] - share) <= 0.5
            for mask, edges in ((whole, box), (seen, row["visible_box"][number])):
                ys, xs = np.nonzero(mask)
                assert edges == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert np.isfinite(found.depth[seen]).all()
            if number < 2:
                assert row["visibility"][number] >= scenes.VISIBLE
                assert min(box) >= scenes.MARGIN - 1
                assert max(box) <= 224 - scenes.MARGIN + 1


def test_annotations_agree_with_masks():
    """Boxes, pixels and visibility are counted from the masks, in every seventh scene of a set."""
    recipe, table = rows(configurations=2)
    check_annotations(recipe, table, range(0, table.n_rows, 7))


def test_every_released_image_has_a_digest():
    """The digests kept of the released images are as many as these."""
    assert len(json.loads((RELEASE / "images.json").read_text())) == 1024


@pytest.mark.slow
def test_annotations_agree_with_masks_in_the_papers_set():
    """The same in all 1,024 scenes, which are the released ones; measures tell nothing."""
    recipe, table = rows()
    check_annotations(recipe, table, range(1024))
    released = load(RELEASE)
    assert released.recipe == recipe
    for shard in released.shards:
        part = table.rows(slice(shard.start, shard.start + shard.rows))
        assert {name: array_digest(part[name]) for name in part} == {
            name: digest for name, digest in shard.arrays.items() if name != IMAGE
        }
    same = table["label"] == 1
    for name in photoreal.MEASURES:
        values = table[name].reshape(1024, -1).mean(axis=1)
        apart = abs(values[same].mean() - values[~same].mean())
        assert apart <= 4 * values.std() / np.sqrt(256), name


def test_projected_positions_lie_in_their_boxes():
    """K and the OpenCV pose carry an object's place on the table into its box, about."""
    _, table = rows(configurations=2)
    for index in range(0, table.n_rows, 11):
        row = table.row(index)
        pose, k = np.array(row["world_to_camera"]), np.array(row["intrinsics"])
        for (x, y), (x0, y0, x1, y1) in zip(row["position"], row["box"], strict=True):
            u, v, depth = k @ (pose[:3, :3] @ [x, y, 0.05] + pose[:3, 3])
            assert x0 - 2 < u / depth < x1 + 2
            assert y0 < v / depth < y1 + 8
        turned = pose[:3, :3]
        assert np.allclose(turned @ turned.T, np.eye(3))
        assert np.linalg.det(turned) == pytest.approx(1.0)


def test_a_smaller_set_is_the_beginning_of_a_larger_one():
    """The number of configurations, size and quality do not change which scenes there are."""
    _, large = rows(configurations=2)
    _, small = rows(**SMALL)
    for name in ("object", "position", "turn", "camera_position", "render_seed"):
        assert np.array_equal(small[name], large[name][:128]), name


def test_turned_twins():
    """A twin shows its base but for the second object's turn; of symmetric ones nothing changes."""
    recipe, table = rows(turned=True, configurations=1, held_out_objects=8)
    assert table.n_rows == 128
    base, index = table["base_index"], table["index"]
    twins = np.flatnonzero(base != index)
    assert len(twins) == 64
    assert (index[twins] - base[twins] == 2).all()
    names = list(objects.registry())
    for twin in twins.tolist():
        new, old = table.row(twin), table.row(int(base[twin]))
        changed = {name for name in new if new[name] != old[name]} - ALONE
        assert changed == {"index", "pair_id", "turn"}
        assert new["turn"][0] == old["turn"][0]
        assert 30 <= (new["turn"][1] - old["turn"][1]) % 360 <= 330
        if twin % 4 == 2 and names[new["object"][1]] in SYMMETRIC:
            before, after = (photoreal.annotation(recipe, row).instances for row in (old, new))
            assert (before != after).sum() < 0.02 * (before > 0).sum()


def test_held_out_objects_are_only_in_ood():
    """Objects held out make the split ood and are in no other; more of them keep the first."""
    options = SMALL | {"held_out_objects": 4, "train_configurations": 1}
    recipe = make_recipe("photoreal", 3, PhotorealOptions(**options))
    shown = {}
    for split in photoreal.splits(recipe):
        table = photoreal.design(recipe, split.name, 0, split.rows)
        shown[split.name] = set(table["object"].reshape(-1).tolist())
        assert all(photoreal.contains(recipe, split.name, table.row(i)) for i in range(0, 32, 5))
        assert not photoreal.contains(recipe, "validation", table.row(0))
    assert len(shown["ood"]) == 4
    assert shown["train"] == shown["test"] == set(range(16)) - shown["ood"]
    few, many = (set(pairing.divided(3, list(objects.registry()), n)[1]) for n in (3, 6))
    assert few < many


def test_splits_share_no_turn():
    """Every configuration of train, validation, test and ood is another."""
    options = SMALL | {"train_configurations": 1, "validation_configurations": 1}
    turns = {}
    for split in ("train", "validation", "test"):
        _, table = rows(split, **options)
        turns[split] = {tuple(turn) for turn in table["turn"].tolist()}
    assert not turns["train"] & turns["test"] | turns["train"] & turns["validation"]
    assert not turns["test"] & turns["validation"]


@pytest.mark.parametrize("patch", [14, 16, 32])
def test_aligned_framing_keeps_objects_to_their_own_patches(patch):
    """With a patch size no patch of the image is touched by both objects of a pair."""
    recipe = make_recipe("photoreal", 1, PhotorealOptions(patch_size=patch, configurations=1))
    table = photoreal.design(recipe, "test", 40, 56)
    touched = patch_coverage(photoreal.instances(recipe, "test", table), patch, 2) > 0
    assert (touched.sum(axis=1) <= 1).all()
    assert touched.any(axis=2).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"quality": "best"}, "quality 'best' is unknown; known: preview, standard, fine"),
        ({"configurations": 0}, "configurations 0 is out of range; legal: 1 .. 1000000"),
        ({"held_out_objects": 2}, "held_out_objects 2 is out of range; legal: 0, or 3 .. 13"),
        ({"held_out_objects": 14}, "held_out_objects 14 is out of range; legal: 0, or 3 .. 13"),
        ({"held_out_objects": 3, "distractors": 2}, "distractors 2 are more than the 1 objects"),
        ({"distractors": 4}, "distractors 4 is out of range; legal: 0 .. 3"),
        ({"image_size": 8}, "image_size 8 is out of range; legal: 32 .. 4096"),
        ({"patch_size": 15}, "patch_size 15 is not legal for image_size 224; legal: 4, 7, 8"),
        ({"device": "tpu"}, "device 'tpu' is unknown; known: auto, cpu, cuda, optix, hip, metal"),
    ],
)
def test_wrong_options(wrong, said):
    """Each wrong value is refused in one line that says what is legal."""
    with pytest.raises(InputError) as caught:
        PhotorealOptions(**wrong)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_it_is_rendered_is_no_part_of_the_recipe():
    """Device and interpreter change neither digest nor name, and are not written down."""
    plain = make_recipe("photoreal", 0)
    options = PhotorealOptions(device="cpu", blender_python="/somewhere/python")
    other = make_recipe("photoreal", 0, options)
    assert other == plain
    assert other.digest() == plain.digest()
    assert tasks.recipe_from_dict(json.loads(other.canonical_json())).options.device is None
    assert photoreal.TASK.name_of(other) == "photoreal"


def run(out, *words):
    """Run `generate` for a tiny set."""
    command = ["generate", "--task", "photoreal", "--seed", "0", "--out", str(out)]
    sizes = ["--image-size", "48", "--quality", "preview", "--configurations", "1"]
    return CliRunner().invoke(main, [*command, *sizes, "--held-out-objects", "13", *words])


def test_generated_verified_and_audited(tmp_path):
    """The command makes the set; it verifies, says what it was made with, and tells nothing."""
    done = run(tmp_path / "set")
    assert done.exit_code == 0, done.output
    found = load(tmp_path / "set")
    assert [shard.rows for shard in found.shards] == [24, 104]
    assert found.made_with["bpy"] == "0.0.0 (none)"
    assert found.made_with["device"] == "cpu"
    report = verify(tmp_path / "set")
    assert report.problems == ()
    assert 4 <= report.remade <= 8  # a row may be drawn twice
    features = {c.feature for c in audit(tmp_path / "set").confounds}
    assert {"visibility", "sun_azimuth", "camera_position"} <= features
    card = (tmp_path / "set" / "README.md").read_text()
    assert "| `teapot`" in card
    assert "(held out)" in card
    assert "--blender-python" not in card


def test_nothing_finished_is_lost(tmp_path, monkeypatch):
    """A run that dies in mid-shard goes on with the next image; the set is as if it had not."""
    whole = generate(make_recipe("photoreal", 0, PhotorealOptions(**TINY)), tmp_path / "whole")
    painted = StandIn.render

    def dying(self, scene):
        if StandIn.calls == start + 40:
            raise RenderingError("the renderer was killed by SIGKILL, 4 times on scene 0")
        return painted(self, scene)

    start = StandIn.calls
    monkeypatch.setattr(StandIn, "render", dying)
    done = run(tmp_path / "set")
    assert done.exit_code == 2
    assert "killed by SIGKILL" in done.output
    assert "Traceback" not in done.output
    kept = sorted((tmp_path / "set" / ".partial" / "images").iterdir())
    assert len(kept) == 40 - 24  # the first shard is finished
    assert not (tmp_path / "set" / "manifest.json").exists()
    kept[3].write_bytes(kept[3].read_bytes()[:-7])  # cut short by a full disk, say
    kept[5].write_bytes(kept[6].read_bytes())  # another row's
    monkeypatch.setattr(StandIn, "render", painted)
    start = StandIn.calls
    assert run(tmp_path / "set").exit_code == 0
    assert StandIn.calls - start == 104 - 16 + 2
    assert load(tmp_path / "set").digest() == whole.digest()
    assert not (tmp_path / "set" / ".partial").exists()


def test_another_renderer_is_explained(tmp_path, monkeypatch):
    """Images of two releases are never mixed; `verify` says whose pixels it compared with."""
    out = tmp_path / "set"
    assert run(out).exit_code == 0
    about, painted = StandIn.about, StandIn.render
    monkeypatch.setattr(StandIn, "about", lambda self: about(self) | {"bpy": "9.9.9"})
    monkeypatch.setattr(StandIn, "render", lambda self, scene: painted(self, scene) // 2)
    problems = verify(out).problems
    assert "image of row" in problems[0]
    assert "bpy 0.0.0 (none)" in problems[-1]
    assert "here with bpy 9.9.9 (none)" in problems[-1]
    assert run(out).exit_code == 0  # it is whole: nothing to render
    os.remove(out / load(out).shards[0].file.path)
    done = run(out)
    assert done.exit_code == 2
    assert "was begun with bpy 0.0.0 (none)" in done.output
    assert (out / "manifest.json").exists()
    assert run(out, "--overwrite").exit_code == 0
    assert load(out).made_with["bpy"] == "9.9.9 (none)"
    assert verify(out).problems == ()


def test_absent_bpy_changes_nothing(tmp_path, monkeypatch):
    """Without bpy one line says what to install, and no folder is made."""
    monkeypatch.setattr(session, "absent", lambda: "bpy is not installed; install it")
    done = run(tmp_path / "set")
    assert done.exit_code == 2
    assert "bpy is not installed" in done.output
    assert not (tmp_path / "set").exists()


def test_verify_without_bpy_compares_digests(tmp_path, monkeypatch):
    """Where nothing can be rendered, `verify` compares digests and columns and says so."""
    out = tmp_path / "set"
    assert run(out).exit_code == 0
    monkeypatch.setattr(session, "absent", lambda: "bpy is not installed; install it")
    report = verify(out)
    assert (report.problems, report.remade) == ((), 0)
    assert "bpy" in report.unmade
    shard = out / load(out).shards[1].file.path
    data = bytearray(shard.read_bytes())
    place = int(ShardReader(shard)._open().places["image"][50, 0]) + 9
    data[place] ^= 0x55  # in the middle of an image
    shard.write_bytes(data)
    problems = verify(out).problems
    assert "SHA-256" in problems[0]
    assert all("gives other pixels" not in problem for problem in problems)


@pytest.mark.blender
@pytest.mark.parametrize("row", [0, 517])
def test_released_images_come_back(row):
    """The release of bpy that made the released images makes them again, to the byte, on
    processors of the same kind; others differ by a level or two, and digests tell no more."""
    pytest.importorskip("bpy")
    recipe, released = make_recipe("photoreal", 0), load(RELEASE)
    with RendererProcess("cpu") as renderer:
        here = session.described(renderer.about())
        image = renderer.render(
            photoreal.scene_of(recipe, photoreal.design(recipe, "test", row, row + 1).row(0))
        )
    digest = json.loads((RELEASE / "images.json").read_text())[row]
    there = dict(released.made_with)
    kind, wanted = here.pop("platform"), there.pop("platform")
    assert here == there, "the released images were made with something else"
    assert image.shape == (224, 224, 3)
    if kind != wanted:
        pytest.skip(f"this is {kind}; the released images are of {wanted}")
    assert image_digest(image).hex() == digest


@pytest.mark.blender
def test_a_real_set_is_generated_and_verified(tmp_path):
    """The command line renders a set for real, silently, and renders a sample of it once more."""
    pytest.importorskip("bpy")
    words = ["--image-size", "32", "--quality", "preview", "--configurations", "1"]
    words += ["--held-out-objects", "13", "--device", "cpu", "--out", str(tmp_path / "set")]
    base = [sys.executable, "-m", "samediff_stimuli.cli"]
    command = [*base, "generate", "--task", "photoreal", "--seed", "0", *words]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "128 images" in made.stdout
    assert "Fra:" not in made.stdout
    assert "renders on the CPU" in made.stderr
    checked = subprocess.run(
        [*base, "verify", str(tmp_path / "set")], capture_output=True, text=True, check=True
    )
    assert "made anew, the card checked: no problems" in checked.stdout
    assert " 0 made anew" not in checked.stdout
    images = np.concatenate([_images(tmp_path / "set", split) for split in ("test", "ood")])
    assert len({image.tobytes() for image in images}) == 128
    assert 60 < images.mean() < 200


def _images(folder, split):
    from samediff_stimuli.reading import SplitReader

    reader = SplitReader(folder, load(folder), split)
    return reader.images(range(len(reader)))
