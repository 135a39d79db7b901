"""What the patch-aligned sets promise beyond the contract: balance, matching, no shortcuts."""

import dataclasses
from functools import lru_cache

import numpy as np
import pytest

from samediff_stimuli import AlignedOptions, make_recipe, objects, palette, silhouettes, tasks
from samediff_stimuli.recipe import InputError

TASKS = ("discrimination", "rmts")
VARIANTS = tasks.get("rmts").variants


@lru_cache(maxsize=2)
def whole(name, variant):
    """Recipe and whole tables of a variant at the paper's sizes."""
    task = tasks.get(name)
    recipe = make_recipe(name, 0, VARIANTS[variant])
    return recipe, {s.name: task.design(recipe, s.name, 0, s.rows) for s in task.splits(recipe)}


@pytest.fixture(params=[(t, v) for t in TASKS for v in VARIANTS], ids="-".join, scope="module")
def case(request):
    """(task name, recipe, tables by split)."""
    return request.param[0], *whole(*request.param)


def spread(counts):
    """Largest minus smallest of the counts that are not zero."""
    counts = counts[counts > 0]
    return counts.max() - counts.min()


def identity(table):
    """(n, k) one number for each object's shape and colour."""
    return table["shape"].astype(np.int64) * 100 + table["color"]


def test_paper_sizes(case):
    """Splits have 6,400 images; the compositional split appears with held-out combinations."""
    _name, recipe, tables = case
    wanted = ["train", "validation", "test", "ood_shape", "ood_color", "ood_shape_color"]
    if recipe.options.combinations == 32:
        wanted.insert(3, "test_compositional")
    assert list(tables) == wanted
    assert {table.n_rows for table in tables.values()} == {6400}


def test_kinds_of_difference_are_thirds(case):
    """Different pairs differ in both, in shape, in colour: one third each to within one."""
    name, _, tables = case
    for split, table in tables.items():
        relation = table["relation"].reshape(table.n_rows, -1)
        for pair in relation.T:
            counts = np.bincount(pair, minlength=4)
            assert counts[0] == table.n_rows // 2, split
            # a group of four shows its different display, and its different sample, twice
            assert spread(counts[1:]) <= (1 if name == "discrimination" else 2), (split, counts)


