"""Outlines become pixels: anti-aliased strokes and fills, in integer arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.fixed import Ints

FINE = 4  # sub-pixels along a pixel's side


def stroke(lines: Sequence[Ints], size: int, width: int) -> NDArray[np.uint8]:
    """The coverage of pixels by lines drawn with a round pen.

    Args:
        lines: open polylines, each (n, 2) int64: x, y in sub-pixels from the square's centre.
        size: side of the square in pixels.
        width: pen width in sub-pixels, at least 1.

    Returns:
        (size, size) uint8 in [0, FINE * FINE]: sub-pixels covered.
    """
    return stamp(np.concatenate([dense(line) for line in lines]), size, width)


def stamp(points: Ints, size: int, width: int) -> NDArray[np.uint8]:
    """The coverage of pixels by a round pen set down on each of (n, 2) points; see `stroke`."""
    side = size * FINE
    marks = np.zeros(side * side, dtype=np.bool_)
    points = points + side // 2
    dx, dy = _pen(width)
    reach = width // 2 + 1
    if points.min() >= reach and points.max() < side - reach:
        spots = points[:, 1] * side + points[:, 0]
        marks[(spots[:, None] + (dy * side + dx)).reshape(-1)] = True
    else:
        x, y = points[:, :1] + dx, points[:, 1:] + dy
        inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
        marks[(y * side + x)[inside]] = True
    return coverage(marks.reshape(side, side))


def fill(outline: Ints, size: int) -> NDArray[np.uint8]:
    """The coverage of pixels by a closed outline's inside, even-odd.

    Args:
        outline: (n, 2) int64: x, y in sub-pixels from the square's centre, not repeated at the end.
        size: side of the square in pixels.

    Returns:
        (size, size) uint8 in [0, FINE * FINE].
    """
    side = size * FINE
    steps = 2 * np.arange(side) + 1 - side  # centres of sub-pixels, twice
    x, y = steps[None, :], steps[:, None]
    inside = np.zeros((side, side), dtype=np.bool_)
    corners = (2 * outline).tolist()
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        rows = (y0 <= y) != (y1 <= y)
        left = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
        inside ^= rows & (left > 0 if y1 > y0 else left < 0)
    return coverage(inside)


def coverage(marks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Marks in each tile of FINE x FINE of a square of bools, counted four bytes at a time."""
    side = len(marks) // FINE
    rows = marks.view(np.uint32).reshape(side, FINE, side)
    columns = rows[:, 0] + rows[:, 1] + rows[:, 2] + rows[:, 3]  # in each byte at most 4
    counts = columns * np.uint32(0x01010101) >> np.uint32(24)  # the sum of the four bytes
    return counts.astype(np.uint8)


def dense(line: Ints) -> Ints:
    """Every sub-pixel along a polyline, its ends and corners included."""
    steps = np.diff(line, axis=0)
    counts = np.maximum(np.abs(steps).max(axis=1), 1)
    edge = np.repeat(np.arange(len(steps)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    along = (np.arange(len(edge)) - first)[:, None]
    whole = counts[edge][:, None]
    points = line[:-1][edge] + (2 * steps[edge] * along + whole) // (2 * whole)
    return np.concatenate([points, line[-1:]])


@lru_cache(maxsize=16)
def _pen(width: int) -> tuple[Ints, Ints]:
    """Offsets (dx, dy) of the sub-pixels under a round pen."""
    half = width // 2
    span = np.arange(-half, width - half)
    dx, dy = np.meshgrid(span, span)
    odd = 2 * half + 1 - width  # an even pen is centred on a corner of sub-pixels
    under = (2 * dx + odd) ** 2 + (2 * dy + odd) ** 2 <= width**2
    return dx[under].astype(np.int64), dy[under].astype(np.int64)
