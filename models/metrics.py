"""Accuracy, balanced accuracy and ROC AUC, with 95 % intervals that respect matched groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import rng
from samediff_stimuli.models.predictions import Floats, Ints

CONFIDENCE = 0.95
DRAWS = 1000
_Z = 1.959964  # 95 % of a normal distribution
_CELLS = 1 << 21  # weights that are held at a time


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number in [0, 1] and its 95 % interval; both ends are None where it has none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """How well some stimuli were answered; what makes no sense of them is None.

    Attributes:
        n: stimuli.
        groups: matched groups that they belong to.
        accuracy: share of right answers; its interval is Wilson's, which takes stimuli as
            independent.
        balanced_accuracy: mean over labels of the share of right answers, if there are two or more.
        auc: area under the ROC curve of the second label's score minus the first's, ties half.
        said_same: share of "same" among the answers.
    """

    n: int
    groups: int
    accuracy: Estimate | None
    balanced_accuracy: Estimate | None
    auc: Estimate | None
    said_same: Estimate | None


def wilson(count: int, n: int) -> Estimate:
    """The share of count among n, with Wilson's interval."""
    low, high = wilson_ends(count / n, n)
    return Estimate(value=count / n, low=low if count else 0.0, high=high if count < n else 1.0)


def wilson_ends(share: float, n: int) -> tuple[float, float]:
    """The ends of Wilson's interval of a share among n."""
    z = _Z**2 / n
    middle = (share + z / 2) / (1 + z)
    half = _Z * math.sqrt(share * (1 - share) / n + z / (4 * n)) / (1 + z)
    return middle - half, middle + half


def percent(share: Estimate | None) -> str:
    """In per cent, with its interval if it has one; nothing of None."""
    if share is None:
        return ""
    if share.low is None or share.high is None:
        return f"{100 * share.value:.1f}"
    return f"{100 * share.value:.1f} ({100 * share.low:.1f} to {100 * share.high:.1f})"


def area(score: Floats, positive: NDArray[np.bool_]) -> float:
    """The area under the ROC curve, exactly: the share of (positive, other) pairs in order.

    Args:
        score: (n,) float64; pairs of equal scores count half.
        positive: (n,) bool, some of them true and some false.
    """
    return float(_area_of(score, positive)(np.ones((1, len(score))))[0])


def measure(
    label: Ints,
    answer: Ints,
    group: Ints,
    *,
    score: Floats | None,
    judged: bool,
    same: int | None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Metrics:
    """The metrics of some stimuli.

    Balanced accuracy and AUC have percentile intervals of a bootstrap that draws matched groups
    whole, since their rows show the same objects at the same places.

    Args:
        label: (n,) int64 labels, n at least 1.
        answer: (n,) int64 answers.
        group: (n,) int64 numbers of matched groups.
        score: (n,) float64 for label 1 and against label 0, or None.
        judged: whether answers are labels.
        same: number of the answer "same", if there is one.
        draws: of the bootstrap.
        seed: of the draws.
    """
    n, several = len(label), len(np.unique(label)) > 1
    right = label == answer
    groups, number = np.unique(group, return_inverse=True)
    statistics = []
    if judged and several:
        statistics.append(_balanced_of(label, right))
        if score is not None:
            statistics.append(_area_of(score, label == 1))
    found = bootstrap(statistics, number, draws, seed) if statistics else []
    return Metrics(
        n=n,
        groups=len(groups),
        accuracy=wilson(int(right.sum()), n) if judged else None,
        balanced_accuracy=found[0] if found else None,
        auc=found[1] if len(found) > 1 else None,
        said_same=None if same is None else wilson(int((answer == same).sum()), n),
    )


Statistic = Callable[[Floats], Floats]  # (b, n) weights of rows -> (b,) values, maybe nan


def bootstrap(statistics: list[Statistic], group: Ints, draws: int, seed: int) -> list[Estimate]:
    """Statistics of n rows, and percentile intervals over draws of whole groups.

    Args:
        statistics: each takes (b, n) float64 weights of rows and gives (b,) values; nan where the
            weights leave it undefined: such draws are left out.
        group: (n,) int64 numbers 0 .. g - 1 of the rows' groups; one group alone has no interval.
        draws: how often g groups are drawn, with replacement.
        seed: of the draws.
    """
    drawn: list[list[Floats]] = [[] for _ in statistics]
    if group.max() > 0:
        for weights in _weights(group, draws, seed):
            for statistic, values in zip(statistics, drawn, strict=True):
                values.append(statistic(weights))
    once, tail = np.ones((1, len(group))), 50 * (1 - CONFIDENCE)
    made = []
    for statistic, values in zip(statistics, drawn, strict=True):
        found = np.concatenate([np.empty(0), *values])
        found = found[~np.isnan(found)]
        ends = np.percentile(found, [tail, 100 - tail]).tolist() if len(found) else (None, None)
        made.append(Estimate(value=float(statistic(once)[0]), low=ends[0], high=ends[1]))
    return made


def _weights(group: Ints, draws: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn: (b, n) float64, draws rows in all."""
    g = int(group.max()) + 1
    key = rng.stream_key("bootstrap", seed)
    blocks = -(-g // rng.WORDS_PER_BLOCK)  # of each draw
    step = max(1, _CELLS // len(group))
    for first in range(0, draws, step):
        b = min(step, draws - first)
        words = rng.blocks(key, first * blocks, b * blocks).reshape(b, -1)[:, :g]
        chosen = rng.below(words, g) + g * np.arange(b)[:, None]
        counts = np.bincount(chosen.reshape(-1), minlength=b * g).reshape(b, g)
        yield counts[:, group].astype(np.float64)


def _balanced_of(label: Ints, right: NDArray[np.bool_]) -> Statistic:
    """The mean over labels of the share of right answers."""
    order = np.argsort(label, kind="stable")
    starts = np.unique(label[order], return_index=True)[1]
    hits = right[order].astype(np.float64)

    def balanced(weights: Floats) -> Floats:
        sorted_ = weights[:, order]
        total = np.add.reduceat(sorted_, starts, axis=1)
        found = np.add.reduceat(sorted_ * hits, starts, axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray((found / total).mean(axis=1))

    return balanced


def _area_of(score: Floats, positive: NDArray[np.bool_]) -> Statistic:
    """The area under the ROC curve: exact in whole weights; see `area`."""
    order = np.argsort(score, kind="stable")
    starts = np.unique(score[order], return_index=True)[1]
    mark = positive[order].astype(np.float64)

    def auc(weights: Floats) -> Floats:
        sorted_ = weights[:, order]
        ups = np.add.reduceat(sorted_ * mark, starts, axis=1)
        downs = np.add.reduceat(sorted_ * (1 - mark), starts, axis=1)
        below = np.cumsum(downs, axis=1) - downs
        pairs = ups.sum(axis=1) * downs.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray((ups * (below + downs / 2)).sum(axis=1) / pairs)

    return auc
