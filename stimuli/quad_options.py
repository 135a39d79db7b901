"""Options and columns of minimal quads: a base scene and what one edit makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from samediff_stimuli import aligned_options, objects, palette, silhouettes
from samediff_stimuli.aligned_options import AlignedOptions
from samediff_stimuli.placed_options import choose
from samediff_stimuli.recipe import InputError, Recipe, option
from samediff_stimuli.table import Column

# What a row's edited object differs in from the base, which is the row `same`; the row 6 g + v of
# a split is variant v of group g.
VARIANTS = ("same", "shape", "color", "both", "position", "noise")
SAME, SHAPE, COLOR, BOTH, POSITION, NOISE = range(6)
GROUP = len(VARIANTS)
FACTORS = ("shape", "color", "position", "noise")
CHANGES = ((), ("shape",), ("color",), ("shape", "color"), ("position",), ("noise",))
NOTHING = -1  # among the changed tokens: this one did not change

BASES = ("discrimination", "rmts")
_SIZE = 6144  # four rounds of 256 objects, six variants each


@dataclass(frozen=True, kw_only=True)
class QuadOptions(AlignedOptions):
    """Options of minimal quads.

    Raises:
        InputError: for a value outside its range, or one that leaves a control nothing to change.
    """

    base: Literal["discrimination", "rmts"] = option(
        "discrimination", "scenes to edit: two objects, or a display and a sample pair"
    )
    train: int = option(_SIZE, "images in the training split")
    validation: int = option(_SIZE, "images in the validation split")
    test: int = option(_SIZE, "images in each test split")
    ood: int = option(_SIZE, "images in each of the three out-of-distribution splits")

    def __post_init__(self) -> None:
        """Check every range."""
        super().__post_init__()
        choose("base", self.base, BASES)
        if not self.room:
            raise InputError(
                "jitter 0 leaves the position control no room to move an object; legal: from 1; "
                "give a smaller object_size or a larger jitter"
            )
        if not self.noise:
            raise InputError(
                "noise 0 leaves the noise control nothing to draw anew; legal: 1 .. 64"
            )


def options_of(recipe: Recipe) -> QuadOptions:
    """The recipe's options, typed."""
    assert isinstance(recipe.options, QuadOptions)  # make_recipe has checked it
    return recipe.options


def is_rmts(recipe: Recipe) -> bool:
    """Whether scenes have a display and a sample pair, and not just two objects."""
    return options_of(recipe).base == "rmts"


def name_of(recipe: Recipe) -> str:
    """Config and folder name, e.g. "quads-p32" or "quads-rmts-p16"."""
    name = aligned_options.name_of(recipe)
    return name.replace("quads", "quads-rmts", 1) if is_rmts(recipe) else name


def edit_columns(tokens: int) -> tuple[Column, ...]:
    """Declarations of what was edited; `tokens` are the patches of an object's box."""
    shapes = tuple(shape.name for shape in silhouettes.SILHOUETTES)
    made = [
        Column(
            name="edited",
            dtype="uint8",
            about="number of the edited object, from 0: the same one in all rows of a group",
        ),
        Column(
            name="factors",
            dtype="uint8",
            shape=(len(FACTORS),),
            about=f"which of {', '.join(FACTORS)} of the edited object are not the base's: 1 or 0",
        ),
    ]
    for what, names, dtype, shape in (
        ("shape", shapes, "uint8", ()),
        ("color", palette.NAMES, "uint8", ()),
        ("jitter", (), "uint16", (2,)),
    ):
        word = {"color": "colour", "jitter": "offset (x, y)"}.get(what, what)
        for when, where in (("old", "in the group's base"), ("new", "in this row")):
            about = f"{word} of the edited object {where}"
            name = f"{when}_{what}"
            made.append(Column(name=name, dtype=dtype, shape=shape, names=names, about=about))
    box = Column(
        name="changed_box",
        dtype="uint16",
        shape=(4,),
        about="smallest box around the pixels that differ from the base's, x0 y0 x1 y1, x1 and y1 "
        "exclusive; 0 0 0 0 in the base itself",
    )
    changed = Column(
        name="changed_tokens",
        dtype="int32",
        shape=(tokens,),
        about="patches of the edited object's box with pixels that differ from the base's, counted "
        "row by row from 0, without class token; -1 in the place of a patch that does not",
    )
    return (*made, box, changed)


def columns(recipe: Recipe) -> tuple[Column, ...]:
    """Every column, of either base."""
    rmts, chosen = is_rmts(recipe), options_of(recipe)
    variant = Column(
        name="variant",
        dtype="uint8",
        names=VARIANTS,
        about="what differs from the group's base, the row `same`, in the edited object",
    )
    relation = Column(
        name="relation",
        dtype="uint8",
        shape=(2,) if rmts else (),
        names=objects.RELATIONS,
        about="how the two objects relate" + (", of the display and of the sample" * rmts),
    )
    role = Column(
        name="role",
        dtype="uint8",
        shape=(4,),
        names=("display", "sample"),
        about="role of each object",
    )
    first = (aligned_options.INDEX, aligned_options.LABEL, variant, relation, PAIR_ID)
    of_edit = edit_columns(int(chosen.object_patches or 0) ** 2)
    scene = aligned_options.object_columns(4 if rmts else 2)
    return (*first, *((role,) if rmts else ()), *scene, *of_edit)


PAIR_ID = Column(
    name="pair_id",
    dtype="int64",
    about="matched group: its six rows differ in pixels of the edited object only",
)

CASES: dict[str, QuadOptions] = {"p32": QuadOptions()} | {
    name: replace(options, train=1536, validation=1536, test=1536, ood=1536)
    for name, options in {
        "p16": QuadOptions(patch_size=16),
        "p14-i336": QuadOptions(patch_size=14, image_size=336),
        "p32-c32": QuadOptions(combinations=32),
        "rmts-p32": QuadOptions(base="rmts"),
    }.items()
}
