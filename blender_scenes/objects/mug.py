"""A mug of coffee."""

from __future__ import annotations

import numpy as np

from samediff_stimuli.blender_scenes.curves import arc, curve, rounded
from samediff_stimuli.blender_scenes.data import Material, Mesh, Model, Picture
from samediff_stimuli.blender_scenes.meshes import join, lathe, sweep
from samediff_stimuli.blender_scenes.pictures import bytes_of, clouds, noise, shaded

_SEGMENTS = 80
_OUTSIDE, _INSIDE, _COFFEE, _HANDLE = range(4)
_SHAPE = (384, 768)


def _build() -> Mesh:
    """A wall with a thickness, a foot ring, a handle that widens where it joins, and coffee."""
    foot = [(0.0, 0.03), (0.31, 0.03), (0.325, 0.0), (0.36, 0.0), (0.425, 0.05), (0.44, 0.13)]
    lip = arc((0.422, 0.965), 0.018, 0, 180, 8)
    outside = [*rounded([*foot, (0.44, 0.9), lip[0]], 0.02), *lip[1:5]]
    inside = rounded([*lip[4:], (0.404, 0.14), (0.36, 0.07), (0.0, 0.06)], 0.04)
    coffee = [(0.0, 0.70), (0.402, 0.70), (0.402, 0.855), (0.396, 0.848), (0.0, 0.846)]
    ear = [(0.415, 0.0, 0.80), (0.50, 0.0, 0.825), (0.62, 0.0, 0.82), (0.715, 0.0, 0.745)]
    ear += [(0.745, 0.0, 0.60), (0.715, 0.0, 0.44), (0.62, 0.0, 0.315), (0.50, 0.0, 0.25)]
    path = curve([*ear, (0.415, 0.0, 0.225)], 5)
    thick = [0.078, 0.064, 0.058, 0.056, 0.055, 0.055, 0.057, 0.063, 0.078]
    radii = [z for _, z in curve([(float(i), r) for i, r in enumerate(thick)], 5)]
    handle = sweep(path, radii, 20, up=(0.0, 1.0, 0.0), flat=(0.82, 1.35))
    return join([
        (lathe(outside, _SEGMENTS, along="height"), _OUTSIDE),
        (lathe(inside, _SEGMENTS), _INSIDE),
        (lathe(coffee, _SEGMENTS), _COFFEE),
        (handle, _HANDLE),
    ])  # fmt: skip


def _glaze() -> Picture:
    """Teal glaze that ends in an uneven line above bare clay with iron specks."""
    rows, columns = _SHAPE
    height = 1 - np.arange(rows, dtype=np.float32)[:, None] / np.float32(rows)
    soft = clouds("mug glaze", _SHAPE, 60, 90, 4)
    glaze = shaded(
        soft * np.float32(0.8) + height * np.float32(0.2), (4, 58, 66), (6, 88, 92), (18, 116, 112)
    )
    clay = shaded(clouds("mug clay", _SHAPE, 8, 60, 3), (140, 92, 56), (176, 124, 80))
    line = np.float32(0.25) + np.float32(0.05) * clouds("mug line", (1, columns), 1, 120, 3)
    edge = np.clip((height - line) * np.float32(90), 0, 1)[..., None]
    thin = np.clip((height - line) * np.float32(14), 0, 1)[..., None]  # glaze thins at its end
    glaze = glaze * (np.float32(0.55) + np.float32(0.45) * thin)
    top = np.clip((height - np.float32(0.955)) * np.float32(60), 0, 1)[..., None]
    glaze = glaze * (1 - top * np.float32(0.5)) + np.float32(0.5) * top * np.array(
        [124, 84, 50], np.float32
    )
    speck = np.clip(
        (noise("mug specks", _SHAPE, 3.5, 3.5) - np.float32(0.90)) * np.float32(14), 0, 1
    )
    color = clay * (1 - edge) + glaze * edge
    return bytes_of(color * (1 - np.float32(0.7) * speck[..., None]))


def _drink() -> Picture:
    """Coffee, lighter at its rim; v runs from the middle of its bottom to that of its top."""
    reach = np.arange(256, dtype=np.float32)[::-1, None] / np.float32(255)
    rim = np.clip(1 - np.abs(reach - np.float32(0.565)) * np.float32(14), 0, 1)
    return bytes_of(shaded(rim + np.zeros((256, 8), np.float32), (26, 11, 5), (120, 66, 26)))


MODEL = Model(
    name="mug",
    about="stoneware mug of coffee, teal glaze over bare clay",
    color="teal",
    symmetric=False,
    materials=(
        Material(
            name="glaze and clay", color=(0.0, 0.1, 0.11), roughness=0.2, coat=0.4, picture=_glaze
        ),
        Material(name="inner glaze", color=(0.50, 0.40, 0.27), roughness=0.2, coat=0.4),
        Material(name="coffee", color=(0.01, 0.004, 0.002), roughness=0.05, picture=_drink),
        Material(name="glaze", color=(0.002, 0.095, 0.105), roughness=0.2, coat=0.4),
    ),
    build=_build,
)
