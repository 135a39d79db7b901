"""Which levels the splits of Schott et al. 2021 hold out: 30 per cent train, 70 per cent test.

The paper's levels were never published, only its geometry: extrapolation trains on the low levels
of every factor; interpolation takes interior levels out and keeps the ends; composition tests where
all factors are high together, so that each level alone is seen in training. The levels here are
ours, by one rule for every space: hold out levels of as many factors as reach the shares, coarse
factors first, each an equal part of what remains. Shares are computed, never assumed: with all
five factors of Shapes3D a composition's test part is at most 59.5 per cent, so that it leaves one
factor alone.
"""

from __future__ import annotations

import itertools
import operator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from samediff_stimuli.factors import Factor, FactorSpace
from samediff_stimuli.recipe import InputError

KINDS = ("composition", "interpolation", "extrapolation")
TRAIN = Fraction(3, 10)  # of the images (Schott et al. 2021, supplement; released code's test)
TOLERANCE = Fraction(1, 50)


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What one kind of split holds out.

    Attributes:
        kind: "composition", "interpolation" or "extrapolation".
        levels: name of each factor that takes part -> its held levels, increasing.
        expression: true of the test part, in the language of `factors.expression`.
        train: share of the distinct rows that is for training.
    """

    kind: str
    levels: tuple[tuple[str, tuple[int, ...]], ...]
    expression: str
    train: Fraction


@lru_cache(maxsize=64)
def holding(space: FactorSpace, kind: str) -> Holding:
    """The levels that one kind of split holds out of a space.

    Of as many factors as come within two points of 30 : 70; if no choice does, the nearest. A
    composition is of two factors at least: of one it would be an extrapolation.

    Raises:
        InputError: if too few factors have levels enough.
    """
    able = [f for f in space.factors if f.held and distinct(f) > (2 if _inner(kind) else 1)]
    fewest = 2 if kind == "composition" else 1
    nearest: list[_Choice] = []
    for count in range(len(able), fewest - 1, -1):
        found: list[_Choice] = []
        for number, chosen in enumerate(itertools.combinations(able, count)):
            sizes = _share_out(chosen, kind)
            miss = abs(_train(chosen, sizes, kind) - TRAIN)
            found.append((miss, -count, number, chosen, sizes))
        nearest.append(min(found, key=operator.itemgetter(0, 1, 2)))
        if nearest[-1][0] <= TOLERANCE:
            return _described(*nearest[-1][3:], kind)
    if not nearest:
        raise InputError(
            f"variant {kind!r} is not possible: of {space.name}, {len(able)} factors have levels "
            f"enough; legal: {fewest} or more: use random, or --hold-out EXPR"
        )
    return _described(*min(nearest, key=operator.itemgetter(0, 1, 2))[3:], kind)


_Choice = tuple[Fraction, int, int, tuple[Factor, ...], dict[str, int]]


def distinct(factor: Factor) -> int:
    """Levels of a factor that do not show again what an earlier one shows."""
    return len(factor) - len(factor.twins)


def _inner(kind: str) -> bool:
    return kind == "interpolation"


def _share_out(factors: tuple[Factor, ...], kind: str) -> dict[str, int]:
    """How many levels of each factor make the part that is a box.

    The box is the training part, but for composition, where it is the test part.
    """
    rest = 1 - TRAIN if kind == "composition" else TRAIN
    sizes: dict[str, int] = {}
    for place, factor in enumerate(sorted(factors, key=distinct)):
        n = distinct(factor)
        least = n - (n - 1) // 2 if _inner(kind) else 1
        size = min(n - 1, max(least, _nearest(n, rest, len(factors) - place)))
        rest /= Fraction(size, n)
        sizes[factor.name] = size
    return sizes


def _nearest(n: int, share: Fraction, power: int) -> int:
    """round(n * share ** (1 / power)), in whole numbers."""
    size = 0
    while Fraction(2 * size + 1, 2 * n) ** power <= share:
        size += 1
    return size


def _train(factors: tuple[Factor, ...], sizes: dict[str, int], kind: str) -> Fraction:
    """The share of the distinct rows that is for training."""
    box = Fraction(1)
    for factor in factors:
        box *= Fraction(sizes[factor.name], distinct(factor))
    return 1 - box if kind == "composition" else box


def _described(factors: tuple[Factor, ...], sizes: dict[str, int], kind: str) -> Holding:
    levels, terms = [], []
    for factor in factors:
        n, size = distinct(factor), sizes[factor.name]
        if _inner(kind):
            gone = n - size
            held = tuple((i + 1) * n // (gone + 1) for i in range(gone))
            terms.append(f"{factor.name} in [{', '.join(map(str, held))}]")
        else:
            start = n - size if kind == "composition" else size
            held = tuple(range(start, n))
            terms.append(f"{factor.name}>={start}")
        levels.append((factor.name, held))
    return Holding(
        kind=kind,
        levels=tuple(levels),
        expression=(" & " if kind == "composition" else " | ").join(terms),
        train=_train(factors, sizes, kind),
    )
