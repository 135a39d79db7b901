"""A chess pawn of varnished wood."""

from __future__ import annotations

import numpy as np

from samediff_stimuli.blender_scenes.curves import arc, curve, rounded
from samediff_stimuli.blender_scenes.data import Material, Mesh, Model, Picture
from samediff_stimuli.blender_scenes.meshes import join, lathe
from samediff_stimuli.blender_scenes.objects._paint import spun
from samediff_stimuli.blender_scenes.pictures import clouds, shaded

_SEGMENTS = 72
_HEAD = (0.0, 1.215)  # middle of the head
_RADIUS = 0.225
_ROWS = 768  # of the picture


def _build() -> Mesh:
    """A plinth with a torus and a fillet, a waisted stem, two collars and a round head."""
    plinth = rounded([(0.40, 0.0), (0.44, 0.02), (0.44, 0.10), (0.405, 0.12), (0.405, 0.135)], 0.02)
    torus = arc((0.375, 0.175), 0.045, -75, 75, 8)
    ring = rounded([(0.355, 0.225), (0.355, 0.25), (0.315, 0.262), (0.315, 0.285)], 0.012)
    stem = curve([(0.30, 0.295), (0.232, 0.40), (0.172, 0.56), (0.142, 0.74), (0.14, 0.85)], 5)
    low = rounded([(0.14, 0.86), (0.19, 0.868), (0.205, 0.885), (0.19, 0.90), (0.17, 0.905)], 0.012)
    high = rounded(
        [(0.17, 0.91), (0.26, 0.925), (0.272, 0.945), (0.25, 0.965), (0.15, 0.99)], 0.015
    )
    head = [(0.14, 1.03), *arc(_HEAD, _RADIUS, -50, 86, 18), (0.0, _HEAD[1] + _RADIUS)]
    body = [(0.0, 0.0), *plinth, *torus, *ring, *stem, *low, *high, *head]
    return join([(lathe(body, _SEGMENTS), 0)])


def _grain() -> Picture:
    """Fine rings, as the lathe leaves them on dark wood."""
    broad = clouds("pawn", (_ROWS, 1), 60, 1, 3)[:, 0] - np.float32(0.5)
    fine = clouds("pawn fine", (_ROWS, 1), 18, 1, 3)[:, 0] - np.float32(0.5)
    value = np.float32(0.5) + np.float32(0.9) * broad + np.float32(1.1) * fine
    return spun(shaded(value, (30, 9, 3), (80, 29, 9), (128, 57, 18)))


MODEL = Model(
    name="pawn",
    about="chess pawn of varnished dark wood",
    color="brown",
    symmetric=True,
    materials=(
        Material(
            name="varnished wood", color=(0.05, 0.01, 0.004), roughness=0.32, coat=0.7,
            picture=_grain,
        ),
    ),
    build=_build,
)  # fmt: skip
