"""What the sets of free-standing objects promise, for every registered one."""

import itertools

import numpy as np
import pytest
from PIL import Image

from samediff_stimuli import InputError, design, make_recipe, render, tasks
from samediff_stimuli.families.textured import APPEARANCES
from samediff_stimuli.grid import Grid
from samediff_stimuli.placed_options import PlacedOptions, SceneOptions
from samediff_stimuli.placement import Free, Patches
from samediff_stimuli.tasks.alphanumerics import AlphanumericsOptions
from samediff_stimuli.tasks.dissociation import BITS, DissociationOptions
from samediff_stimuli.tasks.shapes import ShapesOptions
from samediff_stimuli.tasks.transfer import TransferOptions
from tests.cases import CASES, recipe_of

CASES = [case for case in CASES if isinstance(recipe_of(*case).options, SceneOptions)]
ROWS = 48


@pytest.fixture(params=CASES, ids="-".join, scope="module")
def case(request):
    """(task, recipe)."""
    name, variant = request.param
    task = tasks.get(name)
    return task, recipe_of(name, variant)


def squares(image, boxes):
    """The pixels of each object's square."""
    return [image[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]


def test_pixels_say_the_label(case):
    """Same objects are equal pixel for pixel, different ones are not (turned and scaled alike)."""
    task, recipe = case
    if recipe.options.independent:
        return
    for split in task.splits(recipe):
        table = task.design(recipe, split.name, 0, ROWS)
        images = task.render(recipe, split.name, table)
        same = 2 ** len(BITS) - 1 if task.name == "dissociation" else 1
        for image, boxes, label in zip(images, table["box"], table["label"], strict=True):
            parts = squares(image, boxes)
            alike = all(np.array_equal(parts[0], part) for part in parts[1:])
            assert alike == (label == same), split.name


def test_one_object_is_odd(case):
    """In a different stimulus all objects but one are the same."""
    task, recipe = case
    if task.name == "dissociation":
        return
    for split in task.splits(recipe):
        table = task.design(recipe, split.name, 0, 200)
        for row in range(200):
            objects, k = table["object"][row].tolist(), recipe.options.items
            counts = sorted(map(objects.count, set(objects)))
            assert counts == ([k] if table["label"][row] else [1, k - 1])
            if k > 2:
                odd = table["odd"][row]
                assert odd == k or objects.count(objects[odd]) == 1


def test_objects_occur_equally_often(case):
    """In each round every object is repeated once and odd once; splits share no object."""
    task, recipe = case
    if task.name == "dissociation":
        return
    seen = set()
    for split in task.splits(recipe):
        if split.name.startswith("test_") and split.name != "test_original":
            continue  # the same objects as in test_original, in another condition
        table = task.design(recipe, split.name, 0, split.rows)
        same = table["label"] == 1
        repeated = table["object"][same][:, 0]
        n = len(np.unique(table["object"]))
        rounds = len(repeated) // n
        assert set(np.bincount(np.unique(repeated, return_inverse=True)[1])) <= {rounds, rounds + 1}
        whole = table["pair_id"] < rounds * n
        both = [table["object"][whole & (same == s)].reshape(-1) for s in (True, False)]
        counts = [np.unique(part, return_counts=True) for part in both]
        assert all(np.array_equal(a, b) for a, b in zip(*counts, strict=True)), split.name
        if split.held_out:
            assert not seen & set(table["object"].reshape(-1).tolist()), split.name
        seen |= set(table["object"].reshape(-1).tolist())


def test_naming_and_sides_are_exchangeable(case):
    """Neither number nor side tells which object is the repeated one, nor the label."""
    task, recipe = case
    table = task.design(recipe, task.splits(recipe)[0].name, 0, 4000)
    centre = table["box"][..., 0].astype(float)
    first_left = centre[:, 0] < centre[:, 1]
    assert abs(first_left[centre[:, 0] != centre[:, 1]].mean() - 0.5) < 0.04
    if "object" in table and task.name != "dissociation":
        different = table["label"] == 0
        repeated = dict(
            zip(table["pair_id"][~different], table["object"][~different, 0], strict=True)
        )
        mine = [repeated[p] for p in table["pair_id"][different]]
        share = (table["object"][different, 0] == mine).mean()
        k = recipe.options.items
        assert abs(share - (k - 1) / k) < 0.06


def test_turns_and_scales_are_those_of_the_variant(case):
    """Angles and scales vary if the variant says so, are shared unless independent, in range."""
    task, recipe = case
    options = recipe.options
    table = task.design(recipe, task.splits(recipe)[0].name, 0, 1000 * task.group)
    angle, scale = table["angle"], table["scale"]
    assert (len(np.unique(angle)) > 300) if options.turns else (angle == 0).all()
    assert (len(np.unique(scale)) > 350) if options.scales else (scale == 1000).all()
    if options.turns:
        assert angle.max() < 360
    if options.scales:
        assert scale.min() >= 450
        assert scale.max() <= 900
    alike = (angle == angle[:, :1]).all(axis=1) & (scale == scale[:, :1]).all(axis=1)
    assert alike.mean() < 0.01 if options.independent else alike.all()


def test_free_places_are_all_pairs_once():
    """Every pair of places at least a pixel apart and within reach has one number; no other has."""
    for image, size, reach in ((11, 3, 8), (11, 3, 5), (9, 4, 5), (12, 2, 3)):
        arena = Free(image=image, size=size, reach=reach)
        found = arena.pair(np.arange(arena.pairs()))
        spots = list(itertools.product(range(image - size + 1), repeat=2))
        wanted = {
            frozenset((a, b))
            for a, b in itertools.combinations(spots, 2)
            if size < max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= reach
        }
        pairs = [frozenset(map(tuple, pair)) for pair in found.tolist()]
        assert len(pairs) == len(set(pairs)) == len(wanted)
        assert set(pairs) == wanted
        assert arena.apart(found[:, 0], found[:, 1]).all()


def test_patch_places_are_all_pairs_once():
    """Every pair of boxes and offsets has one number, and no patch is shared."""
    arena = Patches(grid=Grid(side=4, patch=5, span=2), size=9)
    found = arena.pair(np.arange(arena.pairs()))
    assert len({tuple(pair) for pair in found.reshape(-1, 4).tolist()}) == arena.pairs()
    assert arena.pairs() == len(arena.grid.pairs()) * 2**4
    assert arena.apart(found[:, 0], found[:, 1]).all()


def test_x_may_equal_y_and_the_last_pixel_is_used():
    """Places have no holes: x equals y now and then, 159 and the last place occur."""
    table = tasks.get("squiggles").design(make_recipe("squiggles", 0), "train", 0, 6400)
    x, y = table["box"][..., 0], table["box"][..., 1]
    assert (x == y).any()
    assert (x == 159).any()
    assert x.max() == y.max() == 160
    assert x.min() == y.min() == 0


CROWDS = [
    PlacedOptions(items=3, object_size=64),
    PlacedOptions(items=9, object_size=42),
    PlacedOptions(items=9, object_size=32, density=30),
    PlacedOptions(items=4, object_size=48, density=30),
    PlacedOptions(items=4, object_size=48, placement="patch", patch_size=32),
    PlacedOptions(items=9, object_size=32, placement="patch", patch_size=32, train_objects=200),
]


@pytest.mark.parametrize("options", CROWDS, ids=lambda o: f"{o.items}x{o.object_size}")
def test_crowds_fit(options):
    """As many objects as the options allow find room in every stimulus."""
    recipe = make_recipe("squiggles", 0, options)
    task = tasks.get("squiggles")
    table = task.design(recipe, "train", 0, 6400)
    for row in range(0, 6400, 40):
        assert task.contains(recipe, "train", table.row(row))


def test_the_odd_object_stands_anywhere():
    """With many objects the odd one is no further out, nor first, more often than any other."""
    recipe = make_recipe("squiggles", 0, PlacedOptions(items=9, object_size=24, density=20))
    table = tasks.get("squiggles").design(recipe, "train", 0, 6400)
    rows = np.flatnonzero(table["label"] == 0)
    centre = table["box"][rows, :, :2].astype(float)
    out = np.hypot(*(centre - centre.mean(axis=1, keepdims=True)).transpose(2, 0, 1))
    odd = table["odd"][rows]
    assert abs((out.argmax(axis=1) == odd).mean() - 1 / 9) < 0.02
    assert abs((out.argmin(axis=1) == odd).mean() - 1 / 9) < 0.02
    assert np.bincount(odd, minlength=9).min() > 280


def test_density_brings_objects_together():
    """The denser, the closer; within the square that the density allows."""
    apart = []
    for density in (None, 20, 30, 45):
        recipe = make_recipe("squiggles", 0, PlacedOptions(density=density))
        table = tasks.get("squiggles").design(recipe, "train", 0, 2000)
        steps = np.abs(np.diff(table["box"][..., :2].astype(int), axis=1)[:, 0])
        apart.append(steps.max(axis=1).mean())
        if density:
            side = (2 * 64 * 64 * 100 / density) ** 0.5
            assert steps.max() + 64 <= side
    assert apart == sorted(apart, reverse=True)


def test_partners_have_like_ink():
    """In squiggles and alphanumerics the ink of different pairs differs little."""
    for name in ("squiggles", "alphanumerics"):
        recipe = make_recipe(name, 0)
        table = design(recipe, "train", slice(0, 600))
        images = render(recipe, "train", slice(0, 600))
        ink = (255.0 - images[..., 0]).sum(axis=(1, 2))
        ink = {
            s: dict(
                zip(table["pair_id"][table["label"] == s], ink[table["label"] == s], strict=True)
            )
            for s in (0, 1)
        }
        off = [abs(ink[0][p] - ink[1][p]) / ink[1][p] for p in ink[0]]
        assert np.mean(off) < 0.03
        assert np.std(list(ink[1].values())) / np.mean(list(ink[1].values())) > 0.08


def test_finite_families_can_hold_out():
    """holdout m: test shows m objects that train and validation never show; 0: all the same."""
    for m in (0, 10):
        options = AlphanumericsOptions(length=1, holdout=m, train=720, validation=720, test=720)
        recipe = make_recipe("alphanumerics", 3, options)
        tables = {s: design(recipe, s, slice(None)) for s in ("train", "validation", "test")}
        shown = {split: set(t["object"].reshape(-1).tolist()) for split, t in tables.items()}
        assert shown["train"] == shown["validation"]
        assert len(shown["train"]) == 36 - m
        assert shown["test"] == (set(range(36)) - shown["train"] if m else shown["train"])
        identity = tasks.get("alphanumerics").stimulus
        rows = [identity(recipe, t.row(i)) for t in tables.values() for i in range(720)]
        assert len(set(rows)) == len(rows)


def test_different_shapes_differ_in_everything():
    """No different stimulus of shapes shares shape, texture or colour (the authors' 3 % do)."""
    recipe = make_recipe("shapes", 0)
    for split in ("train", "validation", "test"):
        table = design(recipe, split, slice(None))
        different = table["label"] == 0
        for name in ("shape", "texture", "color"):
            assert (table[name][different, 0] != table[name][different, 1]).all()


def test_shapes_have_one_histogram_of_luma():
    """Every object of shapes has the same histogram of luma, whatever shape, texture and hue."""
    recipe = make_recipe("shapes", 0)
    histograms = set()
    for rows in (slice(0, 800), slice(3000, 3400)):
        for image, label in zip(
            render(recipe, "train", rows), design(recipe, "train", rows)["label"], strict=True
        ):
            if label == 1:
                grey = np.asarray(Image.fromarray(image).convert("L"))
                histograms.add(tuple(np.bincount(grey.reshape(-1), minlength=256).tolist()))
    assert len(histograms) == 1


def test_appearances_show_the_same_stimuli():
    """Rows of all appearances have the same scenes; grayscale is full in grey; masks agree."""
    made = {}
    for appearance in APPEARANCES:
        recipe = make_recipe("shapes", 5, ShapesOptions(appearance=appearance, variant="RS"))
        table = tasks.get("shapes").design(recipe, "test", 40, 72)
        task = tasks.get("shapes")
        made[appearance] = (
            table,
            task.render(recipe, "test", table),
            task.instances(recipe, "test", table),
        )
    tables = [table for table, _, _ in made.values()]
    assert all(np.array_equal(tables[0][n], t[n]) for t in tables for n in tables[0])
    grey = [np.asarray(Image.fromarray(image).convert("L")) for image in made["full"][1]]
    assert np.array_equal(np.stack(grey), made["grayscale"][1][..., 0])
    for appearance, (has_color, _, has_shape) in APPEARANCES.items():
        _, images, maps = made[appearance]
        assert np.array_equal(maps, made["full" if has_shape else "swatch"][2])
        ink = images[maps > 0]
        assert (ink.std(axis=1).max() > 5) == has_color
    assert (made["mask"][1][made["mask"][2] > 0] == 0).all()
    inks = {int((maps > 0).sum()) for _, _, maps in made.values()}
    assert len(inks) == 1


def test_dissociation_groups_are_counterfactuals():
    """The eight stimuli of a group differ in the second object alone, attribute by attribute."""
    recipe = make_recipe("dissociation", 0, DissociationOptions(test=160))
    table = design(recipe, "test", slice(None))
    for group in range(20):
        rows = np.flatnonzero(table["pair_id"] == group)
        assert sorted(table["label"][rows]) == list(range(8))
        whole = rows[table["label"][rows] == 7][0]
        base = table["object"][whole, 0]
        looks = {bit: table[bit][whole, 0] for bit in BITS}
        for row in rows:
            label = int(table["label"][row])
            values = [sorted(set(table[bit][row].tolist())) for bit in BITS]
            assert base in table["object"][row]
            assert [len(v) == 1 for v in values] == [bool(label >> s & 1) for s in (2, 1, 0)]
            assert all(looks[bit] in v for bit, v in zip(BITS, values, strict=True))
            assert [table[f"same_{bit}"][row] for bit in BITS] == [
                label >> s & 1 for s in (2, 1, 0)
            ]


def test_transfer_conditions_share_their_scenes():
    """Row i of every test split is the same scene; twins of a pair have about the same ink."""
    recipe = make_recipe("transfer", 0, TransferOptions())
    task = tasks.get("transfer")
    names = [split.name for split in task.splits(recipe) if split.name.startswith("test_")]
    assert len(names) == 10
    first = task.design(recipe, names[0], 0, 200)
    for name in names:
        table = task.design(recipe, name, 0, 200)
        for column in set(table) - {"condition"}:
            assert np.array_equal(table[column], first[column]), (name, column)
        images = task.render(recipe, name, table).astype(float)
        ink = (255 - images.mean(axis=-1)).sum(axis=(1, 2))
        by_label = [
            dict(zip(table["pair_id"][table["label"] == s], ink[table["label"] == s], strict=True))
            for s in (0, 1)
        ]
        off = [by_label[0][p] / by_label[1][p] - 1 for p in by_label[0]]
        assert np.abs(off).mean() < 0.03, name
        assert abs(np.mean(off)) < 0.01, name


BAD = [
    ("squiggles", PlacedOptions, {"variant": "Q"}, "variant 'Q' is not legal; legal: N, R, S, RS"),
    ("squiggles", PlacedOptions, {"independent": True}, "independent needs a variant that turns"),
    ("squiggles", PlacedOptions, {"items": 1}, "items 1 is out of range; legal: 2 .. 9"),
    ("squiggles", PlacedOptions, {"items": 4}, "fill more than a third of image_size 224"),
    (
        "squiggles",
        PlacedOptions,
        {"items": 3, "object_size": 48, "density": 40},
        "density 40 is out of range; legal: 14 .. 30",
    ),
    (
        "squiggles",
        PlacedOptions,
        {"placement": "patch", "patch_size": 2},
        "into more than 2500 patches; choose larger patches",
    ),
    (
        "shapes",
        ShapesOptions,
        {"appearance": "mask", "placement": "patch"},
        "16 different looks on 520 pairs of places do not make 19200 unique stimuli",
    ),
    (
        "shapes",
        ShapesOptions,
        {"holdout": 16, "test_objects": 9},
        "holdout 16 uses all objects; leave out train_objects",
    ),
    (
        "dissociation",
        DissociationOptions,
        {"placement": "patch", "patch_size": 112, "object_size": 112, "test": 400_000},
        "needs more unique stimuli than exist",
    ),
    ("squiggles", PlacedOptions, {"density": 3}, "density 3 is out of range; legal: 17 .. 45"),
    ("squiggles", PlacedOptions, {"patch_size": 16}, "patch_size 16 is for placement patch"),
    ("squiggles", PlacedOptions, {"placement": "patch", "patch_size": 15}, "does not divide"),
    ("squiggles", PlacedOptions, {"train": 3}, "train 3 is not a multiple of 2"),
    ("squiggles", PlacedOptions, {"train": 0, "validation": 0, "test": 0}, "are all 0"),
    ("squiggles", PlacedOptions, {"object_size": 8}, "object_size 8 is out of range"),
    (
        "alphanumerics",
        AlphanumericsOptions,
        {"length": 1},
        "are more than the 36 objects there are",
    ),
    (
        "alphanumerics",
        AlphanumericsOptions,
        {"length": 7},
        "length 7 is out of range; legal: 1 .. 6",
    ),
    ("shapes", ShapesOptions, {"holdout": 4095}, "holdout 4095 is out of range; legal: 0, or 2 .."),
    (
        "shapes",
        ShapesOptions,
        {"appearance": "grey"},
        "appearance 'grey' is not legal; legal: full",
    ),
    ("transfer", TransferOptions, {"variant": "R"}, "variant 'R' is not legal; legal: N, S"),
    ("transfer", TransferOptions, {"test_objects": 31}, "objects come as twins: 32"),
    ("transfer", TransferOptions, {"condition": "blurred"}, "condition 'blurred' is not legal"),
    ("dissociation", DissociationOptions, {"items": 3}, "a dissociation is of 2 objects"),
    ("dissociation", DissociationOptions, {"test": 12}, "test 12 is not a multiple of 8"),
]


@pytest.mark.parametrize(("name", "options", "given", "says"), BAD)
def test_illegal_options(name, options, given, says):
    """A wrong option gets one line that names it, its value and what is legal."""
    with pytest.raises(InputError) as error:
        make_recipe(name, 0, options(**given))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_stimuli_run_out_with_a_clear_word():
    """On few patches all places are used up at last: refused, and a stream's error says so."""
    small = {"placement": "patch", "image_size": 128, "patch_size": 64, "train_objects": 4}
    with pytest.raises(
        InputError, match="train 6400 needs more unique stimuli than exist: each of"
    ):
        make_recipe("squiggles", 0, PlacedOptions(**small, train=6400))
    recipe = make_recipe("squiggles", 0, PlacedOptions(**small, train=48, validation=0, test=0))
    rows = [
        tasks.get("squiggles").stimulus(recipe, design(recipe, "train", slice(None)).row(i))
        for i in range(48)
    ]
    assert len(set(rows)) == 48
    with pytest.raises(InputError, match="unique stimuli are used up"):
        tasks.get("squiggles").design(recipe, "train", 0, 50)
