"""Train the small baseline on a dataset folder, and test it on every split."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from samediff_stimuli import tasks
from samediff_stimuli.aligned_options import AlignedOptions
from samediff_stimuli.loaders import StimulusDataset, make_loader
from samediff_stimuli.manifest import Manifest, load, write_atomically
from samediff_stimuli.models.pairs import PairNet
from samediff_stimuli.models.relation import PatchRelationNet
from samediff_stimuli.placed_options import SceneOptions
from samediff_stimuli.recipe import InputError, Recipe

Baseline = PatchRelationNet | PairNet

ANSWERS = ("different", "same")  # what a model says: names of labels 0 and 1
_EVALUATION_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train; the defaults are for a CPU and a few minutes.

    Attributes:
        epochs: passes over the train split.
        batch_size: images in a step.
        lr: peak learning rate of AdamW, after a linear warm-up and before a cosine decay.
        warmup: steps of warm-up.
        weight_decay: of AdamW.
        seed: of the initial weights and the order of the data.
        device: "auto", "cpu", "cuda" or "mps".
    """

    epochs: int = 12
    batch_size: int = 64
    lr: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.01
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """Accuracy in [0, 1] by split of the weights that were best on validation, and their epoch."""

    accuracy: dict[str, float]
    best_epoch: int
    seconds: float


