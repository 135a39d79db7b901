"""How far each view of `shortcut_views` can get on each set, by theory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samediff_stimuli.aligned_options import GridOptions
from samediff_stimuli.families.textured import APPEARANCES
from samediff_stimuli.models.predictions import Ints
from samediff_stimuli.models.shortcut_views import (
    COLORS,
    FILE_SIZE,
    INK,
    ONE_OBJECT,
    PIXELS,
    POSITION,
    VIEWS,
)
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.table import Table
from samediff_stimuli.tasks.shapes import ShapesOptions


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """How far a view can get.

    Attributes:
        value: accuracy in [0, 1], or None where nothing is known beforehand.
        why: the derivation, in a sentence.
    """

    value: float | None
    why: str


_HALF = {
    PIXELS: "1/2: such a sum adds up what each object gives at its place, and objects and places "
    "are as frequent under one label as under the other, so its mean is the same under both and "
    "least squares finds nothing.",
    INK: "1/2: its mean is the same under both labels, since every object is as frequent under one "
    "as under the other.",
    POSITION: "1/2: the stimuli of a matched group share all places.",
    ONE_OBJECT: "1/2: every object is as frequent under one label as under the other.",
}
_WHOLE = {
    COLORS: "1: objects differ in colour as they do, and that can be enough to tell them apart.",
    FILE_SIZE: "1: a compressor finds what occurs twice, so it compares.",
}
_COLORS_ALONE = (
    "is what the best observer reaches that knows which objects share a colour, and nothing else "
    "(5/6 on discrimination: all same pairs share it, and a third of the different ones; 13/18 on "
    "rmts)."
)
_EDGES = (
    "1: objects have one colour, but the edges of their lines have shades, more or fewer of each "
    "by object; two objects alike have twice the same, which tells without a look at form."
)
_ONE_HISTOGRAM = "1/2: the histograms of all objects are equal."
_UNKNOWN = "Nothing is known of it beforehand: it should be at chance."

_ALIGNED = ("discrimination", "rmts", "quads", "das")
_LINES = ("squiggles", "alphanumerics", "transfer")
_KNOWN = (*_ALIGNED, *_LINES, "shapes", "dissociation", "naturalistic", "photoreal")


def ceilings(recipe: Recipe, table: Table, label: Ints, objects: int) -> dict[str, Ceiling]:
    """The ceiling of every view on some stimuli of a set.

    Args:
        recipe: of the set.
        table: the stimuli.
        label: (n,) int64: what is to be told of them.
        objects: how many objects the label is about, the first ones.
    """
    if recipe.task not in _KNOWN:
        return {view.name: Ceiling(value=None, why=_UNKNOWN) for view in VIEWS}
    found = {name: Ceiling(value=0.5, why=why) for name, why in _HALF.items()}
    found |= {name: Ceiling(value=1.0, why=why) for name, why in _WHOLE.items()}
    options = recipe.options
    if recipe.task in _LINES:
        found[COLORS] = Ceiling(value=1.0, why=_EDGES)
    elif isinstance(options, ShapesOptions) and not APPEARANCES[options.appearance][0]:
        found[COLORS] = Ceiling(value=0.5, why=_ONE_HISTOGRAM)
    elif "color" in table:
        value = ideal(table, "color", label, objects)
        found[COLORS] = Ceiling(value=value, why=f"Its ceiling {_COLORS_ALONE}")
        if isinstance(options, GridOptions) and options.noise:
            why = f"Noise is new in each object: size tells of colours; its ceiling {_COLORS_ALONE}"
            found[FILE_SIZE] = Ceiling(value=value, why=why)
    return found


def ideal(table: Table, name: str, label: Ints, objects: int) -> float:
    """What the best observer reaches that sees one attribute of every object and nothing else.

    It knows which objects share the attribute (within the display and within the sample, where
    there are roles), and gives the likelier label; labels weigh alike. On discrimination, same
    pairs share a colour and so does a third of the different ones: 1/2 + 1/2 * 2/3 = 5/6.

    Args:
        table: has a column of that name, of one class for each object.
        name: the attribute, e.g. "color".
        label: (n,) int64.
        objects: how many objects the label is about.
    """
    values = table[name][:, :objects].astype(np.int64)
    i, j = np.triu_indices(values.shape[1], k=1)
    if "role" in table:
        within = table["role"][0][i] == table["role"][0][j]
        i, j = i[within], j[within]
    shared = (values[:, i] == values[:, j]) @ (1 << np.arange(len(i)))
    _, pattern = np.unique(shared, return_inverse=True)
    classes, number = np.unique(label, return_inverse=True)
    counts = np.zeros((int(pattern.max()) + 1, len(classes)))
    np.add.at(counts, (pattern, number), 1)
    return float((counts / counts.sum(axis=0)).max(axis=1).sum() / len(classes))
