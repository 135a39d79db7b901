"""Sets that the gallery's tests look at besides the usual ones."""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from samediff_stimuli.cards.importing import import_folder
from samediff_stimuli.cards.listing import scan

RELEASES = Path(__file__).resolve().parents[1] / "cards" / "releases"
HOSTILE = "<img src=x onerror=document.title='gone'>"


def imported(folder):
    """An imported dataset, one of whose classes is named like an element of a page."""
    source = folder / "source"
    for number, name in enumerate((HOSTILE, 'cats & "dogs"')):
        (source / name).mkdir(parents=True)
        for k in range(6):
            values = np.full((20, 30, 3), 40 * k + number, dtype=np.uint8)
            values[5:15, 8:20] = 255 - values[0, 0]
            Image.fromarray(values).save(source / name / f"{k}.png")
    import_folder(
        scan(source, None), folder / "imported", workers=1, parquet=False, license="cc0-1.0"
    )
    return folder / "imported"


def report(digest):
    """A released report, of a dataset of this digest; its second epoch came to grief."""
    found = json.loads((RELEASES / "discrimination-p32" / "validation.json").read_text())
    curve = [
        {"epoch": epoch, "train": value, "validation": value}
        for epoch, value in enumerate((0.6, math.nan, 0.9))
    ]
    run = found["recipes"]["quick"]["runs"]["small"]
    reached = run["splits"]["test"] | {"n": 48, "value": 0.9, "low": 0.8, "high": 1.0}
    run |= {"curve": curve, "splits": {"test": reached}}
    return found | {"digest": digest}
