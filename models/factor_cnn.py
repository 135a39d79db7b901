"""The baseline network of Schott et al. 2021 (arXiv 2107.08221) for factor sets, and its trainer.

The layers are those of the released code. Learning rate, batch size, optimiser and number of steps
are not published: the defaults here are ours.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path

import torch
from torch import Tensor, nn

from samediff_stimuli.engine import available_workers
from samediff_stimuli.factors import FactorSpace
from samediff_stimuli.loaders import ShuffledBatches
from samediff_stimuli.loaders.ahead import ahead
from samediff_stimuli.manifest import write_atomically
from samediff_stimuli.models import checkpoints, factor_report, figures
from samediff_stimuli.models.factors import Evaluation, FactorData, evaluate, sample
from samediff_stimuli.models.run_folder import check_run_folder
from samediff_stimuli.models.train_config import pick_device
from samediff_stimuli.recipe import InputError

SIDE = 64  # pixels; the last convolution then covers all that is left
_LOG_EVERY = 100  # steps
_SAMPLE_SEED = 0  # every model is tested on the same rows, whatever its seed


class FactorCNN(nn.Module):
    """Five convolutions and a linear layer, from an image to one number for each factor.

    The weights have the names and shapes of the released code's.

    Args:
        channels: of the images.
        n_factors: numbers to give.
        channels_last: compute with channels last in memory, which is faster.
    """

    def __init__(self, channels: int, n_factors: int, *, channels_last: bool = True) -> None:
        """Make the layers."""
        super().__init__()
        self.channels = channels
        self.memory = torch.channels_last if channels_last else torch.contiguous_format
        self.net = nn.Sequential(
            nn.Conv2d(channels, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(64, 256, 4, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, n_factors),
        ).to(memory_format=self.memory)  # type: ignore[call-overload]  # missing in torch's types

    def forward(self, images: Tensor) -> Tensor:
        """(n, n_factors) real answers to (n, channels, 64, 64) uint8 images.

        Raises:
            InputError: images of another shape or type.
        """
        if images.shape[1:] != (self.channels, SIDE, SIDE) or images.dtype != torch.uint8:
            raise InputError(
                f"images {images.dtype} {tuple(images.shape)} do not fit FactorCNN; legal: "
                f"torch.uint8 (n, {self.channels}, {SIDE}, {SIDE})"
            )
        pixels = images.to(dtype=torch.float32, memory_format=self.memory) / 255
        answers: Tensor = self.net(pixels)
        return answers


@dataclass(frozen=True, kw_only=True)
class FactorTrainConfig:
    """How to train; the defaults are ours, for a CPU and a few minutes.

    Attributes:
        steps: batches to train on.
        batch_size: images in a step.
        lr: peak learning rate of Adam, after a linear warm-up and before a cosine decay to zero.
        warmup: steps of warm-up.
        seed: of the initial weights and the order of the data.
        device: "auto", "cpu", "cuda" or "mps".
        test_images: rows tested of each split, a sample that is the same for every model; 0 for
            all.
        channels_last: compute with channels last in memory.
        bf16: train in bfloat16 on CUDA; elsewhere, and in testing, float32 is used.
    """

    steps: int = 3000
    batch_size: int = 128
    lr: float = 1e-3
    warmup: int = 100
    seed: int = 0
    device: str = "auto"
    test_images: int = 20000
    channels_last: bool = True
    bf16: bool = True

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        lowest = {"steps": 1, "batch_size": 1, "warmup": 0, "seed": 0, "test_images": 0}
        for name, low in lowest.items():
            value = getattr(self, name)
            if value < low:
                raise InputError(f"{name} {value} is out of range; legal: {low} or more")
        if not math.isfinite(self.lr) or self.lr <= 0:
            raise InputError(f"lr {self.lr} is out of range; legal: a finite number above 0")


@dataclass(frozen=True, kw_only=True)
class FactorTrainResult:
    """What came of training.

    Attributes:
        evaluations: by split.
        loss: mean squared error over the last steps of training, up to 100.
        images_per_second: of training.
        seconds: of training and testing.
    """

    evaluations: dict[str, Evaluation]
    loss: float
    images_per_second: float
    seconds: float


def lr_at(step: int, config: FactorTrainConfig) -> float:
    """The learning rate of a step: linear warm-up, then cosine decay to zero."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def train_factors(
    train_data: FactorData,
    tests: Mapping[str, FactorData],
    out: Path | str,
    config: FactorTrainConfig,
    tell: Callable[[str], None],
    *,
    digest: str = "",
) -> FactorTrainResult:
    """Train the baseline on one split, and test it on others.

    Args:
        train_data: what to train on.
        tests: what to test on, by name; the diagnostics compare its levels with those trained on.
        out: run folder; log.jsonl, checkpoint.pt (weights, config, factors, digest), result.json,
            result.md and, if matplotlib is installed, result.png are written there.
        config: how to train.
        tell: given lines of progress.
        digest: of the dataset, to note beside the weights and the result.

    Raises:
        InputError: images or factors that do not fit, too few images for a batch, nothing to test
            on, no such device, or a learning rate that makes the loss infinite.
    """
    out, device = Path(out), pick_device(config.device)
    channels = _check(train_data, tests, config)
    check_run_folder(out)
    model = new_model(train_data.space, channels, config).to(device)
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with (out / "log.jsonl").open("w", encoding="utf-8") as log:
        for line in fit(model, train_data, config, device):
            log.write(json.dumps(line) + "\n")
            log.flush()
            tell(progress_line(line, config))
    trained = time.perf_counter() - began
    save(out / "checkpoint.pt", model, train_data.space, config, digest)
    evaluations = {}
    for name, data in tests.items():
        limit = config.test_images or len(data)
        rows = sample(len(data), limit, _SAMPLE_SEED) if limit < len(data) else None
        evaluations[name] = evaluate(
            model,
            data,
            train_levels=train_data.levels,
            indices=rows,
            threads=_threads(device),
        )
        tell(f"{name}: R² {evaluations[name].scores.r2_mean:.4f}")
    result = FactorTrainResult(
        evaluations=evaluations,
        loss=line["loss"],
        images_per_second=config.steps * config.batch_size / trained,
        seconds=time.perf_counter() - began,
    )
    _report(out, result, train_data.space, config, digest, tell)
    return result


