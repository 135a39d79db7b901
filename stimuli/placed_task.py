"""A task of object pairs over one family, from what is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import placed, placed_options, pools
from samediff_stimuli.families import Family
from samediff_stimuli.placed_options import PlacedOptions
from samediff_stimuli.pools import Pairing
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.table import Column, Table, typed
from samediff_stimuli.tasks import Split, Task


@dataclass(frozen=True, kw_only=True)
class Objects:
    """The objects of a set, and how they are paired.

    Attributes:
        family: (recipe, split) -> the family that the split's objects come from.
        attributes: recipe -> columns of the family's attributes; those of no shape belong to the
            stimulus, the others to each object.
        pairing: how a round pairs the objects.
        role: the split whose objects, places and transforms a split takes; its own by default.
    """

    family: Callable[[Recipe, str], Family]
    attributes: Callable[[Recipe], tuple[Column, ...]] = lambda recipe: ()
    pairing: Pairing = pools.chain
    role: Callable[[str], str] = str

    def splits(self, recipe: Recipe) -> tuple[Split, ...]:
        """Train, validation and test."""
        return pools.default_splits(recipe, self.family(recipe, "train"), self.pairing)

    def columns(self, recipe: Recipe) -> tuple[Column, ...]:
        """The label, the objects, what they are, and where they stand."""
        stage, items = placed_options.scene_columns(recipe), placed_options.scene_of(recipe).items
        number = Column(name="object", dtype="int64", shape=(items,), about="number of each object")
        first = (placed_options.INDEX, placed_options.LABEL, placed_options.GROUP_ID)
        return (*first, number, *self.attributes(recipe), *stage)

    def design(self, recipe: Recipe, split: str, start: int, stop: int) -> Table:
        """Rows [start, stop); see `placed.design`."""
        family, role = self.family(recipe, split), self.role(split)
        table = placed.design(self.pairing, family, recipe, role, start, stop)
        return typed({**table, **family.attributes(table["object"])}, self.columns(recipe))

    def paint(self, recipe: Recipe, split: str, scenes: Table) -> Iterator[NDArray[np.uint8]]:
        """Each image in turn; see `placed.paint`."""
        return placed.paint(self.family(recipe, split), recipe, scenes)

    def instances(self, recipe: Recipe, split: str, scenes: Table) -> NDArray[np.uint8]:
        """Instance maps; see `placed.instances`."""
        return placed.instances(self.family(recipe, split), recipe, scenes)

    def contains(self, recipe: Recipe, split: str, row: Mapping[str, Any]) -> bool:
        """Whether the objects are the split's, are what is said of them, and stand apart."""
        family, numbers = self.family(recipe, split), np.array([row["object"]])
        members = pools.pool_of(recipe, family, self.role(split)).members
        found = family.attributes(numbers)
        looks = all(row[name] == values[0].tolist() for name, values in found.items())
        return looks and bool(np.isin(numbers, members).all()) and placed.stands(recipe, row)

    def stimulus(self, recipe: Recipe, row: Mapping[str, Any]) -> tuple[object, ...]:
        """The identity of a scene, with what belongs to the stimulus as a whole."""
        whole = [row[column.name] for column in self.attributes(recipe) if not column.shape]
        return (*whole, *placed.scene(row))


def make_task(
    objects: Objects,
    *,
    name: str,
    title: str,
    summary: str,
    options: type[PlacedOptions],
    variants: Mapping[str, PlacedOptions],
    departures: tuple[str, ...],
    source: str = "tartaglini2023",
) -> Task:
    """A task of object pairs.

    Args:
        objects: what is paired.
        name: see `Task`, as for all that follow.
        title: see `Task`.
        summary: see `Task`.
        options: see `Task`.
        variants: see `Task`.
        departures: what departs from the paper's set.
        source: see `Task`.
    """
    return Task(
        name=name,
        title=title,
        summary=summary,
        source=source,
        options=options,
        columns=objects.columns,
        group=pools.GROUP,
        variants=variants,
        name_of=placed_options.name_of,
        image_shape=placed_options.image_shape,
        splits=objects.splits,
        design=objects.design,
        paint=objects.paint,
        instances=objects.instances,
        oracle=placed.oracle,
        contains=objects.contains,
        stimulus=objects.stimulus,
        departures=departures,
        limits=LIMITS,
    )


LIMITS: tuple[str, ...] = (
    "Where objects differ in ink or brightness, sums over the image vary more over same stimuli "
    "(one object twice) than over different ones; their means are equal. Likewise the variation of "
    "brightness over the ink is less when both objects are the same.",
)

# Of every set, and of those of Tartaglini et al. 2023.
MATCHED = (
    "Each different stimulus has a matched same stimulus that repeats one of its objects at the "
    "same places, turned and scaled alike; the released code draws them independently."
)
UNIQUE = "No stimulus of two objects occurs twice, within or across splits."
DEPARTURES: tuple[str, ...] = (
    "x and y of a place are independent, all places are equally likely (unless a density or "
    "patches are asked for), and objects are at least a pixel apart; in the released code x never "
    "equals y and x = 159 never occurs.",
    MATCHED,
    "Every object occurs equally often, to within one in each round, in same and in different "
    "stimuli, and rounds pair the objects anew; the released code draws one fixed set of pairs and "
    "repeats it a random number of times.",
    UNIQUE,
)
