"""What every token of a batch shows: labels for probes, on the batch's device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from samediff_stimuli.loaders.tokens import (
    background_token_mask,
    box_coverage,
    object_token_mask,
    patch_coverage,
)
from samediff_stimuli.recipe import InputError

IGNORE = -100  # what torch's cross-entropy ignores by default
COLUMNS = ("shape", "color", "role", "relation")


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenLabels:
    """What every token of a batch of n images with k objects shows.

    Attributes:
        coverage: (n, k, patches) float32, the share of each patch that each object covers.
        objects: (n, k, tokens) bool, tokens of each object; two objects can share a token.
        background: (n, tokens) bool, patch tokens that no object touches.
        owner: (n, tokens) int64, the object in 0 .. k - 1 that covers most of the token, of equals
            the first; `ignore_index` on background and prefix tokens.
        values: column -> (n, tokens) int64: its value for the token's object, or for the pair of
            that object; `ignore_index` where there is no owner. Targets of a cross-entropy.
        pairs: the objects of each pair; empty where objects come in no pairs.
        n_prefix_tokens: class and register tokens before the first patch.
        ignore_index: label of tokens that are to be left out.
    """

    coverage: Tensor
    objects: Tensor
    background: Tensor
    owner: Tensor
    values: Mapping[str, Tensor]
    pairs: tuple[tuple[int, int], ...]
    n_prefix_tokens: int
    ignore_index: int

    def patches_of(self, which: Tensor) -> Tensor:
        """(n, t) int64: the patches of one object of each image, counted from 0 without prefix.

        Args:
            which: (n,) int64, the object of each image, in 0 .. k - 1.

        Raises:
            InputError: if these objects have no patch, or not all equally many.
        """
        each = torch.arange(len(self.objects), device=self.objects.device)
        mask = self.objects[each, which][:, self.n_prefix_tokens :]
        counts = mask.sum(dim=1)
        low, high = int(counts.min()), int(counts.max())
        if low < 1 or low != high:
            raise InputError(
                f"objects have {low} .. {high} patches; legal: all equally many: take labels from "
                "the column 'box' of a set on a patch grid, or fewer rows"
            )
        return mask.nonzero()[:, 1].reshape(len(mask), high)


def token_labels(
    batch: Mapping[str, Tensor],
    patch_size: int,
    n_prefix_tokens: int = 0,
    *,
    columns: Sequence[str] = COLUMNS,
    at_least: float = 0.0,
    ignore_index: int = IGNORE,
) -> TokenLabels:
    """Labels of every token of a batch, made on its device.

    Tokens of objects follow from the pixels if the batch has "instances", which suits every set
    (`batch["instances"] = data.instances(rows)`); else from "box": the patches that an object's
    square touches. Of the patch-aligned sets at their usual sizes these are all patches of an
    object's box, the positions that Lepori et al. 2024 (arXiv 2406.15955) intervene on and probe,
    also where an empty corner of a shape leaves one without ink.

    Args:
        batch: "image" (n, c, height, width); "box" (n, k, 4) in pixels of that image, or
            "instances" (n, height, width) uint8, 0 background, j for object j - 1; and any of
            `columns`: (n, k) of objects, (n, k / 2) of pairs, or (n,) of whole images.
        patch_size: the model's patch side in pixels, not the set's.
        n_prefix_tokens: class and register tokens before the first patch: 0 of bare patches, 1 with
            a class token, 5 of DINOv2 with registers; timm's `num_prefix_tokens`.
        columns: those to spread over tokens; what the batch lacks is left out.
        at_least: smallest share of a patch that makes it an object's; 0 means any. A patch with
            less is neither an object's nor background.
        ignore_index: label of tokens that show no object, negative.

    Raises:
        InputError: neither boxes nor instances, a patch size that does not divide the image, a
            column of another shape, or an ignore_index that is a label.
    """
    if ignore_index >= 0:
        raise InputError(f"ignore_index {ignore_index} is a label; legal: negative, e.g. {IGNORE}")
    coverage = _coverage(batch, patch_size)
    objects = object_token_mask(coverage, n_prefix_tokens, at_least)
    shares = torch.nn.functional.pad(coverage, (n_prefix_tokens, 0))
    best = torch.where(objects, shares, -1.0).argmax(dim=1)
    taken = objects.any(dim=1)
    k = coverage.shape[1]
    values = {}
    for name in columns:
        if name in batch:
            spread = _spread(name, batch[name], best, k)
            values[name] = torch.where(taken, spread, ignore_index)
    return TokenLabels(
        coverage=coverage,
        objects=objects,
        background=background_token_mask(coverage, n_prefix_tokens),
        owner=torch.where(taken, best, ignore_index),
        values=MappingProxyType(values),
        pairs=tuple((first, first + 1) for first in range(0, k, 2)) if k % 2 == 0 else (),
        n_prefix_tokens=n_prefix_tokens,
        ignore_index=ignore_index,
    )


def _coverage(batch: Mapping[str, Tensor], patch_size: int) -> Tensor:
    """(n, k, patches) float32 from instance maps or boxes."""
    box = batch.get("box")
    if "instances" in batch:
        maps = batch["instances"]
        k = int(maps.max()) if box is None else box.shape[1]
        return patch_coverage(maps, patch_size, k)
    if box is None or "image" not in batch:
        raise InputError(
            f"a batch of {', '.join(batch)} does not tell where objects are; legal: 'image' and "
            "'box', or 'instances': StimulusDataset(..., columns=['box']), or data.instances(rows)"
        )
    return box_coverage(box, patch_size, *batch["image"].shape[-2:])


def _spread(name: str, column: Tensor, owner: Tensor, k: int) -> Tensor:
    """(n, tokens) int64: a column's value for the owner of each token, in 0 .. k - 1."""
    n = len(owner)
    if column.shape == (n,):
        return column.long()[:, None].expand_as(owner)
    if column.shape == (n, k):
        return column.long().gather(1, owner)
    if k % 2 == 0 and column.shape == (n, k // 2):
        return column.long().gather(1, owner // 2)
    raise InputError(
        f"column {name!r} is {tuple(column.shape)}; legal: ({n},), ({n}, {k}) of objects, or of "
        "their pairs"
    )
