"""A rubber duck: one blended body with a beak and painted eyes."""

from __future__ import annotations

from samediff_stimuli.blender_scenes.data import Material, Mesh, Model, Vector
from samediff_stimuli.blender_scenes.meshes import ellipsoid, moved, pointed
from samediff_stimuli.blender_scenes.shapes import (
    Field,
    egg,
    frame,
    grounded,
    rod,
    skin,
    standing,
    united,
)

HEAD: Vector = (0.29, 0.0, 0.93)
HEAD_RADII: Vector = (0.31, 0.29, 0.29)
STEP = 0.036
_LOOK: Vector = (0.78, 0.56, 0.28)  # from the middle of the head to the left eye, of length 1


def build() -> Mesh:
    """The body stands on a flat base and looks along x."""
    parts = [
        (skin(_body(), (-0.85, -0.6, -0.1), (0.75, 0.6, 1.35), STEP), 0),
        (skin(_beak(), (0.40, -0.25, 0.70), (0.85, 0.25, 1.05), STEP / 1.4), 1),
    ]
    for side in (1.0, -1.0):
        parts += [(mesh, material) for mesh, material in _eye(side)]
    return standing(parts)


def _body() -> Field:
    """Breast, tail and head with filled seams, and wings."""
    trunk = united(
        egg((-0.02, 0.0, 0.34), (0.58, 0.43, 0.36)),
        egg((0.16, 0.0, 0.42), (0.36, 0.36, 0.34)),
        rod((-0.38, 0.0, 0.48), (-0.70, 0.0, 0.82), 0.20, 0.05),
        blend=0.16,
    )
    whole = united(trunk, egg(HEAD, HEAD_RADII), blend=0.15)
    return grounded(united(whole, _wing(1.0), _wing(-1.0), blend=0.045))


def _wing(side: float) -> Field:
    """A folded wing whose tip points back and a little up."""
    return united(
        egg(
            (-0.06, side * 0.395, 0.42),
            (0.27, 0.075, 0.17),
            frame((0.20, side * 0.24, 0.95), (0.97, side * 0.08, -0.20)),
        ),
        rod((-0.20, side * 0.395, 0.47), (-0.385, side * 0.375, 0.54), 0.07, 0.03),
        blend=0.12,
    )


def _beak() -> Field:
    """Two broad lips, the upper one turned up."""
    upper = egg(
        (0.62, 0.0, 0.885), (0.165, 0.145, 0.048), frame((-0.22, 0.0, 0.97), (1.0, 0.0, 0.22))
    )
    lower = egg(
        (0.59, 0.0, 0.825), (0.135, 0.115, 0.042), frame((0.12, 0.0, 0.99), (1.0, 0.0, -0.12))
    )
    return united(upper, lower, egg((0.54, 0.0, 0.86), (0.10, 0.12, 0.075)), blend=0.035)


def _eye(side: float) -> list[tuple[Mesh, int]]:
    """White, pupil and highlight, painted on the head."""
    x, y, z = _LOOK
    out = []
    for radius, thick, up, ahead, material in (
        (0.105, 0.022, 0.0, 0.0, 3),
        (0.078, 0.030, -0.008, 0.012, 2),
        (0.026, 0.038, 0.030, 0.028, 3),
    ):
        way = (x + ahead, side * y, z + up)
        middle = tuple(c + r * w for c, r, w in zip(HEAD, HEAD_RADII, way, strict=True))
        disc = pointed(ellipsoid((radius, radius, thick), 24, 10), way)
        out.append((moved(disc, (middle[0], middle[1], middle[2])), material))
    return out


MODEL = Model(
    name="rubber_duck",
    about="a yellow rubber duck",
    color="yellow",
    symmetric=False,
    materials=(
        Material(name="yellow rubber", color=(0.63, 0.345, 0.0), roughness=0.34),
        Material(name="orange beak", color=(0.50, 0.055, 0.0), roughness=0.34),
        Material(name="black eye", color=(0.006, 0.006, 0.007), roughness=0.08, coat=1.0),
        Material(name="white of the eye", color=(0.85, 0.85, 0.83), roughness=0.2, coat=0.5),
    ),
    build=build,
)
