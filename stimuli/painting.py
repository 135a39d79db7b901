"""Scenes become pixels: silhouettes filled with Gaussian colour noise on a white ground.

One row painted alone gives the same bytes as the same row in any batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import palette, rng, silhouettes
from samediff_stimuli.aligned_options import image_shape, options_of
from samediff_stimuli.recipe import Recipe

_BATCH = 32  # images whose objects are filled at a time: their noise stays in the cache


def paint(
    recipe: Recipe, split: str, scenes: Mapping[str, NDArray[Any]]
) -> Iterator[NDArray[np.uint8]]:
    """Paint scenes: white ground, each object its silhouette in freshly drawn colour noise.

    Args:
        recipe: size, noise and seed.
        split: whose noise stream to use.
        scenes: columns index (n,), shape (n, k), color (n, k), box (n, k, 4).

    Yields:
        (height, width, 3) uint8 RGB, background 255, object pixels in [0, 250]: one canvas, which
        is wiped and painted anew for the next image, so that it never leaves the cache.
    """
    canvas = np.full(image_shape(recipe), palette.BACKGROUND, dtype=np.uint8)
    size = options_of(recipe).drawn
    for first in range(0, len(scenes["index"]), _BATCH):
        part = slice(first, first + _BATCH)
        corners = scenes["box"][part, :, :2].tolist()
        for objects, places in zip(_objects(recipe, split, scenes, part), corners, strict=True):
            spots = [canvas[y : y + size, x : x + size] for x, y in places]
            for spot, pixels in zip(spots, objects, strict=True):
                spot[:] = pixels
            yield canvas
            for spot in spots:
                spot[:] = palette.BACKGROUND


def _objects(
    recipe: Recipe, split: str, scenes: Mapping[str, NDArray[Any]], part: slice
) -> NDArray[np.uint8]:
    """(n, k, size, size, 3) uint8 pixels of the objects' squares, 255 outside the silhouettes."""
    chosen = options_of(recipe)
    shape, color = scenes["shape"][part], scenes["color"][part]
    (n, k), size = shape.shape, chosen.drawn
    outside, means = _fill(size)
    noise = _noise_words(recipe.key(split, "noise"), scenes["index"][part], k * size * size * 3)
    levels = rng.normal_offsets(chosen.noise).take(noise).reshape(n, k, size, size * 3)
    levels += means[color][:, :, None]
    np.clip(levels, 0, palette.CLIP_MAX, out=levels)
    pixels = levels.astype(np.uint8)
    pixels |= outside[shape]
    return pixels.reshape(n, k, size, size, 3)


@lru_cache(maxsize=8)
def _fill(size: int) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    """Masks (20, size, size * 3), 255 outside the shape; a row of each colour (20, size * 3)."""
    outside = np.where(silhouettes.masks(size), 0, palette.BACKGROUND).astype(np.uint8)
    return outside.repeat(3, axis=2), np.tile(palette.means(), size)


def _noise_words(key: int, index: NDArray[np.int64], count: int) -> NDArray[np.uint16]:
    """(n, count) uint16 words; image i owns Philox blocks [i * K, (i + 1) * K)."""
    per_image = -(-count // 16)  # a block is 4 words of 64 bits, 16 of 16
    runs = np.split(index, np.flatnonzero(np.diff(index) != 1) + 1)
    words = [rng.blocks(key, int(run[0]) * per_image, len(run) * per_image) for run in runs]
    joined = words[0] if len(words) == 1 else np.concatenate(words)
    halves = joined.astype("<u8", copy=False).view("<u2")
    return halves.reshape(len(index), per_image * 16)[:, :count]


def instances(recipe: Recipe, split: str, scenes: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """(n, height, width) uint8 instance maps: 0 background, j for object j - 1."""
    height, width, _ = image_shape(recipe)
    masks = silhouettes.masks(options_of(recipe).drawn)
    maps = np.zeros((len(scenes["index"]), height, width), dtype=np.uint8)
    for image, shapes, boxes in zip(maps, scenes["shape"], scenes["box"], strict=True):
        for number, (shape, (x0, y0, x1, y1)) in enumerate(zip(shapes, boxes, strict=True), 1):
            image[y0:y1, x0:x1][masks[shape]] = number
    return maps
