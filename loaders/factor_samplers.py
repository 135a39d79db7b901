"""Pairs, sequences and traversals of a factor set, as positions in one of its splits.

Every sampler is given the rows of the grid that a split holds and returns positions into that
list, so that `dataset.batch(positions)` shows them. Nothing leaves the split. Sample i follows from
(seed, i) alone: whoever asks for samples 10 to 14 gets those of whoever asks for 0 to 19.

What differs is told by levels, not by pictures: two levels that show the same (`Factor.twins`) are
two levels here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import rng
from samediff_stimuli.factors import FactorSpace, Levels, Rows
from samediff_stimuli.recipe import InputError

Positions = NDArray[np.int64]
_Propose = Callable[[Positions, int], Levels]  # samples, round -> their levels
_Check = Callable[[int, bool], None]  # a sample without luck, whether to give up -> raises, or not
_WORD = 2**16  # entries of a quantile table
_ROUNDS = 4096  # proposals for a sample; a share of 1 in 100 is missed once in 10**17 samples
_PATIENCE = 64  # rounds before looking whether there is anything to find


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of members of a split.

    Attributes:
        first: (n,) int64 positions.
        second: (n,) int64 positions.
        changed: (n, n_factors) bool: the factors in which they differ.
        matched: (n,) int64: the number of the factor in which they were made to agree, if one was.
    """

    first: Positions
    second: Positions
    changed: NDArray[np.bool_]
    matched: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True)
class Traversals:
    """Walks along one factor, all others held.

    Attributes:
        positions: (m, most levels) int64; entry l shows level l of the factor that is walked; -1
            where the split does not hold it, or the factor has no such level.
        factor: (m,) int64: the number of the factor that is walked.
    """

    positions: Positions
    factor: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Split:
    """The rows of a split, and what follows from them."""

    space: FactorSpace
    rows: Rows
    places: Positions  # (len(space),), -1 for what the split does not hold
    held: tuple[NDArray[np.int64], ...]  # of each factor

    def levels(self, positions: Positions) -> Levels:
        return self.space.levels(self.rows[positions])


def changed_pairs(
    space: FactorSpace, rows: Rows, n: int, *, k: int | None, seed: int, start: int = 0
) -> Pairs:
    """Pairs that differ in exactly k factors (Locatello et al. 2020, arXiv 2002.02886).

    The first is uniform over the split. Which factors change is uniform, and so are their new
    levels among the other levels that the split holds, given that the second is in the split too.
    Factors of which the split holds one level never change and do not count. In the authors'
    released code a changed factor may be given its old level again; here it never is.

    Args:
        space: the factors.
        rows: (members,) int64 rows of the grid, each once: the split.
        n: number of pairs.
        k: factors that differ; None to draw it for each pair, uniform from 1 to one less than the
            number of factors that vary.
        seed: of the pairs.
        start: number of the first pair.

    Raises:
        InputError: an argument out of range, or a first without a second: within 4,096 proposals
            there was none, or none exists.
    """
    split = _split(space, rows)
    key, items = _stream("changed_pairs", seed, start, n)
    sizes = np.array([len(held) for held in split.held])
    vary = int((sizes > 1).sum())
    if vary < (1 if k is None else _whole("k", k, 1)):
        raise InputError(f"k {k} cannot be met: {vary} factors vary in this split; k is 1 or more")
    drawn = 1 + _below(rng.mix(key, items, 1), max(vary - 1, 1))
    counts = drawn if k is None else np.full(len(items), k)
    first = _below(rng.mix(key, items, 0), len(split.rows))
    here = split.levels(first)

    def propose(todo: Positions, attempt: int) -> Levels:
        words = rng.mix(key, items[todo, None], 2 + attempt, np.arange(2 * len(sizes)))
        which, other = np.split(words, 2, axis=1)
        which[:, sizes == 1] = ~np.uint64(0)  # last in order: never among the k first
        changed = np.argsort(rng.order(which), axis=1) < counts[todo, None]
        return np.where(changed, _others(split, here[todo], other), here[todo])

    def check(item: int, given_up: bool) -> None:
        differ = (space.levels(split.rows) != here[item]).sum(axis=1)
        none = not (differ == counts[item]).any()
        if none or given_up:
            why = "has no" if none else f"met in {_ROUNDS} draws no"
            raise InputError(
                f"k {counts[item]} cannot be met: row {split.rows[first[item]]} of the grid {why} "
                f"partner among the {len(split.rows)} rows of this split; ask for another k"
            )

    second = _inside(split, n, propose, check)
    return Pairs(first=first, second=second, changed=here != split.levels(second))


