"""Novel pairs: balanced sources, bases that share no value with them, targets that follow."""

import numpy as np
import pytest

from samediff_stimuli import AlignedOptions, make_recipe, novel_pairs, novelty, tasks
from samediff_stimuli.recipe import InputError

RECIPES = {
    "discrimination": make_recipe("discrimination", 0),
    "discrimination-c32": make_recipe("discrimination", 0, AlignedOptions(combinations=32)),
    "rmts": make_recipe("rmts", 0, AlignedOptions(patch_size=16)),
}
OTHER = {"shape": "color", "color": "shape"}


@pytest.fixture(
    params=[
        (name, what, share, plant)
        for name in RECIPES
        for what in OTHER
        for share in ("nothing", OTHER[what])
        for plant in ("both", "one")
    ],
    ids="-".join,
    scope="module",
)
def case(request):
    """(recipe, its validation table, property, share, plant, 512 pairs)."""
    name, what, share, plant = request.param
    recipe = RECIPES[name]
    table = tasks.design(recipe, "validation", slice(None))
    pairs = novel_pairs(recipe, 512, 0, property=what, share=share, plant=plant)
    return recipe, table, what, share, plant, pairs


def test_sources_are_what_their_rows_show(case):
    """Each source is the named object of the named row; the two differ and share as asked."""
    _, table, what, share, _, pairs = case
    for name in ("shape", "color"):
        shown = table[name][pairs["source"], pairs["source_object"]]
        assert np.array_equal(shown, pairs[f"source_{name}"])
        alike = pairs[f"source_{name}"][:, 0] == pairs[f"source_{name}"][:, 1]
        assert alike.all() if name == share else not alike.any()
    assert (pairs[f"source_{what}"][:, 0] != pairs[f"source_{what}"][:, 1]).all()


def test_sources_are_balanced(case):
    """512 pairs are whole rounds: every object of the split is each source equally often."""
    recipe, _, _, _, _, pairs = case
    for side in range(2):
        things = pairs["source_shape"][:, side].astype(int) * 100 + pairs["source_color"][:, side]
        found, counts = np.unique(things, return_counts=True)
        assert len(found) == recipe.options.combinations
        assert len(set(counts)) == 1


def test_content_is_new_to_its_base(case):
    """No object of a base has a value of the property that one of its sources has, no pair of
    objects is a base twice, and bases differ in the property alone, or are the same."""
    _, table, what, _, plant, pairs = case
    base, numbers = pairs["base"][:, None], pairs["base_objects"]
    values = table[what][base, numbers]
    assert not (values[:, :, None] == pairs[f"source_{what}"][:, None, :]).any()
    assert len(np.unique(pairs["base"] * 4 + numbers[:, 0])) == len(numbers)
    assert ((values[:, 0] != values[:, 1]) == (plant == "both")).all()
    others = table[OTHER[what]][base, numbers]
    assert (others[:, 0] == others[:, 1]).all()


def test_targets_are_the_oracles_of_the_scenes_with_the_content(case):
    """With an unheard-of value planted in the scene, the task's oracle gives the target."""
    recipe, table, what, _, plant, pairs = case
    for i in range(len(pairs["base"])):
        row = table.row(int(pairs["base"][i]))
        assert pairs["label"][i] == row["label"]
        for number, planted in zip(pairs["base_objects"][i], pairs["planted"][i], strict=True):
            if planted:
                row[what][number] = 99
        assert tasks.get(recipe.task).oracle(recipe, row) == pairs["target"][i]
    assert (pairs["label"] != pairs["target"]).all()
    count = pairs["planted"].sum(axis=0)
    assert list(count) == ([512, 512] if plant == "both" else [256, 256])


def test_lists_are_deterministic():
    """The same seed gives the same list, another seed another; a shorter one keeps its sources."""
    recipe = RECIPES["discrimination"]
    first, again, other = (novel_pairs(recipe, 64, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert (first["base"] != other["base"]).any()
    assert (first["source_shape"] != other["source_shape"]).any()
    few = novel_pairs(recipe, 10, 0)
    assert np.array_equal(few["source"], first["source"][:10])
    assert first["base"][:4].tolist() == [5420, 416, 662, 2493]
    assert first["source"][:2].tolist() == [[3059, 3827], [4043, 132]]


def test_lists_can_be_saved(tmp_path):
    """A list goes into an npz file and comes back."""
    pairs = novel_pairs(RECIPES["discrimination"], 16, 0)
    np.savez(tmp_path / "pairs.npz", **pairs)
    with np.load(tmp_path / "pairs.npz") as kept:
        assert all(np.array_equal(kept[name], pairs[name]) for name in pairs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n": 0}, "n 0 is not legal; legal: an integer from 1"),
        ({"n": 2.5}, "n 2.5 is not legal"),
        ({"n": 1100}, "n 1100 is more than the 1067 base pairs"),
        ({"seed": -1}, "seed -1 is not legal"),
        ({"property": "size"}, "property 'size' is not legal; legal: shape, color"),
        ({"share": "shape"}, "share 'shape' is not legal; legal: nothing, color"),
        ({"plant": "none"}, "plant 'none' is not legal; legal: both, one"),
        ({"recipe": make_recipe("quads", 0)}, "task 'quads' has no novel pairs"),
        (
            {"recipe": make_recipe("rmts", 0, AlignedOptions(validation=0))},
            "unknown split 'validation'",
        ),
        (
            {"recipe": make_recipe("rmts", 0, AlignedOptions(validation=64))},
            "does not show every object",
        ),
    ],
)
def test_illegal_requests(change, says):
    """What cannot be listed is one line that says why."""
    asked = {"recipe": RECIPES["discrimination"], "n": 4, "seed": 0} | change
    with pytest.raises(InputError) as error:
        novel_pairs(**asked)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_every_column_is_declared():
    """A list has the columns that the module declares."""
    pairs = novel_pairs(RECIPES["rmts"], 4, 0, plant="one")
    assert list(pairs) == [column.name for column in novelty.COLUMNS]
