"""From instance maps to tokens: which patches of any grid an object covers, and how much.

An instance map is (n, height, width) uint8 with 0 for background and j for object j - 1. Token
numbers count from the first token of the sequence; `n_prefix_tokens` says how many class and
register tokens precede the patches (0 for bare patch numbers, 1 for a class token).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.recipe import InputError


def patch_coverage(
    instances: NDArray[np.uint8], patch_size: int, n_objects: int
) -> NDArray[np.float32]:
    """The share of each patch's pixels that each object covers.

    Args:
        instances: (n, height, width) uint8 instance maps.
        patch_size: patch side in pixels; must divide height and width.
        n_objects: objects per image, k.

    Returns:
        (n, k, n_patches) float32 in [0, 1], patches row by row.

    Raises:
        InputError: if patch_size does not divide the image.
    """
    n, height, width = instances.shape
    if patch_size < 1 or height % patch_size or width % patch_size:
        raise InputError(f"patch size {patch_size} does not divide an image of {height} x {width}")
    rows, cols = height // patch_size, width // patch_size
    tiles = instances.reshape(n, rows, patch_size, cols, patch_size).transpose(0, 1, 3, 2, 4)
    tiles = tiles.reshape(n, 1, rows * cols, patch_size**2)
    ids = np.arange(1, n_objects + 1, dtype=np.uint8).reshape(1, n_objects, 1, 1)
    counts = np.count_nonzero(tiles == ids, axis=-1)
    share: NDArray[np.float32] = (counts / patch_size**2).astype(np.float32)
    return share


def object_tokens(
    coverage: NDArray[np.float32], n_prefix_tokens: int = 0, at_least: float = 0.0
) -> list[list[NDArray[np.int64]]]:
    """The tokens of each object in each image.

    Args:
        coverage: (n, k, n_patches) from `patch_coverage`.
        n_prefix_tokens: tokens before the first patch.
        at_least: smallest share of a patch that counts; 0 means any pixel.

    Returns:
        For each image, for each object, an increasing int64 array of token numbers.
    """
    touched = (coverage > 0) & (coverage >= at_least)
    return [[np.flatnonzero(obj) + n_prefix_tokens for obj in image] for image in touched]


def background_tokens(
    coverage: NDArray[np.float32], n_prefix_tokens: int = 0
) -> list[NDArray[np.int64]]:
    """For each image, the patch tokens that no object touches; prefix tokens are not among them."""
    touched: NDArray[np.bool_] = np.any(coverage > 0, axis=1)
    return [np.flatnonzero(~image) + n_prefix_tokens for image in touched]
