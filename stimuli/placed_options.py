"""Options and columns of the sets of free-standing objects; defaults of Tartaglini et al. 2023.

Sizes, objects and placement follow arXiv 2310.09612 and its released code: two 64 x 64 objects on a
white 224 x 224 image, 1,200 / 300 / 100 objects and 6,400 images a split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from samediff_stimuli import placement
from samediff_stimuli.aligned_options import INDEX, LABEL, MAX_IMAGE, MAX_POSITIONS
from samediff_stimuli.grid import Grid
from samediff_stimuli.recipe import InputError, Options, Recipe, option, tags
from samediff_stimuli.table import Column

MIN_SIZE = 16
MAX_ITEMS = 9
MAX_DENSITY = 45  # per cent, of two objects
MAX_CROWD = 30  # of more: denser places are not found by trial
MAX_OBJECTS = 10**5  # of a split: the ink of all of them is measured

Placement = Literal["free", "patch"]
Variant = Literal["N", "R", "S", "RS"]


@dataclass(frozen=True, kw_only=True)
class SceneOptions(Options):
    """Where objects stand and how they are turned and scaled.

    Raises:
        InputError: for a value outside its range; None stands for the default named in the help.
    """

    image_size: int = option(224, "image side in pixels", "i")
    object_size: int = option(64, "side of an object's square in pixels", "o")
    placement: Placement = option("free", "objects stand anywhere, or on whole ViT patches", "")
    patch_size: int | None = option(
        None, "ViT patch side in pixels, for placement patch; default 32", "p"
    )
    items: int = option(2, "objects in an image: all the same, or one odd", "k")
    density: int | None = option(
        None, "crowding: objects stand in a square of which they cover at least this per cent", "d"
    )
    variant: Variant = option(
        "N", "both objects turned (R), scaled (S), turned and scaled (RS) alike, or not (N)", ""
    )
    independent: bool = option(
        False, "turn and scale each object on its own instead of all alike", "independent"
    )

    def __post_init__(self) -> None:
        """Resolve defaults and check every range."""
        check("image_size", self.image_size, MIN_SIZE, MAX_IMAGE)
        check("object_size", self.object_size, MIN_SIZE, self.image_size)
        check("items", self.items, 2, MAX_ITEMS)
        choose("placement", self.placement, ("free", "patch"))
        choose("variant", self.variant, ("N", "R", "S", "RS"))
        if not isinstance(self.independent, bool):
            raise InputError(f"independent {self.independent!r} is not legal; legal: true, false")
        if self.independent and self.variant == "N":
            raise InputError("independent needs a variant that turns or scales: R, S or RS")
        if self.placement == "patch":
            self._check_patches()
        elif self.patch_size is not None:
            raise InputError(f"patch_size {self.patch_size} is for placement patch; leave it out")
        side = self.object_size + 1
        if self.patch_size is not None:
            side = -(-self.object_size // self.patch_size) * self.patch_size
        if self.items > 2 and self.items * side**2 * 3 > (self.image_size + 1) ** 2:
            raise InputError(
                f"items {self.items} of object_size {self.object_size} fill more than a third of "
                f"image_size {self.image_size}; choose fewer or smaller objects, or a larger image"
            )
        if self.density is not None:
            self._check_density(self.density)

    def _check_patches(self) -> None:
        if self.patch_size is None:
            object.__setattr__(self, "patch_size", 32)
        patch = self.patch_size or 0
        check("patch_size", patch, 1, self.image_size)
        if self.image_size % patch:
            raise InputError(
                f"patch_size {patch} does not divide image_size {self.image_size}; the papers' "
                "are 32, 16 and 14 for 224"
            )
        if (self.image_size // patch) ** 2 > MAX_POSITIONS:
            raise InputError(
                f"patch_size {patch} cuts image_size {self.image_size} into more than "
                f"{MAX_POSITIONS} patches; choose larger patches"
            )
        if self.density is not None:
            raise InputError("density is for placement free; leave it out")

    def _check_density(self, density: int) -> None:
        area = 100 * self.items * self.object_size**2
        least = -(-area // self.image_size**2)
        most = MAX_DENSITY if self.items == 2 else MAX_CROWD
        if least > most:
            raise InputError(f"density is at least {least} here; leave it out")
        check("density", density, least, most)

    @property
    def turns(self) -> bool:
        """Whether objects are turned."""
        return "R" in self.variant

    @property
    def scales(self) -> bool:
        """Whether objects are scaled."""
        return "S" in self.variant


@dataclass(frozen=True, kw_only=True)
class PlacedOptions(SceneOptions):
    """Options of the sets of object pairs.

    Raises:
        InputError: for a value outside its range.
    """

    train_objects: int = option(1200, "distinct objects in the training split")
    validation_objects: int = option(300, "distinct objects in the validation split, none of train")
    test_objects: int = option(100, "distinct objects in the test split, none of the others")
    train: int = option(6400, "images in the training split")
    validation: int = option(6400, "images in the validation split")
    test: int = option(6400, "images in each test split")

    def __post_init__(self) -> None:
        """Check every range."""
        super().__post_init__()
        for name in ("train_objects", "validation_objects", "test_objects"):
            check(name, getattr(self, name), 2, MAX_OBJECTS)
        for name in ("train", "validation", "test"):
            check(name, getattr(self, name), 0, 10**9)


@dataclass(frozen=True, kw_only=True)
class FiniteOptions(PlacedOptions):
    """Options of the sets whose objects are finite in number.

    Raises:
        InputError: for a value outside its range.
    """

    holdout: int | None = option(
        None,
        "use all objects: hold out this many for the test split, train and validate on the rest; "
        "0: test on the same objects",
        "m",
    )

    def __post_init__(self) -> None:
        """Check every range."""
        super().__post_init__()
        if self.holdout is not None:
            check("holdout", self.holdout, 0, 10**7)


def check(name: str, value: int | None, low: int, high: int) -> None:
    """Raise InputError unless low <= value <= high."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} {value!r} is out of range; legal: {low} .. {high}")


