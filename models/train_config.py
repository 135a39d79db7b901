"""How to train: a frozen config, and the fabric that knows of devices and processes."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass, field

import torch
from lightning_fabric import Fabric

from samediff_stimuli.models.attention import FORMS
from samediff_stimuli.models.schedules import SCHEDULES
from samediff_stimuli.models.zoo import ModelSpec
from samediff_stimuli.recipe import InputError

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train; the defaults are for a CPU and a few minutes.

    Attributes:
        model: what to train.
        epochs: passes over the train split.
        batch_size: images in a step, over all devices; a last, smaller batch is left out.
        accumulate: parts that a step's batch is taken in, one after another.
        lr: peak learning rate of AdamW, after a linear warm-up.
        schedule: what follows the warm-up: "cosine" to zero, "exponential" x 0.95 an epoch,
            "plateau" x 0.1 after `patience` epochs without a better validation accuracy,
            "constant".
        patience: epochs, of "plateau".
        warmup: steps of warm-up.
        weight_decay: of AdamW.
        seed: of the initial weights and the order of the data.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "32", or "bf16" for bfloat16 where torch's autocast allows it.
        compile: whether to compile the model and its losses with torch.compile.
        disentangle: layer whose hidden state the disentanglement loss probes; None for no such
            loss. The paper's is 3.
        disentangle_control: whether its probes ask for identity instead.
        pipeline_heads: heads that the pipeline loss acts on, drawn by `seed`; None for no such
            loss. The paper's are 4, 6 and 8.
        pipeline_form: of the pipeline loss, "paper" or "code".
    """

    model: ModelSpec = field(default_factory=ModelSpec)
    epochs: int = 12
    batch_size: int = 64
    accumulate: int = 1
    lr: float = 1e-3
    schedule: str = "cosine"
    patience: int = 40
    warmup: int = 50
    weight_decay: float = 0.01
    seed: int = 0
    device: str = "auto"
    precision: str = "32"
    compile: bool = False
    disentangle: int | None = None
    disentangle_control: bool = False
    pipeline_heads: int | None = None
    pipeline_form: str = "paper"

    def __post_init__(self) -> None:
        """Check what can be checked without a dataset.

        Raises:
            InputError: naming the field.
        """
        if not math.isfinite(self.lr) or self.lr <= 0:
            raise InputError(f"lr {self.lr} is out of range; legal: a finite number above 0")
        least_of = {"epochs": 1, "batch_size": 1, "accumulate": 1, "warmup": 0, "patience": 1}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise InputError(
                    f"{name} {getattr(self, name)} is out of range; legal: {least} or more"
                )
        choices = {"schedule": SCHEDULES, "precision": PRECISIONS, "pipeline_form": FORMS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"unknown {name} {getattr(self, name)!r}; known: {', '.join(known)}"
                )
        if self.disentangle_control and self.disentangle is None:
            raise InputError("disentangle_control is of no use without disentangle, a layer")
        if self.pipeline_form != "paper" and self.pipeline_heads is None:
            raise InputError(
                f"pipeline_form {self.pipeline_form} is of no use without pipeline_heads, a number"
            )


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA, then MPS, then CPU.

    Raises:
        InputError: an unknown name, or a device that is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, is_there in there.items() if is_there))
    if name not in there:
        raise InputError(f"unknown device {name!r}; known: auto, {', '.join(there)}")
    if not there[name]:
        raise InputError(f"device {name!r} is not available here; use --device cpu")
    return torch.device(name)


def make_fabric(config: TrainConfig) -> Fabric:
    """What knows of devices, precision and other processes; under torchrun, one of several.

    Raises:
        InputError: no such device, or a batch that cannot be shared out.
    """
    device = pick_device(config.device)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    world, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if config.batch_size % (config.accumulate * world):
        raise InputError(
            f"batch_size {config.batch_size} cannot be shared out; legal: multiples of "
            f"{config.accumulate * world} (accumulate x processes)"
        )
    fabric = Fabric(
        accelerator=device.type,
        devices=local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision=PRECISIONS[config.precision],  # type: ignore[arg-type]  # a literal there
    )
    fabric.launch()
    return fabric
