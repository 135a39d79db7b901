"""One run of a training recipe on a dataset: train, evaluate, judge; all as plain data."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import math
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from samediff_stimuli.engine import available_workers
from samediff_stimuli.manifest import Manifest, write_atomically
from samediff_stimuli.models import checkpoints, evaluation, factor_runs, train
from samediff_stimuli.models.factor_cnn import FactorTrainConfig
from samediff_stimuli.models.factor_report import Evaluation
from samediff_stimuli.models.metrics import Estimate, Metrics
from samediff_stimuli.models.recipes import Bound, Gate, Run
from samediff_stimuli.models.train import TrainConfig, pick_device

ACCURACY, R2 = "accuracy", "R2"  # what is measured
_ANYWHERE = ("device", "compile")  # of a config: they decide how fast, not what is learned
_LIBRARIES = ("samediff-stimuli", "torch", "numpy")
_NOTE, _TRAINED, _REPORT = "run.json", "training", "report.json"
_CURVE = ("epoch", "step", "loss", "train", "validation", "lr")
_SIGNIFICANT = 6  # decimals kept

Found = dict[str, Any]  # plain data


def find(
    folder: Path,
    manifest: Manifest,
    run: Run,
    place: Path,
    tell: Callable[[str], None],
    on_images: Callable[[int], None],
) -> Found:
    """Train and evaluate, going on where an earlier call stopped.

    Args:
        folder: the dataset folder.
        manifest: its manifest.
        run: what to train.
        place: folder for the run, of this dataset alone; what is there of another config is
            removed.
        tell: given lines of progress.
        on_images: told of images as they are trained on.

    Returns:
        Config, device, versions, minutes, what is measured, splits, what was reached before, and
        the learning curve.
    """
    plain = plain_config(run)
    asked = {"digest": manifest.digest(), "config": _decisive(plain)}
    note = _read(place / _NOTE)
    if note is not None and note != asked:
        tell(f"{place} holds a run of another config: it is trained anew")
        shutil.rmtree(place)
    known = _read(place / _REPORT)
    if known is not None:
        tell(f"{run.name}: finished before; {place / _REPORT} is taken")
        return {**known, "expected": run.expected}
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(place / _NOTE, json.dumps(asked, indent=1) + "\n")
    look = _factors if isinstance(run.config, FactorTrainConfig) else _pairs
    head = {
        "config": plain,
        "device": device_name(run.config.device),
        "versions": versions(run),
    }
    found = rounded({**head, **look(folder, run, place, tell, on_images)})
    write_atomically(place / _REPORT, json.dumps(found, indent=1) + "\n")
    return {**found, "expected": run.expected}


def _pairs(
    folder: Path,
    run: Run,
    place: Path,
    tell: Callable[[str], None],
    on_images: Callable[[int], None],
) -> Found:
    """Train a classifier of pairs, and ask the weights that were best on validation."""
    assert isinstance(run.config, TrainConfig)
    out = place / _TRAINED
    result = _read(out / "result.json")
    if result is None or not (out / "checkpoint.pt").is_file():
        anew = (out / "result.json").exists()  # but its checkpoint is gone
        train.train(folder, out, run.config, tell, on_images, overwrite=anew)
        result = _read(out / "result.json") or {}
    began = time.perf_counter()
    device = pick_device(run.config.device)
    model = checkpoints.load(out / "checkpoint.pt").model.to(device)
    report = evaluation.evaluate(model, [folder], model=run.name, device=device, tell=tell)
    seconds = float(result["seconds"]) + time.perf_counter() - began
    return {
        "minutes": seconds / 60,
        "measure": ACCURACY,
        "best_epoch": result["best_epoch"],
        "splits": {split.split: _split(split) for split in report.splits},
        "curve": [{k: line[k] for k in _CURVE if k in line} for line in _lines(out / "log.jsonl")],
    }


def _split(found: evaluation.SplitReport) -> Found:
    """How a split was answered: the value that gates judge, what is beside it, and classes."""
    whole = found.overall
    beside = {"balanced_accuracy": whole.balanced_accuracy, "auc": whole.auc}
    beside["said_same"] = whole.said_same
    by = {
        column: {name: _value(metrics) for name, metrics in classes.items()}
        for column, classes in found.by.items()
        if len(classes) <= evaluation.MAX_CLASSES
    }
    named = {n: dataclasses.asdict(e) for n, e in beside.items() if e is not None}
    return {**_value(whole), **named, "by": by}


def _value(metrics: Metrics) -> Found:
    """Accuracy with its interval."""
    none = Estimate(value=math.nan, low=None, high=None)
    return {"n": metrics.n, **dataclasses.asdict(metrics.accuracy or none)}


def _factors(
    folder: Path,
    run: Run,
    place: Path,
    tell: Callable[[str], None],
    on_images: Callable[[int], None],
) -> Found:
    """Train on every partition of a grid of factors; R2 of each on its test split."""
    assert isinstance(run.config, FactorTrainConfig)
    out = place / _TRAINED
    found = factor_runs.train_partitions(folder, out, run.config, tell)
    results = {name: _read(out / name / "result.json") or {} for name in found}
    curve = [
        {"partition": name, **{k: line[k] for k in _CURVE if k in line}}
        for name in found
        for line in _lines(out / name / "log.jsonl")
    ]
    return {
        "minutes": sum(float(result["seconds"]) for result in results.values()) / 60,
        "measure": R2,
        "splits": {f"{name}_test": _scores(each) for name, each in found.items()},
        "curve": curve,
    }


def _scores(found: Evaluation) -> Found:
    """Mean R2, and that of every factor."""
    scores = found.scores
    by = {
        name: {"n": scores.n, "value": r2, "low": None, "high": None}
        for name, r2 in zip(scores.names, scores.r2, strict=True)
    }
    none = {"low": None, "high": None}
    return {"n": scores.n, "value": scores.r2_mean, **none, "by": {"factor": by}}


def judge(run: Run, runs: Mapping[str, Found]) -> list[Found]:
    """What became of a run's gates; without those that compare with a run that was not made.

    Args:
        run: the run.
        runs: run name -> what was found, this run's among them.
    """
    made = []
    for gate in run.gates:
        value = _reached(runs, run.name, gate.split)
        low, high = (_resolved(bound, run.name, runs) for bound in (gate.low, gate.high))
        if value is None or (low is None and high is None):
            continue
        passed = (low is None or value >= low) and (high is None or value <= high)
        made.append(
            {
                "gate": f"{gate.split} {runs[run.name]['measure']}",
                "low": low,
                "high": high,
                "value": value,
                "passed": passed,
                "why": _why(gate),
            }
        )
    return made


def _why(gate: Gate) -> str:
    """Where a bound comes from, and of which run and split it is."""
    for bound in (gate.low, gate.high):
        if isinstance(bound, tuple):
            run, split = bound
            return f"{gate.why}: that of {split}{f' of {run}' if run else ''}"
    return gate.why


def _resolved(bound: Bound | None, name: str, runs: Mapping[str, Found]) -> float | None:
    """A bound as a number; None if there is none, or the run that it is of was not made."""
    if not isinstance(bound, tuple):
        return bound
    return _reached(runs, bound[0] or name, bound[1])


def _reached(runs: Mapping[str, Found], name: str, split: str) -> float | None:
    splits = runs[name]["splits"] if name in runs else {}
    return splits[split]["value"] if split in splits else None


def plain_config(run: Run) -> Found:
    """A config as plain data; of a file of weights, its name alone."""
    plain = dataclasses.asdict(run.config)
    if isinstance(run.config, TrainConfig) and run.config.model.weights is not None:
        plain["model"]["weights"] = Path(run.config.model.weights).name
    return plain


def _decisive(plain: Found) -> Found:
    """What of a config decides what is learned, as JSON gives it back."""
    kept = {name: value for name, value in plain.items() if name not in _ANYWHERE}
    read: Found = json.loads(json.dumps(kept))
    return read


def device_name(name: str) -> str:
    """The device of that name, with its make where it has one."""
    device = pick_device(name)
    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        return f"cpu, {available_workers()} processors"
    return device.type


def versions(run: Run | None = None) -> dict[str, str]:
    """Releases of Python and of the libraries that decide what is found."""
    names = list(_LIBRARIES)
    config = None if run is None else run.config
    if isinstance(config, TrainConfig) and config.model.name not in ("small", "cnn"):
        names.append("timm")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


def rounded(data: Any) -> Any:
    """The same with six decimals; numbers that are none become None."""
    if isinstance(data, dict):
        return {key: rounded(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [rounded(value) for value in data]
    if isinstance(data, float):
        small = 0 < abs(data) < 1e-4  # a learning rate
        if not math.isfinite(data):
            return None
        return float(f"{data:.{_SIGNIFICANT}g}") if small else round(data, _SIGNIFICANT)
    return data


def _read(path: Path) -> Found | None:
    """Plain data of a JSON file; None if there is none that is whole."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _lines(path: Path) -> list[Found]:
    """Plain data of a file of JSON lines."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
