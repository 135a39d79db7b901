"""Sixteen textures of our own: integer fields on a square, of which only the rank order counts.

A drawing sorts the pixels of a silhouette by field value and deals one fixed set of grey levels
out in that order, so a texture shows in where light and dark lie and never in how much of each
there is. For that to work in every silhouette each texture is half light and half dark wherever one
looks, and repeats about every 8 to 20 shown pixels (a shown pixel is 8 field steps). No two differ
by a turn alone. The arithmetic is exact, so the bytes are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.rng import mix, stream_key

Ints = NDArray[np.int64]

SIDE = 512  # field steps along the side of an object's box, which is shown at 64 px
_UNIT = 1 << 12  # amplitude of a wave
_EASE = 1 << 10  # two weights of an interpolation add up to it
_RANGE = 1 << 31  # fields fill [0, _RANGE)


def _wave(phase: Ints, period: int) -> Ints:
    """A sine of amplitude `_UNIT` by Bhaskara's rational formula, within 0.2 % of it."""
    half = period // 2
    part = phase % half
    bow = 4 * part * (half - part)
    arch = 4 * _UNIT * bow // (5 * half * half - bow)
    return np.where(phase % period < half, arch, -arch)


def _fold(position: Ints, period: int) -> Ints:
    """A triangle wave in [0, period]: twice the distance to the middle of the period."""
    return np.abs(2 * (position % period) + 1 - period)


def _root(square: Ints) -> Ints:
    """The integer square root; exact below 2**52, as IEEE 754 rounds roots correctly."""
    return np.sqrt(square).astype(np.int64)


def _polar(x: Ints, y: Ints) -> tuple[Ints, Ints, Ints]:
    """Right and down of the square's middle and the distance to it, in half steps."""
    right, down = 2 * x + 1 - SIDE, 2 * y + 1 - SIDE
    return right, down, _root(right * right + down * down)


