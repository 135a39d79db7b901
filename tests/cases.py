"""Every set that the tests loop over: variants of each task, one of a folder, and grids."""

import atexit
import shutil
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from samediff_stimuli import make_recipe, rng, tasks
from samediff_stimuli.tasks.naturalistic import NaturalisticOptions

FOLDERS = {"folder-N": {}, "folder-RS": {"variant": "RS"}}  # naturalistic with the user's pictures
FEW = {"train_objects": 40, "validation_objects": 12, "test_objects": 8}
FACTOR_SETS = ["dsprites", "mpi3d", "shapes3d"]  # grids of factors: see test_factor_contract
CASES = [
    (name, variant)
    for name, task in tasks.registry().items()
    for variant in task.variants
    if name not in FACTOR_SETS
]
CASES += [("naturalistic", variant) for variant in FOLDERS]
FACTOR_CASES = [(name, "all") for name in FACTOR_SETS]  # all ways to split at once


@lru_cache(maxsize=1)
def pictures():
    """A folder of sixty pictures, drawn in integers, on transparency or on white."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    y, x = np.mgrid[:90, :120]
    for number in range(60):
        words = rng.below(rng.mix(5, number, np.arange(16)), 256)
        cx, cy, rx, ry = [45, 40, 14, 12] + words[:4] * [30, 10, 25, 25] // 256
        disc = ((x - cx) * ry) ** 2 + ((y - cy) * rx) ** 2 < (rx * ry) ** 2
        left, top = 10 + words[4:6] * [50, 30] // 256
        box = (x >= left) & (x < left + 15 + words[6] // 8) & (y >= top) & (y < top + 40)
        rgba = np.full((90, 120, 4), 255, dtype=np.uint8)
        rgba[..., 3] = np.where(disc | box, 255, 0)
        rgba[disc, :3] = words[7:10] * 230 // 256
        rgba[box, :3] = words[10:13] * 230 // 256
        if number % 2:
            rgba[~(disc | box)] = 255
        Image.fromarray(rgba).save(folder / f"{number:02d}.png")
    return folder


def recipe_of(name, variant):
    """The recipe of a case, seed 0; few objects where every one of them takes time to make."""
    if name == "naturalistic" and variant in FOLDERS:
        made = NaturalisticOptions(objects=pictures(), **FEW, **FOLDERS[variant])
        return make_recipe(name, 0, made)
    options = tasks.get(name).variants[variant]
    return make_recipe(name, 0, few(options))


def few(options):
    """The same options, with few objects if these are pictures."""
    return replace(options, **FEW) if isinstance(options, NaturalisticOptions) else options