def matched_pairs(
    space: FactorSpace, rows: Rows, n: int, *, factor: str | None, seed: int, start: int = 0
) -> Pairs:
    """Pairs that agree in one factor: match pairing (Shu et al. 2020, arXiv 1910.09772).

    The first is uniform over the split, the second uniform over the members with its level of the
    factor, without regard to the first (which it may be, by chance). Nothing is rejected.

    Args:
        space: the factors.
        rows: (members,) int64 rows of the grid, each once: the split.
        n: number of pairs.
        factor: the factor's name; None to draw one for each pair, uniform.
        seed: of the pairs.
        start: number of the first pair.

    Raises:
        InputError: unknown factor, or an argument out of range.
    """
    split = _split(space, rows)
    key, items = _stream("matched_pairs", seed, start, n)
    first = _below(rng.mix(key, items, 0), len(split.rows))
    words = rng.mix(key, items, 1)
    chosen = _numbers(space, factor)
    numbers = np.array(chosen)[_below(rng.mix(key, items, 2), len(chosen))]
    second = np.empty(len(items), dtype=np.int64)
    levels = space.levels(split.rows)
    for number in chosen:
        here = np.flatnonzero(numbers == number)
        column = levels[:, number]
        members = np.argsort(column.astype(np.uint16), kind="stable")  # 16 bits: a radix sort
        sizes = np.bincount(column)
        level = column[first[here]]
        firsts = np.cumsum(sizes) - sizes
        second[here] = members[firsts[level] + _below(words[here], sizes[level])]
    changed = levels[first] != levels[second]
    return Pairs(first=first, second=second, changed=changed, matched=numbers)


def transitions(
    space: FactorSpace,
    rows: Rows,
    n: int,
    length: int,
    *,
    rate: float,
    seed: int,
    start: int = 0,
    circular: Sequence[str] = (),
) -> Positions:
    """Sequences of small, and rarely large, changes (Klindt et al. 2021, arXiv 2007.10930).

    The first state is uniform over the split. In each step every factor moves by a rounded Laplace
    offset, given that it stays among its levels and that the state stays in the split. A factor
    whose levels are classes changes to a uniform other one, as often as its offset is not zero. In
    the authors' released code classes never change, and some factor always does.

    Args:
        space: the factors.
        rows: (members,) int64 rows of the grid, each once: the split.
        n: number of sequences.
        length: states in a sequence, >= 1.
        rate: in [0.01, 100]; the offsets of a factor with L levels have scale ln(L) / rate, as in
            the authors' released code, where it is 1.
        seed: of the sequences.
        start: number of the first sequence.
        circular: names of the factors whose last level is followed by the first.

    Returns:
        (n, length) int64 positions.

    Raises:
        InputError: an argument out of range, or 4,096 proposals for a step all left the split.
    """
    split = _split(space, rows)
    key, items = _stream("transitions", seed, start, n)
    ladders = _ladders(space, rate, circular)
    columns = np.arange(len(ladders))
    out = np.empty((len(items), _whole("length", length, 1)), dtype=np.int64)
    out[:, 0] = _below(rng.mix(key, items, 0), len(split.rows))
    for step in range(1, length):
        here = split.levels(out[:, step - 1])

        def propose(todo: Positions, attempt: int, step: int = step, here: Levels = here) -> Levels:
            words = rng.mix(key, items[todo, None], step, attempt, columns)
            moved = [_climb(ladders[j], here[todo, j], words[:, j]) for j in columns]
            return np.stack(moved, axis=1)

        def check(item: int, given_up: bool, step: int = step) -> None:
            if given_up:
                raise InputError(
                    f"rate {rate} cannot be met: {_ROUNDS} steps from row "
                    f"{split.rows[out[item, step - 1]]} of the grid left this split of "
                    f"{len(split.rows)} rows; ask for a higher rate, or a larger split"
                )

        out[:, step] = _inside(split, len(items), propose, check)
    return out


