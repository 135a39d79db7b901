"""The transfer battery: train on one kind of contour, test on ten."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from samediff_stimuli import placed_options, pools
from samediff_stimuli.families.contours import ABOUT, CONDITIONS, FINITE, Condition, Contours
from samediff_stimuli.placed_options import PlacedOptions, Variant
from samediff_stimuli.placed_task import MATCHED, UNIQUE, Objects, make_task
from samediff_stimuli.recipe import InputError, Recipe, option
from samediff_stimuli.table import Column
from samediff_stimuli.tasks import Split

TEST = "test_"  # test splits are named after their conditions


@dataclass(frozen=True, kw_only=True)
class TransferOptions(PlacedOptions):
    """Options of the transfer battery.

    Raises:
        InputError: for a value outside its range.
    """

    condition: Condition = option("original", "condition of the train and validation splits", "")
    object_size: int = option(96, "side of an object's square in pixels", "o")
    variant: Variant = option("S", "both objects scaled alike (S), or not (N)", "")
    train_objects: int = option(600, "distinct objects in the training split, twins counted")
    validation_objects: int = option(600, "distinct objects in the validation split")
    test_objects: int = option(600, "distinct objects in each test split, none of the others")

    def __post_init__(self) -> None:
        """Check every range."""
        super().__post_init__()
        placed_options.choose("condition", self.condition, CONDITIONS)
        placed_options.choose("variant", self.variant, ("N", "S"))
        total = 0
        for name in ("train_objects", "validation_objects", "test_objects"):
            value = getattr(self, name)
            total += value
            if value % 2:
                raise InputError(f"{name} {value} is odd; objects come as twins: {value + 1}")
        for name, exist in FINITE.items():
            used = total if name == self.condition else self.test_objects
            if used > exist:
                raise InputError(
                    f"{used} objects are asked of {name}, which has {exist}; ask for fewer in "
                    "train_objects, validation_objects and test_objects"
                )


def condition_of(recipe: Recipe, split: str) -> Condition:
    """The condition that a split shows."""
    assert isinstance(recipe.options, TransferOptions)  # make_recipe has checked it
    if split.startswith(TEST):
        return next(name for name in CONDITIONS if split == TEST + name)
    return recipe.options.condition


def family(recipe: Recipe, split: str) -> Contours:
    """The contours of the split's condition."""
    key = recipe.key("objects", "outline")
    return Contours(condition_of(recipe, split), key)


def role(split: str) -> str:
    """Test splits share objects, places and scales: row i is the same scene in all of them."""
    return "test" if split.startswith(TEST) else split


def splits(recipe: Recipe) -> tuple[Split, ...]:
    """Train and validation in one condition, and a test split for each of the ten."""
    made = []
    for split in pools.default_splits(recipe, family(recipe, "train")):
        if split.name != "test":
            about = f"{condition_of(recipe, split.name)}: {split.about}"
            made.append(dataclasses.replace(split, about=about))
            continue
        n = split.about.split()[0]
        for name in CONDITIONS:
            about = f"{ABOUT[name]}; {n} objects"
            made.append(dataclasses.replace(split, name=TEST + name, about=about))
    return tuple(made)


CONDITION = Column(
    name="condition", dtype="uint8", names=CONDITIONS, about="which condition the stimulus shows"
)

OBJECTS = Objects(
    family=family, attributes=lambda recipe: (CONDITION,), pairing=pools.twins, role=role
)

_BATTERY = make_task(
    OBJECTS,
    name="transfer",
    title="Transfer battery: one relation in ten kinds of contour",
    summary="Two contours: the same, or not? Trained on one kind, tested on ten.",
    source="puebla2022",
    options=TransferOptions,
    variants={
        "original": TransferOptions(),
        "irregular-N": TransferOptions(condition="irregular", variant="N"),
        "lines-d20": TransferOptions(condition="lines", object_size=64, density=20),
        "arrows-patch": TransferOptions(condition="arrows", placement="patch", patch_size=16),
    },
    departures=(
        "Images are 224 x 224 with objects in squares of 96 x 96 and lines of 2 pixels (4 in "
        "wider_line); the released code draws 128 x 128 with lines of 1 (2).",
        "Twins, the two sides of a different stimulus, have lines of the same length (the same "
        "area when filled), so that total ink says nothing; the released code gives them the same "
        "radius. Scale is shared by both objects, U(0.45, 0.9).",
        "In scrambled, same stimuli show two intact or two scrambled polygons alike, so that a "
        "scrambled one alone does not give the label away; likewise for mirrored lines and turned "
        "arrow heads. In the released code every scrambled polygon means different.",
        "Row i of every test split is the same scene (places, scales, order of labels), and "
        "irregular, open, wider_line, random_color and filled show the same polygons.",
        "Lines vary in the proportions of their boxes and may lie; arrows vary in the length of "
        "the shaft.",
        "original shows curves of our own making (see squiggles), not the 23-problem SVRT's.",
        "Random colours have channels below 200, so that no line vanishes on white.",
        MATCHED,
        "Every object stands in same and in different stimuli equally often, with the same twin; "
        "the released code draws two fresh shapes for each image.",
        UNIQUE,
    ),
)

TASK = dataclasses.replace(_BATTERY, splits=splits)
