"""Ridge regression of labels on features: a linear readout in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from samediff_stimuli.models.predictions import Floats, Ints
from samediff_stimuli.models.shortcut_views import Features


@dataclass(frozen=True, kw_only=True)
class Readout:
    """A linear readout, for every label column.

    Attributes:
        mean: (p,) of the features.
        weights: label column -> (p, classes), of features less their mean.
        classes: label column -> (classes,) the labels.
    """

    mean: Floats
    weights: dict[str, Floats]
    classes: dict[str, Ints]

    def scores(self, features: Features) -> dict[str, Floats]:
        """How much likelier than usual each label is: (n, classes), or (n, objects, classes)."""
        off = features.astype(np.float64) - self.mean
        return {name: np.asarray(off @ weights) for name, weights in self.weights.items()}

    def answers(self, features: Features) -> dict[str, Ints]:
        """The likeliest label, were all equally frequent: (n,), or (n, objects), by column."""
        scores = self.scores(features)
        return {name: self.classes[name][found.argmax(axis=-1)] for name, found in scores.items()}


@dataclass(frozen=True, kw_only=True)
class _Standard:
    """Features in standard units, and their principal axes.

    Attributes:
        mean: (p,) of the features.
        scale: (p,) one over their spread; 0 for those that do not vary.
        z: (n, those that vary) standardised.
        values: variances along the axes.
        vectors: the axes, one a column.
    """

    mean: Floats
    scale: Floats
    z: Floats
    values: Floats
    vectors: Floats


def fit(features: Features, labels: Mapping[str, Ints]) -> Readout:
    """Ridge regression of labels on standardised features, its strength by cross-validation.

    Each label is one column of indicators over its frequency, less 1, so that the regression
    estimates how much likelier than usual each label is and rare labels weigh as much as frequent
    ones. The strength is the one of generalised cross-validation (Golub, Heath & Wahba 1979).

    Args:
        features: (n, p) float32; those that do not vary are left out.
        labels: column -> (n,) int64.
    """
    return _solved(_standardised(features), labels, None)


def ladder(features: Features, labels: Mapping[str, Ints]) -> dict[float, Readout]:
    """The same regression at every strength, weakest first: other rows are to choose.

    Args:
        features: (n, p) float32; those that do not vary are left out.
        labels: column -> (n,) int64.
    """
    at = _standardised(features)
    return {strength: _solved(at, labels, strength) for strength in _STRENGTHS}


def _standardised(features: Features) -> _Standard:
    """Features in standard units."""
    wide = features.astype(np.float64)
    mean, spread = wide.mean(axis=0), wide.std(axis=0)
    keep = spread > 1e-7 * np.maximum(1.0, np.abs(mean))
    scale = np.where(keep, 1 / np.where(keep, spread, 1.0), 0.0)
    z = ((wide - mean) * scale)[:, keep]
    values, vectors = _axes(z)
    return _Standard(mean=mean, scale=scale, z=z, values=values, vectors=vectors)


def _solved(at: _Standard, labels: Mapping[str, Ints], strength: float | None) -> Readout:
    """The readout of that strength; None for the best of each column."""
    n = len(at.z)
    weights, classes = {}, {}
    for name, label in labels.items():
        classes[name], number, counts = np.unique(label, return_inverse=True, return_counts=True)
        wanted = np.eye(len(counts))[number] * n / counts - 1
        along = at.vectors.T @ (at.z.T @ wanted / n)
        best = strength
        if best is None:
            criterion = partial(_criterion, at.values, along, float((wanted**2).sum() / n), n)
            best = min(_STRENGTHS, key=criterion)
        found = np.zeros((len(at.scale), len(counts)))
        found[at.scale > 0] = at.vectors @ (along / (at.values + best)[:, None])
        weights[name] = found * at.scale[:, None]
    return Readout(mean=at.mean, weights=weights, classes=classes)


def _axes(z: Floats) -> tuple[Floats, Floats]:
    """Variances (m,) along the principal axes of centred rows (n, p), and the axes (p, m)."""
    n, p = z.shape
    if n >= p:
        values, vectors = np.linalg.eigh(z.T @ z / n)
        return values.clip(0), vectors
    values, rows = np.linalg.eigh(z @ z.T / n)  # fewer rows than features: the same axes
    there = values > 1e-10 * values.max(initial=0)
    values, rows = values[there], rows[:, there]
    return values, z.T @ rows / np.sqrt(n * values)


_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # times n


def _criterion(values: Floats, along: Floats, total: float, n: int, strength: float) -> float:
    """Mean squared residual over the squared share of freedom that is left."""
    shrunk = along / (values + strength)[:, None]
    residual = total - float((shrunk * (2 * along - values[:, None] * shrunk)).sum())
    freedom = 1 - float((values / (values + strength)).sum() + 1) / n
    return residual / max(freedom, 1e-3) ** 2
