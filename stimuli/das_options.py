"""Options, columns and splits of counterfactual sets for interchange interventions (das).

Sizes, directions and quotas follow Lepori et al. 2024 (arXiv 2406.15955, section 4 and its released
code).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import aligned, aligned_options, objects
from samediff_stimuli.aligned_options import DEPARTURES as ALIGNED
from samediff_stimuli.aligned_options import LABEL, PAIR_ID, GridOptions, check
from samediff_stimuli.grid import Grid
from samediff_stimuli.objects import ObjectSet
from samediff_stimuli.recipe import InputError, Recipe, option
from samediff_stimuli.table import Column
from samediff_stimuli.tasks import Split
from samediff_stimuli.tasks.rmts import ROLE

Ints = NDArray[np.int64]
GROUP = (
    2  # one base whose edited pair differs in the property alone, and one whose pair is the same
)
FACTORS = ("shape", "color")
DIRECTIONS = ("different_to_same", "same_to_different")
EDITS = ("same_display", "same_sample", "different_display", "different_sample")
VIEW = "counterfactual"
_SEEN = ("validation", "test_iid", "test", "train")  # the order in which they take rounds


@dataclass(frozen=True, kw_only=True)
class DasOptions(GridOptions):
    """Options of the counterfactual sets.

    Raises:
        InputError: for a value outside its range; None stands for the default named in the help.
    """

    base: Literal["discrimination", "rmts"] = option(
        "discrimination", "the task whose images are intervened on: discrimination or rmts"
    )
    factor: Literal["both", "shape", "color"] = option(
        "both", "the property that is interchanged: shape, color, or both in turn"
    )
    train: int = option(2000, "pairs of images of each property in the training split")
    validation: int = option(2000, "pairs of images of each property in the validation split")
    test: int = option(2000, "pairs of images of each property in each test split")

    def __post_init__(self) -> None:
        """Resolve defaults and check every range."""
        super().__post_init__()
        for name, value, legal in (
            ("base", self.base, ("discrimination", "rmts")),
            ("factor", self.factor, ("both", *FACTORS)),
        ):
            if value not in legal:
                raise InputError(f"{name} {value!r} is not legal; legal: {', '.join(legal)}")
        for name in ("train", "validation", "test"):
            check(name, getattr(self, name), 0, 10**9)

    @property
    def factors(self) -> tuple[str, ...]:
        """The properties that are interchanged, in the order in which groups take turns."""
        return FACTORS if self.factor == "both" else (self.factor,)

    @property
    def n_pairs(self) -> int:
        """Pairs of objects in an image: in rmts a display and a sample."""
        return 2 if self.base == "rmts" else 1

    @property
    def unit(self) -> int:
        """Pairs of images of a property within which every quota is exact.

        In rmts: the edited pair is the display or the sample, and the other is same or different.
        """
        return GROUP * self.n_pairs**2


def options_of(recipe: Recipe) -> DasOptions:
    """The recipe's options, typed."""
    assert isinstance(recipe.options, DasOptions)  # make_recipe has checked it
    return recipe.options


def name_of(recipe: Recipe) -> str:
    """Config and folder name, e.g. "das-rmts-p16", or "das-rmts-p16-shape"."""
    chosen = options_of(recipe)
    only = [] if chosen.factor == "both" else [chosen.factor]
    return "-".join([recipe.task, chosen.base, *aligned_options.tags(chosen), *only])


def grid_of(recipe: Recipe) -> Grid:
    """The patch grid, with a display pair's patches reserved if there is one."""
    return aligned.grid_of(recipe, reserved=options_of(recipe).n_pairs == 2)


def home(recipe: Recipe, split: str) -> str:
    """The split of the base task whose objects a split's base images show."""
    held_out = options_of(recipe).combinations < objects.FULL
    return "test_compositional" if held_out and split == "test" else "test"


def objects_of(recipe: Recipe, split: str) -> ObjectSet:
    """The objects that a split's base images are made of."""
    return aligned.objects_of(recipe, home(recipe, split))


