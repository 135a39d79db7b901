"""The training loop: epochs of steps, resumed exactly, on one device or several."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from samediff_stimuli import rng
from samediff_stimuli.loaders import StimulusDataset, make_loader
from samediff_stimuli.models import checkpoints
from samediff_stimuli.models.objective import Objective
from samediff_stimuli.models.schedules import factor_at
from samediff_stimuli.models.torchvision_shim import load_timm
from samediff_stimuli.models.train_config import TrainConfig
from samediff_stimuli.recipe import InputError

_EVALUATION_BATCH = 256
_LOOKS = 20  # steps between two looks at the losses, each of which waits for the device
_ANYWHERE = ("device", "compile")  # of a config: a run may go on with another

Line = dict[str, float]  # what the log says of an epoch


def fit(
    objective: Objective,
    train_set: StimulusDataset,
    validation_set: StimulusDataset,
    config: TrainConfig,
    fabric: Fabric,
    state: Path | None = None,
    on_images: Callable[[int], None] = lambda images: None,
) -> Iterator[tuple[Line, bool]]:
    """Train epoch by epoch; yield what the log says of each, and whether it was run just now.

    Args:
        objective: the model and its losses; the model's weights are changed.
        train_set: what to train on.
        validation_set: what to test on after each epoch.
        config: how to train.
        fabric: see `make_fabric`.
        state: file to go on from, and to keep the state in after every epoch; None for none.
        on_images: see `train`.

    Raises:
        InputError: if the loss is not finite, or the state is another run's.
    """
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay)
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        share_statistics(objective)
    compiled: Any = torch.compile(objective) if config.compile else objective
    wrapped, optimizer = fabric.setup(compiled, optimizer)
    about = _about(train_set, config)
    lines = _resume(state, about, objective, optimizer)
    yield from ((line, False) for line in lines)
    epoch = _Epoch(wrapped, optimizer, train_set, config, fabric, on_images)
    for number in range(len(lines), config.epochs):
        began = time.perf_counter()
        line = epoch.run(number, [each["validation"] for each in lines])
        if fabric.world_size > 1:  # weights are equal; running statistics may not be
            for buffer in objective.buffers():
                torch.distributed.broadcast(buffer, 0)
        line["validation"] = accuracy(objective.model, validation_set, fabric)
        line["seconds"] = time.perf_counter() - began  # images_per_second is of training alone
        yield line, True
        lines.append(line)
        if state is not None and fabric.is_global_zero:
            kept = {"objective": objective.state_dict(), "optimizer": optimizer.state_dict()}
            checkpoints.write(state, {**kept, "about": about, "lines": lines})


def share_statistics(model: nn.Module) -> None:
    """Let batch norm see the batch of all processes, in place; timm's, with their activations."""
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules()):
        load_timm().layers.convert_sync_batchnorm(model)  # torch's own drops the activations


