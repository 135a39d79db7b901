"""Counterfactual sets: a base image, a counterfactual, and the label that an interchange must give.

An interchange intervention takes a property of the source object from a model's representation of
the counterfactual and puts it into that of the edited object of the base; if the representation has
that property there, the model then answers `target` (distributed alignment search; Lepori et al.
2024, section 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import aligned, aligned_options, das_options, das_scenes, painting
from samediff_stimuli.das_options import FACTORS, GROUP, VIEW, DasOptions, Ints, options_of
from samediff_stimuli.objects import BOTH, COLOR, SAME, SHAPE
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.table import Table, typed
from samediff_stimuli.tasks import Task, View, discrimination, rmts


def design(recipe: Recipe, split: str, start: int, stop: int) -> Table:
    """Rows [start, stop): matched groups of two, the order inside each group random.

    The edited pair of one row of a group differs in the property alone, and that of the other is
    the same, at the same positions and offsets.
    """
    index = np.arange(start, stop)
    at, grid = np.arange(len(index)), das_options.grid_of(recipe)
    base, same = das_scenes.bases(recipe, split, index)
    other = das_scenes.others(recipe, split, index, base, same)
    scene, second = _scene(recipe, base), _scene(recipe, other)
    table = {
        "index": index,
        "target": 1 - scene["label"],
        "factor": base.factor,
        "direction": same,
        "edit": np.where(same, base.pair, 2 + base.pair),
        "edited": other.edited,
        "source": other.source,
        "edited_tokens": grid.tokens(scene["patch"][at, other.edited]),
        "source_tokens": grid.tokens(second["patch"][at, other.source]),
        "pair_id": base.number,
        "role": np.broadcast_to([0, 0, 1, 1], (len(index), 4)),
        **scene,
        **{f"{VIEW}_{name}": values for name, values in second.items()},
    }
    return typed(table, das_options.columns(recipe))


def _scene(recipe: Recipe, shown: das_scenes.Bases | das_scenes.Others) -> dict[str, Ints]:
    """The columns of one of a row's images."""
    alike = shown.looks[:, :, 0] == shown.looks[:, :, 1]  # (n, p, 2): in shape, in colour
    kinds = np.array([[BOTH, SHAPE], [COLOR, SAME]])
    relation = kinds[alike[..., 0].astype(np.int64), alike[..., 1].astype(np.int64)]
    same = relation == SAME
    k = 2 * relation.shape[1]
    looks, patch = shown.looks.reshape(-1, k, 2), shown.patch.reshape(-1, k)
    jitter = shown.jitter.reshape(-1, k, 2)
    return {
        "label": (same[:, 0] if k == 2 else same[:, 0] == same[:, 1]).astype(np.int64),
        "relation": relation[:, 0] if k == 2 else relation,
        "shape": looks[..., 0],
        "color": looks[..., 1],
        **aligned.scene_columns(recipe, das_options.grid_of(recipe), patch, jitter),
    }


def oracle(recipe: Recipe, row: Mapping[str, Any]) -> int:
    """The base task's answer to the base image, from its scene alone."""
    answer = discrimination.oracle if options_of(recipe).n_pairs == 1 else rmts.oracle
    return answer(recipe, row)


def after_interchange(recipe: Recipe, row: Mapping[str, Any]) -> int:
    """The base task's answer once the edited object has the source's value of the property.

    Carried out on the symbolic scenes of both images alone; it must be the row's target.
    """
    name = FACTORS[row["factor"]]
    values = list(row[name])
    values[row["edited"]] = row[f"{VIEW}_{name}"][row["source"]]
    return oracle(recipe, {**row, name: values})


def contains(recipe: Recipe, split: str, row: Mapping[str, Any]) -> bool:
    """The base image is of the split's objects, both images stand as they may, the tokens are those
    of the objects, and the interchange changes the answer to the target."""
    other = counterpart(row)
    grid, display = das_options.grid_of(recipe), [0, 0, 1, 1]
    fits = aligned.admits(recipe, das_options.home(recipe, split), row)
    fits &= aligned.stands(recipe, other)
    for scene, name in ((row, "edited"), (other, "source")):
        fits &= grid.tokens(scene["patch"][row[name]]).tolist() == row[f"{name}_tokens"]
        if options_of(recipe).n_pairs == 2:
            fits &= scene["patch"][:2] == grid.display().tolist() and row["role"] == display
    return fits and after_interchange(recipe, row) == int(row["target"]) != row["label"]


def counterpart(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's counterfactual scene, under the names of the base's columns."""
    mark = f"{VIEW}_"
    own = {name.removeprefix(mark): v for name, v in row.items() if name.startswith(mark)}
    return {**row, **own}


def _paint(recipe: Recipe, split: str, table: Table) -> Iterator[NDArray[np.uint8]]:
    return painting.paint(recipe, f"{split}_{VIEW}", COUNTERFACTUAL.scene(table))


def _instances(recipe: Recipe, split: str, table: Table) -> NDArray[np.uint8]:
    return painting.instances(recipe, split, COUNTERFACTUAL.scene(table))


COUNTERFACTUAL = View(
    name=VIEW,
    about="the image that a property is taken from",
    paint=_paint,
    instances=_instances,
)

TASK = Task(
    name="das",
    title="Counterfactual pairs for interchange interventions",
    summary="Two images: what is the first's label with a shape or colour out of the second?",
    source="lepori2024",
    options=DasOptions,
    columns=das_options.columns,
    group=GROUP,
    variants={
        "p32": DasOptions(),
        "p16-rmts": DasOptions(base="rmts", patch_size=16),
        "p14-rmts-c32": DasOptions(base="rmts", patch_size=14, combinations=32),
        "p16-c32-color": DasOptions(patch_size=16, combinations=32, factor="color"),
    },
    name_of=das_options.name_of,
    image_shape=aligned_options.image_shape,
    splits=das_options.splits,
    design=design,
    paint=painting.paint,
    instances=painting.instances,
    oracle=oracle,
    contains=contains,
    stimulus=aligned.stimulus,
    departures=das_options.DEPARTURES,
    limits=das_options.LIMITS,
    more_views=(COUNTERFACTUAL,),
)
