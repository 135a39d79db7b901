"""A candle on a brass stick."""

from __future__ import annotations

from samediff_stimuli.blender_scenes.curves import Point, arc, curve, rounded
from samediff_stimuli.blender_scenes.data import Material, Mesh, Model
from samediff_stimuli.blender_scenes.meshes import join, lathe

_SEGMENTS = 64


def _knob(radius: float, tube: float, z: float) -> list[Point]:
    """A round moulding around the stem."""
    return arc((radius, z), tube, -80, 80, 6)


def _build() -> Mesh:
    """A stepped foot, a stem with knobs, a drip pan and a socket; the candle with a wick."""
    foot = rounded([(0.43, 0.0), (0.46, 0.02), (0.46, 0.07), (0.40, 0.085), (0.39, 0.105)], 0.016)
    dome = curve([(0.375, 0.115), (0.30, 0.15), (0.17, 0.20), (0.105, 0.27), (0.085, 0.33)], 4)
    lower = [*_knob(0.095, 0.035, 0.38), (0.062, 0.425), (0.06, 0.435)]
    belly = curve([(0.065, 0.45), (0.135, 0.55), (0.125, 0.63), (0.07, 0.73), (0.055, 0.80)], 4)
    upper = [*_knob(0.065, 0.03, 0.845), (0.05, 0.885), (0.06, 0.90)]
    pan = rounded(
        [(0.06, 0.90), (0.22, 0.925), (0.29, 0.965), (0.30, 0.985), (0.28, 0.985), (0.21, 0.955),
         (0.15, 0.95)], 0.012,
    )  # fmt: skip
    socket = [*_knob(0.135, 0.02, 0.975), (0.14, 1.0), (0.145, 1.10), *_knob(0.15, 0.016, 1.12)]
    rim = [(0.145, 1.137), (0.118, 1.13), (0.118, 1.06), (0.0, 1.06)]
    brass = [(0.0, 0.0), *foot, *dome, *lower, *belly, *upper, *pan, *socket, *rim]
    wax = [
        (0.0, 1.07),
        (0.112, 1.07),
        (0.114, 1.10),
        (0.108, 1.90),
        *arc((0.094, 1.935), 0.013, 0, 120, 4),
    ]
    well = curve([wax[-1], (0.07, 1.925), (0.035, 1.912), (0.0, 1.91)], 3)
    wick = rounded([(0.0, 1.90), (0.012, 1.90), (0.010, 2.00), (0.0, 2.005)], 0.004)
    parts = [brass, [*wax, *well[1:]], wick]
    return join([(lathe(part, _SEGMENTS), number) for number, part in enumerate(parts)])


MODEL = Model(
    name="candlestick",
    about="wax candle on a brass candlestick",
    color="golden",
    symmetric=True,
    materials=(
        Material(name="brass", color=(0.60, 0.31, 0.07), roughness=0.24, metallic=1.0),
        Material(name="wax", color=(0.66, 0.52, 0.33), roughness=0.42, subsurface=0.35),
        Material(name="burnt wick", color=(0.012, 0.010, 0.009), roughness=0.9),
    ),
    build=_build,
)
