"""A spinning top on its foot."""

from __future__ import annotations

from samediff_stimuli.blender_scenes.curves import Point, arc, curve, rounded
from samediff_stimuli.blender_scenes.data import Color, Material, Mesh, Model, Picture
from samediff_stimuli.blender_scenes.meshes import join, lathe
from samediff_stimuli.blender_scenes.objects._paint import bands, spun

_SEGMENTS = 72
_WOOD, _RED, _YELLOW, _GREEN, _DARK = range(5)
_BODY: list[Point] = [  # from the tip to the handle
    (0.025, 0.13), (0.14, 0.26), (0.34, 0.43), (0.515, 0.575), (0.575, 0.66), (0.54, 0.74),
    (0.40, 0.80), (0.24, 0.845), (0.11, 0.90), (0.075, 0.97),
]  # fmt: skip
# which points of the body's curve (5 a piece) each ring of paint spans
_RINGS = [(_WOOD, 0, 5), (_GREEN, 5, 10), (_YELLOW, 10, 14), (_RED, 14, 24), (_YELLOW, 24, 28)]
_RINGS += [(_GREEN, 28, 34), (_RED, 34, 39), (_WOOD, 39, 45)]


def _build() -> Mesh:
    """A dish with a dent, in which the painted body stands on its tip; a turned handle."""
    dish = rounded([(0.28, 0.0), (0.32, 0.02), (0.32, 0.07), (0.27, 0.10)], 0.02)
    dent = curve([(0.25, 0.105), (0.16, 0.10), (0.08, 0.085), (0.0, 0.075)], 3)
    foot = [(0.0, 0.0), *dish, *dent]
    tip = [(0.0, 0.08), *arc((0.0, 0.105), 0.025, -75, 0, 4), (0.025, 0.13)]
    line = curve(_BODY, 5)
    grip = rounded([(0.075, 0.97), (0.072, 1.17), (0.10, 1.20), (0.115, 1.25), (0.10, 1.30)], 0.02)
    knob = [*grip[1:], (0.06, 1.325), (0.0, 1.33)]
    parts = [(lathe(foot, _SEGMENTS), _WOOD), (lathe(tip, _SEGMENTS), _DARK)]
    parts += [(lathe(line[a : b + 1], _SEGMENTS), paint) for paint, a, b in _RINGS]
    parts += [(lathe([line[-1], *knob], _SEGMENTS), _WOOD)]
    return join(parts)


def _turned() -> Picture:
    """Pale wood with fine rings."""
    return spun(bands("spinning top", 512, (160, 104, 40), [], 0.20))


def _paint(name: str, color: Color) -> Material:
    """Gloss paint."""
    return Material(name=name, color=color, roughness=0.25, coat=0.6)


MODEL = Model(
    name="spinning_top",
    about="wooden spinning top with rings of paint, on its foot",
    color="red",
    symmetric=True,
    materials=(
        Material(name="wood", color=(0.5, 0.25, 0.08), roughness=0.42, coat=0.3, picture=_turned),
        _paint("red paint", (0.34, 0.002, 0.002)),
        _paint("yellow paint", (0.50, 0.23, 0.0)),
        _paint("green paint", (0.006, 0.13, 0.03)),
        Material(name="steel", color=(0.35, 0.35, 0.36), roughness=0.3, metallic=1.0),
    ),
    build=_build,
)
