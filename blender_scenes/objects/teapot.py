"""A teapot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samediff_stimuli.blender_scenes.curves import arc, curve, rounded
from samediff_stimuli.blender_scenes.data import Color, Material, Mesh, Model, Picture, Vector
from samediff_stimuli.blender_scenes.meshes import join, lathe, pipe, sweep
from samediff_stimuli.blender_scenes.pictures import Rgb, bytes_of, clouds, noise, shaded

_SEGMENTS = 80
_BODY, _LID, _GLAZE, _BLUE = range(4)
_SHAPE = (512, 1024)
_CREAM: tuple[Rgb, Rgb] = ((186, 160, 108), (214, 190, 140))
_INK: tuple[Rgb, Rgb] = ((8, 22, 92), (22, 50, 132))


def _widths(values: list[float], steps: int) -> list[float]:
    """A smooth sequence through radii at equal steps."""
    return [r for _, r in curve([(float(i), r) for i, r in enumerate(values)], steps)]


def _build() -> Mesh:
    """A round body on a foot ring, a lid with a knob, a bent spout with a hole, an ear."""
    foot = rounded([(0.0, 0.03), (0.29, 0.03), (0.31, 0.0), (0.345, 0.0), (0.36, 0.05)], 0.012)
    belly = curve(
        [
            (0.36, 0.05),
            (0.50, 0.14),
            (0.60, 0.30),
            (0.625, 0.46),
            (0.57, 0.63),
            (0.44, 0.76),
            (0.33, 0.815),
        ],
        6,
    )
    collar = [*arc((0.325, 0.832), 0.017, -45, 135, 5), (0.30, 0.83), (0.0, 0.83)]
    rim = rounded(
        [(0.0, 0.825), (0.285, 0.825), (0.305, 0.845), (0.295, 0.862), (0.27, 0.868)], 0.008
    )
    dome = curve([(0.26, 0.872), (0.20, 0.925), (0.11, 0.958), (0.055, 0.968)], 5)
    knob = curve(
        [(0.045, 0.98), (0.046, 1.0), (0.088, 1.035), (0.094, 1.075), (0.06, 1.112), (0.0, 1.122)],
        4,
    )
    spout: list[Vector] = [
        (0.46, 0.0, 0.27),
        (0.62, 0.0, 0.32),
        (0.745, 0.0, 0.44),
        (0.82, 0.0, 0.60),
    ]
    spout = curve([*spout, (0.885, 0.0, 0.75), (0.975, 0.0, 0.845)], 5)
    radii = _widths([0.19, 0.152, 0.112, 0.088, 0.073, 0.068], 5)
    ear: list[Vector] = [
        (-0.50, 0.0, 0.70),
        (-0.64, 0.0, 0.80),
        (-0.82, 0.0, 0.80),
        (-0.945, 0.0, 0.68),
    ]
    ear = curve(
        [*ear, (-0.955, 0.0, 0.50), (-0.86, 0.0, 0.34), (-0.72, 0.0, 0.26), (-0.57, 0.0, 0.24)], 5
    )
    grip = _widths([0.07, 0.058, 0.053, 0.052, 0.052, 0.052, 0.055, 0.066], 5)
    side: Vector = (0.0, 1.0, 0.0)
    return join([
        (lathe([*foot, *belly[1:], *collar], _SEGMENTS, along="height"), _BODY),
        (lathe([*rim, *dome], _SEGMENTS, along="height"), _LID),
        (lathe([dome[-1], *knob], _SEGMENTS), _BLUE),
        (pipe(spout, radii, 0.018, 24, deep=4, up=side), _GLAZE),
        (sweep(ear, grip, 20, up=side, flat=(0.85, 1.3)), _GLAZE),
    ])  # fmt: skip


def _painted(name: str, shape: tuple[int, int], bands: list[tuple[float, float]]) -> Picture:
    """Speckled cream glaze with blue bands at heights from 0 to 1."""
    rows = shape[0]
    cream = shaded(clouds(f"{name} cream", shape, 60, 90), *_CREAM)
    blue = shaded(clouds(f"{name} blue", shape, 6, 80), *_INK)
    wobble = noise(f"{name} wobble", (1, shape[1]), 1, 60) * np.float32(0.006)
    height = 1 - np.arange(rows, dtype=np.float32)[:, None] / np.float32(rows) + wobble
    inked = np.zeros(shape, dtype=bool)
    for low, high in bands:
        inked |= (height >= low) & (height < high)
    speck = np.clip(
        (noise(f"{name} specks", shape, 4, 4) - np.float32(0.93)) * np.float32(16), 0, 1
    )
    speck = speck[..., None] * np.float32(0.6)
    brown = np.array([96, 58, 26], dtype=np.float32)
    return bytes_of(np.where(inked[..., None], blue, cream * (1 - speck) + brown * speck))


def _body() -> Picture:
    """One broad band between two fine ones around the belly, and a line on the foot."""
    return _painted("teapot", _SHAPE, [(0.08, 0.10), (0.55, 0.57), (0.60, 0.70), (0.73, 0.75)])


def _lid() -> Picture:
    """Two bands around the lid."""
    return _painted("teapot lid", (256, 512), [(0.10, 0.20), (0.50, 0.62)])


def _gloss(name: str, color: Color, picture: Callable[[], Picture] | None = None) -> Material:
    """Glaze."""
    return Material(name=name, color=color, roughness=0.16, coat=0.5, picture=picture)


MODEL = Model(
    name="teapot",
    about="stoneware teapot, cream glaze with blue bands",
    color="cream",
    symmetric=False,
    materials=(
        _gloss("painted glaze", (0.6, 0.5, 0.35), _body),
        _gloss("painted lid", (0.6, 0.5, 0.35), _lid),
        _gloss("cream glaze", (0.58, 0.43, 0.215)),
        _gloss("blue glaze", (0.004, 0.018, 0.17)),
    ),
    build=_build,
)
