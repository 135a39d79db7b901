"""The papers' backbones through timm: from scratch, from published weights or from a local file."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from samediff_stimuli.models.classifier import Classifier, patch_size_of
from samediff_stimuli.models.torchvision_shim import load_timm
from samediff_stimuli.recipe import InputError

SOURCES = ("clip", "dinov2", "imagenet", "dino", "mae")
TIMM = "timm:"
_HALF = (0.5, 0.5, 0.5)
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_STD = 0.02  # of initial weights: the default of Hugging Face's ViTConfig


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """One backbone of the table.

    Attributes:
        architecture: timm's name of the network that is trained from scratch.
        stride: what image sides must be multiples of: the patch side, or a ResNet's stride.
        patch_size: patch side in pixels; None where the network has no tokens.
        tags: timm's model and weights of each source; CLIP's network is another one than the
            plain ViT (a norm before the blocks, quick GELU, no bias in the patch embedding).
        mean: of the three channels in [0, 1], subtracted when the network is trained from scratch.
        std: divides them then.
        mean_too: whether the head reads the mean patch token beside the class token, as in Hugging
            Face's Dinov2ForImageClassification; else it reads what timm pools.
    """

    architecture: str
    stride: int
    patch_size: int | None
    tags: dict[str, str]
    mean: tuple[float, ...] = _HALF
    std: tuple[float, ...] = _HALF
    mean_too: bool = False


# From scratch ViTs get mean and std 0.5: the authors pair a fresh ViTConfig with the processor of
# google/vit-base-patch16-224-in21k (or 32), whatever they train (their utils.py). The same weights
# are timm's orig_in21k. Their 2023 ResNet is normalised by ImageNet's mean and std; its 21k weights
# (MIIL's) are not in timm, so "imagenet" is torchvision's first ImageNet-1k set.
BACKBONES = {
    "vit_b16": Backbone(
        architecture="vit_base_patch16_224",
        stride=16,
        patch_size=16,
        tags={
            "clip": "vit_base_patch16_clip_quickgelu_224.openai",
            "imagenet": "vit_base_patch16_224.orig_in21k",
            "dino": "vit_base_patch16_224.dino",
            "mae": "vit_base_patch16_224.mae",
        },
    ),
    "vit_b32": Backbone(
        architecture="vit_base_patch32_224",
        stride=32,
        patch_size=32,
        tags={
            "clip": "vit_base_patch32_clip_quickgelu_224.openai",
            "imagenet": "vit_base_patch32_224.orig_in21k",
        },
    ),
    "vit_b14": Backbone(
        architecture="vit_base_patch14_dinov2",
        stride=14,
        patch_size=14,
        tags={"dinov2": "vit_base_patch14_dinov2.lvd142m"},
        mean_too=True,
    ),
    "resnet50": Backbone(
        architecture="resnet50",
        stride=32,
        patch_size=None,
        tags={"clip": "resnet50_clip.openai", "imagenet": "resnet50.tv_in1k"},
        mean=_IMAGENET[0],
        std=_IMAGENET[1],
    ),
}


def build(
    name: str,
    *,
    pretrained: str | None = None,
    weights: str | Path | None = None,
    image_size: int = 224,
    seed: int = 0,
    probe: bool = False,
    filled: bool = True,
) -> Classifier:
    """A backbone of the table as a two-logit classifier.

    From scratch, a ViT starts as Hugging Face's ViT does, for at a learning rate of 1e-6 weights
    stay near their start: linear layers, patch embedding, positions and class token ~ N(0, 0.02)
    cut at 2, biases 0, layer scales 1. Heads are as the authors made them: of CLIP's ViTs a
    bias-free linear layer in place of the visual projection (utils.py), else linear with bias.
    Positions of another grid are interpolated by timm; the authors load DINOv2 at 224 px with
    `ignore_mismatched_sizes`, which starts positions of another grid anew.

    Args:
        name: name in `BACKBONES`.
        pretrained: source of the initial weights, in `SOURCES`; None for from scratch.
        weights: local file of that source's weights, safetensors or torch, in timm's format; None
            to take them from the Hugging Face Hub or its cache.
        image_size: image side in pixels.
        seed: of the weights that are not pretrained; the global generator is left alone.
        probe: whether to freeze the body and train the head alone.
        filled: False leaves the source's weights out: those of a checkpoint follow.

    Raises:
        InputError: unknown name or source, a source that this backbone has not, weights that
            cannot be had, read or fitted, or an image size off the patch grid.
    """
    backbone, tag = _choose(name, pretrained, weights)
    if image_size < 1 or image_size % backbone.stride:
        raise InputError(
            f"image size {image_size} does not suit {name}; legal: multiples of {backbone.stride}"
        )
    timm = load_timm()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone; manual_seed sets every device
        body = _create(timm, tag or backbone.architecture, image_size, backbone.patch_size)
        if backbone.patch_size and tag is None:
            _start_like_vit(body)
        width = body.head_hidden_size if hasattr(body, "head_hidden_size") else body.num_features
        projects = backbone.patch_size is not None and pretrained == "clip"
        head = nn.Linear(width * (1 + backbone.mean_too), 2, bias=not projects)
        if backbone.patch_size and not projects:
            _start_like_vit(head)
    mean, std = backbone.mean, backbone.std
    if tag is not None:
        mean, std = body.pretrained_cfg["mean"], body.pretrained_cfg["std"]
        if filled:
            _fill(timm, body, tag, weights)
    return Classifier(
        body,
        head,
        mean=mean,
        std=std,
        image_size=image_size,
        probe=probe,
        mean_too=backbone.mean_too,
    )


def from_timm(
    name: str,
    *,
    pretrained: bool = False,
    weights: str | Path | None = None,
    image_size: int | None = None,
    seed: int = 0,
    probe: bool = False,
) -> Classifier:
    """Any timm network as a two-logit classifier, normalised and started as timm does.

    Args:
        name: timm's name, with or without "timm:" before and ".TAG" after it.
        pretrained: whether to take timm's weights of this name from the Hugging Face Hub.
        weights: local file to take them from, in timm's format.
        image_size: image side in pixels; None for the side that timm states.
        seed: of the weights that are not pretrained; the global generator is left alone.
        probe: whether to freeze the body and train the head alone.

    Raises:
        InputError: unknown name, weights that cannot be had, read or fitted, or an image size off
            the patch grid.
    """
    timm, name = load_timm(), name.removeprefix(TIMM)
    _check_timm_name(timm, name)
    side = image_size or timm.get_pretrained_cfg(name).input_size[-1]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        body = _create(timm, name, side, None)
        width = body.head_hidden_size if hasattr(body, "head_hidden_size") else body.num_features
        head = nn.Linear(width, 2)
    patch = patch_size_of(body)
    if patch and side % patch:
        raise InputError(f"image size {side} does not suit {name}; legal: multiples of {patch}")
    if pretrained or weights is not None:
        _fill(timm, body, name, weights)
    config = body.pretrained_cfg
    return Classifier(
        body, head, mean=config["mean"], std=config["std"], image_size=side, probe=probe
    )


def _choose(
    name: str, pretrained: str | None, weights: str | Path | None
) -> tuple[Backbone, str | None]:
    """The backbone of that name and timm's tag of that source; None for from scratch."""
    if name not in BACKBONES:
        raise InputError(
            f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}, and {TIMM}NAME for any of "
            f"timm's"
        )
    backbone = BACKBONES[name]
    if pretrained is None:
        if weights is not None:
            raise InputError(
                f"weights {str(weights)!r} need their source, which sets network and "
                f"normalisation; of {name}: {', '.join(backbone.tags)}"
            )
        return backbone, None
    if pretrained not in SOURCES:
        raise InputError(f"unknown pretrained {pretrained!r}; known: {', '.join(SOURCES)}")
    if pretrained not in backbone.tags:
        raise InputError(
            f"there is no {name} pretrained by {pretrained!r}; of {name}: "
            f"{', '.join(backbone.tags)}"
        )
    return backbone, backbone.tags[pretrained]