def _check(
    train_data: FactorData, tests: Mapping[str, FactorData], config: FactorTrainConfig
) -> int:
    """The channels of the images, after all that can be wrong has been looked for.

    Raises:
        InputError: as `train_factors`.
    """
    if not tests:
        raise InputError("nothing to test on; give at least one split in tests")
    if len(train_data) < config.batch_size:
        raise InputError(f"batch_size {config.batch_size} exceeds the {len(train_data)} images")
    shapes = set()
    for name, data in (("train", train_data), *tests.items()):
        if data.space != train_data.space:
            raise InputError(
                f"{name} is of {data.space.name}, training of {train_data.space.name}; the "
                "factors must be the same"
            )
        if not len(data):
            raise InputError(f"{name} has no rows; give a split with 1 or more")
        shapes.add(tuple(data.batch([0])[0].shape[1:]))
    channels = {shape[0] for shape in shapes if shape[1:] == (SIDE, SIDE)}
    if len(shapes) > 1 or len(channels) != 1:
        raise InputError(f"images are {sorted(shapes)}; legal: all (channels, {SIDE}, {SIDE})")
    return int(channels.pop())


def new_model(space: FactorSpace, channels: int, config: FactorTrainConfig) -> FactorCNN:
    """The network before training: its weights follow from the seed; no global state changes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return FactorCNN(channels, len(space.factors), channels_last=config.channels_last)


def progress_line(line: dict[str, float], config: FactorTrainConfig) -> str:
    """What people are told of some steps."""
    return (
        f"step {line['step']}/{config.steps}: loss {line['loss']:.5f}, "
        f"{line['images_per_second']:.0f} images/s"
    )


def fit(
    model: FactorCNN, data: FactorData, config: FactorTrainConfig, device: torch.device
) -> Iterator[dict[str, float]]:
    """Train step by step; yield what the log says of every 100 steps, and of the last.

    Raises:
        InputError: if the loss is not finite.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    in_bf16 = config.bf16 and device.type == "cuda"
    model.train()
    began, loss_sum, steps = time.perf_counter(), torch.zeros((), device=device), 0
    for step, (images, targets) in enumerate(_batches(data, config, device)):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(step, config)
        images = images.to(device, non_blocking=True)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=in_bf16):
            answers = model(images)
        loss = nn.functional.mse_loss(answers.float(), targets.to(device, non_blocking=True))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimizer.step()
        loss_sum += loss.detach()
        steps += 1
        if steps < _LOG_EVERY and step + 1 < config.steps:
            continue
        mean = loss_sum.item() / steps  # waits for the device, so not at every step
        if not math.isfinite(mean):
            raise InputError(f"loss is {mean} at step {step + 1}; try a smaller --lr")
        seconds = time.perf_counter() - began
        yield {
            "step": step + 1,
            "loss": mean,
            "lr": lr_at(step, config),
            "images_per_second": steps * config.batch_size / seconds,
        }
        began, loss_sum, steps = time.perf_counter(), torch.zeros((), device=device), 0


