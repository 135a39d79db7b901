"""dSprites: one white sprite on black; shape, scale, orientation and place are the factors."""

from __future__ import annotations

from dataclasses import dataclass

from samediff_stimuli.factor_options import FactorOptions
from samediff_stimuli.factor_set import FactorSet
from samediff_stimuli.factor_task import make_drawn_task
from samediff_stimuli.factors import dsprites


@dataclass(frozen=True, kw_only=True)
class DspritesOptions(FactorOptions):
    """Options of dSprites."""

    space = dsprites.SPACE


SET = FactorSet(
    space=dsprites.SPACE,
    draw=dsprites.draw,
    image_shape=(64, 64, 1),
    title="dSprites",
    look=(
        "Kept: factors, levels and their order, one white sprite in a binary image of 64 x 64 "
        "pixels, never cut off. Different: the outline of the heart, the exact sizes (a square "
        "of 11 to 22 pixels), places one pixel apart, sprites that turn about a point beside a "
        "pixel's centre (so that only twins show the same), pixels of 0 and 255 instead of 1."
    ),
    turns=dsprites.TURNS,
)

TASK = make_drawn_task(
    SET,
    name="dsprites",
    summary="A white sprite on black: five factors, and splits that hold levels of them out.",
    options=DspritesOptions,
)