def _check_timm_name(timm: Any, name: str) -> None:
    """Refuse a name, or a tag after it, that timm does not have."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        raise InputError(
            f"unknown timm model {name!r}; did you mean {', '.join(close) or 'another'}? "
            f"known: timm.list_models()"
        )
    tagged = timm.list_models(f"{architecture}.*", pretrained=True)
    if tag and name not in tagged:
        raise InputError(
            f"timm has no weights {name!r}; of {architecture}: {', '.join(tagged) or 'none'}"
        )


def _create(timm: Any, name: str, image_size: int, patch_size: int | None) -> Any:
    """A timm network without classifier for this image size, its weights not downloaded."""
    options = {"weight_init": "skip"} if patch_size else {}  # started below, or filled
    try:
        return timm.create_model(name, num_classes=0, img_size=image_size, **options)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        return timm.create_model(name, num_classes=0, **options)  # takes images of any size


def _start_like_vit(module: nn.Module) -> None:
    """Initialise as Hugging Face's ViTPreTrainedModel does (modeling_vit.py, _init_weights)."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            _normal(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(gamma := getattr(part, "gamma", None), nn.Parameter):
            nn.init.ones_(gamma)  # layer scale: 1 as in Dinov2Config; timm's is 1e-5
    for name in ("cls_token", "pos_embed"):
        if isinstance(getattr(module, name, None), nn.Parameter):
            _normal(getattr(module, name))


