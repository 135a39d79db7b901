"""Interchange interventions: what a model answers once a property is put into an object's tokens.

Sources: distributed alignment search (DAS), Geiger et al. 2024 (arXiv 2303.02536, section 3); the
soft mask over dimensions and all figures, Lepori et al. 2024 (arXiv 2406.15955, section 4, and its
released code).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from samediff_stimuli import rng
from samediff_stimuli.models.classifier import Classifier
from samediff_stimuli.recipe import InputError


@dataclass(frozen=True, kw_only=True)
class InterchangeConfig:
    """How an interchange is learned; the defaults are those of Lepori et al. 2024.

    Attributes:
        epochs: passes over the train split, at most.
        batch_size: rows in a step.
        rotation_lr: learning rate of the rotation; Adam's, after a linear warm-up.
        mask_lr: learning rate of the mask.
        sparsity: weight of the number of dimensions that are exchanged, in the loss.
        hot: temperature of the mask at the first step.
        cold: temperature at the last step; in between it falls exponentially.
        warmup: share of all steps over which learning rates rise; they stay constant after that.
        seed: of the rotation's start and of the order of rows.
    """

    epochs: int = 20
    batch_size: int = 64
    rotation_lr: float = 1e-3
    mask_lr: float = 1e-2
    sparsity: float = 1e-3
    hot: float = 1.0
    cold: float = 0.005
    warmup: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every range.

        Raises:
            InputError: naming the field.
        """
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)} is out of range; legal: 1 or more")
        for name in ("rotation_lr", "mask_lr", "hot", "cold"):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise InputError(f"{name} {value} is out of range; legal: a finite number above 0")

    def temperature(self, step: int, steps: int) -> float:
        """Of the mask at a step: hot (cold / hot)^(step / (steps - 1))."""
        return float(self.hot * (self.cold / self.hot) ** (step / max(1, steps - 1)))

    def rate(self, step: int, steps: int) -> float:
        """What learning rates are multiplied by at a step, in (0, 1]."""
        return min(1.0, (step + 1) / max(1.0, self.warmup * steps))


@dataclass(frozen=True, kw_only=True, eq=False)
class Sites:
    """What the interchanges of n rows need to know of one layer; t tokens are exchanged.

    Attributes:
        base: (n, tokens, d) float, the base image's states.
        source: (n, t, d) float, states of the source object in the counterfactual.
        edited: (n, t) int64, tokens of the edited object.
        elsewhere: (n, t, d) float, the counterfactual's states in the wrong tokens.
        wrong: (n, t) int64, tokens of a place of that size that no object of either image touches.
        target: (n,) int64, the answer that shows that an interchange has succeeded.
    """

    base: Tensor
    source: Tensor
    edited: Tensor
    elsewhere: Tensor
    wrong: Tensor
    target: Tensor

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.target)

    def rows(self, which: Tensor) -> Sites:
        """Some of the rows.

        Args:
            which: (m,) int64 row numbers.
        """
        return Sites(
            base=self.base[which],
            source=self.source[which],
            edited=self.edited[which],
            elsewhere=self.elsewhere[which],
            wrong=self.wrong[which],
            target=self.target[which],
        )


class Interchange(nn.Module):
    """A subspace that is exchanged: a rotation of the states, and a mask over its dimensions.

    With the orthogonal R and the mask m = sigmoid(logits / temperature), a base's state b takes of
    a source's state s

        R^T ((1 - m) * R b + m * R s) = b + R^T (m * R (s - b)).

    All tokens share R and m.

    Args:
        width: d, of the states.
        seed: of R's start; the global generator is left alone.
    """

    def __init__(self, width: int, seed: int = 0) -> None:
        """Start with a random rotation, and every dimension half exchanged."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            turn = nn.Linear(width, width, bias=False)
            nn.init.orthogonal_(turn.weight)
            self.turn = nn.utils.parametrizations.orthogonal(turn)
        self.logits = nn.Parameter(torch.zeros(width))

    def mask(self, temperature: float | None = None) -> Tensor:
        """(d,) float in [0, 1]; 0 or 1, what a temperature near 0 gives, where there is none."""
        if temperature is None:
            return (self.logits > 0).to(self.logits.dtype)
        return torch.sigmoid(self.logits / temperature)

    def forward(self, base: Tensor, source: Tensor, temperature: float | None = None) -> Tensor:
        """Base states with the source's in the subspace.

        Args:
            base: (..., d) float.
            source: (..., d) float.
            temperature: see `mask`.
        """
        rotation = cast(Tensor, self.turn.weight)
        moved = (source - base) @ rotation.T * self.mask(temperature)
        return base + moved @ rotation


def full_swap(base: Tensor, source: Tensor) -> Tensor:
    """The source's states whole: an `Interchange` of all dimensions; shape and colour go along."""
    return source


Swap = Callable[[Tensor, Tensor], Tensor]  # (n, t, d) of base and of source -> (n, t, d)


