"""Train on one set, test on all: how far what is learned on each dataset carries to the others.

Every model is a PairNet with one size of window. Results are medians over seeds, as in Tartaglini
et al. 2023 (arXiv 2310.09612).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn

from samediff_stimuli import locks, tasks
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import Manifest, load, write_atomically
from samediff_stimuli.models import checkpoints, fitting, zoo
from samediff_stimuli.models.cells import Cell, MatrixResult
from samediff_stimuli.models.objective import Objective
from samediff_stimuli.models.run_folder import check_run_folder
from samediff_stimuli.models.train import TrainConfig, progress_line
from samediff_stimuli.models.train_config import make_fabric
from samediff_stimuli.models.zoo import ANSWERS, Architecture
from samediff_stimuli.recipe import InputError

MAX_LABELS = 16  # of a test set whose labels are not different and same
_TRAINING = ("train", "validation")
_MODELS = "models"

Tell = Callable[[str], None]


class FirstRows(StimulusDataset):
    """The first rows of a split.

    Args:
        folder: the dataset folder.
        split: split name.
        images: how many rows; all if the split has no more.
    """

    def __init__(self, folder: Path, split: str, images: int) -> None:
        """Read the manifest."""
        super().__init__(folder, split)
        self.images = images

    def __len__(self) -> int:
        """Number of stimuli."""
        return min(self.images, super().__len__())


def matrix(
    folders: Sequence[Path | str],
    out: Path | str,
    config: TrainConfig,
    *,
    images: int = 2000,
    test_images: int = 1000,
    seeds: int = 1,
    tell: Tell,
) -> MatrixResult:
    """Train a model on each folder that has what it takes, and test it on all folders.

    A folder is trained on if it has train and validation splits and labels different and same; its
    other splits are tested. A model that is finished in `out`, of the same data, config and seed,
    is not trained again.

    Args:
        folders: dataset folders of pairs of objects, all of one image size.
        out: run folder; matrix.json (config, digests, every cell and seed), matrix.md, and two
            files for each model in models/ are written there.
        config: how to train; its seed is the first one.
        images: rows of the train split to use, from the first.
        test_images: rows of each validation and test split to use, from the first.
        seeds: models trained on each folder.
        tell: given lines of progress.

    Raises:
        InputError: naming the folder or argument that will not do, or another process that writes
            to `out`; nothing is written then.
    """
    out = Path(out)
    for name, value in (("images", images), ("test_images", test_images), ("seeds", seeds)):
        if value < 1:
            raise InputError(f"{name} {value} is out of range; legal: 1 or more")
    fabric = make_fabric(config)
    sources = _sources([Path(folder) for folder in folders])
    window = max(zoo.window_of(source.manifest.recipe) for source in sources)
    plan = _Plan(config=config, images=images, test_images=test_images, window=window)
    trained = [source for source in sources if source.trainable]
    for source in trained:
        n = len(FirstRows(source.folder, "train", images))
        if n < config.batch_size:
            raise InputError(f"batch_size {config.batch_size} exceeds the {n} images of {source}")
    _check_out(out, plan)
    with locks.held(out / locks.NAME, f"--out {out}"):
        (out / _MODELS).mkdir(parents=True, exist_ok=True)
        cells: list[Cell] = []
        fresh = 0
        for source in trained:
            rows = [_Row(out, source, plan.seeded(config.seed + i), fabric) for i in range(seeds)]
            fresh += sum(row.train(tell) for row in rows)
            for test in sources:
                for split in test.tests:
                    cells += _cells(source, test, split, [row.test(test, split) for row in rows])
        result = MatrixResult(cells=tuple(cells), models_trained=fresh)
        _write(out, result, sources, plan, seeds)
        return result


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A dataset folder of the matrix; its text is its name."""

    name: str
    folder: Path
    manifest: Manifest
    digest: str
    trainable: bool
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What every model of a matrix has in common; its config has the first seed, or the model's."""

    config: TrainConfig
    images: int
    test_images: int
    window: int

    def seeded(self, seed: int) -> _Plan:
        """The plan of one model."""
        return dataclasses.replace(self, config=dataclasses.replace(self.config, seed=seed))


def _sources(folders: Sequence[Path]) -> list[_Source]:
    """The folders, checked to go together.

    Raises:
        InputError: no dataset, given twice, out of scope, of other sizes, or none to train on.
    """
    short = len({folder.resolve().name for folder in folders}) == len(folders)
    sources: list[_Source] = []
    for folder in folders:
        source = _source(folder, folder.resolve().name if short else str(folder))
        for other in sources:
            if other.digest == source.digest:
                raise InputError(f"{folder} and {other.folder} are one dataset; give it once")
        if sources and _shape(source) != _shape(sources[0]):
            sizes = [f"{s.folder} has {_shape(s)}" for s in (sources[0], source)]
            raise InputError(f"images differ in size: {', '.join(sizes)}; use sets of one size")
        sources.append(source)
    if not any(source.trainable for source in sources):
        raise InputError(
            f"nothing to train on: {', '.join(map(str, folders)) or 'no folder'}; give at least "
            "one with train and validation splits and labels different and same"
        )
    if not any(source.tests for source in sources):
        raise InputError(f"nothing to test on: {', '.join(map(str, folders))}; give a test split")
    return sources


