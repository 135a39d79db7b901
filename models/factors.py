"""How well a model reads the factors of a factor set off its images, as Schott et al. score it.

R² per factor (arXiv 2107.08221, released code): one minus the mean squared error on the tested rows
over the variance of the target on the full uniform grid, so a split's own variance plays no part.
1 is perfect, 0 is as good as answering the grid's mean, and below 0 is worse than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from samediff_stimuli import rng
from samediff_stimuli.factors import FactorSpace, Levels, Rows
from samediff_stimuli.loaders.ahead import ahead
from samediff_stimuli.models.factor_report import Evaluation as Evaluation
from samediff_stimuli.models.factor_report import Modularity as Modularity
from samediff_stimuli.models.factor_report import Scores as Scores
from samediff_stimuli.models.factor_report import TowardsMean as TowardsMean
from samediff_stimuli.recipe import InputError

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Model = Callable[[Tensor], Any]  # (m, c, h, w) uint8 -> (m, n_factors), tensor or array


class FactorData(Protocol):
    """A split of a factor set.

    `levels` are the (n, n_factors) int64 levels of its rows. For row numbers in any order `batch`
    gives images (m, c, h, w) uint8 and targets (m, n_factors) float32 in [0, 1], level over the
    largest level; several threads may call it at once.
    """

    @property
    def space(self) -> FactorSpace:
        """The factors, in order."""

    @property
    def levels(self) -> Levels:
        """The levels of every row."""

    def __len__(self) -> int:
        """Number of rows."""

    def batch(self, indices: list[int], /) -> tuple[Tensor, Tensor]:
        """Images and targets of rows."""


def grid_variance(sizes: Sequence[int]) -> Floats:
    """(n_factors,) variance of level / (L - 1) over L equally common levels: (L+1) / (12 (L-1)).

    Raises:
        InputError: a factor with fewer than two levels, which has no variance.
    """
    if any(size < 2 for size in sizes):
        raise InputError(f"sizes {tuple(sizes)}: a factor needs 2 or more levels to have an R²")
    levels = np.asarray(sizes, dtype=np.float64)
    return np.asarray((levels + 1) / (12 * (levels - 1)))


def score(predictions: NDArray[Any], targets: NDArray[Any], space: FactorSpace) -> Scores:
    """R² and mean squared error of predictions.

    Args:
        predictions: (n, n_factors) real.
        targets: (n, n_factors) in [0, 1]: level over the largest level.
        space: the factors.

    Raises:
        InputError: shapes that do not fit, no rows, or predictions that are not finite.
    """
    squared = _squared(predictions, targets, space)
    mse = squared.mean(axis=0)
    return Scores(
        names=space.names,
        r2=tuple((1 - mse / grid_variance(space.sizes)).tolist()),
        mse=tuple(mse.tolist()),
        n=len(squared),
    )


def _squared(predictions: NDArray[Any], targets: NDArray[Any], space: FactorSpace) -> Floats:
    """(n, n_factors) squared differences, checked.

    Raises:
        InputError: as `score`.
    """
    given, wanted = np.asarray(predictions, np.float64), np.asarray(targets, np.float64)
    n_factors = len(space.factors)
    if given.shape != wanted.shape or given.ndim != 2 or given.shape[1] != n_factors:
        raise InputError(
            f"predictions {given.shape} and targets {wanted.shape} must both be "
            f"(n, {n_factors}), a column for each factor of {space.name}"
        )
    if not len(given):
        raise InputError("no rows to score; give 1 or more")
    with np.errstate(over="ignore", invalid="ignore"):  # reported just below
        squared = (given - wanted) ** 2
    bad = ~np.isfinite(squared)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"prediction {given[row, column]} for factor {space.names[column]!r} in row {row} is "
            "not a finite number; a model must answer with finite numbers"
        )
    return np.asarray(squared, dtype=np.float64)


def seen_levels(levels: Levels, sizes: Sequence[int]) -> tuple[Flags, ...]:
    """For each factor, (L,) bool: whether a row has this level.

    Args:
        levels: (n, n_factors) int64, usually of a train split.
        sizes: levels of each factor.

    Raises:
        InputError: levels of another shape, or out of range.
    """
    levels = np.asarray(levels)
    if levels.ndim != 2 or levels.shape[1] != len(sizes) or levels.dtype.kind not in "iu":
        raise InputError(
            f"levels {levels.dtype} {levels.shape} must be integers of shape (n, {len(sizes)})"
        )
    if levels.size and ((levels < 0) | (levels >= np.array(sizes))).any():
        raise InputError(f"level out of range; legal: 0 .. one below {tuple(sizes)}")
    counts = [np.bincount(levels[:, j], minlength=size) for j, size in enumerate(sizes)]
    return tuple(count > 0 for count in counts)


def modularity(
    predictions: NDArray[Any], levels: Levels, space: FactorSpace, train_levels: Levels
) -> Modularity | None:
    """Scores of factors at unseen levels, and of the others on the same rows.

    Args:
        predictions: (n, n_factors) real.
        levels: (n, n_factors) int64 levels of the same rows.
        space: the factors.
        train_levels: (m, n_factors) int64 levels of the rows trained on.

    Returns:
        None if no row has an unseen level: random and composition splits.

    Raises:
        InputError: as `score` and `seen_levels`.
    """
    loss = _squared(predictions, space.normalised(levels), space) / grid_variance(space.sizes)
    out = _unseen(levels, space, train_levels)
    if not out.any():
        return None
    some, alone = out.any(axis=1), out.sum(axis=1) == 1
    factors = range(len(space.factors))
    lone = [alone & out[:, j] for j in factors]
    inside = [some & ~out[:, j] for j in factors]
    return Modularity(
        names=space.names,
        n_alone=tuple(int(rows.sum()) for rows in lone),
        r2_alone=tuple(_r2(loss[lone[j], j]) for j in factors),
        r2_others=tuple(_r2(np.delete(loss[lone[j]], j, axis=1)) for j in factors),
        n_out=tuple(out.sum(axis=0).tolist()),
        r2_out=tuple(_r2(loss[out[:, j], j]) for j in factors),
        n_in=tuple(int(rows.sum()) for rows in inside),
        r2_in=tuple(_r2(loss[inside[j], j]) for j in factors),
    )


def _unseen(levels: Levels, space: FactorSpace, train_levels: Levels) -> Flags:
    """(n, n_factors) bool: whether no row trained on has the level."""
    seen = seen_levels(train_levels, space.sizes)
    return np.stack([~flags[levels[:, j]] for j, flags in enumerate(seen)], axis=1)


def _r2(loss: Floats) -> float | None:
    """One minus the mean of squared differences over the variance; None of nothing."""
    return float(1 - loss.mean()) if loss.size else None


def towards_mean(
    predictions: NDArray[Any], levels: Levels, space: FactorSpace, train_levels: Levels
) -> TowardsMean | None:
    """How far answers at unseen levels are from the training mean, beside the truth's distance.

    Args, Returns and Raises: as `modularity`; also an InputError if nothing was trained on.
    """
    _squared(predictions, space.normalised(levels), space)
    out = _unseen(levels, space, train_levels)
    if not len(train_levels):
        raise InputError("train_levels is empty; give the levels of the rows trained on")
    if not out.any():
        return None
    predictions = np.asarray(predictions, dtype=np.float64)
    sums, m = train_levels.sum(axis=0, dtype=np.int64), len(train_levels)
    means = sums / m / (np.array(space.sizes) - 1)
    ratios, left_out = [], []
    for j, mean in enumerate(means):
        at_mean = levels[:, j] * m == sums[j]  # in integers: exact
        rows = out[:, j] & ~at_mean
        truth = levels[rows, j] / (space.sizes[j] - 1)
        ratios.append(np.abs(predictions[rows, j] - mean) / np.abs(truth - mean))
        left_out.append(int((out[:, j] & at_mean).sum()))
    return TowardsMean(
        names=space.names,
        train_mean=tuple(means.tolist()),
        n=tuple(map(len, ratios)),
        left_out=tuple(left_out),
        share=tuple(float((r <= 1).mean()) if r.size else None for r in ratios),
        median=tuple(float(np.median(r)) if r.size else None for r in ratios),
    )


def sample(n_rows: int, n: int, seed: int) -> Rows:
    """(min(n, n_rows),) int64 row numbers, sorted, drawn without replacement by the seed alone.

    Raises:
        InputError: n below 1.
    """
    if n < 1:
        raise InputError(f"n {n} is out of range; legal: 1 or more")
    words = rng.blocks(rng.stream_key("factor sample", seed), 0, -(-n_rows // 4)).reshape(-1)
    return np.sort(rng.order(words[:n_rows])[:n])


def predict(
    model: Model,
    data: FactorData,
    indices: Sequence[int] | Rows | None = None,
    batch_size: int = 256,
    threads: int = 1,
) -> Floats:
    """(n, n_factors) float64 answers of a model to rows of a split.

    Args:
        model: takes images (m, c, h, w) uint8, gives (m, n_factors). A torch module is put in
            evaluation mode for the while, and given images on the device of its weights.
        data: the split.
        indices: row numbers; None for all.
        batch_size: images at a time.
        threads: batches read ahead at a time.

    Raises:
        InputError: rows out of range, batch_size below 1, or answers of another shape.
    """
    rows = _rows(data, indices)
    if batch_size < 1:
        raise InputError(f"batch_size {batch_size} is out of range; legal: 1 or more")
    starts = range(0, len(rows), batch_size)
    batches = (rows[start : start + batch_size].tolist() for start in starts)
    answers = np.empty((len(rows), len(data.space.factors)))
    with torch.no_grad(), _evaluating(model) as device:
        read = ahead(data.batch, batches, threads)
        for start, (images, _) in zip(starts, read, strict=True):
            given = model(images if device is None else images.to(device))
            given = given.detach().cpu().double().numpy() if isinstance(given, Tensor) else given
            wanted = (len(images), answers.shape[1])
            if np.shape(given) != wanted:
                raise InputError(f"model gave {np.shape(given)}; legal: {wanted}, one a factor")
            answers[start : start + batch_size] = given
    return answers


def evaluate(
    model: Model,
    data: FactorData,
    *,
    train_levels: Levels | None = None,
    indices: Sequence[int] | Rows | None = None,
    batch_size: int = 256,
    threads: int = 1,
) -> Evaluation:
    """Scores of a model on a split and, if what it was trained on is known, the diagnostics.

    Args:
        model: see `predict`.
        data: the split.
        train_levels: (m, n_factors) int64 levels of the rows trained on, as `levels` of the train
            split; None for scores alone.
        indices: row numbers to test; None for all.
        batch_size: images at a time.
        threads: batches read ahead at a time.

    Raises:
        InputError: as `predict`, `score` and `seen_levels`.
    """
    rows, space = _rows(data, indices), data.space
    answers = predict(model, data, rows, batch_size, threads)
    levels = np.asarray(data.levels)[rows]
    scores = score(answers, space.normalised(levels), space)
    if train_levels is None:
        return Evaluation(scores=scores, modularity=None, towards_mean=None)
    return Evaluation(
        scores=scores,
        modularity=modularity(answers, levels, space, train_levels),
        towards_mean=towards_mean(answers, levels, space, train_levels),
    )


def _rows(data: FactorData, indices: Iterable[int] | Rows | None) -> Rows:
    """The row numbers, checked."""
    if indices is None:
        return np.arange(len(data))
    rows = np.asarray(indices)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise InputError(f"indices {rows.dtype} {rows.shape} must be a list of integers")
    if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < len(data):
        raise InputError(f"index out of range; legal: 0 .. {len(data) - 1}")
    return rows.astype(np.int64)


@contextmanager
def _evaluating(model: Model) -> Iterator[torch.device | None]:
    """A module in evaluation mode and its device; of other callables, nothing."""
    if not isinstance(model, nn.Module):
        yield None
        return
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield next((weights.device for weights in model.parameters()), None)
    finally:
        for module, training in modes:
            module.training = training