def _normal(weight: Tensor) -> None:
    """Fill a weight with N(0, 0.02), cut at 2."""
    nn.init.trunc_normal_(weight, std=_STD)


def _fill(timm: Any, body: Any, name: str, weights: str | Path | None) -> None:
    """Load a network's weights from a local file, or from timm's place on the Hub."""
    if weights is None:
        state, what = _download(timm, body, name), f"timm's {name}"
    else:
        state, what = _read(timm, Path(weights)), f"weights file {str(weights)!r}"
    classifier = body.pretrained_cfg.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    convert = getattr(sys.modules[type(body).__module__], "checkpoint_filter_fn", None)
    try:
        state = dict(convert(state, body)) if convert else state
    except Exception as error:  # timm's conversions of foreign files fail in many ways
        raise InputError(
            f"{what} does not fit {name}: {type(error).__name__} in conversion; give weights in "
            f"timm's format for it"
        ) from None
    ours = body.state_dict()
    state = {
        key: value
        for key, value in state.items()
        if key in ours or not key.startswith(tuple(f"{head}." for head in heads))
    }
    complaints = {
        "missing": [k for k in ours if k not in state and not k.endswith("num_batches_tracked")],
        "unknown": [key for key in state if key not in ours],
        "of another shape": [
            k for k, v in ours.items() if k in state and v.shape != state[k].shape
        ],
    }
    if any(complaints.values()):
        said = "; ".join(f"{word}: {_some(keys)}" for word, keys in complaints.items() if keys)
        raise InputError(
            f"{what} does not fit {name}: {said}; give weights in timm's format for it"
        )
    body.load_state_dict(state, strict=False)


def _download(timm: Any, body: Any, name: str) -> dict[str, Tensor]:
    """A network's weights from the Hugging Face Hub, or from its cache."""
    place = body.pretrained_cfg.get("hf_hub_id")
    if not place:
        raise InputError(
            f"timm has no weights of {name} on the Hugging Face Hub; use --weights FILE"
        )
    try:
        state: dict[str, Tensor] = timm.models.load_state_dict_from_hf(place, weights_only=True)
    except Exception as error:  # the hub's client raises its own, httpx's and the system's errors
        raise InputError(
            f"could not download {place} (model.safetensors) from the Hugging Face Hub "
            f"({type(error).__name__}); fetch that file elsewhere and use --weights FILE"
        ) from None
    return state


def _read(timm: Any, path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a torch file that holds nothing but data."""
    if not path.is_file():
        raise InputError(f"weights file {str(path)!r} does not exist")
    try:
        state = timm.models.load_state_dict(str(path), weights_only=True)
    except Exception as error:  # safetensors, pickle, zip and torch each raise their own
        raise InputError(
            f"weights file {str(path)!r} cannot be read ({type(error).__name__}); legal: "
            f"safetensors (.safetensors), or a torch file that loads with weights_only=True"
        ) from None
    tensors = isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values())
    if not tensors or not state:
        raise InputError(f"weights file {str(path)!r} holds no state dict of tensors")
    return dict(state)


def _some(keys: list[str]) -> str:
    """The first keys of a list, and how many more there are."""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more
