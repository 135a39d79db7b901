"""MPI3D: a robot arm holds an object up; what it holds, the view and two joints are the factors."""

from __future__ import annotations

from dataclasses import dataclass

from samediff_stimuli.factor_options import FactorOptions
from samediff_stimuli.factor_set import FactorSet
from samediff_stimuli.factor_task import make_drawn_task
from samediff_stimuli.factors import mpi3d


@dataclass(frozen=True, kw_only=True)
class MPI3DOptions(FactorOptions):
    """Options of MPI3D."""

    space = mpi3d.SPACE


SET = FactorSet(
    space=mpi3d.SPACE,
    draw=mpi3d.draw,
    image_shape=(64, 64, 3),
    title="MPI3D",
    look=(
        "Kept: factors, levels and their order, a metal arm with two joints that holds a small "
        "object before a coloured ground, seen from three heights. Different: the arm's form, the "
        "ranges of its joints, materials and light; nothing is a photograph."
    ),
    shape="object_shape",
)

TASK = make_drawn_task(
    SET,
    name="mpi3d",
    summary="A robot arm with an object: seven factors, and splits that hold levels of them out.",
    options=MPI3DOptions,
)
