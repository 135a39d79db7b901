"""The objects that can stand on the table, one a module, each of which ends in its MODEL."""

from __future__ import annotations

import pkgutil
from functools import lru_cache
from importlib import import_module
from types import MappingProxyType

from samediff_stimuli.blender_scenes.data import Mesh, Model

# The order in which objects are numbered; modules not named here follow by name.
_ORDER = (
    *("pawn", "vase", "candlestick", "spinning_top", "honey_jar", "mug", "teapot", "book"),
    *("die", "toy_car", "cactus", "desk_lamp", "rubber_duck", "watering_can", "bird_house"),
    "alarm_clock",
)


@lru_cache(maxsize=1)
def registry() -> MappingProxyType[str, Model]:
    """Name -> model of every module in this folder without a leading underscore."""
    found = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    place = {name: number for number, name in enumerate(_ORDER)}
    found.sort(key=lambda name: (place.get(name, len(place)), name))
    models = [import_module(f"{__name__}.{name}").MODEL for name in found]
    return MappingProxyType({model.name: model for model in models})


@lru_cache(maxsize=32)
def mesh_of(name: str) -> Mesh:
    """The mesh of a registered model, built once."""
    return registry()[name].build()
