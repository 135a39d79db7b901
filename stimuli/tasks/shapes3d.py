"""Shapes3D: one object in a room; three hues, its size and shape, and the view are the factors."""

from __future__ import annotations

from dataclasses import dataclass

from samediff_stimuli.factor_options import FactorOptions
from samediff_stimuli.factor_set import FactorSet
from samediff_stimuli.factor_task import make_drawn_task
from samediff_stimuli.factors import shapes3d


@dataclass(frozen=True, kw_only=True)
class Shapes3DOptions(FactorOptions):
    """Options of Shapes3D."""

    space = shapes3d.SPACE


SET = FactorSet(
    space=shapes3d.SPACE,
    draw=shapes3d.draw,
    image_shape=(64, 64, 3),
    title="Shapes3D",
    look=(
        "Kept: factors, levels and their order, one object in the middle of a room, floor, walls "
        "and object in one hue each, a camera that looks down a little and goes round the room. "
        "Different: the proportions of room and objects, place and lens of the camera, light, "
        "shading and shadow."
    ),
)

TASK = make_drawn_task(
    SET,
    name="shapes3d",
    summary="An object in a room: six factors, and splits that hold levels of them out.",
    options=Shapes3DOptions,
)
