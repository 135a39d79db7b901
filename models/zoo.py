"""Every model that can be trained, by name: from a dataset's geometry, or from a checkpoint's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from samediff_stimuli import tasks
from samediff_stimuli.aligned_options import GridOptions
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.models import backbones
from samediff_stimuli.models.pairs import PairNet
from samediff_stimuli.models.relation import PatchRelationNet
from samediff_stimuli.models.small_cnn import SmallCNN
from samediff_stimuli.models.vit_mini import vit_mini
from samediff_stimuli.placed_options import SceneOptions
from samediff_stimuli.recipe import InputError, Recipe

ANSWERS = ("different", "same")  # what a model says: names of labels 0 and 1
SMALL = "small"  # the relation model that suits the dataset
MINI = "vit_mini"
NAMES = (SMALL, "cnn", MINI, *backbones.BACKBONES)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What to train.

    Attributes:
        name: in `NAMES`, or "timm:NAME". "small" is the patch-relation model where objects stand on
            a patch grid, and PairNet where two objects stand anywhere.
        pretrained: source of the initial weights, of backbones; "timm" for timm's own weights of
            a "timm:NAME"; None for from scratch.
        weights: local file of them; None for the Hub or its cache.
        probe: whether to freeze the body and train a linear layer alone.
    """

    name: str = SMALL
    pretrained: str | None = None
    weights: str | None = None
    probe: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without a dataset.

        Raises:
            InputError: an unknown name, or options that this model does not have.
        """
        is_timm = self.name.startswith(backbones.TIMM)
        if self.name not in NAMES and not is_timm:
            raise InputError(
                f"unknown model {self.name!r}; known: {', '.join(NAMES)}, and {backbones.TIMM}NAME "
                "for any of timm's"
            )
        if is_timm or self.name in backbones.BACKBONES:
            return
        for option, value in (
            ("pretrained", self.pretrained),
            ("weights", self.weights),
            ("probe", self.probe),
        ):
            if value:
                raise InputError(
                    f"{option} {value} is not for {self.name!r}; there is none for it: leave it "
                    f"out, or choose one of {', '.join(backbones.BACKBONES)}"
                )


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a network is without its weights: plain data, which a checkpoint carries.

    Attributes:
        kind: "patch_relation", "pair", "cnn", "vit_mini", a name of backbones, or "timm:NAME".
        arguments: of its constructor.
    """

    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)


def architecture(spec: ModelSpec, manifest: Manifest) -> Architecture:
    """The network that a spec means for a dataset.

    Raises:
        InputError: if labels are not different and same, images not square for a backbone, or
            other than two objects, or any of "vit_mini", stand off the patch grid.
    """
    check_labels(manifest)
    recipe = manifest.recipe
    height, width, channels = tasks.get(recipe.task).image_shape(recipe)
    if spec.name == "cnn":
        return Architecture(kind="cnn", arguments={"channels": channels})
    options = recipe.options
    if spec.name == MINI and not isinstance(options, GridOptions):
        raise InputError(
            f"{manifest.name} has no objects on a patch grid, whose patches {MINI} takes; choose "
            "cnn or small"
        )
    if spec.name != SMALL:
        if height != width or channels != 3:
            raise InputError(
                f"{manifest.name} has images of {height} x {width} x {channels}; {spec.name} takes "
                "square ones of 3 channels: choose cnn or small"
            )
        if isinstance(options, GridOptions) and spec.name == MINI:
            sides = {"image_size": height, "patch_size": options.patch_size}
            return Architecture(kind=MINI, arguments=sides)
        arguments = {"pretrained": spec.pretrained, "probe": spec.probe, "image_size": height}
        return Architecture(kind=spec.name, arguments=arguments)
    if not isinstance(options, GridOptions):
        return Architecture(kind="pair", arguments={"window": window_of(recipe)})
    span = options.box_size // options.patch_size
    return Architecture(
        kind="patch_relation",
        arguments={
            "box": options.box_size,
            "patch": options.patch_size,
            "image_size": options.image_size,
            "n_windows": 4 if span == 1 else 16,
        },
    )


def assemble(
    what: Architecture, seed: int = 0, *, weights: str | None = None, filled: bool = True
) -> nn.Module:
    """Make a network.

    Args:
        what: the network.
        seed: of the weights that are not pretrained; the global generator is left alone.
        weights: local file of pretrained weights.
        filled: False leaves pretrained weights out: a checkpoint's follow.

    Raises:
        InputError: an unknown kind or argument, or what `backbones.build` refuses.
    """
    small: dict[str, Callable[..., nn.Module]] = {
        "patch_relation": PatchRelationNet,
        "pair": PairNet,
        "cnn": SmallCNN,
        MINI: vit_mini,
    }
    try:
        if what.kind in small:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                return small[what.kind](**what.arguments)
        if what.kind.startswith(backbones.TIMM):
            arguments = {**what.arguments, "pretrained": bool(what.arguments.get("pretrained"))}
            if not filled:
                arguments["pretrained"] = False
            return backbones.from_timm(what.kind, weights=weights, seed=seed, **arguments)
        return backbones.build(
            what.kind, weights=weights, seed=seed, filled=filled, **what.arguments
        )
    except TypeError as error:
        raise InputError(f"architecture {what.kind!r} is damaged: {error}") from None


def check_labels(manifest: Manifest) -> None:
    """Refuse a dataset whose labels are not what a model answers.

    Raises:
        InputError: naming its labels.
    """
    names = label_names(manifest.recipe)
    if names != ANSWERS:
        raise InputError(
            f"{manifest.name} has labels {names[0]} .. {names[-1]}, not different and same; train "
            "on another set and test on it with matrix"
        )


def label_names(recipe: Recipe) -> tuple[str, ...]:
    """The names of a dataset's labels, in order."""
    return tasks.get(recipe.task).label_column(recipe).names


def window_of(recipe: Recipe) -> int:
    """The side of PairNet's windows that suits a dataset, in pixels.

    Raises:
        InputError: if its images show other than two objects.
    """
    task, options = tasks.get(recipe.task), recipe.options
    boxes = [column.shape for column in task.columns(recipe) if column.name == "box"]
    if boxes and boxes[0][0] != 2:
        raise InputError(
            f"{task.name_of(recipe)} shows {boxes[0][0]} objects; the baseline compares 2: "
            "choose a set of pairs"
        )
    if isinstance(options, GridOptions):
        return options.box_size + options.box_size // 8
    if isinstance(options, SceneOptions):
        return options.object_size + options.object_size // 8  # ink is not in the square's middle
    return max(task.image_shape(recipe)[:2]) * 3 // 7  # 96 pixels of 224