def _noise(name: str, x: Ints, y: Ints, wide: int, high: int) -> Ints:
    """Value noise in [0, 65536) on cells of wide x high steps.

    The hashes at the cells' corners come in pairs of opposites, side by side, so that no part of
    the square is lighter than another; in between they are joined by cubic easing.
    """
    (column, right), (row, down) = np.divmod(x, wide), np.divmod(y, high)
    rows = np.arange(SIDE // high + 2, dtype=np.int64)[:, None]
    shifted = np.arange(SIDE // wide + 2, dtype=np.int64)[None, :] + rows % 2
    word = mix(stream_key("textures", name), shifted // 2, rows) >> np.uint64(48)
    corner = np.abs(word.astype(np.int64) - 65535 * (shifted % 2))
    ease_x = right * right * (3 * wide - 2 * right) * _EASE // wide**3
    ease_y = down * down * (3 * high - 2 * down) * _EASE // high**3
    above = corner[row, column] * (_EASE - ease_x) + corner[row, column + 1] * ease_x
    below = corner[row + 1, column] * (_EASE - ease_x) + corner[row + 1, column + 1] * ease_x
    joined: Ints = above * (_EASE - ease_y) + below * ease_y
    return joined // (_EASE * _EASE)


def _stripes(x: Ints, y: Ints) -> Ints:
    """Diagonal, with soft edges."""
    return _wave(x + y, 112)


def _blinds(x: Ints, y: Ints) -> Ints:
    """Horizontal slats, each from dark at its top to light at its bottom."""
    return 3 * y % 256 + 0 * x


def _zigzag(x: Ints, y: Ints) -> Ints:
    """Slats folded into a row of gables."""
    return (2 * y + _fold(x, 192)) % 208


def _checks(x: Ints, y: Ints) -> Ints:
    """A chessboard; each square is strongest at its edge."""
    size = 72
    depth = np.maximum(_fold(x, size), _fold(y, size)) + 2 * size
    return np.where((x // size + y // size) % 2 == 0, depth, -depth)


def _dots(x: Ints, y: Ints) -> Ints:
    """Light discs, lightest at their rims, on a hexagonal lattice in a dark ground."""
    pitch, rows = 128, 222  # rows / pitch is sqrt(3) to 0.2 %
    here = _fold(x, pitch) ** 2 + _fold(y, rows) ** 2
    between = _fold(x + pitch // 2, pitch) ** 2 + _fold(y + rows // 2, rows) ** 2
    square: Ints = np.minimum(here, between)  # of twice the distance
    return np.where(square < 9045, square, -square)  # pitch * rows / pi: half is disc


def _triangles(x: Ints, y: Ints) -> Ints:
    """Light triangles that point up, dark ones that point down."""
    height = 8 * 112
    lines = (8 * y, 7 * x + 4 * y, 7 * x - 4 * y)
    light = sum(line // height for line in lines) % 2 == 1
    folds = [_fold(line, height) for line in lines]
    depth = height - np.maximum(np.maximum(folds[0], folds[1]), folds[2])
    return np.where(light, depth, -depth)


def _net(x: Ints, y: Ints) -> Ints:
    """Light cords along both diagonals over dark meshes."""
    return np.maximum(_wave(x + y, 128), _wave(x - y, 128))


def _rings(x: Ints, y: Ints) -> Ints:
    """Concentric about the middle."""
    return _wave(_polar(x, y)[2], 192)


def _rays(x: Ints, y: Ints) -> Ints:
    """Twelve from the middle, fading into it: the cosine of twelve times the angle."""
    right, down, radius = _polar(x, y)
    turn = real, imaginary = right * _UNIT // radius, down * _UNIT // radius
    for _ in range(11):
        real, imaginary = (
            (real * turn[0] - imaginary * turn[1]) // _UNIT,
            (real * turn[1] + imaginary * turn[0]) // _UNIT,
        )
    return real * np.minimum(radius, 192) // 192


def _bricks(x: Ints, y: Ints) -> Ints:
    """Long light bricks in dark mortar, each row half a brick along."""
    high, wide = 88, 176
    along = x + wide // 2 * (y // high)
    return -np.maximum(_fold(along, wide) - (wide - high), _fold(y, high))


def _weave(x: Ints, y: Ints) -> Ints:
    """Round strands, over and under by turns."""
    strand = 96
    across, down = _fold(x, strand) ** 2, _fold(y, strand) ** 2
    level = (x // strand + y // strand) % 2 == 0
    return -np.where(level, 3 * down + across, 3 * across + down)


def _scales(x: Ints, y: Ints) -> Ints:
    """Fish scales, from light at the middle to dark at the rim; upper rows lie over lower ones."""
    pitch, rise = 128, 72
    field = np.zeros((SIDE, SIDE), dtype=np.int64)
    for below in (1, 0, -1):
        row = y // rise + below
        square = _fold(x + pitch // 2 * (row % 2), pitch) ** 2 + (2 * (y - row * rise)) ** 2
        field = np.where(square <= (2 * 76) ** 2, -square, field)
    return field


def _loops(x: Ints, y: Ints) -> Ints:
    """Winding light cords: Truchet tiles of two quarter circles, turned at random."""
    tile = 112
    turned = mix(stream_key("textures", "loops"), x // tile, y // tile) >> np.uint64(63) == 1
    across, down = _fold(x, 2 * tile), _fold(y, 2 * tile)
    across = np.where(turned, 2 * tile - across, across)
    first: Ints = across**2 + down**2  # of twice the distance to a corner
    second: Ints = (2 * tile - across) ** 2 + (2 * tile - down) ** 2
    return -np.abs(_root(np.minimum(first, second) << 8) - 16 * tile)


def _cells(x: Ints, y: Ints) -> Ints:
    """Light cells in dark walls: how much farther the second nearest of scattered points is."""
    size = 104
    line = np.arange(-1, SIDE // size + 2, dtype=np.int64)
    word = mix(stream_key("textures", "cells"), line[None, :], line[:, None])
    jitter_x, jitter_y = ((word >> np.uint64(k) & np.uint64(63)).astype(np.int64) for k in (0, 32))
    nearest = second = np.full((SIDE, SIDE), 1 << 30, dtype=np.int64)
    for shift in range(9):
        row, column = y // size + shift // 3, x // size + shift % 3  # into the tables
        left = x - (column - 1) * size - 20 - jitter_x[row, column]
        above = y - (row - 1) * size - 20 - jitter_y[row, column]
        square = left * left + above * above
        second = np.minimum(second, np.maximum(nearest, square))
        nearest = np.minimum(nearest, square)
    return _root(second << 10) - _root(nearest << 10)


def _clouds(x: Ints, y: Ints) -> Ints:
    """Soft patches of two sizes."""
    return 2 * _noise("clouds", x, y, 64, 64) + _noise("wisps", x, y, 56, 56)


def _wood(x: Ints, y: Ints) -> Ints:
    """Vertical grain that winds around knots."""
    return _wave(16 * x + _noise("wood", x, y, 112, 128) // 40, 88 * 16)


_TEXTURES: dict[str, Callable[[Ints, Ints], Ints]] = {
    "stripes": _stripes,
    "blinds": _blinds,
    "zigzag": _zigzag,
    "checks": _checks,
    "dots": _dots,
    "triangles": _triangles,
    "net": _net,
    "rings": _rings,
    "rays": _rays,
    "bricks": _bricks,
    "weave": _weave,
    "scales": _scales,
    "loops": _loops,
    "cells": _cells,
    "clouds": _clouds,
    "wood": _wood,
}
NAMES: tuple[str, ...] = tuple(_TEXTURES)


@lru_cache(maxsize=1)
def fields() -> NDArray[np.int32]:
    """All textures; equal values are told apart by smooth noise first and by a hash then.

    Returns:
        (16, 512, 512) int32 in [0, 2**31), larger = lighter, in the order of `NAMES`; rows from
        the top, columns from the left; cached and read-only.
    """
    x, y = np.arange(SIDE, dtype=np.int64)[None, :], np.arange(SIDE, dtype=np.int64)[:, None]
    white = (mix(stream_key("textures", "ties"), x, y) >> np.uint64(48)).astype(np.int64)
    tie = (_noise("ties", x, y, 64, 64) << 16) + white  # in [0, 2**32)
    stack = np.empty((len(NAMES), SIDE, SIDE), dtype=np.int32)
    for index, texture in enumerate(_TEXTURES.values()):
        field = texture(x, y)
        step = _RANGE // (int(field.max()) - int(field.min()) + 1)  # room for ties at each value
        stack[index] = (field - field.min()) * step + (tie * step >> 32)
    stack.flags.writeable = False
    return stack