def test_relations_are_true(case):
    """Each pair's relation column says how its two objects differ."""
    name, _, tables = case
    for table in tables.values():
        for pair in range(table["shape"].shape[1] // 2):
            shape = table["shape"][:, 2 * pair : 2 * pair + 2].astype(int)
            color = table["color"][:, 2 * pair : 2 * pair + 2].astype(int)
            other_shape, other_color = shape[:, 0] != shape[:, 1], color[:, 0] != color[:, 1]
            truth = np.select(
                [other_shape & other_color, other_shape, other_color],
                [objects.BOTH, objects.SHAPE, objects.COLOR],
                objects.SAME,
            )
            got = table["relation"] if name == "discrimination" else table["relation"][:, pair]
            assert np.array_equal(got, truth)


def test_objects_occur_equally_often(case):
    """In same pairs and in different pairs, every object occurs equally often to within one."""
    name, _, tables = case
    for split, table in tables.items():
        things = identity(table)
        for pair in range(things.shape[1] // 2):
            both = things[:, 2 * pair : 2 * pair + 2]
            same = both[:, 0] == both[:, 1]
            # each group shows one same pair; in rmts it shows it, and its different pair, twice
            times = 1 if name == "discrimination" else 2
            in_same = np.bincount(both[same, 0]) // times
            in_different = np.bincount(both[~same].ravel()) // times
            assert spread(in_same) <= 1, (split, pair)
            assert spread(in_different) <= 1, (split, pair)


def test_every_object_of_the_split_is_used(case):
    """A split uses all its objects and no other."""
    _name, recipe, tables = case
    expected = {"ood_shape": 64, "ood_color": 64, "ood_shape_color": 16, "test_compositional": 224}
    for split, table in tables.items():
        n = expected.get(split, recipe.options.combinations)
        assert len(np.unique(identity(table))) == n, split


def test_ring_is_regular():
    """With 32 combinations every shape has two colours and every colour two shapes."""
    seen, held = objects.ring(32)
    assert set(np.bincount(seen.shapes)) == set(np.bincount(seen.colors)) == {2}
    assert len(seen) == 32
    assert len(held) == 224
    assert not set(zip(seen.shapes, seen.colors, strict=True)) & set(
        zip(held.shapes, held.colors, strict=True)
    )
    assert (seen.shapes[0], seen.shapes[1]) == (14, 15)  # colour 0 keeps shapes 14 and 15


def test_rmts_cases_are_equal_and_crossed():
    """The four cases are equally frequent, and display and sample kinds are independent."""
    _, tables = whole("rmts", "p32")
    for table in tables.values():
        assert set(np.bincount(table["case"])) == {table.n_rows // 4}
        kinds = table["relation"][(table["relation"] > 0).all(axis=1)]
        joint = np.histogram2d(kinds[:, 0], kinds[:, 1], bins=3)[0]
        assert joint.max() - joint.min() <= 1


def test_first_and_second_object_are_exchangeable():
    """Which object is listed first tells nothing about the side it stands on or its turn."""
    _, tables = whole("discrimination", "p32")
    table = tables["train"]
    first_is_left = (table["patch"][:, 0] < table["patch"][:, 1]).mean()
    assert abs(first_is_left - 0.5) < 4 * 0.5 / np.sqrt(3200)
    assert abs(table["label"][::2].mean() - 0.5) < 4 * 0.5 / np.sqrt(3200)


def auc(score, label):
    """Probability that a random same stimulus scores above a random different one."""
    order = np.argsort(score, kind="stable")
    ranks = np.empty(len(score))
    ranks[order] = np.arange(1, len(score) + 1)
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.bincount(inverse, ranks) / counts)[inverse]
    n1 = int(label.sum())
    n0 = len(label) - n1
    return (ranks[label == 1].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("variant", ["p32", "p16", "p14", "p16-m1", "p32-c32"])
def test_low_level_statistics_do_not_tell(name, variant):
    """Luminance, ink, centroid, distance and position are at chance for the label, on pixels."""
    recipe, tables = whole(name, variant)
    task = tasks.get(name)
    for split in ("train", "test_compositional", "ood_shape_color"):
        if split not in tables:
            continue
        table = tables[split].rows(slice(0, 1600))
        label = table["label"]
        images = task.render(recipe, split, table)
        ink = task.instances(recipe, "train", table) > 0
        ys, xs = np.mgrid[: ink.shape[1], : ink.shape[2]]
        area = ink.sum(axis=(1, 2))
        corners = table["box"][:, -2:, :2].astype(float)
        scores = {
            "luminance": images.mean(axis=(1, 2, 3)),
            "ink": area,
            "centroid x": (ink * xs).sum(axis=(1, 2)) / area,
            "centroid y": (ink * ys).sum(axis=(1, 2)) / area,
            "distance": np.linalg.norm(corners[:, 0] - corners[:, 1], axis=-1),
            "position": corners[:, 0, 0],
        }
        bound = 4 * np.sqrt((len(label) + 1) / (12 * (len(label) / 2) ** 2))
        for what, score in scores.items():
            assert abs(auc(score, label) - 0.5) < bound, (split, what, auc(score, label))


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("variant", ["p32", "p14", "p16-m1"])
def test_total_ink_is_a_constant(name, variant):
    """Every stimulus has the same ink, so that not even its spread or parity tells the label."""
    recipe, tables = whole(name, variant)
    ink = silhouettes.masks(recipe.options.object_size).sum(axis=(1, 2))
    totals = [np.unique(ink[table["shape"]].sum(axis=1)) for table in tables.values()]
    assert len(np.unique(np.concatenate(totals))) == 1


def test_rmts_pairs_share_no_object():
    """Display and sample are disjoint, so that no common object tells the relation."""
    for variant in ("p32", "p32-c32"):
        _, tables = whole("rmts", variant)
        for table in tables.values():
            things = identity(table)
            assert not (things[:, :2, None] == things[:, None, 2:]).any()


def test_noise_is_the_papers():
    """Object pixels are N(mean, 10) per channel, clipped to [0, 250], independent of each other."""
    recipe, tables = whole("discrimination", "p32")
    task = tasks.get("discrimination")
    table = tables["train"].rows(slice(0, 1600))
    images = task.render(recipe, "train", table).astype(np.float64)
    maps = task.instances(recipe, "train", table)
    middle = 14  # grey (158, 158, 158): no channel reaches a clip
    chosen = [images[i][maps[i] == j + 1] - 158 for i, j in np.argwhere(table["color"] == middle)]
    pixels = np.concatenate(chosen)
    assert len(pixels) > 20_000
    error = 10 / np.sqrt(len(pixels))
    assert np.abs(pixels.mean(axis=0)).max() < 5 * error
    assert np.abs(pixels.std(axis=0) - np.sqrt(100 + 1 / 12)).max() < 5 * error
    assert np.abs(np.corrcoef(pixels.T) - np.eye(3)).max() < 5 / np.sqrt(len(pixels))
    assert images[maps > 0].max() <= palette.CLIP_MAX


def test_noise_is_fresh_for_each_object():
    """The two objects of a same stimulus never match pixel by pixel."""
    recipe, tables = whole("discrimination", "p32")
    table = tables["train"].rows(slice(0, 200))
    images = tasks.get("discrimination").render(recipe, "train", table)
    for image, boxes in zip(images, table["box"].astype(int), strict=True):
        first, second = (image[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes)
        assert (first != second).mean() > 0.2


def test_training_data_grows_at_the_end():
    """A larger train split begins with the smaller one, and leaves validation and test alone."""
    task = tasks.get("discrimination")
    small = make_recipe("discrimination", 5, AlignedOptions(train=640))
    large = make_recipe("discrimination", 5, AlignedOptions(train=6400))
    for split in ("train", "validation", "test"):
        one, two = (task.design(recipe, split, 0, 640) for recipe in (small, large))
        assert all(np.array_equal(one[name], two[name]) for name in one)


def test_beyond_the_patches_stimuli_differ_in_pixels():
    """When objects and patches are used up, stimuli still never repeat objects and pixels."""
    options = AlignedOptions(
        image_size=64, train=36_000, validation=512, test=512, ood=0, jitter=5, object_size=24
    )
    recipe = make_recipe("discrimination", 0, options)
    table = tasks.get("discrimination").design(recipe, "train", 0, 36_000)
    fine = np.concatenate([identity(table)[..., None], table["box"][..., :2]], axis=-1)
    keys = np.sort(fine.astype(np.int64) @ [1_000_000, 1000, 1], axis=1)
    assert len(np.unique(keys, axis=0)) == len(keys)
    coarse = identity(table) * 1000 + table["patch"]
    assert len(np.unique(np.sort(coarse, axis=1), axis=0)) < len(coarse)  # the space was used up


def test_more_stimuli_than_exist_are_refused():
    """A dataset that would have to repeat itself is an error that says what exists."""
    with pytest.raises(InputError, match="more unique stimuli than exist"):
        make_recipe("discrimination", 0, AlignedOptions(image_size=64, train=4000, jitter=0))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"patch_size": 30}, "does not divide image_size 224; legal: 8, 14, 16, 28, 32"),
        ({"image_size": 5000}, "image_size 5000 is out of range"),
        ({"combinations": 33}, "multiple of 16"),
        ({"combinations": 16}, "multiple of 16"),
        ({"noise": 65}, "noise 65 is out of range; legal: 0 .. 64"),
        ({"object_size": 40}, "object_size 40 is out of range; legal: 8 .. 32"),
        ({"object_size": 30, "jitter": 3}, "jitter 3 is out of range; legal: 0 .. 2"),
        ({"train": -2}, "train -2 is out of range"),
        ({"object_patches": 8}, "object_patches 8 is out of range; legal: 1 .. 7"),
        ({"train": 6.5}, "train 6.5 is out of range"),
        ({"combinations": 32.0}, "combinations 32.0 is not legal"),
    ],
)
def test_illegal_options(options, says):
    """An illegal option is one line that names it, its value and what is legal."""
    with pytest.raises(InputError) as error:
        AlignedOptions(**options)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_split_sizes_must_fit_the_groups():
    """Sizes that would break a matched group are refused with the nearest legal one."""
    with pytest.raises(InputError, match="train 99 is not a multiple of 2"):
        make_recipe("discrimination", 0, AlignedOptions(train=99))
    with pytest.raises(InputError, match=r"ood 6 is not a multiple of 4.*nearest: 4"):
        make_recipe("rmts", 0, AlignedOptions(ood=6))
    with pytest.raises(InputError, match="are all 0"):
        make_recipe("rmts", 0, AlignedOptions(train=0, validation=0, test=0, ood=0))


