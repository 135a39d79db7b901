"""A task of object pairs over one family, from what is its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from samediff_stimuli import placed, placed_options, pools
from samediff_stimuli.families import Family
from samediff_stimuli.placed_options import PlacedOptions
from samediff_stimuli.pools import Pairing
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.table import Column, Table, typed
from samediff_stimuli.tasks import Split, Task

FamilyOf = Callable[[Recipe, str], Family]


def make_task(
    *,
    name: str,
    title: str,
    summary: str,
    options: type[PlacedOptions],
    family: FamilyOf,
    attributes: Callable[[Recipe], tuple[Column, ...]] = lambda recipe: (),
    variants: Mapping[str, PlacedOptions],
    departures: tuple[str, ...],
    pairing: Pairing = pools.chain,
    source: str = "tartaglini2023",
    role: Callable[[str], str] = str,
    splits: Callable[[Recipe], tuple[Split, ...]] | None = None,
    name_of: Callable[[Recipe], str] = placed_options.name_of,
    missing: Callable[[Recipe], str | None] = lambda recipe: None,
) -> Task:
    """A task of object pairs over one family.

    Args:
        name: see `Task`, as for title, summary, options, variants, departures and source.
        title: see `Task`.
        summary: see `Task`.
        options: see `Task`.
        family: (recipe, split) -> the family that the split's objects come from.
        attributes: recipe -> columns of the family's attributes; those of no shape belong to the
            stimulus, the others to each object.
        variants: see `Task`.
        departures: what departs from the paper's set, besides what all such sets have in common.
        pairing: how a round pairs the objects.
        source: see `Task`.
        role: the split whose objects, places and transforms a split takes; its own by default.
        splits: see `Task`; train, validation and test by default.
        name_of: see `Task`.
        missing: see `Task`.
    """

    def columns(recipe: Recipe) -> tuple[Column, ...]:
        stage, items = placed_options.scene_columns(recipe), placed_options.scene_of(recipe).items
        number = Column(name="object", dtype="int64", shape=(items,), about="number of each object")
        first = (placed_options.INDEX, placed_options.LABEL, placed_options.GROUP_ID)
        return (*first, number, *attributes(recipe), *stage)

    def designed(recipe: Recipe, split: str, start: int, stop: int) -> Table:
        drawer = family(recipe, split)
        table = placed.design(pairing, drawer, recipe, role(split), start, stop)
        return typed({**table, **drawer.attributes(table["object"])}, columns(recipe))

    def contains(recipe: Recipe, split: str, row: Mapping[str, Any]) -> bool:
        drawer, numbers = family(recipe, split), np.array([row["object"]])
        members = pools.pool_of(recipe, drawer, role(split)).members
        found = drawer.attributes(numbers)
        looks = all(row[name] == values[0].tolist() for name, values in found.items())
        return looks and bool(np.isin(numbers, members).all()) and placed.stands(recipe, row)

    def stimulus(recipe: Recipe, row: Mapping[str, Any]) -> tuple[object, ...]:
        whole = [row[column.name] for column in attributes(recipe) if not column.shape]
        return (*whole, *placed.scene(row))

    def usual_splits(recipe: Recipe) -> tuple[Split, ...]:
        return pools.default_splits(recipe, family(recipe, "train"))

    return Task(
        name=name,
        title=title,
        summary=summary,
        source=source,
        options=options,
        columns=columns,
        group=pools.GROUP,
        variants=variants,
        name_of=name_of,
        image_shape=placed_options.image_shape,
        splits=splits or usual_splits,
        design=designed,
        paint=lambda recipe, split, scenes: placed.paint(family(recipe, split), recipe, scenes),
        instances=lambda recipe, split, scenes: placed.instances(
            family(recipe, split), recipe, scenes
        ),
        oracle=placed.oracle,
        contains=contains,
        stimulus=stimulus,
        departures=(*departures, *DEPARTURES),
        missing=missing,
    )


DEPARTURES: tuple[str, ...] = (
    "x and y of a place are independent, all places are equally likely, and objects are at least a "
    "pixel apart; in the released code x never equals y and x = 159 never occurs.",
    "Each different stimulus has a matched same stimulus that repeats one of its objects at the "
    "same places, turned and scaled alike; the released code draws them independently.",
    "Every object occurs equally often, to within one in each round, in same and in different "
    "stimuli, with a new partner in each round; the released code draws one fixed set of pairs and "
    "repeats it a random number of times.",
    "No stimulus of two objects occurs twice, within or across splits.",
)