def lr_at(step: int, total: int, config: TrainConfig) -> float:
    """The learning rate of a step: linear warm-up, then cosine decay to zero."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, total - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def check_lr(config: TrainConfig) -> None:
    """Refuse a learning rate that cannot be one.

    Raises:
        InputError: if it is not a finite number above 0.
    """
    if not math.isfinite(config.lr) or config.lr <= 0:
        raise InputError(f"lr {config.lr} is out of range; legal: a finite number above 0")


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


def build(manifest: Manifest) -> Baseline:
    """The baseline for a dataset: windows on the patch grid, or two objects anywhere.

    Raises:
        InputError: if labels are not different and same, or other than two objects stand off the
            patch grid.
    """
    check_labels(manifest)
    options = manifest.recipe.options
    if not isinstance(options, AlignedOptions):
        return PairNet(window=window_of(manifest.recipe))
    span = options.box_size // options.patch_size
    return PatchRelationNet(
        box=options.box_size,
        patch=options.patch_size,
        image_size=options.image_size,
        n_windows=4 if span == 1 else 16,
    )


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
    if isinstance(options, AlignedOptions):
        return options.box_size + options.box_size // 8
    if isinstance(options, SceneOptions):
        return options.object_size + options.object_size // 8  # ink is not in the square's middle
    return max(task.image_shape(recipe)[:2]) * 3 // 7  # 96 pixels of 224


def train(
    folder: Path | str, out: Path | str, config: TrainConfig, tell: Callable[[str], None]
) -> TrainResult:
    """Train on the train split, keep the best weights on validation, test on every split.

    Args:
        folder: a dataset folder with train and validation splits.
        out: run folder; log.jsonl, checkpoint.pt (weights, config, recipe, dataset digest) and
            result.json are written there.
        config: how to train.
        tell: given one line of progress per epoch.

    Returns:
        Accuracy on every split of the folder.

    Raises:
        InputError: no dataset, no train or validation split, no such device, or a learning rate
            that makes the loss infinite.
    """
    folder, out = Path(folder), Path(out)
    check_lr(config)
    manifest = load(folder)
    check_labels(manifest)
    sets = {
        split.name: StimulusDataset(folder, split.name)
        for split in tasks.get(manifest.recipe.task).splits(manifest.recipe)
    }
    for name in ("train", "validation"):
        if name not in sets:
            raise InputError(f"{folder} has no {name} split; it has {', '.join(sets)}")
    if len(sets["train"]) < config.batch_size:
        raise InputError(f"batch_size {config.batch_size} exceeds the {len(sets['train'])} images")
    device = pick_device(config.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build(manifest).to(device)
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    best, best_epoch = -1.0, -1
    with (out / "log.jsonl").open("w", encoding="utf-8") as log:
        epochs = fit(model, sets["train"], sets["validation"], config, device)
        for epoch, line in enumerate(epochs):
            log.write(json.dumps(line) + "\n")
            log.flush()
            tell(progress_line(line, config))
            if line["validation"] > best:
                best, best_epoch = line["validation"], epoch
                save(out / "checkpoint.pt", model, config, manifest)
    state = torch.load(out / "checkpoint.pt", map_location=device, weights_only=True)
    model.load_state_dict(state["weights"])
    result = TrainResult(
        accuracy={name: accuracy(model, dataset, device) for name, dataset in sets.items()},
        best_epoch=best_epoch,
        seconds=time.perf_counter() - began,
    )
    report = {
        "dataset": manifest.name,
        "digest": manifest.digest(),
        "config": dataclasses.asdict(config),
        **dataclasses.asdict(result),
    }
    write_atomically(out / "result.json", json.dumps(report, indent=1) + "\n")
    return result


def progress_line(line: dict[str, float], config: TrainConfig) -> str:
    """What people are told of an epoch."""
    return (
        f"epoch {line['epoch'] + 1}/{config.epochs}: loss {line['loss']:.4f}, validation "
        f"{line['validation']:.4f}, {line['images_per_second']:.0f} images/s"
    )


def fit(
    model: nn.Module,
    train_set: StimulusDataset,
    validation_set: StimulusDataset,
    config: TrainConfig,
    device: torch.device,
) -> Iterator[dict[str, float]]:
    """Train epoch by epoch; yield what the log says of each.

    Raises:
        InputError: if the loss is not finite.
    """
    loader = make_loader(
        train_set, config.batch_size, shuffle=True, seed=config.seed, drop_last=True
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, weight_decay=config.weight_decay
    )
    total = config.epochs * len(loader)
    step = 0
    for epoch in range(config.epochs):
        model.train()
        began, loss_sum, right = time.perf_counter(), 0.0, 0
        for images, labels in loader:
            for group in optimizer.param_groups:
                group["lr"] = lr_at(step, total, config)
            logits = model(images.to(device))
            labels = labels.to(device)
            loss = nn.functional.cross_entropy(logits, labels)
            if not math.isfinite(loss.item()):
                raise InputError(f"loss is {loss.item()} at step {step}; try a smaller --lr")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            optimizer.step()
            loss_sum += loss.item() * len(labels)
            right += int((logits.argmax(dim=1) == labels).sum())
            step += 1
        seen = len(loader) * config.batch_size
        seconds = time.perf_counter() - began
        yield {
            "epoch": epoch,
            "step": step,
            "loss": loss_sum / seen,
            "train": right / seen,
            "validation": accuracy(model, validation_set, device),
            "lr": lr_at(step - 1, total, config),
            "images_per_second": seen / seconds,
        }


def accuracy(model: nn.Module, dataset: StimulusDataset, device: torch.device) -> float:
    """The share of a split's stimuli whose larger logit is the label's."""
    given, labels = answers(model, dataset, device)
    return int((given == labels).sum()) / len(labels)


@torch.no_grad()
def answers(
    model: nn.Module, dataset: StimulusDataset, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The answer to each of a split's stimuli and its label, (n,) int64 each, on the CPU."""
    model.eval()
    batches = [
        (model(images.to(device)).argmax(dim=1).cpu(), labels)
        for images, labels in make_loader(dataset, _EVALUATION_BATCH)
    ]
    given, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return given, labels


def save(path: Path, model: nn.Module, config: TrainConfig, manifest: Manifest) -> None:
    """Write a checkpoint that `torch.load(..., weights_only=True)` reads.

    PairNet's has its window as well: that of a matrix is one for all sets.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    torch.save(
        {
            "weights": model.state_dict(),
            "config": dataclasses.asdict(config),
            "recipe": manifest.recipe.canonical_json(),
            "digest": manifest.digest(),
            **({"window": model.window} if isinstance(model, PairNet) else {}),
        },
        temporary,
    )
    temporary.replace(path)
