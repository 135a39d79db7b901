"""Samplers of factor sets promise exact distributions inside a split, whatever the split."""

import hashlib
import itertools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from samediff_stimuli.factors import Factor, FactorSpace
from samediff_stimuli.loaders.factor_samplers import (
    Pairs,
    changed_pairs,
    laplace_offsets,
    matched_pairs,
    transitions,
    traversals,
)
from samediff_stimuli.recipe import InputError


def space_of(*sizes, classes=()):
    """A space of factors a, b, c, ... with so many levels; some have classes for levels."""
    factors = []
    for number, (letter, size) in enumerate(zip("abcdef", sizes, strict=False)):
        values = tuple(range(size))
        if number in classes:
            values = tuple(f"class {value}" for value in values)
        factors.append(Factor(name=letter, values=values, about="a factor"))
    return FactorSpace(name="tiny", factors=tuple(factors))


SMALL = space_of(3, 2, 4, classes=(0,))
WIDE = space_of(3, 4, 5, 6)
GRID = np.arange(len(WIDE))
LEVELS = WIDE.levels(GRID)
SPLITS = {
    "grid": GRID,
    "box": GRID[(LEVELS[:, 1] < 3) & (LEVELS[:, 2] > 1) & (LEVELS[:, 3] < 4)],
    "not a box": GRID[~((LEVELS[:, 1] < 3) & (LEVELS[:, 2] > 1) & (LEVELS[:, 3] < 4))],
    "one in three": GRID[GRID * 7919 % 3 == 1],
    "one class": GRID[LEVELS[:, 0] == 2],
    "no order": np.roll(GRID[::-1], 17)[:200],
}
EACH = pytest.mark.parametrize("rows", SPLITS.values(), ids=SPLITS)


def chi2_fits(counts, shares):
    """Whether counts fit exact shares, within five sigma of chi-square; none where share is 0."""
    counts, shares = np.asarray(counts).reshape(-1), np.asarray(shares, dtype=float).reshape(-1)
    assert not counts[shares == 0].any()
    expected = (shares / shares.sum() * counts.sum())[shares > 0]
    assert expected.min() > 5, "too few samples for the test to mean anything"
    chi2 = ((counts[shares > 0] - expected) ** 2 / expected).sum()
    freedom = len(expected) - 1
    return abs(chi2 - freedom) < 5 * math.sqrt(2 * freedom)


def counts_of(pairs, n):
    """(n, n) how often each pair of positions occurs."""
    return np.bincount(pairs.first * n + pairs.second, minlength=n * n).reshape(n, n)


@EACH
@pytest.mark.parametrize("k", [1, 2, 3, None])
def test_changed_pairs_differ_in_k_factors(rows, k):
    """Both are members, they differ in exactly k factors, and `changed` says in which."""
    pairs = changed_pairs(WIDE, rows, 2000, k=k, seed=1)
    first, second = WIDE.levels(rows[pairs.first]), WIDE.levels(rows[pairs.second])
    assert min(pairs.first.min(), pairs.second.min()) >= 0
    assert np.array_equal(pairs.changed, first != second)
    counts = pairs.changed.sum(axis=1)
    vary = sum(len(set(column)) > 1 for column in WIDE.levels(rows).T.tolist())
    assert set(counts.tolist()) == ({k} if k else set(range(1, vary)))
    assert pairs.matched is None


@EACH
def test_changed_pairs_start_anywhere_and_draw_k_evenly(rows):
    """The first is uniform over the split; with k None each number of changes is as frequent."""
    pairs = changed_pairs(WIDE, rows, 20_000, k=None, seed=2)
    assert chi2_fits(np.bincount(pairs.first, minlength=len(rows)), np.ones(len(rows)))
    counts = np.bincount(pairs.changed.sum(axis=1))[1:]
    assert chi2_fits(counts, np.ones(len(counts)))


