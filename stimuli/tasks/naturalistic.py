"""Naturalistic: are the two pictured objects the same?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from samediff_stimuli import placed_options
from samediff_stimuli.families import cutouts
from samediff_stimuli.families.cutouts import Cutouts
from samediff_stimuli.placed_options import FiniteOptions
from samediff_stimuli.placed_task import DEPARTURES, LIMITS, Objects, make_task
from samediff_stimuli.recipe import InputError, Recipe, derived, local_option

MISSING = (
    "needs objects: give --objects DIR, a folder of pictures of one object each (PNG with alpha, "
    "or on white); rendered cut-outs will be the default once the photorealistic set can be made"
)


@dataclass(frozen=True, kw_only=True)
class NaturalisticOptions(FiniteOptions):
    """Options of the naturalistic set.

    Raises:
        InputError: for a value outside its range, or pictures that cannot be used.
    """

    objects: str | None = local_option(
        "folder of pictures of one object each: PNG with alpha, or on white"
    )
    pictures: int | None = derived("number of pictures")
    content: str | None = derived("SHA-256 over the pictures' SHA-256 in the order of names")

    def __post_init__(self) -> None:
        """Check every range; look at the pictures."""
        super().__post_init__()
        if self.objects is None:
            if self.pictures is None or self.content is None:
                raise InputError(f"task 'naturalistic' {MISSING}")
            return
        folder = str(Path(self.objects).absolute())  # workers may have been started elsewhere
        found = cutouts.check(folder)
        if self.content not in (None, found.content()):
            raise InputError(f"objects {self.objects!r} are not the pictures of the recipe")
        object.__setattr__(self, "objects", folder)
        object.__setattr__(self, "pictures", len(found.names))
        object.__setattr__(self, "content", found.content())


def _options(recipe: Recipe) -> NaturalisticOptions:
    assert isinstance(recipe.options, NaturalisticOptions)  # make_recipe has checked it
    return recipe.options


def missing(recipe: Recipe) -> str | None:
    """Why stimuli cannot be painted: the pictures are not at hand."""
    if _options(recipe).objects is None:
        return "the pictures of objects are not at hand; give --objects DIR"
    return None


def family(recipe: Recipe, split: str) -> Cutouts:
    """The pictures of the folder."""
    chosen = _options(recipe)
    return Cutouts(chosen.objects or "", chosen.content or "", chosen.pictures or 0)


def name_of(recipe: Recipe) -> str:
    """The usual name, and the first digits of the pictures' digest."""
    return f"{placed_options.name_of(recipe)}-{(_options(recipe).content or '')[:8]}"


_SET = make_task(
    Objects(family=family),
    name="naturalistic",
    title="Naturalistic: same or different pictured objects",
    summary="Two objects cut out of pictures: the same, or not?",
    options=NaturalisticOptions,
    variants={},
    departures=(
        "The objects are the user's, cropped, centred in a square and averaged down; the paper's "
        "photographs (Brady et al. 2008) are not ours to ship.",
        *DEPARTURES,
    ),
)

TASK = dataclasses.replace(
    _SET,
    name_of=name_of,
    missing=missing,
    license=lambda recipe: "unknown",
    limits=(
        "Pictures differ in ink and brightness as they do: the fewer objects a split has, the more "
        "such sums may say of the label; `samediff-stimuli audit` measures how much.",
        *LIMITS,
    ),
)
