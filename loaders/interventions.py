"""Base and source images with the tokens to exchange, in the form that other libraries take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from samediff_stimuli.recipe import InputError

Indices = Tensor | Sequence[Sequence[int]]


@dataclass(frozen=True, kw_only=True, eq=False)
class InterventionBatch:
    """n interchange interventions: what to run, and which tokens take whose place.

    Attributes:
        base: (n, c, height, width) images that are intervened on.
        source: (n, c, height, width) images that activations are taken from.
        base_tokens: (n, t) int64, tokens of the base's sequence that are overwritten.
        source_tokens: (n, t) int64, tokens of the source's sequence, in the same order.
        labels: whatever is to be compared with the answers, by name, each (n,), e.g. "label" of the
            base and "target" after the exchange.
    """

    base: Tensor
    source: Tensor
    base_tokens: Tensor
    source_tokens: Tensor
    labels: Mapping[str, Tensor] = field(default_factory=dict)

    def swapped(self, base_states: Tensor, source_states: Tensor) -> Tensor:
        """Base states with the source's in the exchanged tokens; the arguments are left alone.

        What a forward hook returns: TransformerLens's `hook(value, hook)`, or torch's.

        Args:
            base_states: (n, tokens, d), what a layer gives for the base images.
            source_states: (n, tokens, d), what it gives for the source images.
        """
        wide = (*self.base_tokens.shape, base_states.shape[-1])
        taken = source_states.gather(1, self.source_tokens[..., None].expand(wide))
        return base_states.scatter(
            1, self.base_tokens[..., None].expand(wide), taken.to(base_states.dtype)
        )

    def pyvene(
        self, prepare: Callable[[Tensor], Tensor], argument: str = "pixel_values"
    ) -> dict[str, Any]:
        """Keyword arguments of a pyvene `IntervenableModel` with one intervention on "pos" units.

        Args:
            prepare: from images to what the model takes.
            argument: name of the model's image argument; Hugging Face's by default.

        Returns:
            "base", "sources" and "unit_locations"; pyvene wants the source's locations first.
        """
        locations = ([self.source_tokens.tolist()], [self.base_tokens.tolist()])
        return {
            "base": {argument: prepare(self.base)},
            "sources": [{argument: prepare(self.source)}],
            "unit_locations": {"sources->base": locations},
        }

    def to(self, device: torch.device | str) -> InterventionBatch:
        """The same on another device."""
        return InterventionBatch(
            base=self.base.to(device),
            source=self.source.to(device),
            base_tokens=self.base_tokens.to(device),
            source_tokens=self.source_tokens.to(device),
            labels={name: values.to(device) for name, values in self.labels.items()},
        )


def intervention_batch(
    base: Tensor,
    source: Tensor,
    base_patches: Indices,
    source_patches: Indices,
    *,
    n_prefix_tokens: int,
    labels: Mapping[str, Tensor] | None = None,
) -> InterventionBatch:
    """Pairs of images and the patches of the objects to exchange, as one batch.

    Args:
        base: (n, c, height, width) images to intervene on.
        source: (n, c, height, width) images to take activations from.
        base_patches: (n, t) patches of the base's object, counted row by row from 0 without class
            and register tokens, as `TokenLabels.patches_of` gives them, or lists of them.
        source_patches: (n, t) patches of the source's object.
        n_prefix_tokens: class and register tokens before the first patch of the model's sequence.
        labels: what is to be compared with the answers, by name, each (n,).

    Raises:
        InputError: images, patches or labels that are not of n pairs, objects of unequally many
            patches, or a patch below 0.
    """
    if base.shape != source.shape or base.ndim != 4:
        raise InputError(
            f"base {tuple(base.shape)} and source {tuple(source.shape)} do not pair up; legal: "
            "both (n, c, height, width)"
        )
    into = _tokens("base_patches", base_patches, base.device) + n_prefix_tokens
    out_of = _tokens("source_patches", source_patches, base.device) + n_prefix_tokens
    if into.shape != out_of.shape or len(into) != len(base):
        raise InputError(
            f"base_patches {tuple(into.shape)} and source_patches {tuple(out_of.shape)} do not "
            f"pair up; legal: both ({len(base)}, t), t patches of each object"
        )
    labels = dict(labels or {})
    for name, values in labels.items():
        if values.shape != (len(base),):
            raise InputError(f"labels {name!r} are {tuple(values.shape)}; legal: ({len(base)},)")
    return InterventionBatch(
        base=base, source=source, base_tokens=into, source_tokens=out_of, labels=labels
    )


def _tokens(name: str, patches: Indices, device: torch.device) -> Tensor:
    """(n, t) int64 on a device."""
    if not isinstance(patches, Tensor):
        lengths = sorted({len(row) for row in patches})
        if len(lengths) != 1:
            raise InputError(f"{name} has rows of {lengths} patches; legal: equally many")
        patches = torch.tensor([list(row) for row in patches])
    if patches.ndim != 2 or not patches.shape[1] or patches.is_floating_point():
        raise InputError(
            f"{name} is {tuple(patches.shape)} {patches.dtype}; legal: (n, t) integers, t from 1"
        )
    if bool((patches < 0).any()):
        raise InputError(f"{name} has patch {int(patches.min())}; legal: from 0")
    return patches.to(device=device, dtype=torch.int64)
