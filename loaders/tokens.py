"""Tokens of objects on torch tensors, on any device; `samediff_stimuli.tokens` for NumPy."""

from __future__ import annotations

import torch
from torch import Tensor

from samediff_stimuli.recipe import InputError


def patch_coverage(instances: Tensor, patch_size: int, n_objects: int) -> Tensor:
    """The share of each patch's pixels that each object covers.

    Args:
        instances: (n, height, width) uint8 instance maps, 0 background, j for object j - 1.
        patch_size: patch side in pixels; must divide height and width.
        n_objects: objects per image, k.

    Returns:
        (n, k, n_patches) float32 in [0, 1], patches row by row, on the device of `instances`.

    Raises:
        InputError: if patch_size does not divide the image.
    """
    n, height, width = instances.shape
    _check_patch(patch_size, height, width)
    rows, cols = height // patch_size, width // patch_size
    tiles = instances.reshape(n, rows, patch_size, cols, patch_size).permute(0, 1, 3, 2, 4)
    tiles = tiles.reshape(n, 1, rows * cols, patch_size**2)
    ids = torch.arange(1, n_objects + 1, device=instances.device, dtype=instances.dtype)
    counts = (tiles == ids.reshape(1, n_objects, 1, 1)).sum(dim=-1)
    return counts.to(torch.float32) / patch_size**2


def object_token_mask(coverage: Tensor, n_prefix_tokens: int = 0, at_least: float = 0.0) -> Tensor:
    """Which tokens of the sequence belong to each object.

    Args:
        coverage: (n, k, n_patches) from `patch_coverage`.
        n_prefix_tokens: class and register tokens before the first patch; they belong to none.
        at_least: smallest share of a patch that counts; 0 means any pixel.

    Returns:
        (n, k, n_prefix_tokens + n_patches) bool.
    """
    touched = (coverage > 0) & (coverage >= at_least)
    return torch.nn.functional.pad(touched, (n_prefix_tokens, 0), value=False)


def background_token_mask(coverage: Tensor, n_prefix_tokens: int = 0) -> Tensor:
    """(n, n_prefix_tokens + n_patches) bool: patch tokens that no object touches."""
    free = ~(coverage > 0).any(dim=1)
    return torch.nn.functional.pad(free, (n_prefix_tokens, 0), value=False)


def box_token_mask(corner: Tensor, span: int, side: int, n_prefix_tokens: int = 0) -> Tensor:
    """Which tokens lie in each object's box, where boxes are squares of whole patches.

    Args:
        corner: (n, k, 2) int64 row and column of the patch at the top left of each box.
        span: side of the boxes, in patches.
        side: side of the image, in patches.
        n_prefix_tokens: class and register tokens before the first patch; they belong to none.

    Returns:
        (n, k, n_prefix_tokens + side * side) bool, on the device of `corner`.
    """
    at = torch.arange(side, device=corner.device)
    inside = (at >= corner[..., None]) & (at < corner[..., None] + span)  # (n, k, 2, side)
    mask = (inside[..., 0, :, None] & inside[..., 1, None, :]).flatten(2)
    return torch.nn.functional.pad(mask, (n_prefix_tokens, 0), value=False)


def box_coverage(box: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    """The share of each patch that each object's box covers.

    Args:
        box: (n, k, 4) integers, x0 y0 x1 y1 in pixels, x1 and y1 exclusive.
        patch_size: patch side in pixels; must divide height and width.
        height: of the image in pixels.
        width: of the image in pixels.

    Returns:
        (n, k, n_patches) float32 in [0, 1], patches row by row, on the device of `box`.

    Raises:
        InputError: if patch_size does not divide the image.
    """
    _check_patch(patch_size, height, width)
    x0, y0, x1, y1 = box.long().unbind(dim=-1)
    across = _overlap(x0, x1, patch_size, width // patch_size)
    down = _overlap(y0, y1, patch_size, height // patch_size)
    area = down[..., :, None] * across[..., None, :]
    return area.flatten(2).to(torch.float32) / patch_size**2


def _overlap(start: Tensor, stop: Tensor, patch_size: int, count: int) -> Tensor:
    """(n, k, count) int64: how many pixels of [start, stop) lie in each of `count` patches."""
    edge = torch.arange(count, device=start.device) * patch_size
    first = torch.maximum(start[..., None], edge)
    last = torch.minimum(stop[..., None], edge + patch_size)
    return (last - first).clamp_min(0)


def _check_patch(patch_size: int, height: int, width: int) -> None:
    """Refuse a patch that does not divide the image."""
    if patch_size < 1 or height % patch_size or width % patch_size:
        raise InputError(f"patch size {patch_size} does not divide an image of {height} x {width}")
