"""Two small datasets, and what is in them however they are read: for tests against a Hub."""

import hashlib

import numpy as np

from samediff_stimuli import generate, make_recipe, tasks

SIZES = {
    "discrimination": {"train": 96, "validation": 16, "test": 8, "ood": 4},
    "squiggles": {"train": 24, "validation": 12, "test": 12},
}


def make(root, seed=0, parquet=True):
    """Task name -> folder of a small dataset."""
    for name, sizes in SIZES.items():
        recipe = make_recipe(name, seed, tasks.get(name).options(**sizes))
        generate(recipe, root / name, workers=1, parquet=parquet)
    return {name: root / name for name in SIZES}


def digest(rows):
    """SHA-256 over pixels and columns of rows: dicts of "image", an RGB picture or array, and
    numbers or lists of numbers."""
    whole = hashlib.sha256()
    for row in rows:
        whole.update(np.asarray(row["image"]).tobytes())
        for name in sorted(set(row) - {"image"}):
            whole.update(f"{name} {np.asarray(row[name]).tolist()}".encode())
    return whole.hexdigest()


def stimuli(data):
    """The rows of one of our datasets, as `digest` takes them."""
    for number in range(len(data)):
        image = data[number]["image"].permute(1, 2, 0).numpy()
        yield {"image": image, **data.table.row(number)}