class _Epoch:
    """Passes over the train split.

    Args:
        objective: as fabric set it up.
        optimizer: as fabric set it up.
        train_set: what to train on.
        config: how.
        fabric: where.
        on_images: told of images.
    """

    def __init__(
        self,
        objective: Any,
        optimizer: Any,
        train_set: StimulusDataset,
        config: TrainConfig,
        fabric: Fabric,
        on_images: Callable[[int], None],
    ) -> None:
        self.objective, self.optimizer, self.config = objective, optimizer, config
        self.fabric, self.on_images, self.label = fabric, on_images, train_set.label
        self.steps = len(train_set) // config.batch_size
        self.loader = make_loader(
            train_set,
            config.batch_size // config.accumulate,
            shuffle=True,
            seed=config.seed,
            drop_last=True,
            pin_memory=fabric.device.type == "cuda",
            rank=fabric.global_rank,
            world=fabric.world_size,
        )

    def run(self, epoch: int, history: Sequence[float]) -> Line:
        """Train for an epoch; what the log says of it but the validation accuracy."""
        config, began = self.config, time.perf_counter()
        self.objective.train()
        self.loader.sampler.set_epoch(epoch)
        names, sums, right = list[str](), list[Tensor](), list[Tensor]()
        batches = iter(self.loader)
        lr = 0.0
        with self._randomness(epoch):
            for step in range(self.steps):
                done, total = epoch * self.steps + step, config.epochs * self.steps
                schedule = config.schedule, done, total, config.warmup, self.steps
                lr = config.lr * factor_at(*schedule, history, config.patience)
                for group in self.optimizer.param_groups:
                    group["lr"] = lr
                found, correct = self._step(batches)
                names = [name for name in found if name != "logits"]
                sums.append(torch.stack([found[name] for name in names]))
                right.append(correct)
                if step % _LOOKS == _LOOKS - 1 or step == self.steps - 1:
                    _check_finite(sums, done, names)
                if self.fabric.is_global_zero:
                    self.on_images(config.batch_size)
        close = getattr(batches, "close", None)
        if close is not None:
            close()
        losses = shared(self.fabric, torch.stack(sums).mean(dim=0)) / self.fabric.world_size
        seen = self.steps * config.batch_size
        means = dict(zip(names, losses.tolist(), strict=True))
        share = shared(self.fabric, torch.stack(right).sum()).item() / seen
        seconds = time.perf_counter() - began
        line: Line = {"epoch": epoch, "step": (epoch + 1) * self.steps, "loss": means.pop("loss")}
        if len(means) > 1:  # the task's is all there is without auxiliary losses
            line |= {f"loss_{name}": value for name, value in means.items()}
        speed = {"lr": lr, "images_per_second": seen / seconds, "seconds": seconds}
        return {**line, "train": share, "validation": math.nan, **speed}

    def _step(self, batches: Iterator[Any]) -> tuple[dict[str, Tensor], Tensor]:
        """One step: the batch's mean losses, and how many answers were right; this process's."""
        parts = self.config.accumulate
        means: dict[str, Tensor] = {}
        correct = torch.zeros((), dtype=torch.int64, device=self.fabric.device)
        for part in range(parts):
            images, scene = self._put(next(batches))
            with self._alone(part < parts - 1):
                found = self.objective(images, scene)
                self.fabric.backward(found["loss"] / parts)
            correct += (found.pop("logits").argmax(dim=1) == scene["label"]).sum()
            for name, value in found.items():
                means[name] = means.get(name, torch.zeros_like(value)) + value.detach() / parts
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return means, correct

    def _alone(self, more: bool) -> AbstractContextManager[None]:
        """Whether processes keep their gradients to themselves: while more follows."""
        if not more or self.fabric.world_size == 1:
            return nullcontext()
        return self.fabric.no_backward_sync(self.objective)

    def _put(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Images and columns on the device; the label's column is called "label"."""
        if not isinstance(batch, dict):
            batch = {"image": batch[0], self.label: batch[1]}
        there = {k: v.to(self.fabric.device, non_blocking=True) for k, v in batch.items()}
        images = there.pop("image")
        return images, {**there, "label": there[self.label]}

    @contextmanager
    def _randomness(self, epoch: int) -> Iterator[None]:
        """Torch's generators, seeded for an epoch and put back after it."""
        device = self.fabric.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            key = rng.stream_key("training", self.config.seed, epoch, self.fabric.global_rank)
            torch.manual_seed(key % 2**63)
            yield


def _check_finite(sums: Sequence[Tensor], step: int, names: Sequence[str]) -> None:
    """Refuse losses that are no numbers, of steps up to this one."""
    recent = torch.stack(list(sums[-_LOOKS:])).tolist()
    for number, values in enumerate(recent, start=step + 1 - len(recent)):
        for name, value in zip(names, values, strict=True):
            if not math.isfinite(value):
                raise InputError(f"{name} is {value} at step {number}; try a smaller --lr")


def answers(
    model: nn.Module,
    dataset: StimulusDataset,
    device: torch.device,
    *,
    rank: int = 0,
    world: int = 1,
) -> tuple[Tensor, Tensor]:
    """The answer to each of a split's stimuli and its label, (n,) int64 each, on the CPU.

    Args:
        model: (n, 3, height, width) uint8 -> (n, 2) logits; it is put in eval mode.
        dataset: the split; items are (image, label).
        device: the model's.
        rank: of this process among those that share the split.
        world: number of such processes: each takes every world-th stimulus.
    """
    model.eval()
    given, labels = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, dtype=torch.int64)]
    with torch.no_grad():
        for images, truth in make_loader(
            dataset, _EVALUATION_BATCH * world, rank=rank, world=world
        ):
            if len(truth):
                given.append(model(images.to(device)).argmax(dim=1).cpu())
                labels.append(truth)
    return torch.cat(given), torch.cat(labels)


def accuracy(model: nn.Module, dataset: StimulusDataset, fabric: Fabric) -> float:
    """The share of a split's stimuli whose larger logit is the label's, over all processes."""
    rank, world = fabric.global_rank, fabric.world_size
    with fabric.autocast():
        given, labels = answers(model, dataset, fabric.device, rank=rank, world=world)
    right = (given == labels).sum().to(fabric.device)
    return shared(fabric, right).item() / len(dataset)


def shared(fabric: Fabric, values: Tensor) -> Tensor:
    """The sum of values over processes."""
    if fabric.world_size == 1:
        return values
    return fabric.all_reduce(values, reduce_op="sum")  # type: ignore[return-value]


def _about(train_set: StimulusDataset, config: TrainConfig) -> dict[str, Any]:
    """What a run is of: where one goes on, this must be the same."""
    plain = {k: v for k, v in dataclasses.asdict(config).items() if k not in _ANYWHERE}
    return {"digest": train_set.manifest.digest(), "images": len(train_set), **plain}


def _resume(
    state: Path | None,
    about: dict[str, Any],
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> list[Line]:
    """The lines of the epochs that are over; weights and optimiser as these left them.

    Raises:
        InputError: if the state is another run's, or damaged.
    """
    if state is None or not state.exists():
        return []
    kept = checkpoints.read(state)
    damaged = f"{state} is damaged; delete it to begin anew"
    if not isinstance(kept.get("about"), dict):
        raise InputError(damaged)
    for name, value in about.items():
        if kept["about"].get(name) != value:
            raise InputError(
                f"{state.parent} holds an unfinished run of {name} {kept['about'].get(name)}, not "
                f"{value}; give another folder, or --overwrite"
            )
    try:
        objective.load_state_dict(kept["objective"])
        optimizer.load_state_dict(kept["optimizer"])
        return [dict(line) for line in kept["lines"]]
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError):
        raise InputError(damaged) from None
