"""Dissociation: two objects share colour, texture and shape in all eight combinations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from samediff_stimuli import placed, placed_options, pools, rng
from samediff_stimuli.families.textured import TINTS, Tinted
from samediff_stimuli.fixed import Ints
from samediff_stimuli.placed_options import SceneOptions, scene_of
from samediff_stimuli.placed_task import DEPARTURES
from samediff_stimuli.recipe import InputError, Recipe, option
from samediff_stimuli.table import Column, Table, typed
from samediff_stimuli.tasks import Split, Task
from samediff_stimuli.tasks.shapes import DRAWING, looks

GROUP = 8
# Bits in the authors' order: colour, texture, shape; 1 for the same.
NAMES = tuple(f"{label:03b}" for label in range(GROUP))
BITS = ("color", "texture", "shape")
FAMILY = Tinted()

LABEL = Column(
    name="label",
    dtype="uint8",
    names=NAMES,
    about="three bits, 1 for the same: colour, texture, shape",
)
SAME = tuple(
    Column(
        name=f"same_{bit}",
        dtype="uint8",
        names=("different", "same"),
        about=f"whether both objects have the same {bit}",
    )
    for bit in BITS
)


@dataclass(frozen=True, kw_only=True)
class DissociationOptions(SceneOptions):
    """Options of the dissociation sets.

    Raises:
        InputError: for a value outside its range.
    """

    test: int = option(51200, "images in the test split: 6,400 of each of the eight combinations")

    def __post_init__(self) -> None:
        """Check every range."""
        super().__post_init__()
        if self.items != 2:
            raise InputError(f"items {self.items} is not legal; a dissociation is of 2 objects")
        placed_options.check("test", self.test, GROUP, 10**9)


def columns(recipe: Recipe) -> tuple[Column, ...]:
    """The label, its three bits, and the scene."""
    number = Column(name="object", dtype="int64", shape=(2,), about="number of each object")
    first = (placed_options.INDEX, LABEL, *SAME, placed_options.GROUP_ID, number)
    return (*first, *looks(2, tuple(TINTS)), *placed_options.scene_columns(recipe))


def splits(recipe: Recipe) -> tuple[Split, ...]:
    """One split: these sets are for testing models that were trained on others."""
    assert isinstance(recipe.options, DissociationOptions)  # make_recipe has checked it
    about = f"{FAMILY.count:,} objects; the eight combinations of same and different"
    made = [Split(name="test", rows=recipe.options.test, about=about)]
    found = pools.checked_splits(recipe, made, GROUP)
    groups, exist = recipe.options.test // GROUP, placed_options.arena_of(recipe).pairs()
    if groups > exist and -(-groups // FAMILY.count) > exist:
        raise InputError(
            f"test {recipe.options.test} needs more unique stimuli than exist: each of "
            f"{FAMILY.count} objects has {exist} pairs of places; ask for fewer images"
        )
    return found


def design(recipe: Recipe, split: str, start: int, stop: int) -> Table:
    """Rows [start, stop): groups of eight stimuli, the order inside each group random.

    A group has a base object and one that differs from it in everything; the second object of a
    stimulus takes each attribute from the one or the other, as the stimulus's bits say. All eight
    share places, turns and scales.
    """
    index = np.arange(start, stop)
    first = start // GROUP
    number = np.arange(first, -(-stop // GROUP))
    base, turn = _bases(recipe, number)
    parts = np.stack(list(FAMILY.attributes(base).values()), axis=1)  # shape, texture, colour
    sizes = np.array([16, 16, len(TINTS)])
    words = rng.mix(recipe.key(split, "other"), number[:, None], np.arange(3))
    steps = [1 + rng.below(words[:, i], int(n) - 1) for i, n in enumerate(sizes)]
    other = (parts + np.stack(steps, axis=1)) % sizes
    total = splits(recipe)[0].rows // GROUP
    corners = placed.places(recipe, "test", base, turn, number, total)
    angle, scale = placed.transforms(recipe, split, number)
    shuffled = rng.mix(recipe.key(split, "order"), number[:, None], np.arange(GROUP))
    row = index // GROUP - first
    label = rng.order(shuffled)[row, index % GROUP]
    same = (label[:, None] >> np.array([0, 1, 2])) & 1  # shape, texture, colour
    second = np.where(same > 0, parts[row], other[row])
    weights = np.array([16 * len(TINTS), len(TINTS), 1])
    swap = rng.mix(recipe.key(split, "naming"), number)[row] >> np.uint64(63)
    names = np.stack([swap, 1 - swap], axis=1).astype(np.int64)

    def named(values: Ints) -> Ints:
        return values[np.arange(len(index))[:, None], names]

    things = named(np.stack([base[row], second @ weights], axis=1))
    spots = named(corners[row])
    table = {
        "index": index,
        "label": label,
        **{f"same_{bit}": same[:, 2 - i] for i, bit in enumerate(BITS)},
        "pair_id": number[row],
        "object": things,
        **FAMILY.attributes(things),
        "angle": named(angle[row]),
        "scale": named(scale[row]),
        "box": np.concatenate([spots, spots + scene_of(recipe).object_size], axis=-1),
    }
    return typed(table, columns(recipe))


def _bases(recipe: Recipe, number: Ints) -> tuple[Ints, Ints]:
    """The base object of each group, and how often it was one before."""
    turn = number // FAMILY.count
    order = [_order(recipe, int(t)) for t in np.unique(turn)]
    return np.stack(order)[turn - turn[0], number % FAMILY.count], turn


@lru_cache(maxsize=8)
def _order(recipe: Recipe, turn: int) -> Ints:
    key = recipe.key("test", "bases")
    return rng.order(rng.mix(key, np.arange(FAMILY.count), turn))


def oracle(recipe: Recipe, row: Mapping[str, Any]) -> int:
    """The three bits, from the looks of the two objects."""
    color, texture, shape = (int(row[bit][0] == row[bit][1]) for bit in BITS)
    return 4 * color + 2 * texture + shape


def contains(recipe: Recipe, split: str, row: Mapping[str, Any]) -> bool:
    """Whether the bits and looks are those of the objects, and the objects stand apart."""
    found = FAMILY.attributes(np.array(row["object"]))
    looks_right = all(row[name] == values.tolist() for name, values in found.items())
    bits = all(row[f"same_{bit}"] == int(row[bit][0] == row[bit][1]) for bit in BITS)
    return looks_right and bits and placed.stands(recipe, row)


TASK = Task(
    name="dissociation",
    title="Dissociation: same in colour, texture, shape, in all combinations",
    summary="Two tinted, textured shapes: the same in colour? in texture? in shape?",
    source="tartaglini2023",
    options=DissociationOptions,
    columns=columns,
    group=GROUP,
    variants={
        "N": DissociationOptions(),
        "RS": DissociationOptions(variant="RS", test=6400),
        "patch16": DissociationOptions(placement="patch", patch_size=16, test=6400),
    },
    name_of=placed_options.name_of,
    image_shape=placed_options.image_shape,
    splits=splits,
    design=design,
    paint=lambda recipe, split, scenes: placed.paint(FAMILY, recipe, scenes),
    instances=lambda recipe, split, scenes: placed.instances(FAMILY, recipe, scenes),
    oracle=oracle,
    contains=contains,
    stimulus=lambda recipe, row: placed.scene(row),
    departures=(
        *DRAWING,
        "256 grey objects in Kelly's 20 tints (60 % grey, 40 % tint, as in the released code); the "
        "authors took 300 of their 1,792 objects.",
        "Labels are the three bits, in one balanced split; the released code makes eight sets, all "
        "stored as 'same'. A model's share of 'same' answers by label is the paper's figure.",
        "The eight stimuli of a group show the same places and the same base object.",
        *DEPARTURES[:1],
        "No stimulus occurs twice.",
    ),
    limits=(
        "Tints differ in brightness, as the paper's do, so objects of different colours differ in "
        "luminance; silhouettes and textures do not.",
    ),
)
