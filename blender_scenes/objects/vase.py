"""A banded vase."""

from __future__ import annotations

from samediff_stimuli.blender_scenes.curves import arc, curve
from samediff_stimuli.blender_scenes.data import Material, Mesh, Model, Picture
from samediff_stimuli.blender_scenes.meshes import join, lathe
from samediff_stimuli.blender_scenes.objects._paint import bands, spun

_SEGMENTS = 80
_HEIGHT = 1.62
_COBALT, _WHITE, _OCHRE = (8, 24, 98), (226, 216, 194), (146, 96, 0)
_LINES = [  # heights and colours of the bands
    (0.08, 0.105, _OCHRE), (0.42, 0.445, _WHITE), (0.465, 0.60, _WHITE), (0.505, 0.56, _OCHRE),
    (0.62, 0.645, _WHITE), (0.80, 0.818, _OCHRE), (1.13, 1.15, _WHITE), (1.17, 1.225, _OCHRE),
    (1.245, 1.265, _WHITE), (1.60, 1.70, _WHITE),
]  # fmt: skip


def _build() -> Mesh:
    """A foot ring of bare clay, a glazed belly, a slender neck, a flared lip, and its inside."""
    foot = [(0.0, 0.03), (0.20, 0.03), (0.215, 0.0), (0.255, 0.0), (0.262, 0.03)]
    belly = [(0.262, 0.03), (0.272, 0.06), (0.37, 0.20), (0.48, 0.42), (0.505, 0.60), (0.45, 0.82)]
    outside = [*belly, (0.31, 1.03), (0.205, 1.20), (0.182, 1.34), (0.225, 1.50), (0.31, 1.60)]
    lip = arc((0.302, 1.604), 0.016, -30, 150, 6)
    inside = [lip[-1], (0.20, 1.49), (0.155, 1.34), (0.18, 1.19), (0.28, 1.02), (0.42, 0.80)]
    hollow = curve([*inside, (0.46, 0.55), (0.33, 0.22), (0.0, 0.12)], 4)
    glazed = [*curve(outside, 5)[:-1], *lip]
    parts = [lathe(foot, _SEGMENTS), lathe(glazed, _SEGMENTS, along="height")]
    return join([(parts[0], 1), (parts[1], 0), (lathe(hollow, _SEGMENTS), 2)])


def _glaze() -> Picture:
    """Bands of white and ochre on cobalt, a little uneven, as a brush leaves them."""
    low, high = 0.03, _HEIGHT
    marks = [((a - low) / (high - low), (b - low) / (high - low), c) for a, b, c in _LINES]
    return spun(bands("vase", 1024, _COBALT, marks, 0.16))


MODEL = Model(
    name="vase",
    about="vase with a cobalt glaze and bands of white and ochre",
    color="blue",
    symmetric=True,
    materials=(
        Material(
            name="glaze", color=(0.004, 0.013, 0.14), roughness=0.14, coat=0.6, picture=_glaze
        ),
        Material(name="clay", color=(0.36, 0.20, 0.10), roughness=0.9),
        Material(name="inner glaze", color=(0.004, 0.010, 0.08), roughness=0.2),
    ),
    build=_build,
)