def rounds_of(recipe: Recipe, split: str) -> int:
    """Turns that each object of a split takes: those of its properties, one after the other."""
    chosen = options_of(recipe)
    pairs: int = getattr(chosen, split.removesuffix("_iid"))
    return -(-pairs // GROUP // len(objects_of(recipe, split))) * len(chosen.factors)


def first_turn(recipe: Recipe, split: str) -> int:
    """Turns of a split's objects that other splits take before it; train goes on without end."""
    before = _SEEN[: _SEEN.index(split)]
    mine = objects_of(recipe, split)
    return sum(rounds_of(recipe, s) for s in before if objects_of(recipe, s) == mine)


def splits(recipe: Recipe) -> tuple[Split, ...]:
    """The splits of the released code; those that share objects share no base image.

    Raises:
        InputError: sizes that break quotas, no split at all, or more stimuli than exist.
    """
    chosen, grid = options_of(recipe), grid_of(recipe)
    aligned.check_positions(chosen, grid)
    held_out = objects.FULL - chosen.combinations
    seen = f"base objects are the {chosen.combinations} training combinations"
    unseen = f"both objects of every pair are among the {held_out} held-out combinations"
    made = [
        ("train", chosen.train, seen, False),
        ("validation", chosen.validation, seen, False),
        ("test", chosen.test, unseen if held_out else seen, bool(held_out)),
        ("test_iid", chosen.test, seen, False),
    ]
    found = []
    for name, pairs, about, held in made:
        if pairs % chosen.unit:
            raise InputError(
                f"{name.removesuffix('_iid')} {pairs} is not a multiple of {chosen.unit}, within "
                f"which quotas are exact; nearest: {max(1, pairs // chosen.unit) * chosen.unit}"
            )
        rows = pairs * len(chosen.factors)
        if first_turn(recipe, name) + rounds_of(recipe, name) > aligned.turns(recipe, grid):
            raise InputError(
                f"{name} {pairs} needs more unique stimuli than exist; ask for fewer pairs, or a "
                "larger jitter or image_size"
            )
        if rows:
            found.append(Split(name=name, rows=rows, about=about, held_out=held))
    if not found:
        raise InputError("train, validation and test are all 0; at least one must be larger")
    return tuple(found)


_ANSWERS = LABEL.names
_WHAT = (
    aligned_options.INDEX,
    Column(
        name="label", dtype="uint8", names=_ANSWERS, about="of the base image: 1 same, 0 different"
    ),
    Column(
        name="target",
        dtype="uint8",
        names=_ANSWERS,
        about="label of the base image once the interchange has succeeded",
    ),
    Column(
        name="factor",
        dtype="uint8",
        names=FACTORS,
        about="property of objects that is interchanged",
    ),
    Column(
        name="direction",
        dtype="uint8",
        names=DIRECTIONS,
        about="how the interchange changes the relation of the edited pair",
    ),
)
_EDIT = Column(
    name="edit",
    dtype="uint8",
    names=EDITS,
    about="which pair is edited, and its relation in the base image",
)


def columns(recipe: Recipe) -> tuple[Column, ...]:
    """What the row is and what is edited, then the scene of the base, then of the other image."""
    chosen = options_of(recipe)
    k, span = 2 * chosen.n_pairs, int(chosen.object_patches or 0)
    relational = chosen.n_pairs == 2
    who = "display pair, and those of the sample pair," if relational else "image"
    relation = Column(
        name="relation",
        dtype="uint8",
        shape=(2,) if relational else (),
        names=objects.RELATIONS,
        about=f"how the two objects of the {who} relate",
    )
    scene = (relation, *aligned_options.object_columns(k))
    where = "its patches, counted row by row from 0: those of its box, row by row"
    return (
        *_WHAT,
        *([_EDIT] if relational else []),
        Column(name="edited", dtype="uint8", about="number of the edited object in the base image"),
        Column(
            name="source",
            dtype="uint8",
            about="number of the object in the counterfactual image whose property it takes",
        ),
        Column(
            name="edited_tokens",
            dtype="int32",
            shape=(span * span,),
            about=f"of the edited object, {where}",
        ),
        Column(
            name="source_tokens",
            dtype="int32",
            shape=(span * span,),
            about=f"of the source object, {where}",
        ),
        PAIR_ID,
        *([ROLE] if relational else []),
        *scene,
        _other(LABEL),
        *map(_other, scene),
    )


def _other(column: Column) -> Column:
    """The same column of the counterfactual image."""
    about = f"of the counterfactual: {column.about}"
    return replace(column, name=f"{VIEW}_{column.name}", about=about)


DEPARTURES: tuple[str, ...] = (
    *ALIGNED[:2],
    "Either object of a pair is edited, and either object of the counterfactual is the source, at "
    "random; the released code always edits the first.",
    "Every counterfactual differs from its base in the source object's value: in the released code "
    "1 in 15 of the rmts pairs edited from same to different is left unchanged.",
    "Labels, directions, properties and, in rmts, the edited pair and the relation of the other "
    "are crossed exactly, in every run of 2 (rmts: 8) pairs of images of a property; the released "
    "code bounds labels and directions one by one, and draws the rest.",
    "Base images are new stimuli, none of which occurs twice in any split; the released code takes "
    "them from the sets that models are trained and tested on, train from train and so on.",
    "Base images come in matched groups of two that share positions and offsets: one whose edited "
    "pair differs in the property alone, and one where that pair is the same.",
    "In rmts the display and the sample of a base image share neither a shape nor a colour that is "
    "interchanged, hence no object; in the released code they can.",
    "The second object of a discrimination counterfactual shares neither value with the source or "
    "with the base's pair.",
    "Patches of the edited and of the source object are lists in the same order; one version of "
    "the released code scrambles them across a batch.",
    "test_iid shows the training combinations in base images, as test does if none is held out; in "
    "the released training code its loader reads the test set.",
    *ALIGNED[8:9],
)

LIMITS: tuple[str, ...] = (
    "Objects of counterfactuals are of all 16 shapes and 16 colours, as in the released code, also "
    "where combinations are held out of base images.",
    "Counterfactual scenes can come back, at other offsets and with other noise; base scenes, and "
    "hence pairs of both, cannot.",
    "A box of 2 x 2 patches is listed whole: an object at its edge can leave one of the four "
    "without ink (1 in 25).",
)
