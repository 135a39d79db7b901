"""Counterfactual sets: the interchange gives the target, quotas are exact, splits share nothing."""

from functools import cache

import numpy as np
import pytest

from samediff_stimuli import DasOptions, InputError, make_recipe, render, tasks
from samediff_stimuli.das_options import FACTORS
from samediff_stimuli.tasks import das
from samediff_stimuli.tokens import patch_coverage

TASK = tasks.get("das")
ROWS = 24  # for tests that look at pixels


@cache
def tables(variant):
    """The recipe of a variant, and every split's table."""
    recipe = make_recipe("das", 0, TASK.variants[variant])
    made = {s.name: TASK.design(recipe, s.name, 0, s.rows) for s in TASK.splits(recipe)}
    return recipe, made


@pytest.fixture(params=TASK.variants)
def case(request):
    """(recipe, tables by split)."""
    return tables(request.param)


def objects(table, prefix=""):
    """(n, k, 2) shape and colour of a row's objects in one of its images."""
    return np.stack([table[f"{prefix}{name}"] for name in FACTORS], axis=-1).astype(int)


def scenes(table, prefix):
    """(n, k) codes of which object stands on which patch in an image, in no particular order."""
    looks = objects(table, prefix) @ [16, 1]
    return np.sort(looks + 256 * table[f"{prefix}patch"].astype(int), axis=1)


def test_the_interchange_gives_the_target(case):
    """Carried out on the scenes, the interchange turns the label of every row into its target."""
    recipe, splits = case
    for table in splits.values():
        rows = [table.row(i) for i in range(table.n_rows)]
        assert [das.after_interchange(recipe, row) for row in rows] == table["target"].tolist()
        other = [das.oracle(recipe, das.counterpart(row)) for row in rows]
        assert other == table["counterfactual_label"].tolist()
        assert (table["target"] != table["label"]).all()


def test_only_the_property_could_have_changed_the_label(case):
    """The edited pair differs in nothing but the property, and is the same in the other row."""
    _, splits = case
    for table in splits.values():
        at = np.arange(table.n_rows)
        pair = table["edited"].astype(int) // 2
        one, two = (objects(table)[at, 2 * pair + i] for i in (0, 1))
        differ = one != two
        assert not differ[at, 1 - table["factor"].astype(int)].any()
        assert (differ[at, table["factor"]] == (table["direction"] == 0)).all()


def test_quotas_are_exact(case):
    """In every block: half of each property each way; in rmts, every edit with either label."""
    recipe, splits = case
    chosen = recipe.options
    names = ["factor", "direction", *(["edit", "label"] if chosen.base == "rmts" else [])]
    block = chosen.unit * len(chosen.factors)
    for table in splits.values():
        cells = np.stack([table[name] for name in names], axis=-1)
        for start in range(0, table.n_rows, block):
            _, counts = np.unique(cells[start : start + block], axis=0, return_counts=True)
            assert len(set(counts)) == 1
        assert len(np.unique(cells, axis=0)) == (8 if chosen.base == "rmts" else 2) * len(
            chosen.factors
        )
        assert np.bincount(table["factor"]).max() == 2000


def test_no_base_image_and_no_pair_is_in_two_splits(case):
    """Base scenes never come back; so no pair of base and counterfactual scene does, either."""
    _, splits = case
    bases, others = (
        np.concatenate([scenes(table, prefix) for table in splits.values()])
        for prefix in ("", "counterfactual_")
    )
    n = sum(table.n_rows for table in splits.values())
    assert len(np.unique(bases, axis=0)) == n
    assert len(np.unique(np.concatenate([bases, others], axis=1), axis=0)) == n


