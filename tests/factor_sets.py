"""The factor sets with fewer levels: the same renderers and splits, small enough to make whole."""

import dataclasses

from samediff_stimuli import tasks
from samediff_stimuli.factor_task import make_drawn_task
from samediff_stimuli.tasks import dsprites, mpi3d, shapes3d

LEVELS = {
    "dsprites": (dsprites, {"scale": 3, "posX": 4, "posY": 3}),
    "shapes3d": (
        shapes3d,
        {"floor_hue": 4, "wall_hue": 4, "object_hue": 3, "scale": 2, "shape": 2, "orientation": 5},
    ),
    "mpi3d": (
        mpi3d,
        {"object_color": 3, "object_shape": 2, "horizontal_axis": 5, "vertical_axis": 4},
    ),
}


def tiny(name):
    """A factor task with the first few levels of some factors."""
    module, sizes = LEVELS[name]
    whole = module.SET.space
    factors = tuple(
        dataclasses.replace(factor, values=factor.values[: sizes.get(factor.name, len(factor))])
        for factor in whole.factors
    )
    space = dataclasses.replace(whole, factors=factors)
    small_set = dataclasses.replace(module.SET, space=space)
    options = type("TinyOptions", (module.TASK.options,), {"space": space})
    task = module.TASK
    return make_drawn_task(small_set, name=name, summary=task.summary, options=options)


def use_tiny(monkeypatch, *names):
    """Put the small sets in the whole ones' place for the length of a test."""
    for name in names or LEVELS:
        monkeypatch.setitem(tasks._FOUND, name, tiny(name))


def use_whole(monkeypatch):
    """Put the whole sets back for a while."""
    for name, (module, _) in LEVELS.items():
        monkeypatch.setitem(tasks._FOUND, name, module.TASK)