def test_silhouettes_fill_their_square():
    """Bounding boxes equal drawn squares at every size in use, so box size is no cue."""
    for size in (12, 21, 24):
        masks = silhouettes.masks(size)
        assert masks.any(axis=1)[:, [0, -1]].all()
        assert masks.any(axis=2)[:, [0, -1]].all()


@pytest.mark.parametrize(
    "options",
    [
        {"patch_size": 224},
        {"image_size": 1024, "patch_size": 8},
        {"image_size": 224, "patch_size": 1, "object_patches": 12},
    ],
)
def test_too_few_or_too_many_positions(options):
    """A grid with one position, or more than memory is spent on, is refused before it is made."""
    with pytest.raises(InputError, match="positions for objects; legal: 2"):
        make_recipe("discrimination", 0, AlignedOptions(**options))


def test_rows_may_be_arrays():
    """design and render take lists, slices, ranges, arrays and tensors of row numbers."""
    import torch

    recipe = make_recipe("rmts", 0)
    wanted = tasks.render(recipe, "test", [3, 4, 5])
    for rows in (slice(3, 6), range(3, 6), np.arange(3, 6), torch.arange(3, 6)):
        assert np.array_equal(tasks.render(recipe, "test", rows), wanted)
    assert tasks.design(recipe, "test", slice(None)).n_rows == 6400
    with pytest.raises(InputError, match="no rows asked for"):
        tasks.design(recipe, "test", [])


def test_options_are_frozen():
    """A recipe cannot change after it was checked."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        AlignedOptions().noise = 3
