"""Alphanumerics: are the two character strings the same?"""

from __future__ import annotations

from dataclasses import dataclass

from samediff_stimuli import placed_options, pools
from samediff_stimuli.families.characters import CHARACTERS, MAX_LENGTH, Strings
from samediff_stimuli.placed_options import FiniteOptions
from samediff_stimuli.placed_task import DEPARTURES, Objects, make_task
from samediff_stimuli.recipe import Recipe, option
from samediff_stimuli.table import Column


@dataclass(frozen=True, kw_only=True)
class AlphanumericsOptions(FiniteOptions):
    """Options of the alphanumerics.

    Raises:
        InputError: for a value outside its range.
    """

    length: int = option(3, "characters in a string", "l")

    def __post_init__(self) -> None:
        """Check every range."""
        super().__post_init__()
        placed_options.check("length", self.length, 1, MAX_LENGTH)


def _options(recipe: Recipe) -> AlphanumericsOptions:
    assert isinstance(recipe.options, AlphanumericsOptions)  # make_recipe has checked it
    return recipe.options


def family(recipe: Recipe, split: str) -> Strings:
    """All strings of the recipe's length."""
    return Strings(_options(recipe).length)


def attributes(recipe: Recipe) -> tuple[Column, ...]:
    """The characters of each object."""
    shape = (_options(recipe).items, _options(recipe).length)
    about = "characters of each object, left to right"
    return (Column(name="character", dtype="uint8", shape=shape, names=CHARACTERS, about=about),)


TASK = make_task(
    Objects(family=family, attributes=attributes, pairing=pools.alike),
    name="alphanumerics",
    title="Alphanumerics: same or different character strings",
    summary="Two strings of letters and digits: the same, or not?",
    options=AlphanumericsOptions,
    variants={
        "N": AlphanumericsOptions(),
        "RS": AlphanumericsOptions(variant="RS"),
        "l1-m16": AlphanumericsOptions(length=1, holdout=16),
        "patch14-m0": AlphanumericsOptions(
            length=2, holdout=0, placement="patch", patch_size=14, object_size=50
        ),
    },
    departures=(
        "Different objects are drawn with lines of about the same length, so that total ink tells "
        "nothing, not even in its spread; the released code pairs any two.",
        "Strings of three characters in strokes of our own drawing: 46,656 objects. How the "
        "paper's were made is not public; the files in its repository are 21 single characters, "
        "too few for the 1,600 objects that it used.",
        "Lines keep their width when objects are scaled.",
        *DEPARTURES,
    ),
)
