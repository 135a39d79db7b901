"""Options and columns of the patch-aligned sets: discrimination and relational match-to-sample.

Geometry, objects and sizes follow Lepori et al. 2024 (arXiv 2406.15955 and its released code).
"""

from __future__ import annotations

from dataclasses import dataclass

from samediff_stimuli import objects, palette, rng, silhouettes
from samediff_stimuli.recipe import InputError, Options, Recipe, option
from samediff_stimuli.table import Column

MAX_IMAGE = 1024
MAX_POSITIONS = 2500  # all their pairs are listed in memory
MIN_OBJECT = silhouettes.SMALLEST


@dataclass(frozen=True, kw_only=True)
class GridOptions(Options):
    """Geometry and objects of every patch-aligned set; the defaults are the paper's (ViT-B/32).

    Raises:
        InputError: for a value outside its range; None stands for the default named in the help.
    """

    image_size: int = option(224, "image side in pixels, a multiple of the patch size")
    patch_size: int = option(32, "ViT patch side in pixels; the papers' models use 32, 16 or 14")
    object_patches: int | None = option(
        None, "patches along an object box's side; default 1 from 28-pixel patches on, else 2"
    )
    object_size: int | None = option(
        None, "object side in pixels; default three quarters of its box"
    )
    jitter: int | None = option(
        None, "largest offset inside the box in pixels, x and y alike; default all the room"
    )
    noise: int = option(palette.NOISE_SD, "standard deviation of the colour noise, 0 .. 64")
    combinations: int = option(
        objects.FULL, "shape-colour combinations in training: 256, or 32, 48 .. 224 (rest held out)"
    )

    def __post_init__(self) -> None:
        """Resolve defaults and check every range."""
        check("image_size", self.image_size, MIN_OBJECT, MAX_IMAGE)
        check("patch_size", self.patch_size, 1, self.image_size)
        if self.image_size % self.patch_size:
            legal = [p for p in range(8, self.image_size + 1) if self.image_size % p == 0]
            raise InputError(
                f"patch_size {self.patch_size} does not divide image_size {self.image_size}; "
                f"legal: {', '.join(map(str, legal))}; or change image_size"
            )
        side = self.image_size // self.patch_size
        self._resolve("object_patches", 1 if self.patch_size >= 28 else 2)
        check("object_patches", self.object_patches, 1, side)
        box = self.box_size
        self._resolve("object_size", box - box // 4)
        check("object_size", self.object_size, MIN_OBJECT, box)
        self._resolve("jitter", box - self.drawn)
        check("jitter", self.jitter, 0, box - self.drawn)
        check("noise", self.noise, 0, rng.MAX_SIGMA)
        legal = [*range(32, objects.FULL - 16, 16), objects.FULL]
        if self.combinations not in legal or not isinstance(self.combinations, int):
            raise InputError(
                f"combinations {self.combinations!r} is not legal; legal: a multiple of 16 in "
                f"32 .. 224 (the paper's is 32), or 256 for no held-out combinations"
            )

    def _resolve(self, name: str, default: int) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, default)

    @property
    def box_size(self) -> int:
        """Side of an object's box in pixels."""
        return self.patch_size * int(self.object_patches or 0)

    @property
    def drawn(self) -> int:
        """Side of the drawn object in pixels."""
        return int(self.object_size or 0)

    @property
    def room(self) -> int:
        """Largest offset of the object inside its box in pixels."""
        return int(self.jitter or 0)


@dataclass(frozen=True, kw_only=True)
class AlignedOptions(GridOptions):
    """Options of discrimination and relational match-to-sample.

    Raises:
        InputError: for a value outside its range; None stands for the default named in the help.
    """

    train: int = option(6400, "images in the training split")
    validation: int = option(6400, "images in the validation split")
    test: int = option(6400, "images in each test split")
    ood: int = option(6400, "images in each of the three out-of-distribution splits")

    def __post_init__(self) -> None:
        """Resolve defaults and check every range."""
        super().__post_init__()
        for name in ("train", "validation", "test", "ood"):
            check(name, getattr(self, name), 0, 10**9)


def check(name: str, value: int | None, low: int, high: int) -> None:
    """Raise InputError unless an option is a whole number in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} {value!r} is out of range; legal: {low} .. {high}")


def options_of(recipe: Recipe) -> GridOptions:
    """Geometry and objects of a recipe, typed."""
    assert isinstance(recipe.options, GridOptions)  # make_recipe has checked it
    return recipe.options


def sizes_of(recipe: Recipe) -> AlignedOptions:
    """The recipe's options, sizes of splits among them, typed."""
    assert isinstance(recipe.options, AlignedOptions)  # make_recipe has checked it
    return recipe.options


def name_of(recipe: Recipe) -> str:
    """Config and folder name: the task, patch size, and what differs from the paper's defaults."""
    return "-".join([recipe.task, *tags(options_of(recipe))])