def _batches(
    data: FactorData, config: FactorTrainConfig, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """As many batches as there are steps, read ahead; their rows follow from the seed alone."""
    order = ShuffledBatches(len(data), config.batch_size, True, config.seed, drop_last=True)
    epochs = chain.from_iterable(repeat(order))  # each pass over the sampler is the next epoch

    def read(indices: list[int]) -> tuple[Tensor, Tensor]:
        images, targets = data.batch(indices)
        if device.type != "cuda":
            return images, targets
        return images.pin_memory(), targets.pin_memory()

    return ahead(read, islice(epochs, config.steps), _threads(device))


def _threads(device: torch.device) -> int:
    """Batches to read at a time: on a CPU the processors are busy with the network."""
    return 1 if device.type == "cpu" else available_workers()


def save(
    path: Path, model: FactorCNN, space: FactorSpace, config: FactorTrainConfig, digest: str
) -> None:
    """Write a checkpoint that `load_model`, and `torch.load(..., weights_only=True)`, read."""
    state = {
        "weights": model.state_dict(),
        "config": dataclasses.asdict(config),
        "space": space.name,
        "factors": dict(zip(space.names, space.sizes, strict=True)),
        "channels": model.channels,
        "digest": digest,
    }
    checkpoints.write(path, state)


def load_model(path: Path | str) -> FactorCNN:
    """The trained network of a checkpoint, on the CPU, ready to answer.

    Raises:
        InputError: if there is no checkpoint of this network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model = FactorCNN(
            state["channels"],
            len(state["factors"]),
            channels_last=state["config"]["channels_last"],
        )
        model.load_state_dict(state["weights"])
    except Exception:  # torch, pickle, zip and struct each raise their own
        raise InputError(f"{path} is no checkpoint of FactorCNN; give a checkpoint.pt") from None
    return model.eval()


def _report(
    out: Path,
    result: FactorTrainResult,
    space: FactorSpace,
    config: FactorTrainConfig,
    digest: str,
    tell: Callable[[str], None],
) -> None:
    """result.json, result.md and result.png."""
    report = {
        "dataset": space.name,
        "digest": digest,
        "config": dataclasses.asdict(config),
        "loss": result.loss,
        "images_per_second": result.images_per_second,
        "seconds": result.seconds,
        "results": {name: found.as_dict() for name, found in result.evaluations.items()},
    }
    write_atomically(out / "result.json", json.dumps(report, indent=1) + "\n")
    write_atomically(out / "result.md", factor_report.markdown(result.evaluations))
    draw = partial(factor_report.plot, result.evaluations, title=space.name)
    figures.drawn(draw, out / "result.png", tell)
