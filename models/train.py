"""Train a model on a dataset folder, keep what was best on validation, test it on every split.

One process or, under torchrun, several: each step's batch is shared out among them. A run that was
interrupted goes on, at the epoch where it stopped, when the same call is made again; its losses are
those of a run that was not interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from samediff_stimuli import locks, tasks
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import Manifest, load, write_atomically
from samediff_stimuli.models import checkpoints, curves, zoo
from samediff_stimuli.models.fitting import Line, accuracy, fit
from samediff_stimuli.models.objective import SCENE, Objective, make_objective
from samediff_stimuli.models.run_folder import RESULT, check_run_folder, finished
from samediff_stimuli.models.train_config import TrainConfig, make_fabric, pick_device
from samediff_stimuli.recipe import InputError

__all__ = ["TrainConfig", "TrainResult", "pick_device", "progress_line", "train"]

_EVENTS = "tensorboard"  # a folder in the run folder


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """Accuracy in [0, 1] by split of the weights that were best on validation, and their epoch.

    Seconds are those of training, validating and testing, without what was interrupted.
    """

    accuracy: dict[str, float]
    best_epoch: int
    seconds: float


def train(
    folder: Path | str,
    out: Path | str,
    config: TrainConfig,
    tell: Callable[[str], None],
    on_images: Callable[[int], None] = lambda images: None,
    *,
    tensorboard: bool = False,
    overwrite: bool = False,
) -> TrainResult:
    """Train on the train split, keep the best weights on validation, test on every split.

    Args:
        folder: a dataset folder with train and validation splits.
        out: run folder; log.jsonl, checkpoint.pt (see `checkpoints`), curves.png and result.json
            are written there, and state.pt until the run is finished.
        config: how to train.
        tell: given one line of progress per epoch.
        on_images: told how many images have been trained on since it was last told.
        tensorboard: whether to write TensorBoard's events as well, to OUT/tensorboard.
        overwrite: whether to begin anew where `out` holds a run, once all of the above is in order;
            what the other run left, TensorBoard's events too, is removed.

    Returns:
        Accuracy on every split of the folder.

    Raises:
        InputError: no dataset, no train or validation split, no such device, a model or loss that
            does not suit it, a finished or another run or a dataset in `out`, another process that
            writes there, or a learning rate that makes the loss infinite.
    """
    folder, out = Path(folder), Path(out)
    manifest = load(folder)
    check_run_folder(out)
    what = zoo.architecture(config.model, manifest)
    sets = _sets(folder, manifest, config)
    fabric = make_fabric(config)
    model = zoo.assemble(what, config.seed, weights=config.model.weights)
    objective = _objective(model, manifest, config)
    alone = fabric.is_global_zero
    opened = curves.tensorboard() if tensorboard and alone else None
    with contextlib.ExitStack() as stack:
        if alone:
            stack.enter_context(locks.held(out / locks.NAME, f"--out {out}"))
        _clear(out, overwrite, alone)
        writer = opened and stack.enter_context(opened(str(out / _EVENTS)))
        best, best_epoch, lines = -1.0, -1, list[Line]()
        plain, state = dataclasses.asdict(config), out / "state.pt"
        shown = _shown(sets["train"], config)
        epochs = fit(objective, shown, sets["validation"], config, fabric, state, on_images)
        for line, fresh in epochs:
            lines.append(line)
            better = line["validation"] > best
            if better:
                best, best_epoch = line["validation"], len(lines) - 1
            if not (fresh and alone):
                continue
            if better:
                checkpoints.save(out / "checkpoint.pt", model.state_dict(), what, plain, manifest)
            write_atomically(out / "log.jsonl", "".join(json.dumps(each) + "\n" for each in lines))
            tell(progress_line(line, config))
            if writer is not None:
                curves.add(writer, line)
        fabric.barrier()
        model.load_state_dict(checkpoints.read(out / "checkpoint.pt")["weights"])
        began = time.perf_counter()
        reached = {name: accuracy(model, rows, fabric) for name, rows in sets.items()}
        seconds = sum(line["seconds"] for line in lines) + time.perf_counter() - began
        result = TrainResult(accuracy=reached, best_epoch=best_epoch, seconds=seconds)
        if alone:
            curves.plot(lines, out / "curves.png", f"{manifest.name}: {what.kind}")
            about = {"config": plain, "architecture": dataclasses.asdict(what)}
            _report(out, manifest, about | dataclasses.asdict(result), fabric)
            state.unlink(missing_ok=True)
        return result


def _clear(out: Path, overwrite: bool, alone: bool) -> None:
    """Make the run folder ready for a run: one that is finished stays unless `overwrite`.

    Raises:
        InputError: if it holds a finished run.
    """
    out.mkdir(parents=True, exist_ok=True)
    if overwrite:
        for name in ("state.pt", RESULT):
            (out / name).unlink(missing_ok=True)
        if alone:  # others may come here when events are written already
            shutil.rmtree(out / _EVENTS, ignore_errors=True)
    if (out / RESULT).exists():
        raise finished(out)


def _objective(model: nn.Module, manifest: Manifest, config: TrainConfig) -> Objective:
    """The losses that a config asks for."""
    return make_objective(
        model,
        manifest,
        disentangle=config.disentangle,
        control=config.disentangle_control,
        heads=config.pipeline_heads,
        form=config.pipeline_form,
        seed=config.seed,
    )


def _report(out: Path, manifest: Manifest, found: dict[str, Any], fabric: Fabric) -> None:
    """Write what came of a run, and on what it was run."""
    report = {
        "dataset": manifest.name,
        "digest": manifest.digest(),
        "device": fabric.device.type,
        "processes": fabric.world_size,
        "torch": torch.__version__,
        **found,
    }
    write_atomically(out / RESULT, json.dumps(report, indent=1) + "\n")


def progress_line(line: Line, config: TrainConfig) -> str:
    """What people are told of an epoch."""
    return (
        f"epoch {line['epoch'] + 1}/{config.epochs}: loss {line['loss']:.4f}, validation "
        f"{line['validation']:.4f}, {line['images_per_second']:.0f} images/s"
    )


def _sets(folder: Path, manifest: Manifest, config: TrainConfig) -> dict[str, StimulusDataset]:
    """The splits.

    Raises:
        InputError: a split that is missing or smaller than a batch.
    """
    names = [split.name for split in tasks.get(manifest.recipe.task).splits(manifest.recipe)]
    for name in ("train", "validation"):
        if name not in names:
            raise InputError(f"{folder} has no {name} split; it has {', '.join(names)}")
    sets = {name: StimulusDataset(folder, name) for name in names}
    if len(sets["train"]) < config.batch_size:
        raise InputError(f"batch_size {config.batch_size} exceeds the {len(sets['train'])} images")
    return sets


def _shown(train_set: StimulusDataset, config: TrainConfig) -> StimulusDataset:
    """The train split with the columns that the losses need."""
    if config.disentangle is None and config.pipeline_heads is None:
        return train_set
    columns = (train_set.label, *SCENE)
    return StimulusDataset(train_set.path, train_set.split, columns=columns)