def choose(name: str, value: object, legal: tuple[str, ...]) -> None:
    """Raise InputError unless the value is one of the legal ones."""
    if value not in legal:
        raise InputError(f"{name} {value!r} is not legal; legal: {', '.join(legal)}")


def scene_of(recipe: Recipe) -> SceneOptions:
    """The recipe's options, typed."""
    assert isinstance(recipe.options, SceneOptions)  # make_recipe has checked it
    return recipe.options


def arena_of(recipe: Recipe) -> placement.Arena:
    """The legal places of a recipe's objects."""
    chosen = scene_of(recipe)
    if chosen.placement == "patch" and chosen.patch_size:
        side, span = (
            chosen.image_size // chosen.patch_size,
            -(-chosen.object_size // chosen.patch_size),
        )
        grid = Grid(side=side, patch=chosen.patch_size, span=span)
        return placement.Patches(grid=grid, size=chosen.object_size)
    reach = chosen.image_size - chosen.object_size
    if chosen.density is not None:
        side = placement.region(chosen.items, chosen.object_size, chosen.density)
        reach = min(reach, side - chosen.object_size)
    return placement.Free(image=chosen.image_size, size=chosen.object_size, reach=reach)


def name_of(recipe: Recipe) -> str:
    """Config and folder name: the task, and what differs from its defaults."""
    return "-".join([recipe.task, *tags(recipe.options)])


def image_shape(recipe: Recipe) -> tuple[int, int, int]:
    """(height, width, 3)."""
    side = scene_of(recipe).image_size
    return side, side, 3


def scene_columns(recipe: Recipe) -> tuple[Column, ...]:
    """Declarations of the columns that every set of free-standing objects has."""
    chosen = scene_of(recipe)
    k = (chosen.items,)
    columns = [
        Column(name="angle", dtype="uint16", shape=k, about="clockwise turn in degrees, 0 .. 359"),
        Column(
            name="scale", dtype="uint16", shape=k, about="size, in thousandths of what would fit"
        ),
        Column(
            name="box",
            dtype="uint16",
            shape=(*k, 4),
            about="square of each object, x0 y0 x1 y1 in pixels, x1 and y1 exclusive",
        ),
    ]
    if chosen.items > 2:
        about = f"which object is the odd one, from 0; {chosen.items} if none is"
        columns.insert(0, Column(name="odd", dtype="uint8", about=about))
    return tuple(columns)


GROUP_ID = Column(
    name="pair_id",
    dtype="int64",
    about="matched group: its stimuli share places, turns and scales",
)

__all__ = [
    "GROUP_ID",
    "INDEX",
    "LABEL",
    "FiniteOptions",
    "PlacedOptions",
    "SceneOptions",
    "arena_of",
    "image_shape",
    "name_of",
    "scene_columns",
    "scene_of",
]