def test_every_counterfactual_shows_an_edit(case):
    """The source has another value than its place in the base's other pair (rmts), and than the
    edited object; in discrimination it shares nothing else with the base's pair."""
    recipe, splits = case
    for table in splits.values():
        at, factor = np.arange(table.n_rows), table["factor"].astype(int)
        base, other = objects(table), objects(table, "counterfactual_")
        edited, source = table["edited"].astype(int), table["source"].astype(int)
        value = other[at, source, factor]
        assert (value != base[at, edited, factor]).all()
        if recipe.options.base == "rmts":
            assert (edited // 2 != source // 2).all()
            changed = base != other
            assert changed[at, source, factor].all()
            assert (changed.sum(axis=(1, 2)) == 1).all()
        else:
            rest = 1 - factor
            source_rest = other[at, source, rest]
            assert (other[at, :, rest] != base[at, edited, rest][:, None]).all()
            assert (other[at, 1 - source, rest] != source_rest)[table["direction"] == 0].all()
            second = other[at, 1 - source]
            different = table["direction"] == 0
            assert (second != other[at, source])[different].all()
            assert (second == other[at, source])[~different].all()
            assert (second[at, factor] != base[at, edited, factor]).all()


def test_counterfactuals_are_of_all_objects():
    """All 256 objects occur in counterfactuals, also where 224 are held out of base images."""
    _, splits = tables("p16-c32-color")
    found = objects(splits["train"], "counterfactual_").reshape(-1, 2)
    assert len(np.unique(found, axis=0)) == 256
    assert len(np.unique(objects(splits["train"]).reshape(-1, 2), axis=0)) == 32
    assert len(np.unique(objects(splits["test"]).reshape(-1, 2), axis=0)) == 224


def test_objects_are_used_equally_often():
    """Each object is doubled equally often within a property, to within one."""
    recipe, splits = tables("p32")
    table = splits["train"]
    same = table["direction"] == 1
    for factor in range(2):
        chosen = same & (table["factor"] == factor)
        number = objects(table)[chosen, 0] @ [16, 1]
        counts = np.bincount(number, minlength=256)
        assert counts.max() - counts.min() <= 1
    assert recipe.options.factors == FACTORS


@pytest.mark.parametrize(
    ("patch_size", "image_size"), [(32, 224), (16, 224), (14, 224), (16, 336), (14, 336)]
)
@pytest.mark.parametrize("base", ["discrimination", "rmts"])
def test_tokens_are_what_the_pixels_say(base, patch_size, image_size):
    """Patches that the squares of the edited and of the source object reach into are listed."""
    options = DasOptions(base=base, patch_size=patch_size, image_size=image_size)
    recipe = make_recipe("das", 0, options)
    table = TASK.design(recipe, "train", 0, ROWS)
    for view, name in (("image", "edited"), ("counterfactual", "source")):
        of_view = TASK.view(view)
        boxes = of_view.scene(table)["box"]
        squares = np.zeros((ROWS, image_size, image_size), dtype=np.uint8)
        ink = np.zeros_like(squares)
        maps = of_view.instances(recipe, "train", table)
        images = render(recipe, "train", range(ROWS), view=view)
        for row, number in enumerate(table[name].tolist()):
            x0, y0, x1, y1 = boxes[row, number]
            squares[row, y0:y1, x0:x1] = 1
            ink[row] = maps[row] == number + 1
            assert ((images[row] < 255).any(axis=-1) & (squares[row] == 1) == (ink[row] == 1)).all()
        listed = np.zeros((ROWS, (image_size // patch_size) ** 2), dtype=bool)
        listed[np.arange(ROWS)[:, None], table[f"{name}_tokens"]] = True
        assert np.array_equal(patch_coverage(squares, patch_size, 1)[:, 0] > 0, listed)
        assert not ((patch_coverage(ink, patch_size, 1)[:, 0] > 0) & ~listed).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "rtms"}, "base 'rtms' is not legal; legal: discrimination, rmts"),
        ({"factor": "size"}, "factor 'size' is not legal; legal: both, shape, color"),
        ({"train": 7}, "train 7 is not a multiple of 2, within which quotas are exact; nearest: 6"),
        ({"base": "rmts", "test": 12}, "test 12 is not a multiple of 8"),
        ({"train": -2}, "train -2 is out of range"),
        ({"train": 0, "validation": 0, "test": 0}, "are all 0"),
        ({"patch_size": 224}, "leave 1 positions"),
        ({"image_size": 64, "jitter": 0, "combinations": 32}, "more unique stimuli than exist"),
    ],
)
def test_wrong_options(options, message):
    """Options that cannot be met are one line that says what is legal."""
    with pytest.raises(InputError, match=message) as error:
        make_recipe("das", 0, DasOptions(**options))
    assert "\n" not in str(error.value)
