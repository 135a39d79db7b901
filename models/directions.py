"""Linear probes of hidden states, the directions that move their answers, and controls for both.

Hidden states are (n, d), or (n, tokens, d) with a label for each token, of any library and layer. A
probe is the package's ridge regression (`samediff_stimuli.models.ridge`), in closed form, so that
the same states always give the same directions. Probing a layer's residual stream and adding the
probe's direction to it follows Lepori, Tartaglini et al. 2024 (arXiv 2406.15955); how far to go,
and these controls, are this package's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samediff_stimuli import rng
from samediff_stimuli.loaders.labels import IGNORE
from samediff_stimuli.models import ridge
from samediff_stimuli.recipe import InputError

_COLUMN = "label"
_WORD = 2**16 - 1  # low bits of a random word, an index into the table of a Gaussian


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearProbe:
    """A linear readout of hidden states: score_c(h) = w_c . h + b_c, the answer the largest.

    Attributes:
        weight: (classes, d) float32, w.
        bias: (classes,) float32, b.
        classes: (classes,) int64, the label that each row stands for, ascending.
    """

    weight: Tensor
    bias: Tensor
    classes: Tensor

    def scores(self, hidden: Tensor) -> Tensor:
        """(..., classes) float32 scores of (..., d) hidden states."""
        return hidden.to(self.weight.dtype) @ self.weight.T + self.bias

    def answers(self, hidden: Tensor) -> Tensor:
        """(...) int64, the label of the largest score of (..., d) hidden states."""
        return self.classes[self.scores(hidden).argmax(dim=-1)]

    def accuracy(self, hidden: Tensor, labels: Tensor, ignore_index: int = IGNORE) -> float:
        """Share of right answers.

        Args:
            hidden: (..., d).
            labels: (...) int64.
            ignore_index: label of states that are left out.
        """
        kept = labels != ignore_index
        right = (self.answers(hidden) == labels) & kept
        return float(right.sum()) / max(int(kept.sum()), 1)

    def direction(self, a: int, b: int) -> Tensor:
        """(d,) float32, of length 1: (w_b - w_a) / |w_b - w_a|, along which b gains most on a.

        Raises:
            InputError: a label that the probe does not know, or twice the same.
        """
        difference = self._row(b) - self._row(a)
        if a == b:
            raise InputError(f"no direction leads from {a} to itself; give two labels")
        unit: Tensor = difference / difference.norm().clamp_min(torch.finfo(difference.dtype).tiny)
        return unit

    def shift(self, hidden: Tensor, a: int, b: int, margin: float = 0.0) -> Tensor:
        """What to add to each state so that the probe answers b: the least step along a to b.

        With u = direction(a, b), the step is t u, t the largest over c != b of
        (score_c - score_b + margin) / ((w_b - w_c) . u), and 0 where b is ahead by the margin
        already. Of two classes no shorter vector does it. Classes on which b does not gain along u
        cannot be overtaken and are left out; `answers(hidden + shift)` tells.

        Args:
            hidden: (..., d).
            a: label to move away from.
            b: label to move to.
            margin: by which the score of b is to lead, above 0 to be safe from rounding.

        Returns:
            (..., d) float32.

        Raises:
            InputError: as `direction`, or a negative margin.
        """
        if margin < 0:
            raise InputError(f"margin {margin} is out of range; legal: 0 or more")
        along = self.direction(a, b)
        scores, aim = self.scores(hidden), self._index(b)
        gain = (self.weight[aim] - self.weight) @ along
        behind = scores - scores[..., aim, None] + margin
        reachable = gain > 1e-6 * float(gain.max())
        steps = torch.where(reachable, behind / gain.where(reachable, torch.ones_like(gain)), 0.0)
        return steps.amax(dim=-1).clamp_min(0)[..., None] * along

    def to(self, device: torch.device | str) -> LinearProbe:
        """The same on another device."""
        return LinearProbe(
            weight=self.weight.to(device),
            bias=self.bias.to(device),
            classes=self.classes.to(device),
        )

    def _row(self, label: int) -> Tensor:
        """(d,) the weights of a label."""
        return self.weight[self._index(label)]

    def _index(self, label: int) -> int:
        """The row of a label."""
        known = self.classes.tolist()
        if label not in known:
            raise InputError(f"label {label} was not fitted; known: {', '.join(map(str, known))}")
        return int(known.index(label))


def fit_probe(hidden: Tensor, labels: Tensor, *, ignore_index: int = IGNORE) -> LinearProbe:
    """The ridge regression of labels on hidden states, its strength by cross-validation.

    Args:
        hidden: (n, d), or (n, tokens, d).
        labels: (n,), or (n, tokens) as `TokenLabels.values` holds them; int64.
        ignore_index: label of states that are left out.

    Returns:
        The probe, on the device of `hidden`.

    Raises:
        InputError: shapes that do not belong together, states that are not finite, or fewer than
            two labels.
    """
    if hidden.shape[:-1] != labels.shape or hidden.ndim < 2:
        raise InputError(
            f"hidden {tuple(hidden.shape)} and labels {tuple(labels.shape)} do not belong "
            "together; legal: (n, d) and (n,), or (n, tokens, d) and (n, tokens)"
        )
    kept = labels != ignore_index
    states = hidden.detach()[kept].float().cpu().numpy()
    wanted = labels[kept].cpu().numpy().astype(np.int64)
    if len(np.unique(wanted)) < 2:
        raise InputError(f"{len(wanted)} states have fewer than two labels; give more rows")
    if not np.isfinite(states).all():
        raise InputError("hidden states hold numbers that are not finite; a probe takes none")
    readout = ridge.fit(states, {_COLUMN: wanted})
    weight = torch.from_numpy(readout.weights[_COLUMN].T.copy())
    bias = -(weight @ torch.from_numpy(readout.mean))
    return LinearProbe(
        weight=weight.to(hidden.device, torch.float32),
        bias=bias.to(hidden.device, torch.float32),
        classes=torch.from_numpy(readout.classes[_COLUMN]).to(hidden.device),
    )


def fit_probes(
    hidden: Mapping[int, Tensor], labels: Tensor, *, ignore_index: int = IGNORE
) -> dict[int, LinearProbe]:
    """A probe of each layer, by layer; arguments as of `fit_probe`."""
    return {
        layer: fit_probe(states, labels, ignore_index=ignore_index)
        for layer, states in hidden.items()
    }


def random_direction(like: Tensor, seed: int) -> Tensor:
    """A control: a direction drawn evenly from all, as long as another.

    Args:
        like: (d,) float, the direction whose length, type and device it gets.
        seed: the same seed gives the same direction, everywhere.
    """
    d = len(like)
    words = rng.blocks(rng.stream_key("random direction", d, seed), 0, -(-d // 4)).reshape(-1)[:d]
    drawn = rng.normal_offsets(rng.MAX_SIGMA)[(words & np.uint64(_WORD)).astype(np.int64)]
    made = torch.from_numpy(drawn.astype(np.float64))
    scaled: Tensor = made * (float(like.norm()) / made.norm())
    return scaled.to(like.device, like.dtype)


def shuffled(labels: Tensor, seed: int, *, ignore_index: int = IGNORE) -> Tensor:
    """A control: the same labels in random order, for a probe that can have learned nothing.

    Args:
        labels: (n,) or (n, tokens) int64. Tokens of an object are shuffled one by one; to keep
            them together shuffle the column before `token_labels` spreads it.
        seed: the same seed gives the same order, everywhere.
        ignore_index: label that stays where it is.
    """
    kept = labels != ignore_index
    values = labels[kept]
    key = rng.stream_key("shuffled labels", len(values), seed)
    order = rng.order(rng.blocks(key, 0, len(values))[:, 0]) if len(values) else np.arange(0)
    made = labels.clone()
    made[kept] = values[torch.from_numpy(order).to(labels.device)]
    return made
