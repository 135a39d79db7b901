"""Minimal quads: rows of a group differ in the edited object's pixels, as their columns say."""

from functools import lru_cache

import numpy as np
import pytest

from samediff_stimuli import aligned, make_recipe, objects, quad_edits, quad_rounds, rng, tasks
from samediff_stimuli.bipartite import perfect_matching
from samediff_stimuli.quad_options import (
    BOTH,
    CHANGES,
    COLOR,
    FACTORS,
    GROUP,
    NOISE,
    POSITION,
    SAME,
    SHAPE,
    VARIANTS,
    QuadOptions,
)
from samediff_stimuli.recipe import InputError

TASK = tasks.get("quads")
MORE = {
    "p14": QuadOptions(patch_size=14),
    "p16-i336": QuadOptions(patch_size=16, image_size=336),
    "p16-m1-noise1": QuadOptions(patch_size=16, object_patches=1, noise=1),
    "p8-m3": QuadOptions(patch_size=8, object_patches=3, object_size=11, noise=64, image_size=64),
    "rmts-p14-i336": QuadOptions(base="rmts", patch_size=14, image_size=336),
    "rmts-p16-c32": QuadOptions(base="rmts", patch_size=16, combinations=32),
    "rmts-p32-c224": QuadOptions(base="rmts", combinations=224),
}
ROWS = 8 * GROUP  # of each split whose pixels are looked at


@lru_cache(maxsize=2)
def whole(variant):
    """Recipe and whole tables of a variant; the first groups of those that are not registered."""
    recipe = make_recipe("quads", 0, (TASK.variants | MORE)[variant])
    most = 6144 if variant in TASK.variants else 16 * GROUP
    splits = TASK.splits(recipe)
    return recipe, {s.name: TASK.design(recipe, s.name, 0, min(s.rows, most)) for s in splits}


@pytest.fixture(params=[*TASK.variants, *MORE], scope="module")
def case(request):
    """(recipe, tables by split)."""
    return whole(request.param)


def grouped(values):
    """Rows by group and variant: (g, 6, ...)."""
    return values.reshape(-1, GROUP, *values.shape[1:])


def edited(table, name):
    """(n, ...) one value of the edited object."""
    return table[name][np.arange(table.n_rows), table["edited"]]