def exchanged(sites: Sites, swap: Swap, *, wrong: bool = False) -> Tensor:
    """(n, tokens, d): the base's states with some tokens changed; the sites are left alone.

    Args:
        sites: of the rows.
        swap: what tokens become, of their states and the counterfactual's.
        wrong: whether the tokens are those of the place without an object, in both images, rather
            than those of the edited object and of the source object.
    """
    tokens, source = (sites.wrong, sites.elsewhere) if wrong else (sites.edited, sites.source)
    at = tokens[..., None].expand_as(source)
    return sites.base.scatter(1, at, swap(sites.base.gather(1, at), source))


@torch.no_grad()
def answers_after(
    vit: Classifier,
    layer: int,
    sites: Sites,
    swap: Swap,
    *,
    wrong: bool = False,
    batch_size: int = 256,
) -> Tensor:
    """(n,) int64: what a model answers once `exchanged` states enter its block `layer` + 1.

    Args:
        vit: a model that shows its tokens, in eval mode.
        layer: hidden state that is changed.
        sites: of the rows, at that layer.
        swap: see `exchanged`.
        wrong: see `exchanged`.
        batch_size: rows at a time.
    """
    given = [torch.empty(0, dtype=torch.int64, device=sites.target.device)]
    every = torch.arange(len(sites), device=sites.target.device)
    for rows in torch.split(every, batch_size):
        states = exchanged(sites.rows(rows), swap, wrong=wrong)
        given.append(vit.resume(layer, states).argmax(dim=1))
    return torch.cat(given)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A learned interchange.

    Attributes:
        interchange: of the epoch that was best on validation, the last of equals.
        epoch: its number, from 1.
        validation: share of validation rows that got the target, its mask rounded.
        dimensions: how many are exchanged.
    """

    interchange: Interchange
    epoch: int
    validation: float
    dimensions: int


def fit_interchange(
    vit: Classifier,
    layer: int,
    train: Sites,
    validation: Sites,
    config: InterchangeConfig,
    on_epoch: Callable[[], None] = lambda: None,
) -> Fit:
    """Learn which subspace of a layer to exchange; the model's weights are not changed.

    Minimised are the cross-entropy of the target and `sparsity` times the sum of the mask.
    Validation and what is returned have the mask rounded, so that what counts is a subspace.

    Args:
        vit: a model that shows its tokens, whose parameters need no gradients, in eval mode.
        layer: hidden state that is changed.
        train: rows to learn from, at least one.
        validation: rows to choose the epoch by, at least one.
        config: how to learn.
        on_epoch: called after each epoch.
    """
    made = Interchange(train.base.shape[-1], config.seed).to(train.base.device)
    rates = (made.turn.parameters(), config.rotation_lr), ([made.logits], config.mask_lr)
    optimizer = torch.optim.Adam([{"params": list(p), "lr": lr} for p, lr in rates])
    peaks = [lr for _, lr in rates]
    per_epoch = -(-len(train) // config.batch_size)
    steps, best = config.epochs * per_epoch, (-1.0, 0)
    kept: dict[str, Tensor] = {}
    for epoch in range(config.epochs):
        for number, rows in enumerate(_batches(train, config, epoch)):
            step = epoch * per_epoch + number
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * config.rate(step, steps)
            temperature = config.temperature(step, steps)
            loss = _loss(vit, layer, rows, made, temperature, config.sparsity)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
            optimizer.step()
        given = answers_after(vit, layer, validation, made)
        reached = float((given == validation.target).double().mean())
        if reached >= best[0]:
            best = reached, epoch + 1
            kept = {name: value.detach().clone() for name, value in made.state_dict().items()}
        on_epoch()
    made.load_state_dict(kept)
    made.requires_grad_(False)
    return Fit(
        interchange=made, epoch=best[1], validation=best[0], dimensions=int(made.mask().sum())
    )


def _loss(
    vit: Classifier, layer: int, rows: Sites, made: Interchange, temperature: float, weight: float
) -> Tensor:
    """() float: see `fit_interchange`."""
    states = exchanged(rows, lambda base, source: made(base, source, temperature))
    task = nn.functional.cross_entropy(vit.resume(layer, states).float(), rows.target)
    return task + weight * made.mask(temperature).sum()


def _batches(train: Sites, config: InterchangeConfig, epoch: int) -> Iterator[Sites]:
    """The rows of an epoch in a random order, the source's tokens shuffled in each row.

    The text shuffles them so that the subspace is of a property and not of a place in the box.
    """
    key, device = rng.stream_key("interchange", config.seed, epoch), train.target.device
    order = rng.order(rng.mix(key, np.arange(len(train))))
    t = train.edited.shape[1]
    words = rng.mix(key, np.arange(len(train))[:, None], np.arange(1, t + 1))
    shuffled: NDArray[np.int64] = np.argsort(words, axis=1, kind="stable")
    turned = torch.from_numpy(shuffled).to(device)
    whole = torch.from_numpy(order).to(device)
    for rows in torch.split(whole, config.batch_size):
        some = train.rows(rows)
        at = turned[rows][..., None].expand_as(some.source)
        yield dataclasses.replace(some, source=some.source.gather(1, at))
