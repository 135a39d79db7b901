"""A jar of honey."""

from __future__ import annotations

from samediff_stimuli.blender_scenes.curves import Point, arc, curve, rounded
from samediff_stimuli.blender_scenes.data import Material, Mesh, Model, Picture
from samediff_stimuli.blender_scenes.meshes import join, lathe
from samediff_stimuli.blender_scenes.objects._paint import bands, spun

_SEGMENTS = 72
_GLASS, _HONEY, _PAPER, _LID = range(4)
_LABEL = (0.28, 0.66)  # from and to this height


def _build() -> Mesh:
    """Honey behind glass with a paper band around it, a glass neck and a tin lid."""
    base: list[Point] = [(0.0, 0.03), (0.30, 0.03), (0.34, 0.0), (0.39, 0.0)]
    base += [*arc((0.39, 0.07), 0.07, -75, -20, 5)]
    wall: list[Point] = [base[-1], (0.47, 0.09), (0.475, 0.20), (0.475, 0.80)]
    shoulder = curve([(0.475, 0.80), (0.462, 0.86), (0.42, 0.92), (0.385, 0.945)], 4)
    neck: list[Point] = [shoulder[-1], (0.375, 0.955), (0.375, 0.985)]
    seam = [*arc((0.375, 1.0), 0.015, -70, 70, 4), (0.375, 1.02), (0.375, 1.04)]
    low, high = _LABEL
    label = [(0.470, low), (0.4785, low), (0.4785, high), (0.470, high), (0.470, low)]
    skirt = [(0.37, 1.03), (0.415, 1.03), *arc((0.418, 1.045), 0.013, -80, 80, 5)]
    skirt += [(0.412, 1.065), (0.412, 1.10), *arc((0.410, 1.11), 0.008, -60, 60, 3)]
    top = rounded(
        [(0.412, 1.125), (0.412, 1.205), (0.36, 1.215), (0.345, 1.205)], [0, 0.03, 0.01, 0]
    )
    lid = [*skirt, *top, (0.0, 1.20)]
    honey = [*rounded(wall, 0.02), *shoulder[1:]]
    glass = [*neck, *seam, (0.0, 1.04)]
    parts = [(base, _GLASS), (honey, _HONEY), (glass, _GLASS), (label, _PAPER)]
    lathes = [(lathe(part, _SEGMENTS, along="height"), material) for part, material in parts]
    closing = [(0.0, 1.03), *lid]
    return join([*lathes, (lathe(closing, _SEGMENTS), _LID)])


def _paper() -> Picture:
    """Cream paper with brown and gold lines at both edges and a brown band."""
    brown, gold = (84, 40, 12), (168, 116, 30)
    marks = [(0.0, 0.04, gold), (0.08, 0.13, brown), (0.30, 0.34, gold), (0.36, 0.64, brown)]
    marks += [(0.66, 0.70, gold), (0.87, 0.92, brown), (0.96, 1.0, gold)]
    return spun(bands("honey label", 256, (214, 192, 146), marks, 0.05))


MODEL = Model(
    name="honey_jar",
    about="jar of honey with a tin lid and a paper band",
    color="amber",
    symmetric=True,
    materials=(
        Material(name="glass", color=(0.42, 0.30, 0.13), roughness=0.06, coat=1.0),
        Material(  # its own light stands for the sun that comes through it
            name="honey behind glass", color=(0.20, 0.058, 0.0), roughness=0.06, coat=0.7,
            emission=0.4,
        ),
        Material(name="paper", color=(0.6, 0.5, 0.3), roughness=0.8, picture=_paper),
        Material(name="gilt tin", color=(0.66, 0.42, 0.13), roughness=0.3, metallic=1.0),
    ),
    build=_build,
)  # fmt: skip
