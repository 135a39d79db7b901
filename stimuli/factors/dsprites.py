"""dSprites: a white square, ellipse or heart on black, drawn by our own integer rasteriser.

What is known of the published set (Matthey et al. 2017) is kept: factors, levels and their order,
one sprite in a binary image of 64 x 64 pixels, no anti-aliasing, whole at every place. Ours are:
the outline of the heart, the exact sizes (a square of 11 to 22 pixels), places one pixel apart, and
the point that sprites turn about. Pixels are 0 and 255 where the published file has 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from samediff_stimuli import fixed
from samediff_stimuli.factors import Factor, FactorSpace, Levels

SIDE = 64  # pixels
PLACES = 32
ANGLES = 40  # the last one is a whole turn: it shows what the first shows
_WHOLE = ANGLES - 1  # steps of a turn
_TWO_PI = 6.283185307179586
SHAPES = ("square", "ellipse", "heart")

SPACE = FactorSpace(
    name="dsprites",
    factors=(
        Factor(name="shape", values=SHAPES, about="the sprite", held=False),
        Factor(
            name="scale", values=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0), about="its size, of the largest"
        ),
        Factor(
            name="orientation",
            values=tuple(_TWO_PI * k / _WHOLE for k in range(ANGLES)),
            about="its turn in radians",
            twins=((_WHOLE, 0),),
        ),
        Factor(
            name="posX",
            values=tuple(k / (PLACES - 1) for k in range(PLACES)),
            about="its place from left to right",
        ),
        Factor(
            name="posY",
            values=tuple(k / (PLACES - 1) for k in range(PLACES)),
            about="its place from top to bottom",
        ),
    ),
)
TURNS = (4, 2, 1)  # turns that leave the square, the ellipse and the heart as they are

_REACH = SIDE // 2 - PLACES // 2  # pixels from a sprite's centre to the farthest that it may cover
_STEP = 16  # sizes and offsets are in 16ths of a pixel
_SQUARE = 173  # half the side of the largest square
_ELLIPSE = (236, 118)  # half axes of the largest ellipse
_HEART = 178  # radius of the largest heart
_DROP = 17  # by which a heart is lowered, so that it turns about its middle
# Sprites turn about a point beside a pixel's centre. Were it the centre, a small square turned by 0
# and by 92 degrees would cover the same pixels.
_OFFSET = (7, 2)


def draw(levels: Levels) -> Iterator[NDArray[np.uint8]]:
    """The image of each row of levels in turn.

    Args:
        levels: (n, 5) int64.

    Yields:
        (64, 64, 1) uint8, 0 and 255, C-contiguous; good until the next is asked for.
    """
    image = np.empty((SIDE, SIDE, 1), dtype=np.uint8)
    for shape, scale, angle, x, y in levels.tolist():
        image[..., 0] = _windows(shape, scale, angle % _WHOLE)[PLACES - 1 - y, PLACES - 1 - x]
        yield image


@lru_cache(maxsize=720)
def _windows(shape: int, scale: int, angle: int) -> NDArray[np.uint8]:
    """(32, 32, 64, 64) uint8: a sprite at every place, from the last to the first; a view."""
    canvas = np.zeros((SIDE + PLACES - 1,) * 2, dtype=np.uint8)
    sprite = mask(shape, scale, angle)
    low = PLACES - 1
    canvas[low : low + len(sprite), low : low + len(sprite)] = sprite * np.uint8(255)
    return sliding_window_view(canvas, (SIDE, SIDE))


def mask(shape: int, scale: int, angle: int) -> NDArray[np.bool_]:
    """Which pixels around its centre a sprite covers.

    Args:
        shape: level of the shape.
        scale: level of the scale.
        angle: level of the orientation; sprites turn clockwise (y is down).

    Returns:
        (33, 33) bool; the sprite's centre is the centre of pixel [16, 16].
    """
    tenths = 5 + scale  # of the largest
    cos, sin = fixed.circle(4 * _WHOLE)[4 * (angle % _WHOLE)].tolist()
    y, x = _STEP * np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1].astype(np.int64)
    x, y = x - _OFFSET[0], y - _OFFSET[1]
    u, v = x * cos + y * sin, y * cos - x * sin  # turned back
    u, v = 10 * u // (tenths * fixed.UNIT), 10 * v // (tenths * fixed.UNIT)  # on the largest sprite
    if SHAPES[shape] == "square":
        return np.asarray(np.maximum(abs(u), abs(v)) <= _SQUARE)
    if SHAPES[shape] == "ellipse":
        a, b = _ELLIPSE
        return np.asarray((u * b) ** 2 + (v * a) ** 2 <= (a * b) ** 2)
    up = _DROP - v  # the sextic curve of a heart
    return np.asarray((u**2 + up**2 - _HEART**2) ** 3 <= u**2 * up**3 * _HEART)