def traversals(
    space: FactorSpace, rows: Rows | None = None, *, factor: str | None = None, n: int, seed: int
) -> Traversals:
    """Walks of one factor through all its levels, from base points that use all levels evenly.

    Over the first n traversals of a factor, whatever n is, each level of each other factor (that
    the split holds) is held equally often, to within one.

    Args:
        space: the factors.
        rows: (members,) int64 rows of the grid, each once: the split; None for the whole grid,
            where positions are rows.
        factor: name of the factor to walk along; None for each in turn.
        n: traversals of each factor.
        seed: of the base points.

    Raises:
        InputError: unknown factor, or an argument out of range.
    """
    split = _split(space, np.arange(len(space)) if rows is None else rows)
    seed, n = _whole("seed", seed, 0), _whole("n", n, 0)
    walked = _numbers(space, factor)
    most = max(space.sizes[j] for j in walked)
    out = np.full((len(walked), n, most), -1, dtype=np.int64)
    for block, j in zip(out, walked, strict=True):
        levels = np.empty((n, space.sizes[j], len(space.sizes)), dtype=np.int64)
        levels[:, :, j] = np.arange(space.sizes[j])
        for i, held in enumerate(split.held):
            if i != j:  # each run of as many traversals as there are levels uses every level once
                key = rng.stream_key("traversals", seed, j, i)
                words = rng.mix(key, np.arange(-(-n // len(held)))[:, None], np.arange(len(held)))
                levels[:, :, i] = held[rng.order(words).reshape(-1)[:n, None]]
        found = split.places[space.rows(levels.reshape(-1, len(space.sizes)))]
        block[:, : space.sizes[j]] = found.reshape(n, -1)
    return Traversals(positions=out.reshape(-1, most), factor=np.repeat(walked, n))


@lru_cache(maxsize=64)
def laplace_offsets(levels: int, rate: float) -> NDArray[np.int16]:
    """(65536,) int16: the quantile table of round(Laplace(0, ln(levels) / rate)), read-only.

    Entry u is the k with 65536 F(k - 1/2) <= u < 65536 F(k + 1/2), thresholds rounded to integers,
    in 60-digit decimal arithmetic (no libm, so no platform). A single level takes no steps.

    Raises:
        InputError: if the rate is not in [0.01, 100].
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0.01 <= rate <= 100:
        raise InputError(f"rate {rate!r} is out of range; legal: 0.01 .. 100")
    upper: list[int] = []  # upper[k] words lie below k + 1/2
    with localcontext() as context:
        context.prec = 60
        scale = Decimal(levels).ln() / Decimal(rate)
        while scale and (not upper or upper[-1] < _WORD):
            tail = (-(Decimal(2 * len(upper) + 1) / (2 * scale))).exp() / 2
            upper.append(int(((1 - tail) * _WORD).to_integral_value()))
    positive = np.array(upper or [_WORD], dtype=np.int64)
    thresholds = np.concatenate([_WORD - positive[::-1], positive])
    table = np.searchsorted(thresholds, np.arange(_WORD), side="right") - len(positive)
    offsets = table.astype(np.int16)
    offsets.flags.writeable = False
    return offsets


def _ladders(space: FactorSpace, rate: float, circular: Sequence[str]) -> list[NDArray[np.int64]]:
    """For each factor (levels, levels) int64 running sums over the next level of its weight."""
    for name in circular:
        if space.factor(name).names:
            raise InputError(f"circular {name!r} has classes for levels, which have no order")
    out = []
    for factor in space.factors:
        size = len(factor)
        steps, counts = np.unique(laplace_offsets(size, rate), return_counts=True)
        target = np.arange(size)[:, None] + steps.astype(np.int64)
        weights = np.zeros((size, size), dtype=np.int64)
        if factor.names:
            stay = int(counts[steps == 0][0])
            weights[:] = _WORD - stay
            np.fill_diagonal(weights, stay * max(size - 1, 1))  # one way to stay, many to change
        else:
            inside = (target >= 0) & (target < size) | (factor.name in circular)
            level, step = np.nonzero(inside)
            np.add.at(weights, (level, target[inside] % size), counts[step])
        out.append(np.cumsum(weights, axis=1))
    return out


def _climb(ladder: NDArray[np.int64], levels: Rows, words: rng.Words) -> Rows:
    """(n,) next levels: each drawn with its weight in the ladder of the level before it."""
    size, span = len(ladder), int(ladder.max())
    drawn = _below(words, ladder[levels, -1])
    offsets = span * np.arange(size, dtype=np.int64)
    flat = (ladder + offsets[:, None]).reshape(-1)
    return np.searchsorted(flat, drawn + offsets[levels], side="right") - size * levels


def _inside(split: _Split, n: int, propose: _Propose, check: _Check) -> Positions:
    """(n,) int64 positions of each sample's first proposal that lies in the split."""
    found = np.full(n, -1, dtype=np.int64)
    todo = np.arange(n)
    for attempt in range(_ROUNDS):
        if not len(todo):
            return found
        found[todo] = split.places[split.space.rows(propose(todo, attempt))]
        todo = todo[found[todo] < 0]
        if len(todo) and attempt + 1 >= _PATIENCE and (attempt + 1) & attempt == 0:
            check(int(todo[0]), attempt + 1 == _ROUNDS)
    return found


def _split(space: FactorSpace, rows: Rows) -> _Split:
    """What the samplers ask of a split."""
    given = np.asarray(rows)
    if given.ndim != 1 or given.dtype.kind not in "iu" or not given.size:
        raise InputError(f"rows must be a list of rows of a grid, not {given.dtype} {given.shape}")
    if int(given.min()) < 0 or int(given.max()) >= len(space):
        raise InputError(f"rows out of range; {space.name} has rows 0 .. {len(space) - 1}")
    given = given.astype(np.int64)
    numbers = np.arange(len(given))
    places = np.full(len(space), -1, dtype=np.int64)
    places[given] = numbers
    if (places[given] != numbers).any():
        raise InputError("rows has a row of the grid twice; give each row of a split once")
    grid = (places >= 0).reshape(space.sizes)
    axes = range(len(space.sizes))
    occurs = (grid.any(axis=tuple(a for a in axes if a != axis)) for axis in axes)
    held = tuple(np.flatnonzero(level) for level in occurs)
    return _Split(space=space, rows=given, places=places, held=held)


def _others(split: _Split, levels: Levels, words: rng.Words) -> Levels:
    """(n, n_factors) int64: a level for each that is another one, where the split holds another."""
    out = np.empty_like(levels)
    for j, held in enumerate(split.held):
        turn = 1 + _below(words[:, j], len(held) - 1)
        out[:, j] = held[(np.searchsorted(held, levels[:, j]) + turn) % len(held)]
    return out


def _numbers(space: FactorSpace, factor: str | None) -> list[int]:
    """The number of one factor, or of all."""
    if factor is None:
        return list(range(len(space.factors)))
    return [space.names.index(space.factor(factor).name)]


def _stream(purpose: str, seed: int, start: int, n: int) -> tuple[int, NDArray[np.int64]]:
    """The key of a sampler's words, and (n,) int64 numbers of the samples."""
    key = rng.stream_key(purpose, _whole("seed", seed, 0))
    return key, _whole("start", start, 0) + np.arange(_whole("n", n, 0), dtype=np.int64)


def _whole(name: str, value: int, least: int) -> int:
    """A checked integer argument."""
    try:
        number = operator.index(value)
    except TypeError as error:
        raise InputError(f"{name} {value!r} is not an integer; legal: {least} or more") from error
    if number < least:
        raise InputError(f"{name} {number} is out of range; legal: {least} or more")
    return number


def _below(words: rng.Words, bounds: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """`rng.below` with a bound for each word; 0 where the bound is 0."""
    half = np.uint64(32)
    limits = np.asarray(bounds, dtype=np.int64).astype(np.uint64)
    return (((words >> half) * limits) >> half).astype(np.int64)
