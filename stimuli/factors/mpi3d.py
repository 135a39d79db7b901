"""MPI3D: a robot arm that holds an object before a coloured wall, drawn by our own ray casting.

What is known of the published set (Gondal et al. 2019) is kept: factors, their levels and order, an
object at the tip of an arm with a horizontal and a vertical axis of 40 steps each, three heights of
the camera, three colours behind, 64 x 64 pixels in colour. It is neither a copy nor a photograph.
Ours are: the form of the arm and of the objects; the ranges of the axes (148 degrees about the
vertical, so that the object stays on the cameras' side, and 78 degrees of rise); a linkage that
keeps the hand level and with it the object upright; the cameras' places; the materials, colours and
light; and that nothing casts a shadow. Nothing hides the object, and no two images are the same.

An image is three layers of integers (see `mpi3d_scene`), each cast once and then kept: 9 of stage
and wall, 4,800 of the arm, 57,600 of the object.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.factors import Factor, FactorSpace, Levels
from samediff_stimuli.factors import mpi3d_scene as scene

COLORS = ("white", "green", "red", "blue", "brown", "olive")
PAINTS = (
    (255, 255, 255),
    (60, 200, 60),
    (225, 35, 35),
    (45, 80, 235),
    (156, 88, 44),
    (152, 152, 30),
)
STEPS = tuple(range(40))

SPACE = FactorSpace(
    name="mpi3d",
    factors=(
        Factor(name="object_color", values=COLORS, about="the object's paint"),
        Factor(name="object_shape", values=scene.SHAPES, about="the object's form", held=False),
        Factor(name="object_size", values=("small", "large"), about="the object's size"),
        Factor(
            name="camera_height",
            values=("top", "center", "bottom"),
            about="from where the camera looks: from above, about level, or from below",
        ),
        Factor(
            name="background_color",
            values=("purple", "sea green", "salmon"),
            about="the wall behind the arm",
        ),
        Factor(
            name="horizontal_axis",
            values=STEPS,
            about="the arm's turn about the vertical, in steps from left to right",
        ),
        Factor(
            name="vertical_axis",
            values=STEPS,
            about="the forearm's rise, in steps from low to high",
        ),
    ),
)

_PAINTS = np.array(PAINTS, dtype=np.uint16)
_METAL = np.array((244, 249, 255), dtype=np.uint16)
_arm = lru_cache(maxsize=3 * 40 * 40)(scene.arm_layer)
_object = lru_cache(maxsize=6 * 2 * 3 * 40 * 40)(scene.object_layer)


def draw(levels: Levels) -> Iterator[NDArray[np.uint8]]:
    """The image of each row of levels in turn.

    Args:
        levels: (n, 7) int64.

    Yields:
        (64, 64, 3) uint8 RGB, C-contiguous; good until the next is asked for.
    """
    image = np.empty((scene.SIDE, scene.SIDE, 3), dtype=np.uint8)
    for color, shape, size, height, background, pan, lift in levels.tolist():
        image[...] = scene.plate(height, background)
        _lay(image, _arm(height, pan, lift), _METAL)
        _lay(image, _object(shape, size, height, pan, lift), _PAINTS[color])
        yield image


def _lay(image: NDArray[np.uint8], layer: scene.Layer, colour: NDArray[np.uint16]) -> None:
    """Lays a layer of a colour over the image: sums of products over 255, rounded."""
    _, height, width = layer.parts.shape
    under = image[layer.top : layer.top + height, layer.left : layer.left + width]
    through, matte, gloss = layer.parts[..., None].astype(np.uint16)
    total = under * through
    total += matte * colour
    total += gloss * np.uint16(255)
    total += np.uint16(128)
    total += total >> 8  # with the shift below: over 255, exactly, for any sum up to 255 * 255
    under[...] = total >> 8
