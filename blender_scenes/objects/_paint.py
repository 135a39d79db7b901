"""Pictures that depend on height alone, for things that were turned on a lathe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from samediff_stimuli.blender_scenes.data import Picture
from samediff_stimuli.blender_scenes.pictures import Field, Rgb, bytes_of, clouds

_COLUMNS = 8  # all the same


def spun(values: Field) -> Picture:
    """A picture of (rows, 3) colours in [0, 255] from the top, each all the way around."""
    return bytes_of(np.repeat(values[:, None, :], _COLUMNS, axis=1))


def bands(
    name: str, rows: int, ground: Rgb, marks: Sequence[tuple[float, float, Rgb]], grain: float
) -> Field:
    """Rings of paint.

    Args:
        name: seeds the grain.
        rows: of the picture.
        ground: sRGB between the rings.
        marks: start and end in [0, 1] from the bottom, and sRGB, of each ring.
        grain: how much neighbouring rows differ in lightness, as a share.

    Returns:
        (rows, 3) float32 in [0, 255] from the top.
    """
    height = (np.float32(rows) - np.float32(0.5) - np.arange(rows, dtype=np.float32)) / rows
    values = np.empty((rows, 3), dtype=np.float32)
    values[:] = ground
    for start, end, color in marks:
        values[(height >= start) & (height < end)] = color
    soft = clouds(name, (rows, 1), rows / 40, 1, 4) - np.float32(0.5)
    return np.asarray(values * (1 + np.float32(2 * grain) * soft), dtype=np.float32)
