"""What a dataset is for, what it is not for, and what to beware of: for cards and Croissant."""

from __future__ import annotations

from samediff_stimuli import tasks
from samediff_stimuli.manifest import Manifest

LIMITS = "Limits"  # of a task's own sections


def uses(manifest: Manifest) -> list[str]:
    """What the dataset is made for, a sentence each."""
    task, recipe = tasks.get(manifest.recipe.task), manifest.recipe
    if task.space(recipe) is not None:
        return [_GRIDS]
    if not task.source:
        return [_OTHERS]
    held = [split.name for split in task.splits(recipe) if split.held_out]
    named = ", ".join(f"`{name}`" for name in held)
    return [_PAIRS, _SCENES, *([f"Generalisation: {named}, held out from training."] * bool(held))]


def misuses(manifest: Manifest) -> list[str]:
    """What the dataset is not made for, a sentence each."""
    if not tasks.get(manifest.recipe.task).source:
        return ["Whatever the images' makers, or the people whom they show, do not allow."]
    return [_NOT_PHOTOGRAPHS, _NOT_A_TEST]


def people(manifest: Manifest) -> str:
    """Whether anybody is shown, in a sentence."""
    task = tasks.get(manifest.recipe.task)
    if not task.source or task.license(manifest.recipe) == "unknown":
        return "This package does not know whom or what the images show; whoever shares them must."
    return "No person is shown or described; there are no personal data."


def limits(manifest: Manifest) -> list[str]:
    """What to beware of: limits, and shortcuts that are known; a sentence or more each."""
    task, recipe = tasks.get(manifest.recipe.task), manifest.recipe
    if not task.source:
        return [_LIMITS_OF_OTHERS if task.space(recipe) is None else _LIMITS_OF_GRIDS]
    if task.space(recipe) is not None:
        own = task.sections(recipe).get(LIMITS)
        return [_READ, *task.limits] if own is None else [own, *task.limits]
    white = () if task.costly else (_WHITE,)  # costly images are photographs, as it were
    return [*task.limits, *white, _CHECKED]


_PAIRS = (
    "Training and testing of models, and comparing them with people, on the relation that the "
    "label tells."
)
_SCENES = (
    "Analysis of what a model represents: every row has its whole scene as columns, and the pixels "
    "and tokens of every object follow from it (`StimulusDataset.instances`)."
)
_GRIDS = (
    "Learning, comparing and testing representations of the factors: also on levels, or "
    "combinations of levels, that training never showed."
)
_OTHERS = "Whatever the images were collected for, with this package's loaders, models and checks."
_NOT_PHOTOGRAPHS = "Claims about photographs, or about how a system fares in the world."
_NOT_A_TEST = "Judging a person's abilities: the stimuli are no validated test of anybody."

_LIMITS_OF_OTHERS = (
    "Labels are the names of the folders; nothing was checked against what the images show, "
    "neither balance nor leaks between splits, beyond what is said above. `samediff-stimuli "
    "verify` checks that this copy holds the pixels that were imported; it cannot make them anew."
)
_LIMITS_OF_GRIDS = (
    "Nothing was checked against what the images show, neither the levels nor the balance of what "
    "no factor tells. R2 is taken over the variance of the whole grid, whichever of its images "
    "there are. `samediff-stimuli verify` checks that this copy holds the pixels that were "
    "imported; it cannot make them anew."
)
_READ = "The images are read as they are; nothing was checked against what they show."
_WHITE = "Stimuli are synthetic, on a white ground; success on them says little about photographs."
_CHECKED = (
    "Labels, balance, uniqueness and placement are checked by the package's tests for every "
    "split; `samediff-stimuli verify` checks this copy, and `samediff-stimuli audit` measures on "
    "its images what repeats, and what ink, luminance, boxes, centroids and distances say of the "
    "label."
)
