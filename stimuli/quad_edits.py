"""What an edit changes, pixel by pixel: the noise that a group shares, boxes and tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import painting, palette, rng, silhouettes
from samediff_stimuli.aligned import Ints
from samediff_stimuli.aligned_options import options_of
from samediff_stimuli.grid import Grid
from samediff_stimuli.painting import Scenes
from samediff_stimuli.quad_options import BOTH, COLOR, GROUP, NOISE, NOTHING, POSITION, SAME
from samediff_stimuli.recipe import Recipe

_BATCH = 32  # groups whose edited objects are compared at a time


def noise(recipe: Recipe, split: str, scenes: Scenes) -> NDArray[np.int16]:
    """Noise of every object by group and object: the rows of a group share it.

    Only the edited object of the noise control has its own, from another stream.

    Returns:
        (n, k, size * size * 3) int16.
    """
    group, rows = np.unique(scenes["pair_id"], return_inverse=True)
    shared = _offsets(recipe, split, "noise", group, scenes["shape"].shape[1])
    levels = shared[rows]
    anew = np.flatnonzero(scenes["variant"] == NOISE)
    if len(anew):
        own = _offsets(recipe, split, "noise_anew", group, 1)
        levels[anew, scenes["edited"][anew]] = own[rows[anew], 0]
    return levels


def _offsets(recipe: Recipe, split: str, purpose: str, group: Ints, k: int) -> NDArray[np.int16]:
    """(g, k, size * size * 3) int16: object j of group i owns run i * k + j of the stream."""
    chosen = options_of(recipe)
    runs = (group[:, None] * k + np.arange(k)).reshape(-1)
    words = painting.noise_words(recipe.key(split, purpose), runs, chosen.drawn**2 * 3)
    return rng.normal_offsets(chosen.noise).take(words).reshape(len(group), k, -1)


def changes(recipe: Recipe, grid: Grid, split: str, scenes: Scenes) -> tuple[Ints, Ints]:
    """Where whole groups of rows differ from their bases, from the pixels themselves.

    Args:
        recipe: what to make.
        grid: the patch grid.
        split: whose noise.
        scenes: g * 6 rows, group by group in the order of the variants: columns pair_id, variant,
            edited, shape, color, patch, jitter.

    Returns:
        Boxes (g * 6, 4) int64, x0 y0 x1 y1 around the pixels that differ, 0 where none does; and
        tokens (g * 6, m * m) int64, the patches of the edited object's box, -1 where none differs.
    """
    step = _BATCH * GROUP
    parts = [
        _compared(recipe, split, {name: v[first : first + step] for name, v in scenes.items()})
        for first in range(0, len(scenes["variant"]), step)
    ]
    differ: NDArray[np.bool_] = np.concatenate(parts)
    n, side, m = len(differ), options_of(recipe).box_size, grid.span
    patch = scenes["patch"][np.arange(n), scenes["edited"]]
    bands = np.asarray(differ.reshape(n, m, grid.patch, side).any(axis=2))
    tiles = np.asarray(bands.reshape(n, m * m, grid.patch).any(axis=2))
    tokens = np.where(tiles, grid.tokens(patch), NOTHING)
    lines = np.stack([bands.any(axis=1), differ.any(axis=2)], axis=1)  # of columns, of rows
    low, high = lines.argmax(axis=2), side - lines[:, :, ::-1].argmax(axis=2)
    corner = grid.corner(patch)
    box = np.concatenate([corner + low, corner + high], axis=1)
    return np.where(tiles.any(axis=1, keepdims=True), box, 0), tokens


def _compared(recipe: Recipe, split: str, scenes: Scenes) -> NDArray[np.bool_]:
    """(n, side, side) bool: the pixels of the edited object's box that differ from the base's."""
    size, side = options_of(recipe).drawn, options_of(recipe).box_size
    at = np.arange(len(scenes["variant"])), scenes["edited"]
    shape, color = (scenes[name][at].reshape(-1, GROUP) for name in ("shape", "color"))
    group, k = scenes["pair_id"][::GROUP], scenes["shape"].shape[1]
    shared = _offsets(recipe, split, "noise", group, k)
    shared = shared[np.arange(len(group)), scenes["edited"][::GROUP]][:, None]
    base = painting.tint(recipe, color[:, :1], shared.copy())
    tints = painting.tint(recipe, color[:, [COLOR, BOTH]], np.repeat(shared, 2, axis=1))
    anew = painting.tint(recipe, color[:, :1], _offsets(recipe, split, "noise_anew", group, 1))
    masks = silhouettes.masks(size)[shape]
    differ, inside = masks ^ masks[:, :1], masks & masks[:, :1]
    differ[:, [COLOR, BOTH]] |= inside[:, [COLOR, BOTH]] & _apart(tints, base)
    differ[:, NOISE] = masks[:, 0] & _apart(anew, base)[:, 0]
    boxes = np.zeros((len(group), GROUP, side, side), dtype=np.bool_)
    places = np.full((len(group), 2, side, side, 3), palette.BACKGROUND, dtype=np.uint8)
    painted = np.where(masks[:, 0, ..., None], base[:, 0], palette.BACKGROUND)
    offsets = scenes["jitter"][at].reshape(-1, GROUP, 2)[:, [SAME, POSITION]].tolist()
    for i, ((x, y), (u, v)) in enumerate(offsets):
        boxes[i, :, y : y + size, x : x + size] = differ[i]
        places[i, 0, y : y + size, x : x + size] = painted[i]
        places[i, 1, v : v + size, u : u + size] = painted[i]
    boxes[:, POSITION] = _apart(places[:, 0], places[:, 1])
    return boxes.reshape(-1, side, side)


def _apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels (..., 3) differ in any channel."""
    differ = one != other
    return np.asarray(differ[..., 0] | differ[..., 1] | differ[..., 2])