def changed_shares(space, rows, k):
    """(n, n) exact shares of pairs by enumeration: what the docstring promises."""
    levels = space.levels(rows)
    held = [len(set(column)) for column in levels.T.tolist()]
    shares = np.zeros((len(rows), len(rows)))
    for i, j in itertools.product(range(len(rows)), repeat=2):
        changed = levels[i] != levels[j]
        if changed.sum() == k:
            shares[i, j] = np.prod([1 / (held[f] - 1) for f in np.flatnonzero(changed)])
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("left_out", [[], [0, 5, 6, 13, 22]], ids=["grid", "with holes"])
def test_changed_pairs_have_the_promised_distribution(k, left_out):
    """Every pair is as frequent as uniform factors and uniform other levels make it."""
    rows = np.setdiff1d(np.arange(len(SMALL)), left_out)
    pairs = changed_pairs(SMALL, rows, 40_000, k=k, seed=3)
    assert chi2_fits(counts_of(pairs, len(rows)), changed_shares(SMALL, rows, k))


@pytest.mark.parametrize("factor", ["a", "b", "c", None])
@pytest.mark.parametrize("left_out", [[], [0, 1, 2, 3, 8, 9, 20]], ids=["grid", "with holes"])
def test_matched_pairs_have_the_promised_distribution(factor, left_out):
    """Given the level of the factor, both are uniform and independent; else nothing is promised."""
    rows = np.setdiff1d(np.arange(len(SMALL)), left_out)
    pairs = matched_pairs(SMALL, rows, 60_000, factor=factor, seed=4)
    levels = SMALL.levels(rows)
    numbers = [SMALL.names.index(factor)] if factor else [0, 1, 2]
    assert set(pairs.matched.tolist()) == set(numbers)
    assert len(numbers) == 1 or chi2_fits(np.bincount(pairs.matched), np.ones(3))
    assert np.array_equal(pairs.changed, levels[pairs.first] != levels[pairs.second])
    for number in numbers:
        agree = levels[:, None, number] == levels[None, :, number]
        chosen = pairs.matched == number
        part = Pairs(first=pairs.first[chosen], second=pairs.second[chosen], changed=agree)
        assert chi2_fits(counts_of(part, len(rows)), agree / agree.sum(axis=1, keepdims=True))


@EACH
def test_matched_pairs_stay_in_the_split(rows):
    """Positions are the split's, and show one level of the factor, in any order of the rows."""
    pairs = matched_pairs(WIDE, rows, 2000, factor=None, seed=5)
    first, second = WIDE.levels(rows[pairs.first]), WIDE.levels(rows[pairs.second])
    item = np.arange(2000)
    assert np.array_equal(first[item, pairs.matched], second[item, pairs.matched])
    assert min(pairs.first.min(), pairs.second.min()) >= 0
    assert (first != second).any()


def step_shares(size, rate, kind):
    """(size, size) exact shares of the next level, from the quantile table by brute force."""
    shares = np.zeros((size, size))
    for offset, count in zip(
        *np.unique(laplace_offsets(size, rate), return_counts=True), strict=True
    ):
        for level in range(size):
            if kind == "classes":
                others = [b for b in range(size) if (b == level) == (offset == 0)]
                shares[level, others] += count / len(others)
            elif kind == "circular" or 0 <= level + offset < size:
                shares[level, (level + offset) % size] += count
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("circular", [(), ("c",)], ids=["ends", "circle"])
@pytest.mark.parametrize("left_out", [[], [0, 5, 6, 13, 22]], ids=["grid", "with holes"])
def test_transitions_have_the_promised_distribution(circular, left_out):
    """A step is Laplace in each factor, given that factors and state stay where they may be."""
    rows = np.setdiff1d(np.arange(len(SMALL)), left_out)
    found = transitions(SMALL, rows, 40_000, 3, rate=1.0, seed=6, circular=circular)
    assert found.shape == (40_000, 3)
    levels = SMALL.levels(rows)
    shares = np.ones((len(rows), len(rows)))
    for j, kind in enumerate(["classes", "ends", "circular" if circular else "ends"]):
        shares *= step_shares(SMALL.sizes[j], 1.0, kind)[levels[:, None, j], levels[None, :, j]]
    shares /= shares.sum(axis=1, keepdims=True)
    assert chi2_fits(np.bincount(found[:, 0], minlength=len(rows)), np.ones(len(rows)))
    for step in (0, 1):
        start = np.bincount(found[:, step], minlength=len(rows))
        pairs = Pairs(first=found[:, step], second=found[:, step + 1], changed=shares > 0)
        assert chi2_fits(counts_of(pairs, len(rows)), start[:, None] * shares)


