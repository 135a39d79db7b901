"""What a dataset can be exported to: each format is a module, found through the table `MODULES`.

A format is a frozen dataclass whose fields are its options; see `samediff_stimuli.cards.exports.
format.Format`. A new one is a new module that ends in the constant `FORMAT`, its class, and a line
here, which is all that the command line needs to know before it runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samediff_stimuli.cards.exports.format import Format

MODULES = {
    "png": "png",
    "coco": "coco",
    "parquet": "parquet",
    "webdataset": "webdataset",
    "numpy": "arrays",
    "trials": "trials",
    "benchmark-npz": "benchmark",
}


def get(name: str) -> type[Format]:
    """The format of a name.

    Raises:
        InputError: if there is none.
    """
    from samediff_stimuli.recipe import InputError

    if name not in MODULES:
        raise InputError(f"unknown format {name!r}; known: {', '.join(MODULES)}")
    module = import_module(f"{__name__}.{MODULES[name]}")
    found: type[Format] = module.FORMAT
    return found
