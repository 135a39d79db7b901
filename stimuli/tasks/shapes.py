"""Shapes: are the two textured shapes the same in shape, texture and colour?"""

from __future__ import annotations

from dataclasses import dataclass

from samediff_stimuli import placed_options, textures
from samediff_stimuli.families import textured
from samediff_stimuli.families.textured import APPEARANCES, Appearance, Textured
from samediff_stimuli.placed_options import FiniteOptions
from samediff_stimuli.placed_task import DEPARTURES, Objects, make_task
from samediff_stimuli.recipe import Recipe, option
from samediff_stimuli.table import Column


@dataclass(frozen=True, kw_only=True)
class ShapesOptions(FiniteOptions):
    """Options of the textured shapes.

    Raises:
        InputError: for a value outside its range.
    """

    appearance: Appearance = option(
        "full",
        "what objects show: full (colour, texture, shape), grayscale (texture, shape), flat "
        "(colour, shape), swatch (colour, texture), mask (shape, in black), texture, or color",
        "",
    )

    def __post_init__(self) -> None:
        """Check every range."""
        super().__post_init__()
        placed_options.choose("appearance", self.appearance, tuple(APPEARANCES))


def family(recipe: Recipe, split: str) -> Textured:
    """The 4,096 objects, as the recipe shows them."""
    assert isinstance(recipe.options, ShapesOptions)  # make_recipe has checked it
    return Textured(recipe.options.appearance)


def attributes(recipe: Recipe) -> tuple[Column, ...]:
    """Shape, texture and colour of each object, shown or not."""
    return looks(placed_options.scene_of(recipe).items, textured.HUES)


def looks(items: int, colors: tuple[str, ...]) -> tuple[Column, ...]:
    """Declarations of the columns of textured shapes."""
    parts = (
        ("shape", textured.SHAPES, "shape of each object"),
        ("texture", textures.NAMES, "texture of each object"),
        ("color", colors, "colour of each object"),
    )
    return tuple(
        Column(name=name, dtype="uint8", shape=(items,), names=names, about=about)
        for name, names, about in parts
    )


DRAWING: tuple[str, ...] = (
    "Silhouettes and textures are of our own drawing (16 of each), all silhouettes of equal ink; "
    "the authors' silhouettes and the Brodatz photographs are not ours to ship.",
)

TASK = make_task(
    Objects(family=family, attributes=attributes, pairing=textured.all_differ),
    name="shapes",
    title="Shapes: same or different textured shapes",
    summary="Two textured, coloured shapes: the same, or different in everything?",
    options=ShapesOptions,
    variants={
        "full": ShapesOptions(),
        "grayscale-R": ShapesOptions(appearance="grayscale", variant="R"),
        "mask-S": ShapesOptions(appearance="mask", variant="S"),
        "flat": ShapesOptions(appearance="flat"),
        "swatch-RS": ShapesOptions(appearance="swatch", variant="RS"),
        "texture-m64": ShapesOptions(appearance="texture", holdout=64),
        "color-odd": ShapesOptions(appearance="color", items=3),
        "full-patch16": ShapesOptions(placement="patch", patch_size=16),
    },
    departures=(
        *DRAWING,
        "Every object has the same histogram of luma (Rec. 601), whatever its shape, texture and "
        "hue; in the released code brightness follows texture and hue.",
        "Different objects differ in shape, texture and colour, all three; in the released code "
        "about 3 % of different pairs share one of them.",
        "Grayscale, mask and the other appearances show the very same stimuli, row by row; the "
        "authors' grayscale and mask sets were sampled anew.",
        *DEPARTURES,
    ),
)