@EACH
def test_transitions_stay_in_the_split(rows):
    """Every state is a member; a higher rate means smaller steps."""
    sizes = []
    for rate in (0.5, 2.0, 8.0):
        found = transitions(WIDE, rows, 500, 5, rate=rate, seed=7)
        assert found.min() >= 0
        levels = WIDE.levels(rows[found.reshape(-1)]).reshape(500, 5, -1)
        sizes.append(np.abs(np.diff(levels, axis=1)).mean())
    assert sizes[0] > sizes[1] > sizes[2] > 0
    assert transitions(WIDE, rows, 9, 1, rate=1, seed=0).shape == (9, 1)


@pytest.mark.parametrize("rate", [0.01, 0.3, 1, 4.5, 100])
@pytest.mark.parametrize("levels", [2, 6, 40, 183])
def test_laplace_offsets_are_the_quantiles(levels, rate):
    """The table is symmetric, and its thresholds are those of a decimal Taylor series."""
    table = laplace_offsets(levels, rate)
    assert table.shape == (65536,)
    assert np.array_equal(table, -table[::-1])
    assert (np.diff(table) >= 0).all()
    for k in {0, 1, 2, int(table[-1]) // 2, int(table[-1])}:
        with localcontext() as context:
            context.prec = 80
            x = -(2 * k + 1) * Decimal(rate) / (2 * Decimal(levels).ln())
            halvings = max(0, x.adjusted() + 1) * 4
            x /= 2**halvings
            term = total = Decimal(1)
            for n in range(1, 60):
                term *= x / n
                total += term
            below = 65536 * (1 - total ** (2**halvings) / 2)
        assert abs((table <= k).sum() - below) <= Decimal("0.5")


def test_laplace_offsets_golden():
    """The table of 40 levels at the authors' rate never changes; a single level never moves."""
    digest = hashlib.sha256(laplace_offsets(40, 1).astype("<i2").tobytes()).hexdigest()
    assert digest == "a28fec235c7b23628c3305c9056224620dcd7e6dd23f122df964dcf764d9c3f0"
    assert not laplace_offsets(1, 1).any()
    with pytest.raises(ValueError, match="read-only"):
        laplace_offsets(40, 1)[0] = 0


@pytest.mark.parametrize("n", [1, 2, 5, 12, 37])
def test_traversals_of_the_grid_are_balanced(n):
    """Each walk shows all levels of one factor; the others' levels are used evenly."""
    found = traversals(WIDE, n=n, seed=8)
    assert found.positions.shape == (4 * n, 6)
    assert np.array_equal(found.factor, np.repeat(np.arange(4), n))
    for j, size in enumerate(WIDE.sizes):
        block = found.positions[found.factor == j]
        assert (block[:, size:] == -1).all()
        levels = WIDE.levels(block[:, :size].reshape(-1)).reshape(n, size, 4)
        assert np.array_equal(levels[:, :, j], np.tile(np.arange(size), (n, 1)))
        for other in set(range(4)) - {j}:
            assert (levels[:, :, other] == levels[:, :1, other]).all()
            uses = np.bincount(levels[:, 0, other], minlength=WIDE.sizes[other])
            assert uses.max() - uses.min() <= 1


def test_base_points_of_two_factors_have_nothing_to_do_with_each_other():
    """Balance comes from shuffled runs: all combinations of base levels are as frequent."""
    found = traversals(WIDE, factor="b", n=3600, seed=8)
    levels = WIDE.levels(found.positions[:, 0])
    assert chi2_fits(np.bincount(levels[:, 0] * 6 + levels[:, 3], minlength=18), np.ones(18))


@EACH
def test_traversals_mark_what_a_split_does_not_hold(rows):
    """An entry is the position of the row it stands for, or -1 if that is no member."""
    found = traversals(WIDE, rows, factor="c", n=30, seed=9)
    assert (found.factor == 2).all()
    for walk in found.positions:
        shown = WIDE.levels(rows[walk[walk >= 0]])
        if not len(shown):
            continue
        truth = np.repeat(shown[:1], 5, axis=0)
        truth[:, 2] = np.arange(5)
        wanted = [np.flatnonzero(rows == row).tolist() or [-1] for row in WIDE.rows(truth)]
        assert walk.tolist() == [place for (place,) in wanted]
    assert (found.positions >= 0).any()


def test_traversals_of_a_box_hold_what_it_holds():
    """Base points use the levels that the split holds, evenly, so a box has no empty walk."""
    rows = SPLITS["box"]
    found = traversals(WIDE, rows, factor="d", n=12, seed=10)
    assert (found.positions[:, :4] >= 0).all()
    assert (found.positions[:, 4:] == -1).all()
    levels = WIDE.levels(rows[found.positions[:, 0]])
    assert np.bincount(levels[:, 1]).tolist() == [4, 4, 4]
    assert np.bincount(levels[:, 2]).tolist() == [0, 0, 4, 4, 4]


def as_columns(found):
    """Whatever a sampler returns, as a list of arrays with samples on axis 0."""
    if isinstance(found, Pairs):
        return [
            a for a in (found.first, found.second, found.changed, found.matched) if a is not None
        ]
    return [found]


SAMPLERS = {
    "changed": lambda rows, n, **more: changed_pairs(WIDE, rows, n, k=None, **more),
    "matched": lambda rows, n, **more: matched_pairs(WIDE, rows, n, factor=None, **more),
    "transitions": lambda rows, n, **more: transitions(WIDE, rows, n, 4, rate=1.0, **more),
}


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
@EACH
def test_samples_follow_from_seed_and_number(sampler, rows):
    """Samples 10 to 14 are the same whoever asks, alone or among others; seeds differ."""
    whole = as_columns(sampler(rows, 20, seed=11))
    for start, n in ((10, 5), (19, 1), (0, 20), (3, 0)):
        part = as_columns(sampler(rows, n, seed=11, start=start))
        for some, all_of_them in zip(part, whole, strict=True):
            assert np.array_equal(some, all_of_them[start : start + n])
    other = as_columns(sampler(rows, 20, seed=12))
    assert not np.array_equal(whole[0], other[0])


def test_more_traversals_begin_with_the_fewer():
    """The first traversals of a factor do not depend on how many are asked for."""
    few, many = traversals(WIDE, n=7, seed=1), traversals(WIDE, n=40, seed=1)
    for j in range(4):
        few_of, many_of = (t.positions[t.factor == j] for t in (few, many))
        assert np.array_equal(few_of, many_of[:7])
    alone = traversals(WIDE, factor="b", n=7, seed=1)
    assert np.array_equal(alone.positions, few.positions[few.factor == 1][:, :4])


def test_samplers_golden():
    """A few samples that never change, on any machine."""
    rows = SPLITS["one in three"]
    parts = [
        part for sampler in SAMPLERS.values() for part in as_columns(sampler(rows, 50, seed=0))
    ]
    parts.append(traversals(WIDE, rows, n=10, seed=0).positions)
    state = hashlib.sha256()
    for part in parts:
        state.update(np.ascontiguousarray(part, dtype="<i8").tobytes())
    assert state.hexdigest() == "786572f7dd302754601d30759688bf8370228ed74de6f721e5ad7171bfd726e6"


def test_a_split_without_partners_is_an_error():
    """A k that a split cannot meet is refused in one line that says which, and of which row."""
    diagonal = WIDE.rows(np.repeat(np.arange(3)[:, None], 4, axis=1))
    with pytest.raises(InputError, match=r"^k 2 cannot be met: row \d+ of the grid has no partner"):
        changed_pairs(WIDE, diagonal, 10, k=2, seed=0)
    assert (changed_pairs(WIDE, diagonal, 10, k=4, seed=0).changed.sum(axis=1) == 4).all()
    with pytest.raises(InputError, match=r"^k 4 cannot be met: 3 factors vary in this split"):
        changed_pairs(WIDE, SPLITS["one class"], 10, k=4, seed=0)
    with pytest.raises(InputError, match=r"^k None cannot be met: 0 factors vary"):
        changed_pairs(WIDE, np.array([7]), 10, k=None, seed=0)


def test_steps_that_leave_the_split_are_an_error_after_a_stated_number():
    """Where staying is almost impossible and all else leaves the split, transitions give up."""
    wide = space_of(9, 9, 9, 9, 9)
    with pytest.raises(InputError, match=r"^rate 0\.01 cannot be met: 4096 steps from row 7 "):
        transitions(wide, np.array([7]), 3, 2, rate=0.01, seed=0)
    assert (transitions(wide, np.array([7]), 3, 4, rate=100, seed=0) == 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: changed_pairs(WIDE, GRID, 5, k=0, seed=0), r"^k 0 is out of range; legal: 1"),
        (lambda: changed_pairs(WIDE, GRID, 5, k=1.5, seed=0), r"^k 1\.5 is not an integer"),
        (lambda: changed_pairs(WIDE, GRID, -1, k=1, seed=0), r"^n -1 is out of range; legal: 0"),
        (lambda: changed_pairs(WIDE, GRID, 5, k=1, seed=-1), r"^seed -1 is out of range"),
        (lambda: changed_pairs(WIDE, GRID, 5, k=1, seed=0, start=-3), r"^start -3 is out of range"),
        (lambda: matched_pairs(WIDE, [], 5, factor="a", seed=0), r"^rows must be a list of rows"),
        (lambda: matched_pairs(WIDE, [0.5], 5, factor="a", seed=0), r"^rows must be .* float64"),
        (lambda: matched_pairs(WIDE, GRID + 1, 5, factor="a", seed=0), r"rows 0 \.\. 359$"),
        (lambda: matched_pairs(WIDE, [4, 4], 5, factor="a", seed=0), r"^rows has .* twice"),
        (lambda: matched_pairs(WIDE, GRID, 5, factor="z", seed=0), r"^unknown factor 'z'"),
        (lambda: transitions(WIDE, GRID, 5, 0, rate=1, seed=0), r"^length 0 is out of range"),
        (
            lambda: transitions(WIDE, GRID, 5, 2, rate=0, seed=0),
            r"^rate 0 .* legal: 0\.01 \.\. 100",
        ),
        (lambda: transitions(WIDE, GRID, 5, 2, rate=math.nan, seed=0), r"^rate nan"),
        (
            lambda: transitions(SMALL, [0], 5, 2, rate=1, seed=0, circular=["a"]),
            r"^circular 'a' has classes",
        ),
        (lambda: traversals(WIDE, n=3, factor="z", seed=0), r"^unknown factor 'z'"),
        (lambda: traversals(WIDE, n="3", seed=0), r"^n '3' is not an integer"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    """A wrong argument ends in one line that names it, its value and what is legal."""
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