def test_pixels_differ_in_the_box_and_tokens_that_are_stored(case):
    """Against its base, a row's pixels differ in exactly the stored box's extent and tokens; any
    two rows of a group agree outside the box of patches of the edited object."""
    recipe, tables = case
    patch, side = recipe.options.patch_size, recipe.options.image_size
    for split, table in tables.items():
        some = table.rows(slice(0, ROWS))
        images = grouped(TASK.render(recipe, split, some))
        differ = (images != images[:, :1]).any(axis=-1).reshape(-1, side, side)
        for i, picture in enumerate(differ):
            x0, y0, x1, y1 = some["changed_box"][i]
            if some["variant"][i] == SAME:
                assert not picture.any()
                assert (x0, y0, x1, y1) == (0, 0, 0, 0)
            else:
                ys, xs = np.nonzero(picture)
                assert (x0, y0, x1 - 1, y1 - 1) == (xs.min(), ys.min(), xs.max(), ys.max())
            tiles = picture.reshape(side // patch, patch, side // patch, patch).any(axis=(1, 3))
            stored = some["changed_tokens"][i]
            assert np.array_equal(np.flatnonzero(tiles), stored[stored >= 0]), (split, i)
        box = recipe.options.box_size
        corner = edited(some, "box")[::GROUP, :2] - edited(some, "jitter")[::GROUP]
        for group, (x, y) in zip(images, corner, strict=True):
            rest = group.copy()
            rest[:, y : y + box, x : x + box] = 0
            assert (rest == rest[:1]).all(), split


def test_edits_are_what_the_columns_say(case):
    """The scene of a row is its base's but for the factors that its columns name."""
    _, tables = case
    for table in tables.values():
        variant = table["variant"]
        assert np.array_equal(variant, np.arange(table.n_rows) % GROUP)
        flags = [[factor in changed for factor in FACTORS] for changed in CHANGES]
        assert np.array_equal(table["factors"], np.array(flags)[variant])
        for name, factor in (("shape", 0), ("color", 1), ("jitter", 2)):
            old, new = table[f"old_{name}"], table[f"new_{name}"]
            assert np.array_equal(new, edited(table, name))
            assert np.array_equal(old, new[np.arange(table.n_rows) // GROUP * GROUP])
            changed = (old != new).reshape(table.n_rows, -1).any(axis=1)
            assert np.array_equal(changed, table["factors"][:, factor] == 1), name
            others = np.arange(table["shape"].shape[1]) != table["edited"][:, None]
            rest = grouped(table[name][others].reshape(table.n_rows, -1))
            assert (rest == rest[:, :1]).all(), name
        for name in ("edited", "patch", "pair_id"):
            assert (grouped(table[name]) == grouped(table[name])[:, :1]).all(), name


def test_both_joins_the_edits_of_shape_and_colour(case):
    """Row `both` takes the shape of row `shape` and the colour of row `color`, where the split's
    objects allow it: always but among 32."""
    recipe, tables = case
    for split, table in tables.items():
        shape, color = (grouped(edited(table, name)) for name in ("shape", "color"))
        joined = (shape[:, BOTH] == shape[:, SHAPE]) & (color[:, BOTH] == color[:, COLOR])
        few = len(aligned.objects_of(recipe, split)) == 32
        assert joined.mean() < 0.3 if few else joined.all(), split


def test_labels_flip_and_keep(case):
    """From the base, edits of content flip the label and controls keep it; edits among different
    pairs keep it. Of rmts, both directions of a flip are equally frequent."""
    recipe, tables = case
    for table in tables.values():
        label = grouped(table["label"])
        assert (label[:, [SHAPE, COLOR, BOTH]] != label[:, [SAME]]).all()
        assert (label[:, [POSITION, NOISE]] == label[:, [SAME]]).all()
        wanted = 0.5 if recipe.options.base == "rmts" else 1.0
        assert label[:, SAME].mean() == wanted


def test_design_is_balanced(case):
    """Edited object, edited pair and the other pair's relation are crossed exactly; objects, old
    and new shapes and colours occur equally often to within what one round allows."""
    recipe, tables = case
    for split, table in tables.items():
        base = table.rows(slice(None, None, GROUP))
        cell = base["edited"].astype(int)
        if recipe.options.base == "rmts":
            other = 1 - base["role"][np.arange(base.n_rows), base["edited"]]
            relation = base["relation"][np.arange(base.n_rows), other]
            cell = cell * 2 + (relation != objects.SAME)
            kinds = np.bincount(relation, minlength=4)[1:]
            assert kinds.max() - kinds.min() <= 4, split
        assert len(set(np.bincount(cell))) == 1, split
        for part, when in ((base, "old"), (table.rows(slice(BOTH, None, GROUP)), "new")):
            counts = np.bincount(part[f"{when}_shape"].astype(int) * 20 + part[f"{when}_color"])
            counts = counts[counts > 0]
            if recipe.options.base == "discrimination":
                assert counts.max() - counts.min() <= 1, split


def test_moves_are_to_any_other_offset():
    """The position control's offset is never the base's, and uniform like it."""
    _, tables = whole("p32")
    table = tables["train"].rows(slice(POSITION, None, GROUP))
    steps = table["new_jitter"].astype(int) - table["old_jitter"]
    assert (steps != 0).any(axis=1).all()
    for values in (table["new_jitter"], table["old_jitter"]):
        counts = np.bincount(values.ravel(), minlength=9)
        assert (abs(counts - counts.mean()) < 5 * np.sqrt(counts.mean())).all()


def test_rmts_pairs_share_no_object():
    """Display and sample are disjoint in every row of a group."""
    for variant in ("rmts-p32", "rmts-p16-c32", "rmts-p32-c224"):
        for table in whole(variant)[1].values():
            things = table["shape"].astype(int) * 100 + table["color"]
            assert not (things[:, :2, None] == things[:, None, 2:]).any()


def test_noise_is_shared_by_a_group_and_no_other():
    """The rows of a group have the same noise in each object, but for the edited one of the noise
    control; two objects of a scene, and two groups, never do."""
    for variant in ("p32", "rmts-p32"):
        recipe, tables = whole(variant)
        table = tables["train"].rows(slice(0, 20 * GROUP))
        levels = grouped(quad_edits.noise(recipe, "train", table))
        every, edits = np.arange(len(levels)), table["edited"][::GROUP]
        anew = levels[every, NOISE, edits]
        levels[every, NOISE, edits] = levels[every, SAME, edits]
        assert (levels == levels[:, :1]).all()
        fills = np.concatenate([levels[:, 0].reshape(-1, levels.shape[-1]), anew])
        assert np.abs(np.corrcoef(fills) - np.eye(len(fills))).max() < 0.15


def test_a_ring_of_each_size_has_rounds():
    """Rounds exist for every legal number of combinations and every out-of-distribution set, are
    permutations in their first and last column, and close their rectangles but with 32."""
    sets = list(objects.OOD.values())
    for combinations in [*range(32, 240, 16), 256]:
        sets += [some for some in objects.ring(combinations) if len(some)]
    for some in sets:
        quads = quad_rounds.round_of_quads(some, rng.stream_key(1), 0)
        shapes, colors = (values[quads] for values in some.arrays())
        every = np.arange(len(some))
        assert np.array_equal(np.sort(quads[:, 0]), every)
        assert np.array_equal(np.sort(quads[:, 3]), every)
        apart = [(shapes != shapes[:, :1]), (colors != colors[:, :1])]
        assert (apart[0] == [False, True, False, True]).all()
        assert (apart[1] == [False, False, True, True]).all()
        closed = (shapes[:, 1] == shapes[:, 3]) & (colors[:, 2] == colors[:, 3])
        assert closed.all() == (len(some) != 32)
        shown = quad_rounds.round_of_displays(some, rng.stream_key(2), 0, rng.stream_key(1))
        assert not (shown[:, :, None] == quads[:, None]).any()


def test_perfect_matching_finds_the_only_way():
    """A staircase has one perfect matching, whatever the order; a row without partner has none."""
    n = 30
    allowed = np.tri(n, dtype=bool)
    for seed in range(3):
        order = rng.order(rng.mix(rng.stream_key(seed), np.arange(n)[:, None], np.arange(n)))
        assert np.array_equal(perfect_matching(allowed, order), np.arange(n))
        assert perfect_matching(np.roll(allowed, 1, axis=1) & ~allowed[:1], order) is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"base": "das"}, "base 'das' is not legal; legal: discrimination, rmts"),
        ({"jitter": 0}, "jitter 0 leaves the position control no room"),
        ({"object_size": 32}, "jitter 0 leaves the position control no room"),
        ({"noise": 0}, "noise 0 leaves the noise control nothing"),
        ({"train": 6400}, "train 6400 is not a multiple of 6"),
    ],
)
def test_illegal_options(options, says):
    """What leaves a group incomplete is refused in one line."""
    with pytest.raises(InputError) as error:
        make_recipe("quads", 0, QuadOptions(**options))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_variants_are_named():
    """The table's classes are the variants, in the order of a group's rows."""
    recipe, tables = whole("p32")
    column = next(c for c in TASK.columns(recipe) if c.name == "variant")
    assert column.names == VARIANTS
    assert [column.named(v) for v in tables["test"]["variant"][:GROUP].tolist()] == list(VARIANTS)
