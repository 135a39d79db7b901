"""A vision transformer by a word, to be looked into: a checkpoint's, or one of timm's."""

from __future__ import annotations

from pathlib import Path

from samediff_stimuli import tasks
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.models import backbones, checkpoints
from samediff_stimuli.models.checkpoints import Checkpoint
from samediff_stimuli.models.classifier import Classifier, require_tokens
from samediff_stimuli.recipe import InputError


def vit_of(
    what: str,
    dataset: StimulusDataset,
    *,
    pretrained: bool = False,
    weights: Path | None = None,
    seed: int = 0,
) -> tuple[str, Classifier]:
    """The name and the model that a word means, in eval mode, for a dataset's images.

    Args:
        what: a checkpoint file or the run folder that holds it, or "timm:NAME[.TAG]".
        dataset: its images set the side of timm's network.
        pretrained: of "timm:", whether to take timm's weights from the Hugging Face Hub.
        weights: of "timm:", a local file of them.
        seed: of random weights.

    Raises:
        InputError: no such model, options that it does not have, or a checkpoint of a model
            without tokens; of timm's networks that is not looked at.
    """
    if what.startswith(backbones.TIMM):
        if pretrained and weights is not None:
            raise InputError(f"pretrained and weights {str(weights)!r}; give one of the two")
        side = tasks.get(dataset.recipe.task).image_shape(dataset.recipe)[0]
        body = backbones.from_timm(
            what, pretrained=pretrained, weights=weights, image_size=side, seed=seed
        )
        loaded = pretrained or weights is not None
        return what if loaded else f"{what} (random weights)", body.eval()
    for option, value in (("pretrained", pretrained), ("weights", weights)):
        if value:
            raise InputError(f"{option} is for {backbones.TIMM}NAME, not {what}; leave it out")
    name, _, vit = trained_vit(what)
    return name, vit


def trained_vit(what: Path | str) -> tuple[str, Checkpoint, Classifier]:
    """The name, the checkpoint and the model, in eval mode, of a file or the run folder with it.

    Raises:
        InputError: no checkpoint, or one of a model without tokens.
    """
    path = checkpoints.path_of(Path(what))
    found = checkpoints.load(path)
    vit = require_tokens(found.model, f"{what} is of {found.architecture.kind}: looks inside it")
    return checkpoints.name_of(path), found, vit
