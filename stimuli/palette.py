"""Twenty flat colours: 16 for training and 4 for out-of-distribution sets.

Means are those of Lepori et al. 2024 (arXiv 2406.15955; the colour table of the released code).
Names are ours. An object's pixels are N(mean, sd 10) per channel, clipped to [0, 250], so that no
object pixel is background white.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_OOD = 4
BACKGROUND = 255
NOISE_SD = 10
CLIP_MAX = 250

PALETTE: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("pink", (233, 30, 99)),
    ("purple", (156, 39, 176)),
    ("deep_purple", (103, 58, 183)),
    ("indigo", (63, 81, 181)),
    ("light_blue", (3, 169, 244)),
    ("cyan", (0, 188, 212)),
    ("teal", (0, 150, 136)),
    ("green", (76, 175, 80)),
    ("light_green", (139, 195, 74)),
    ("lime", (205, 220, 57)),
    ("yellow", (255, 235, 59)),
    ("orange", (255, 152, 0)),
    ("deep_orange", (255, 87, 34)),
    ("brown", (121, 85, 72)),
    ("grey", (158, 158, 158)),
    ("blue_grey", (120, 144, 156)),
    ("olive", (103, 110, 0)),
    ("light_pink", (255, 155, 238)),
    ("dark_red", (145, 0, 0)),
    ("lavender", (194, 188, 255)),
)

NAMES: tuple[str, ...] = tuple(name for name, _ in PALETTE)


def means() -> NDArray[np.int16]:
    """(20, 3) int16 RGB means in [0, 255]; rows 0-15 training, 16-19 out of distribution."""
    return np.array([rgb for _, rgb in PALETTE], dtype=np.int16)


def luma(rgb: NDArray[np.integer]) -> NDArray[np.int64]:
    """(...) int64: Rec. 601 luma of (..., 3) RGB in [0, 255], rounded as Pillow's mode "L" is."""
    weights = np.array([19595, 38470, 7471])  # 65,536ths
    return np.asarray((rgb.astype(np.int64) @ weights + 0x8000) >> 16)
