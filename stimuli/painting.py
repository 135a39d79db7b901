"""Scenes become pixels: silhouettes filled with Gaussian colour noise on a white ground.

One row painted alone gives the same bytes as the same row in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import palette, rng, silhouettes
from samediff_stimuli.aligned_options import image_shape, options_of
from samediff_stimuli.recipe import Recipe

_BATCH = 32  # images whose objects are filled at a time: their noise stays in the cache
Scenes = Mapping[str, NDArray[Any]]

# (recipe, split, scenes) -> (n, k, size * size * 3) int16: what noise adds to the objects' squares
Noise = Callable[[Recipe, str, Scenes], NDArray[np.int16]]


def fresh_noise(recipe: Recipe, split: str, scenes: Scenes) -> NDArray[np.int16]:
    """Noise that is new in each object of each image: row i owns the i-th run of its stream."""
    chosen, (n, k) = options_of(recipe), scenes["shape"].shape
    count = chosen.drawn**2 * 3
    words = noise_words(recipe.key(split, "noise"), scenes["index"], k * count)
    return rng.normal_offsets(chosen.noise).take(words).reshape(n, k, count)


def paint(
    recipe: Recipe, split: str, scenes: Scenes, noise: Noise = fresh_noise
) -> Iterator[NDArray[np.uint8]]:
    """Paint scenes: white ground, each object its silhouette in colour noise.

    Args:
        recipe: size, noise and seed.
        split: whose noise stream to use.
        scenes: columns index (n,), shape (n, k), color (n, k), box (n, k, 4), and what `noise`
            needs.
        noise: what is added to the colours; a fresh array each time.

    Yields:
        (height, width, 3) uint8 RGB, background 255, object pixels in [0, 250]: one canvas, which
        is wiped and painted anew for the next image, so that it never leaves the cache.
    """
    canvas = np.full(image_shape(recipe), palette.BACKGROUND, dtype=np.uint8)
    size = options_of(recipe).drawn
    for first in range(0, len(scenes["index"]), _BATCH):
        part = slice(first, first + _BATCH)
        some = {name: values[part] for name, values in scenes.items()}
        corners = some["box"][:, :, :2].tolist()
        filled = fill(recipe, some["shape"], some["color"], noise(recipe, split, some))
        for objects, places in zip(filled, corners, strict=True):
            spots = [canvas[y : y + size, x : x + size] for x, y in places]
            for spot, pixels in zip(spots, objects, strict=True):
                spot[:] = pixels
            yield canvas
            for spot in spots:
                spot[:] = palette.BACKGROUND


def fill(
    recipe: Recipe, shape: NDArray[Any], color: NDArray[Any], noise: NDArray[np.int16]
) -> NDArray[np.uint8]:
    """The pixels of objects' squares, 255 outside the silhouettes.

    Args:
        recipe: size of the objects.
        shape: (n, k) shape indices.
        color: (n, k) colour indices.
        noise: (n, k, size * size * 3) int16, what is added to the colours; written over.

    Returns:
        (n, k, size, size, 3) uint8 RGB.
    """
    size = options_of(recipe).drawn
    pixels = tint(recipe, color, noise)
    pixels |= _fill(size)[0][shape].reshape(pixels.shape)
    return pixels


def tint(recipe: Recipe, color: NDArray[Any], noise: NDArray[np.int16]) -> NDArray[np.uint8]:
    """The pixels of whole squares of colour and noise, in [0, 250]; see `fill`."""
    (n, k), size = color.shape, options_of(recipe).drawn
    levels = noise.reshape(n, k, size, size * 3)
    levels += _fill(size)[1][color][:, :, None]
    np.clip(levels, 0, palette.CLIP_MAX, out=levels)
    return levels.astype(np.uint8).reshape(n, k, size, size, 3)


@lru_cache(maxsize=8)
def _fill(size: int) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    """Masks (20, size, size * 3), 255 outside the shape; a row of each colour (20, size * 3)."""
    outside = np.where(silhouettes.masks(size), 0, palette.BACKGROUND).astype(np.uint8)
    return outside.repeat(3, axis=2), np.tile(palette.means(), size)


def noise_words(key: int, index: NDArray[np.int64], count: int) -> NDArray[np.uint16]:
    """(n, count) uint16 words; image i owns Philox blocks [i * K, (i + 1) * K)."""
    per_image = -(-count // 16)  # a block is 4 words of 64 bits, 16 of 16
    runs = np.split(index, np.flatnonzero(np.diff(index) != 1) + 1)
    words = [rng.blocks(key, int(run[0]) * per_image, len(run) * per_image) for run in runs]
    joined = words[0] if len(words) == 1 else np.concatenate(words)
    halves = joined.astype("<u8", copy=False).view("<u2")
    return halves.reshape(len(index), per_image * 16)[:, :count]


def instances(recipe: Recipe, split: str, scenes: Scenes) -> NDArray[np.uint8]:
    """(n, height, width) uint8 instance maps: 0 background, j for object j - 1."""
    height, width, _ = image_shape(recipe)
    masks = silhouettes.masks(options_of(recipe).drawn)
    maps = np.zeros((len(scenes["index"]), height, width), dtype=np.uint8)
    for image, shapes, boxes in zip(maps, scenes["shape"], scenes["box"], strict=True):
        for number, (shape, (x0, y0, x1, y1)) in enumerate(zip(shapes, boxes, strict=True), 1):
            image[y0:y1, x0:x1][masks[shape]] = number
    return maps
