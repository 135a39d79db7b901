"""What every factor set promises: its grid, its splits at full size, and its images."""

import dataclasses
import re
from functools import lru_cache

import numpy as np
import pytest

from samediff_stimuli import make_recipe, tasks
from samediff_stimuli.factors import Factor, FactorSpace
from samediff_stimuli.factors.expression import parse
from samediff_stimuli.factors.holding import KINDS, holding
from samediff_stimuli.recipe import InputError
from tests.cases import FACTOR_SETS

VARIANTS = ("random", *KINDS)
ARCHIVES = {"dsprites": "dsprites", "shapes3d": "shapes3d", "mpi3d": "mpi3d_real"}
SIZES = {
    "dsprites": 737_280,
    "shapes3d": 480_000,
    "mpi3d": 1_036_800,
}  # facts of the published sets


@lru_cache(maxsize=8)
def recipe_of(name, variant, source="procedural", **more):
    """A recipe of a set; an official one as its manifest has it, with no archive at hand."""
    given = {"variant": variant, **more}
    if source == "official":
        given |= {"source": "official", "archive_name": ARCHIVES[name]}
    return make_recipe(name, 0, tasks.get(name).options(**given))


def rows_of(recipe, split):
    """The rows of the grid that a split lists."""
    return tasks.get(recipe.task).members(recipe, split)


@pytest.fixture(params=FACTOR_SETS)
def name(request):
    """The name of a set."""
    return request.param


@pytest.fixture(params=["procedural", "official"])
def source(request):
    """Who made the images."""
    return request.param