def tags(chosen: GridOptions) -> list[str]:
    """What names the geometry and the objects of a set: "p16", and departures from the paper's."""
    usual = GridOptions(patch_size=chosen.patch_size, image_size=chosen.image_size)
    parts = [f"p{chosen.patch_size}"]
    for field, letter in (
        ("object_patches", "m"),
        ("object_size", "o"),
        ("jitter", "j"),
        ("noise", "n"),
        ("combinations", "c"),
    ):
        if field == "object_size" and chosen.drawn == chosen.box_size - chosen.box_size // 4:
            continue
        if field == "jitter" and chosen.room == chosen.box_size - chosen.drawn:
            continue
        if getattr(chosen, field) != getattr(usual, field):
            parts.append(f"{letter}{getattr(chosen, field)}")
    if chosen.image_size != 224:
        parts.append(f"i{chosen.image_size}")
    return parts


def image_shape(recipe: Recipe) -> tuple[int, int, int]:
    """(height, width, 3)."""
    side = options_of(recipe).image_size
    return side, side, 3


def object_columns(k: int) -> tuple[Column, ...]:
    """Declarations of the per-object columns for k objects."""
    names = tuple(shape.name for shape in silhouettes.SILHOUETTES)
    return (
        Column(name="shape", dtype="uint8", shape=(k,), names=names, about="shape of each object"),
        Column(
            name="color",
            dtype="uint8",
            shape=(k,),
            names=palette.NAMES,
            about="colour of each object",
        ),
        Column(
            name="patch",
            dtype="int32",
            shape=(k,),
            about="patch at the top left of each object's box, counted row by row from 0",
        ),
        Column(
            name="jitter",
            dtype="uint16",
            shape=(k, 2),
            about="offset (x, y) of each object inside its box, in pixels",
        ),
        Column(
            name="box",
            dtype="uint16",
            shape=(k, 4),
            about="drawn square of each object, x0 y0 x1 y1 in pixels, x1 and y1 exclusive",
        ),
    )


INDEX = Column(name="index", dtype="int64", about="row number within the split, from 0")
LABEL = Column(
    name="label", dtype="uint8", names=("different", "same"), about="1 same, 0 different"
)
PAIR_ID = Column(
    name="pair_id", dtype="int64", about="matched group: its stimuli share positions and offsets"
)

VARIANTS: dict[str, AlignedOptions] = {
    "p32": AlignedOptions(),
    "p16": AlignedOptions(patch_size=16),
    "p14": AlignedOptions(patch_size=14),
    "p16-m1": AlignedOptions(patch_size=16, object_patches=1),
    "p32-c32": AlignedOptions(combinations=32),
}


LIMITS: tuple[str, ...] = (
    "Two observers that do not judge sameness are above chance in principle, in this and in the "
    "paper's sets: one that sees colour alone can spot pairs that differ in colour, one that sees "
    "shape alone those that differ in shape (each reaches 5/6 on discrimination).",
    "The *spread* of mean luminance is wider over same stimuli than over different ones, because "
    "one colour is doubled; its mean is equal, and total ink is the same in every stimulus.",
)

OWN_SILHOUETTES = (
    "Silhouettes are of our own drawing: 16 for training, 4 novel, all touching the four sides of "
    "their square and equal in ink area, so that size is no cue. The authors' are not ours "
    "to ship."
)
OWN_NOISE = (
    "Noise is N(mean, 10) rounded to the nearest integer; the released code truncates, which "
    "darkens every pixel by half a grey level. The clip to [0, 250] is the code's."
)
OWN_RING = (
    "The ring of training combinations follows the palette's order; the released code's follows "
    "the arbitrary order of a set."
)
OWN_OOD = (
    "The out-of-distribution sets are one split each; the released code makes a validation and a "
    "test split of each."
)

DEPARTURES: tuple[str, ...] = (
    OWN_SILHOUETTES,
    OWN_NOISE,
    "Exactly half of every split is same. The released code falls short of it by 2 to 6 % when "
    "few objects are used.",
    "Every object occurs equally often, to within one, in the same pairs and in the different "
    "pairs (in rmts: of displays, and of samples, counted by matched groups); in the released code "
    "an object's same images vary from 5 to 23.",
    "Stimuli of a matched group share their offsets as well as their patches, so that position "
    "carries no information about the label at all; the released code draws offsets afresh.",
    "No stimulus occurs twice, within or across splits (objects and patches while that space "
    "lasts, then objects and pixel positions); the released code draws splits independently.",
    "In rmts the display and the sample of a stimulus never share an object; in the released code "
    "they can, which relates to the label when objects are few.",
    "A split's pairs are drawn anew in each round, so a pair of objects can come back, at other "
    "positions, before every pair has been used.",
    OWN_RING,
    OWN_OOD,
)