def _source(folder: Path, name: str) -> _Source:
    """One folder, checked.

    Raises:
        InputError: no dataset, or out of scope.
    """
    manifest = load(folder)
    if tasks.get(manifest.recipe.task).space(manifest.recipe) is not None:
        raise InputError(
            f"{folder} is a grid of factors, with nothing to answer same or different to; use "
            "'samediff-stimuli train'"
        )
    zoo.window_of(manifest.recipe)
    names = zoo.label_names(manifest.recipe)
    if len(names) > MAX_LABELS:
        raise InputError(f"{folder} has {len(names)} labels; legal: 2 .. {MAX_LABELS}")
    splits = [split.name for split in tasks.get(manifest.recipe.task).splits(manifest.recipe)]
    return _Source(
        name=name,
        folder=folder,
        manifest=manifest,
        digest=manifest.digest(),
        trainable=names == ANSWERS and set(_TRAINING) <= set(splits),
        tests=tuple(split for split in splits if split not in _TRAINING),
    )


def _shape(source: _Source) -> str:
    """Height x width in pixels."""
    height, width, _ = tasks.get(source.manifest.recipe.task).image_shape(source.manifest.recipe)
    return f"{height} x {width}"


def _check_out(out: Path, plan: _Plan) -> None:
    """Refuse a run folder that holds something else.

    Raises:
        InputError: if it is a dataset, or a matrix of another configuration.
    """
    check_run_folder(out)
    path = out / "matrix.json"
    if not path.exists():
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))["plan"]
        earlier = {**earlier, **earlier.pop("config")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path} is damaged; delete it") from None
    wanted = dataclasses.asdict(plan)
    wanted |= wanted.pop("config")
    for name, value in wanted.items():
        if earlier.get(name) != value:
            raise InputError(
                f"--out {out} holds a matrix of {name} {earlier.get(name)}, not {value}; give "
                "another folder"
            )


class _Row:
    """One model: trained on a source with a seed, or found finished in the run folder.

    Args:
        out: run folder.
        source: what it is trained on.
        plan: how; its config has the model's seed.
        fabric: where.
    """

    def __init__(self, out: Path, source: _Source, plan: _Plan, fabric: Fabric) -> None:
        self.source, self.plan, self.fabric = source, plan, fabric
        identity = {"digest": source.digest, "plan": dataclasses.asdict(plan)}
        text = json.dumps(identity, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        stem = f"{Path(source.name).name}-seed{plan.config.seed}-{key}"
        self._weights = out / _MODELS / f"{stem}.pt"
        self._report = out / _MODELS / f"{stem}.json"
        self._known: dict[str, Any] = {**identity, "name": source.name, "tests": {}}
        self._what = Architecture(kind="pair", arguments={"window": plan.window})
        self._model: nn.Module | None = None

    def train(self, tell: Tell) -> bool:
        """Train unless finished; whether it was trained now."""
        who = f"{self.source}, seed {self.plan.config.seed}"
        try:
            known = json.loads(self._report.read_text(encoding="utf-8"))
            if known["digest"] == self.source.digest and self._weights.is_file():
                self._known = known
                tell(f"{who}: finished before")
                return False
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
        self._report.unlink(missing_ok=True)  # its weights are gone
        config, folder = self.plan.config, self.source.folder
        model = zoo.assemble(self._what, config.seed)
        shown = FirstRows(folder, "train", self.plan.images)
        held_out = FirstRows(folder, "validation", self.plan.test_images)
        best, plain = -1.0, dataclasses.asdict(config)
        for line, _ in fitting.fit(Objective(model), shown, held_out, config, self.fabric):
            tell(f"{who}: {progress_line(line, config)}")
            if line["validation"] > best:
                best, weights = line["validation"], model.state_dict()
                checkpoints.save(self._weights, weights, self._what, plain, self.source.manifest)
        self._known["validation"] = best
        self._save()
        return True

    def test(self, test: _Source, split: str) -> dict[str, list[float]]:
        """Label -> number of images, and share of "same"; "" -> number of images, and accuracy."""
        key = f"{test.digest}/{split}/{self.plan.test_images}"
        if key not in self._known["tests"]:
            if self._model is None:
                self._model = checkpoints.load(self._weights).model.to(self.fabric.device)
            rows = FirstRows(test.folder, split, self.plan.test_images)
            given, labels = fitting.answers(self._model, rows, self.fabric.device)
            names = zoo.label_names(test.manifest.recipe)
            if names == ANSWERS:
                found = {"": [len(labels), (given == labels).double().mean().item()]}
            else:
                of = {name: given[labels == number] for number, name in enumerate(names)}
                found = {n: [len(a), a.double().mean().item()] for n, a in of.items() if len(a)}
            self._known["tests"][key] = found
            self._save()
        shares: dict[str, list[float]] = self._known["tests"][key]
        return shares

    def _save(self) -> None:
        write_atomically(self._report, json.dumps(self._known, indent=1) + "\n")


def _cells(
    source: _Source, test: _Source, split: str, by_seed: Sequence[dict[str, list[float]]]
) -> list[Cell]:
    """The cells of one tested split from what each seed's model gave."""
    return [
        Cell(
            trained=source.name,
            tested=test.name,
            split=split,
            label=label or None,
            images=int(n),
            by_seed=tuple(shares[label][1] for shares in by_seed),
        )
        for label, (n, _) in by_seed[0].items()
    ]


def _write(
    out: Path, result: MatrixResult, sources: Sequence[_Source], plan: _Plan, seeds: int
) -> None:
    """matrix.json and matrix.md."""
    cells = [
        {**dataclasses.asdict(cell), "median": cell.median, "half_width": cell.half_width}
        for cell in result.cells
    ]
    first = plan.config.seed
    report = {
        "plan": dataclasses.asdict(plan),
        "seeds": list(range(first, first + seeds)),
        "datasets": {
            source.name: {
                "digest": source.digest,
                "recipe": source.manifest.recipe.as_dict(),
                "trained": source.trainable,
                "tested": list(source.tests),
            }
            for source in sources
        },
        "cells": cells,
    }
    write_atomically(out / "matrix.json", json.dumps(report, indent=1) + "\n")
    write_atomically(out / "matrix.md", result.markdown())