@pytest.mark.parametrize("variant", VARIANTS)
def test_splits_are_disjoint_complete_and_about_thirty_to_seventy(name, variant, source):
    """Train and test share no row; with the twins that are dropped they are the grid; 30 : 70."""
    recipe = recipe_of(name, variant, source)
    task, space = tasks.get(name), tasks.get(name).space(recipe)
    train, test = rows_of(recipe, "train"), rows_of(recipe, "test")
    assert len(space) == SIZES[name]
    dropped = np.flatnonzero(space.is_twin(space.levels(np.arange(len(space)))))
    assert np.array_equal(np.sort(np.concatenate([train, test, dropped])), np.arange(len(space)))
    assert abs(len(train) / (len(train) + len(test)) - 0.3) <= 0.02
    assert [split.rows for split in task.splits(recipe)][:2] == [len(train), len(test)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_kind_of_split_shows_in_training(name, variant):
    """Every level is trained on but those held out, of which a test row has one, or all."""
    recipe = recipe_of(name, variant)
    space = tasks.get(name).space(recipe)
    train, test = (space.levels(rows_of(recipe, part)) for part in ("train", "test"))
    held = {} if variant == "random" else dict(holding(space, variant).levels)
    missing = np.zeros((len(test), 0), dtype=bool)
    for column, factor in enumerate(space.factors):
        levels = set(range(len(factor))) - {later for later, _ in factor.twins}
        out = set(held.get(factor.name, ()))
        if variant == "composition":
            assert set(train[:, column]) == levels, factor.name
            inside = np.isin(test[:, column], list(out)) | (not out)
            assert inside.all(), factor.name
            continue
        assert set(train[:, column]) == levels - out, factor.name
        missing = np.column_stack([missing, np.isin(test[:, column], list(out))])
        if variant == "interpolation":
            assert not {0, max(levels)} & out
        if variant == "extrapolation" and out:
            assert min(out) > max(levels - out)
        if not factor.held:
            assert not out
    if variant in ("interpolation", "extrapolation"):
        assert missing.any(axis=1).all()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("twins", ["drop", "merge", "keep"])
def test_twins(variant, twins):
    """Dropped and merged twins are never astride; kept ones are, and that is why."""
    recipe = recipe_of("dsprites", variant, twins=twins)
    space = tasks.get("dsprites").space(recipe)
    parts = np.full(len(space), -1)
    for number, part in enumerate(("train", "test")):
        parts[rows_of(recipe, part)] = number
    rows = np.flatnonzero(space.is_twin(space.levels(np.arange(len(space)))))
    first = space.rows(space.first(space.levels(rows)))
    assert len(rows) == 18_432  # 3 shapes x 6 scales x 32 x 32 places
    if twins == "drop":
        assert (parts[rows] == -1).all()
        assert (parts[first] >= 0).all()
    else:
        assert (parts >= 0).all()
        astride = (parts[rows] != parts[first]).mean()
        never = twins == "merge" or variant == "interpolation"  # which keeps both ends
        assert astride == 0 if never else astride > 0.05


def test_any_run_of_rows_is_designed_alone(name):
    """Rows are the same alone, in a run, or in the whole split; columns are as declared."""
    for variant in ("random", "extrapolation"):
        recipe = recipe_of(name, variant)
        task = tasks.get(name)
        for split in task.splits(recipe):
            whole = task.design(recipe, split.name, 0, 20_000)
            assert list(whole) == [column.name for column in task.columns(recipe)]
            for column in task.columns(recipe):
                assert whole[column.name].dtype == column.dtype
                assert not column.names or whole[column.name].max() < len(column.names)
            for start, stop in [(0, 1), (7_999, 8_001), (19_999, 20_000)]:
                part = task.design(recipe, split.name, start, stop)
                for key in whole:
                    assert np.array_equal(part[key], whole[key][start:stop]), (split, key)


@pytest.mark.parametrize("variant", [*VARIANTS, "all"])
def test_predicates_and_oracle_agree_with_the_rows(name, variant):
    """A row is in the split whose predicate holds of it; its label is what the grid says."""
    recipe = recipe_of(name, variant)
    task = tasks.get(name)
    splits = task.splits(recipe)
    for split in splits:
        others = [s for s in splits if s.partition == split.partition and s != split]
        for start in np.linspace(0, split.rows - 1, 40).astype(int).tolist():
            row = task.design(recipe, split.name, start, start + 1).row(0)
            assert task.contains(recipe, split.name, row)
            assert not any(task.contains(recipe, other.name, row) for other in others)
            assert task.oracle(recipe, row) == row[task.label]
            levels = [row[factor] for factor in task.space(recipe).names]
            assert task.space(recipe).rows(np.array([levels])).tolist() == [row["row"]]
            assert not task.contains(recipe, split.name, row | {"row": row["row"] ^ 1})


def test_index_and_factors_determine_each_other(name):
    """Rows and levels are a bijection over the whole grid, the last factor fastest."""
    space = tasks.get(name).space(recipe_of(name, "all"))
    rows = np.arange(len(space))
    levels = space.levels(rows)
    assert np.array_equal(space.rows(levels), rows)
    assert levels[1].tolist() == [0] * (len(space.factors) - 1) + [1]
    targets = space.normalised(levels[:: len(space) // 5000])
    assert targets.min() == 0
    assert space.normalised(levels[-1:]).tolist() == [[1.0] * len(space.factors)]


def test_seeds_move_the_random_split_alone(name):
    """Another seed draws another random split; the others have none to draw."""
    for variant in ("random", "extrapolation"):
        recipe = recipe_of(name, variant)
        other = dataclasses.replace(recipe, seed=1)
        same = np.array_equal(rows_of(recipe, "train"), rows_of(other, "train"))
        assert same == (variant != "random")


def test_options_of_splits():
    """--train-percent, --hold-out and variants give what they say; what cannot be is refused."""
    options = tasks.get("dsprites").options
    recipe = make_recipe("dsprites", 0, options(variant="random", train_percent=5))
    train, test = (rows_of(recipe, part) for part in ("train", "test"))
    assert abs(len(train) / (len(train) + len(test)) - 0.05) < 1e-5
    recipe = make_recipe("dsprites", 0, options(hold_out="scale>=4 & shape=='heart'"))
    space = tasks.get("dsprites").space(recipe)
    test = space.levels(rows_of(recipe, "test"))
    assert (test[:, 1] >= 4).all()
    assert (test[:, 0] == 2).all()
    assert len(test) == 2 * 39 * 32 * 32
    bad = {
        "variant": {"variant": "extra"},
        "train_percent": {"train_percent": 100},
        "two ways": {"hold_out": "scale>1", "variant": "random"},
        "archive": {"source": "official"},
        "is for source": {"archive": "x.npz"},
        "materialize takes one variant": {"materialize": True},
        "leaves no image for train": {"hold_out": "scale>=0"},
        "leaves no image for test": {"hold_out": "scale<0"},
        "no level of scale": {"hold_out": "scale>=6"},
        "is for the random split": {"variant": "composition", "train_percent": 50},
        "is no text": {"hold_out": 3},
        "legal: True, False": {"materialize": "no"},
        "not a folder": {"split_labels": "/nowhere"},
    }
    for message, given in bad.items():
        with pytest.raises(InputError, match=message) as error:
            make_recipe("dsprites", 0, options(**given))
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="shapes3d has none"):
        tasks.get("shapes3d").options(twins="merge")
    with pytest.raises(InputError, match=r"download NAME.*mpi3d_toy"):
        tasks.get("mpi3d").options(source="official")


def test_one_row_renders_as_in_any_batch(name):
    """The bytes of a row do not depend on what is drawn with it, nor on the split."""
    recipe = recipe_of(name, "all")
    task = tasks.get(name)
    table = task.design(recipe, "extrapolation_test", 5_000, 5_040)
    batch = task.render(recipe, "extrapolation_test", table)
    assert batch.shape[1:] == task.image_shape(recipe)
    mixed = task.render(recipe, "extrapolation_test", table.rows([39, 0, 17]))
    assert np.array_equal(mixed, batch[[39, 0, 17]])
    row = int(table["row"][17])
    alone = task.render(recipe, "grid", task.design(recipe, "grid", row, row + 1))
    assert np.array_equal(alone[0], batch[17])


def test_splits_of_small_spaces_keep_their_promises():
    """With few levels, too, composition trains on every level of two factors, or refuses."""
    for sizes in [(3, 3), (2, 2), (3, 3, 2), (6, 4), (3, 2, 3), (4, 4, 4, 4)]:
        space = space_of(sizes)
        found = holding(space, "composition")
        assert len(found.levels) >= 2
        train = space.levels(np.flatnonzero(~parse(found.expression, space).rows()))
        for column, size in enumerate(sizes):
            assert set(train[:, column]) == set(range(size)), sizes
        assert 1 - parse(found.expression, space).rows().mean() == float(found.train)
    for kind, sizes in [("composition", (9,)), ("interpolation", (2, 2)), ("extrapolation", (1,))]:
        with pytest.raises(InputError, match="levels enough"):
            holding(space_of(sizes), kind)


def space_of(sizes):
    """A space of factors with numbers for levels."""
    factors = [
        Factor(name=f"f{i}", values=tuple(map(float, range(size))), about="a factor")
        for i, size in enumerate(sizes)
    ]
    return FactorSpace(name="small", factors=tuple(factors))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("shape==heart", "quote names"),
        ("scale==0.5", "0 .. 5"),
        ("scale>=6", "0 .. 5"),
        ("scale in [1, 9]", "0 .. 5"),
        ("(65536*65536)*(65536*65536)==0", "too large"),
        ("shape=='hart'", "square, ellipse, heart"),
        ("scale", "not true or false"),
        ("__import__('os').getcwd()=='x'", "is not known"),
        ("scale%0==1", "division by zero"),
        ("(scale>1", "not closed"),
        ("", "one line"),
        ("scale in 3", "takes a list"),
    ],
)
def test_expressions_that_are_not_legal(text, reason):
    """One line says what is wrong, and nothing is executed."""
    with pytest.raises(InputError, match=re.escape(reason)) as error:
        parse(text, tasks.get("dsprites").space(recipe_of("dsprites", "all")))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("scale>=4 & shape=='heart'", lambda s, k, o, x, y: (k >= 4) and s == 2),
        ("~(posX>3)|posY%4==2", lambda s, k, o, x, y: not x > 3 or y % 4 == 2),
        ("1<=scale<3 and shape in ['square','heart']", lambda s, k, o, x, y: 1 <= k < 3 and s != 1),
        ("posX + 2*posY - 5 == orientation", lambda s, k, o, x, y: x + 2 * y - 5 == o),
        ("not scale == 2", lambda s, k, o, x, y: k != 2),
    ],
)
def test_expressions_mean_what_they_say(text, same):
    """`&`, `|` and `~` bind less tightly than comparisons; names stand for their levels."""
    space = tasks.get("dsprites").space(recipe_of("dsprites", "all"))
    predicate = parse(text, space)
    rows = np.arange(0, len(space), 1009)
    levels = space.levels(rows)
    expected = [bool(same(*row)) for row in levels.tolist()]
    assert predicate.holds(levels).tolist() == expected
    assert predicate.rows()[rows].tolist() == expected
