"""Squiggles: are the two closed curves the same?"""

from __future__ import annotations

from samediff_stimuli import pools
from samediff_stimuli.families.squiggles import Squiggles
from samediff_stimuli.placed_options import PlacedOptions
from samediff_stimuli.placed_task import DEPARTURES, Objects, make_task
from samediff_stimuli.recipe import Recipe


def family(recipe: Recipe, split: str) -> Squiggles:
    """The squiggles of the recipe's seed."""
    return Squiggles(recipe.key("objects", "outline"))


VARIANTS: dict[str, PlacedOptions] = {
    "N": PlacedOptions(),
    "R": PlacedOptions(variant="R"),
    "S": PlacedOptions(variant="S"),
    "RS": PlacedOptions(variant="RS"),
    "independent": PlacedOptions(variant="RS", independent=True),
    "patch16": PlacedOptions(placement="patch", patch_size=16, object_size=48),
    "odd": PlacedOptions(items=4, object_size=48),
}

TASK = make_task(
    Objects(family=family, pairing=pools.alike),
    name="squiggles",
    title="Squiggles: same or different closed curves",
    summary="Two random closed curves, unfilled: the same, or not?",
    options=PlacedOptions,
    variants=VARIANTS,
    departures=(
        "Different objects are drawn with lines of about the same length, so that total ink tells "
        "nothing, not even in its spread; the released code pairs any two.",
        "Curves are circles whose radius carries random harmonics, twisted and sheared, in the "
        "manner of the contours of SVRT problem 1; the code that made the paper's is not public.",
        "Lines keep their width when objects are scaled.",
        *DEPARTURES,
    ),
)
