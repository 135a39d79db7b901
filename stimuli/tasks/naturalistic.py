"""Naturalistic: are the two pictured objects the same?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import placed_options
from samediff_stimuli.families import cutouts
from samediff_stimuli.families.cutouts import Cutouts, Folder
from samediff_stimuli.fixed import Ints
from samediff_stimuli.placed_options import FiniteOptions
from samediff_stimuli.placed_task import DEPARTURES, LIMITS, Objects, make_task
from samediff_stimuli.recipe import InputError, Recipe, derived, local_option
from samediff_stimuli.table import Column

BUILT_IN = "built-in-1"  # raise the number with every change of the built-in objects' pixels


@dataclass(frozen=True, kw_only=True)
class NaturalisticOptions(FiniteOptions):
    """Options of the naturalistic set.

    Raises:
        InputError: for a value outside its range, or pictures that cannot be used.
    """

    objects: str | None = local_option(
        "folder of pictures of one object each, PNG with alpha or on white, instead of the "
        "built-in objects",
        sign="pictures",
    )
    pictures: int | None = derived("number of pictures in that folder")
    content: str | None = derived(
        "which objects: built-in ones, or SHA-256 over the pictures' SHA-256 in the order of names"
    )

    def __post_init__(self) -> None:
        """Check every range; look at the pictures, if they are the user's."""
        super().__post_init__()
        if self.objects is not None:
            folder = str(Path(self.objects).absolute())  # workers may have been started elsewhere
            found = cutouts.check(folder)
            if self.content not in (None, found.content()):
                raise InputError(f"objects {self.objects!r} are not the pictures of the recipe")
            object.__setattr__(self, "objects", folder)
            object.__setattr__(self, "pictures", len(found.names))
            object.__setattr__(self, "content", found.content())
        elif self.pictures is None:
            if self.content not in (None, BUILT_IN):
                raise InputError(
                    f"content {self.content!r} is not legal; legal: {BUILT_IN!r}, or a digest "
                    "with a number of pictures; see if another release made it"
                )
            object.__setattr__(self, "content", BUILT_IN)

    @property
    def built_in(self) -> bool:
        """Whether the objects are those of this package."""
        return self.pictures is None

    @property
    def count(self) -> int:
        """Number of objects; there are as many built-in ones as the splits ask for."""
        wanted = self.train_objects + self.validation_objects + self.test_objects
        return wanted if self.pictures is None else self.pictures


@dataclass(frozen=True)
class Rendered:
    """The built-in objects, made when they are asked for."""

    def picture(self, number: int) -> NDArray[np.uint8]:
        """(MASTER, MASTER, 4) uint8: a prepared picture; see `families.cutouts.Source`."""
        from samediff_stimuli.blender_scenes import cutout_files

        return cutouts.squared(cutout_files.kept(number), f"object {number}")

    def attributes(self, numbers: Ints) -> dict[str, Ints]:
        """Which model each object is made from: they take turns."""
        return {"model": numbers % len(_models())}


def _models() -> tuple[str, ...]:
    from samediff_stimuli.blender_scenes.objects import registry

    return tuple(registry())


def _options(recipe: Recipe) -> NaturalisticOptions:
    assert isinstance(recipe.options, NaturalisticOptions)  # make_recipe has checked it
    return recipe.options


def missing(recipe: Recipe) -> str | None:
    """Why stimuli cannot be painted: the user's pictures are not at hand."""
    chosen = _options(recipe)
    if not chosen.built_in and chosen.objects is None:
        return "the pictures of objects are not at hand; give --objects DIR"
    return None


def family(recipe: Recipe, split: str) -> Cutouts:
    """The built-in objects, or the pictures of the folder."""
    chosen = _options(recipe)
    if chosen.built_in:
        return Cutouts(Rendered(), chosen.count)
    return Cutouts(Folder(chosen.objects or "", chosen.content or ""), chosen.count)


def attributes(recipe: Recipe) -> tuple[Column, ...]:
    """Which model each of the built-in objects is made from."""
    chosen = _options(recipe)
    if not chosen.built_in:
        return ()
    return (
        Column(
            name="model",
            dtype="uint8",
            shape=(chosen.items,),
            names=_models(),
            about="what each object is; different objects may be of one model",
        ),
    )


def name_of(recipe: Recipe) -> str:
    """The usual name, and the first digits of the digest of the user's pictures."""
    name, chosen = placed_options.name_of(recipe), _options(recipe)
    return name if chosen.built_in else f"{name}-{(chosen.content or '')[:8]}"


VARIANTS: dict[str, NaturalisticOptions] = {
    "N": NaturalisticOptions(),
    "R": NaturalisticOptions(variant="R"),
    "S": NaturalisticOptions(variant="S"),
    "RS": NaturalisticOptions(variant="RS"),
}

_SET = make_task(
    Objects(family=family, attributes=attributes),
    name="naturalistic",
    title="Naturalistic: same or different pictured objects",
    summary="Two objects cut out of pictures: the same, or not?",
    options=NaturalisticOptions,
    variants=VARIANTS,
    departures=(
        "The paper's photographs (Brady et al. 2008) are not ours to ship. The built-in objects "
        "are 16 three-dimensional models of our own in as many forms, colours, materials and "
        "patterns as there are objects, each object in a view of its own, shaded like product "
        "photographs; a recipe whose content is a digest has the user's pictures instead, cropped, "
        "centred in a square and averaged down.",
        *DEPARTURES,
    ),
)

TASK = dataclasses.replace(
    _SET,
    name_of=name_of,
    missing=missing,
    license=lambda recipe: "cc-by-4.0" if _options(recipe).built_in else "unknown",
    limits=(
        "The built-in objects are drawn, not photographed, and of 16 kinds: one pair of different "
        "objects in 16 is of one kind, in two forms, colours and views. Two views of one object do "
        "not occur.",
        "Pictures differ in ink and brightness as they do: the fewer objects a split has, the more "
        "such sums may say of the label; `samediff-stimuli audit` measures how much.",
        *LIMITS,
    ),
)
