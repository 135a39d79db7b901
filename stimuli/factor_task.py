"""Tasks that are grids of factors: one whose set follows from the recipe, or is always the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import factor_sections
from samediff_stimuli.factor_options import FactorOptions, SplitOptions, Variant
from samediff_stimuli.factor_set import AWAY, FactorSet
from samediff_stimuli.factor_set import GRID as GRID
from samediff_stimuli.factors import official
from samediff_stimuli.recipe import InputError, Options, Recipe
from samediff_stimuli.table import Table
from samediff_stimuli.tasks import Task

_SHARD_ROWS = 8000
_SHARD_BYTES = 1 << 28  # decoded images in a shard, so that memory stays flat for large images


def name_of(recipe: Recipe) -> str:
    """E.g. "dsprites-procedural-extrapolation"."""
    assert isinstance(recipe.options, SplitOptions)  # make_recipe has checked it
    return f"{recipe.task}-{recipe.options.tag()}"


def instances(recipe: Recipe, split: str, table: Table) -> NDArray[np.uint8]:
    """Nothing: these sets have no instance maps.

    Raises:
        InputError: always.
    """
    raise InputError(f"{recipe.task!r} has no instance maps; leave them out")


def _shard_rows(image_shape: tuple[int, int, int]) -> int:
    return min(_SHARD_ROWS, max(1, _SHARD_BYTES // math.prod(image_shape)))


def make_task(
    set_of: Callable[[Recipe], FactorSet],
    *,
    name: str,
    title: str,
    summary: str,
    source: str,
    options: type[SplitOptions],
    variants: Mapping[str, Options],
    license: Callable[[Recipe], str],
    missing: Callable[[Recipe], str | None],
    label: str,
    made_here: Callable[[Recipe], bool],
) -> Task:
    """A task of factor sets.

    Args:
        set_of: recipe -> what is the set's own.
        name: see `Task`, as for all that follow.
        title: see `Task`.
        summary: see `Task`.
        source: see `Task`.
        options: see `Task`.
        variants: see `Task`.
        license: see `Task`.
        missing: see `Task`.
        label: see `Task`.
        made_here: see `Task`.
    """
    return Task(
        name=name,
        title=title,
        summary=summary,
        source=source,
        options=options,
        columns=lambda recipe: set_of(recipe).columns(recipe),
        group=1,
        variants=variants,
        name_of=name_of,
        image_shape=lambda recipe: set_of(recipe).image_shape,
        splits=lambda recipe: set_of(recipe).splits(recipe),
        design=lambda recipe, *which: set_of(recipe).design(recipe, *which),
        paint=lambda recipe, *which: set_of(recipe).paint(recipe, *which),
        instances=instances,
        oracle=lambda recipe, row: set_of(recipe).oracle(recipe, row),
        contains=lambda recipe, *which: set_of(recipe).contains(recipe, *which),
        stimulus=lambda recipe, row: set_of(recipe).stimulus(recipe, row),
        departures=(),
        license=license,
        missing=missing,
        shard_rows=lambda recipe: _shard_rows(set_of(recipe).image_shape),
        label=label,
        space=lambda recipe: set_of(recipe).space,
        stored=lambda recipe: set_of(recipe).stored(recipe),
        members=lambda recipe, split: set_of(recipe).members(recipe, split),
        sections=lambda recipe: factor_sections.sections(set_of(recipe), recipe),
        made_here=made_here,
        tags=("disentanglement", "factors-of-variation", "out-of-distribution"),
    )


def make_drawn_task(
    of: FactorSet, *, name: str, summary: str, options: type[FactorOptions]
) -> Task:
    """The task of a set that this package draws, or reads from the archive of its authors."""
    kinds: tuple[Variant, ...] = ("all", "random", "composition", "interpolation", "extrapolation")
    return make_task(
        lambda recipe: of,
        name=name,
        title=of.title,
        summary=summary,
        source="schott2021",
        options=options,
        variants={kind: options(variant=kind) for kind in kinds},
        license=_license,
        missing=_missing,
        label=of.shape,
        made_here=lambda recipe: _drawn(recipe).source == "procedural",
    )


def _license(recipe: Recipe) -> str:
    """Ours, or the archive's."""
    options = _drawn(recipe)
    if options.source == "procedural":
        return "cc-by-4.0"
    return official.published(options.space.name, options.archive_name).license


def _missing(recipe: Recipe) -> str | None:
    """Why images cannot be painted: the archive that they come from, or a list, is not at hand."""
    options = _drawn(recipe)
    if options.materialize and options.labelled and options.split_labels is None:
        return "the label files that list the rows are not at hand; give --split-labels DIR"
    return AWAY if options.source == "official" and options.archive is None else None


def _drawn(recipe: Recipe) -> FactorOptions:
    assert isinstance(recipe.options, FactorOptions)  # make_recipe has checked it
    return recipe.options
