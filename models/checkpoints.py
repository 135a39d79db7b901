"""Checkpoints: weights and what they are of, in a file that loads without running anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from samediff_stimuli.manifest import NAME as MANIFEST
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.models import zoo
from samediff_stimuli.models.zoo import Architecture
from samediff_stimuli.recipe import InputError
from samediff_stimuli.replacing import replacing

FORMAT = 1  # of the file
NAME = "checkpoint.pt"


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A trained model and where it comes from.

    Attributes:
        model: the network, on the CPU, in eval mode; (n, 3, height, width) uint8 -> (n, 2) logits.
        architecture: what it is.
        config: how it was trained, plain data.
        recipe: of the dataset that it was trained on, canonical JSON.
        digest: content digest of that dataset, hex.
        dataset: its name.
    """

    model: nn.Module
    architecture: Architecture
    config: dict[str, Any]
    recipe: str
    digest: str
    dataset: str


def save(
    path: Path,
    weights: Mapping[str, Any],
    what: Architecture,
    config: Mapping[str, Any],
    manifest: Manifest,
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: the file.
        weights: the model's state dict.
        what: the model.
        config: how it was trained, plain data.
        manifest: of the dataset.
    """
    write(
        path,
        {
            "format": FORMAT,
            "weights": dict(weights),
            "architecture": dataclasses.asdict(what),
            "config": dict(config),
            "recipe": manifest.recipe.canonical_json(),
            "digest": manifest.digest(),
            "dataset": manifest.name,
        },
    )


def load(path: Path | str) -> Checkpoint:
    """Read a checkpoint; nothing in it is run, and no pretrained weights are looked for.

    Raises:
        InputError: no such file, or no checkpoint of ours that is whole.
    """
    path = Path(path)
    state = read(path)
    try:
        if state["format"] != FORMAT:
            raise InputError(
                f"checkpoint {path} has format {state['format']}; this release reads {FORMAT}"
            )
        what = Architecture(**state["architecture"])
        model = zoo.assemble(what, filled=False)
        model.load_state_dict(state["weights"])
        return Checkpoint(
            model=model.eval(),
            architecture=what,
            config=dict(state["config"]),
            recipe=str(state["recipe"]),
            digest=str(state["digest"]),
            dataset=str(state["dataset"]),
        )
    except InputError:
        raise
    except (KeyError, TypeError, RuntimeError, AttributeError, ValueError) as error:
        line = str(error).splitlines()[0][:200]
        raise InputError(
            f"checkpoint {path} is not one that train wrote ({type(error).__name__}: {line}); give "
            "the checkpoint.pt of a run folder"
        ) from None


def path_of(what: Path) -> Path:
    """The checkpoint file that a file, or the run folder that holds it, means.

    Raises:
        InputError: a dataset folder, or one without a checkpoint.
    """
    if not what.is_dir():
        return what
    if (what / MANIFEST).is_file():
        raise InputError(
            f"{what} is a dataset; give what is to be evaluated first: a {NAME} or its run folder, "
            "or what else the command's help names"
        )
    if not (what / NAME).is_file():
        raise InputError(f"{what} has no {NAME}; give the run folder of a finished train")
    return what / NAME


def name_of(path: Path) -> str:
    """What a checkpoint's model goes by: its run folder, or the file where it has a name."""
    whole = path.resolve()
    return whole.parent.name if whole.name == NAME else whole.stem


def write(path: Path, state: Mapping[str, Any]) -> None:
    """`torch.save` under a temporary name, then rename."""
    with replacing(path) as temporary:
        torch.save(dict(state), temporary)


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote, on the CPU.

    Raises:
        InputError: no such file, or one that torch cannot read as plain data.
    """
    if not path.is_file():
        raise InputError(
            f"checkpoint {path} does not exist; give the checkpoint.pt of a run folder"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle, zip and struct each raise their own
        raise InputError(
            f"checkpoint {path} cannot be read ({type(error).__name__}); legal: files that train "
            "wrote, which load with weights_only=True"
        ) from None
    if not isinstance(state, dict):
        raise InputError(f"checkpoint {path} holds no checkpoint; give the one of a run folder")
    return state
