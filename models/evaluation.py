"""Any model against every split of one or several dataset folders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from samediff_stimuli import tasks
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import Manifest, load
from samediff_stimuli.markdown import markdown_table
from samediff_stimuli.models import metrics
from samediff_stimuli.models.metrics import Estimate, Metrics, measure
from samediff_stimuli.models.predictions import Answerer, Predictions, predict
from samediff_stimuli.models.trials import (
    Agreement,
    Trial,
    agreement,
    by_participant,
    read_trial_table,
    trial_table,
)
from samediff_stimuli.models.zoo import ANSWERS
from samediff_stimuli.recipe import InputError

__all__ = [
    "Agreement",
    "Answerer",
    "Estimate",
    "Metrics",
    "Predictions",
    "Report",
    "SplitReport",
    "Trial",
    "agreement",
    "by_participant",
    "evaluate",
    "judge",
    "measure",
    "predict",
    "read_trial_table",
    "trial_table",
]

MAX_CLASSES = 32  # of a column whose classes the Markdown lists


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """How a split was answered.

    Attributes:
        dataset: the dataset's name.
        digest: its content digest, hex.
        split: split name.
        labels: names of the labels.
        answers: names of what the model answers; without accuracy if these are not the labels.
        overall: of all stimuli.
        by: column -> class -> the metrics of its stimuli; the label and every condition.
    """

    dataset: str
    digest: str
    split: str
    labels: tuple[str, ...]
    answers: tuple[str, ...]
    overall: Metrics
    by: dict[str, dict[str, Metrics]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a model answered every split.

    Attributes:
        model: its name.
        splits: of each folder in turn.
        predictions: in the same order; what `trial_table` writes.
        draws: of the bootstrap.
        seed: of the draws.
    """

    model: str
    splits: tuple[SplitReport, ...]
    predictions: tuple[Predictions, ...]
    draws: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the predictions."""
        return {
            "model": self.model,
            "confidence": metrics.CONFIDENCE,
            "draws": self.draws,
            "seed": self.seed,
            "splits": [_plain(dataclasses.asdict(split)) for split in self.splits],
        }

    def markdown(self) -> str:
        """A table of every split, and one of the classes of the label and of each condition."""
        lines = [
            f"Answers of {self.model}, in per cent, with 95 % intervals: Wilson's for shares, of "
            f"{self.draws} draws of matched groups for balanced accuracy and ROC AUC.",
            "",
        ]
        rows = [[s.dataset, s.split, *_cells(s.overall)] for s in self.splits]
        lines.append(_without_empty(["dataset", "split", "n", *_HEADS], rows))
        for split in self.splits:
            if split.answers != split.labels:
                lines += ["", _UNJUDGED.format(split.dataset, split.split)]
        kinds: dict[tuple[str, bool, tuple[str, ...]], list[SplitReport]] = {}
        for split in self.splits:
            for column, classes in split.by.items():
                if len(classes) <= MAX_CLASSES:
                    key = column, split.answers == split.labels, tuple(classes)
                    kinds.setdefault(key, []).append(split)
        for (column, judged, _), splits in kinds.items():
            what = "Accuracy" if judged else 'Share of "same" answers'
            recall = ", which is the recall of each" if column == "label" and judged else ""
            lines += ["", f"{what} by {column}{recall}:", "", _classes(column, splits)]
        return "\n".join([*lines, ""])


_HEADS = ("accuracy", "balanced accuracy", "ROC AUC", 'answered "same"')
_UNJUDGED = (
    "{}/{} has labels other than what the model answers: no answer is right or wrong there, and "
    'the share of "same" answers to each label is what counts.'
)
_ACROSS = 6  # classes that stand side by side


def _classes(column: str, splits: Sequence[SplitReport]) -> str:
    """A table of the classes of a column: beside each other where they are few and a share is all.

    Args:
        column: its name.
        splits: that have the same classes of it, all judged or all not.
    """
    found = [(split, name, m) for split in splits for name, m in split.by[column].items()]
    names = list(splits[0].by[column])
    if len(names) <= _ACROSS and all(m.balanced_accuracy is None for _, _, m in found):
        rows = [
            [
                s.dataset,
                s.split,
                *(metrics.percent(m.accuracy or m.said_same) for m in s.by[column].values()),
            ]
            for s in splits
        ]
        return markdown_table(["dataset", "split", *names], rows)
    rows = [[split.dataset, split.split, name, *_cells(m)] for split, name, m in found]
    return _without_empty(["dataset", "split", column, "n", *_HEADS], rows)


def _without_empty(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without the columns in which all cells are empty."""
    keep = [k for k in range(len(heads)) if any(row[k] for row in rows)]
    return markdown_table([heads[k] for k in keep], [[row[k] for k in keep] for row in rows])


def evaluate(
    answerer: Answerer,
    folders: Sequence[Path | str],
    splits: Sequence[str] | None = None,
    *,
    model: str = "model",
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    answers: Sequence[str] | None = None,
    digests: Mapping[str, str] | None = None,
    draws: int = metrics.DRAWS,
    seed: int = 0,
    skip: Collection[tuple[str, str]] = (),
    tell: Callable[[str], None] = lambda line: None,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Report:
    """Ask a model about every stimulus of some dataset folders.

    Args:
        answerer: see `predict`.
        folders: dataset folders, at least one.
        splits: names of splits; of each folder those that it has. All when None.
        model: the model's name, for the report and the trial table.
        batch_size: images in a batch.
        device: where the images are put.
        answers: see `predict`.
        digests: dataset name -> the digest, or its first digits, that the dataset must have.
        draws: of the bootstrap.
        seed: of the draws.
        skip: (content digest, split name) of what is left out: what the model was fitted on.
        tell: given a line for each split.
        on_rows: told the number of images of each batch that is answered.

    Raises:
        InputError: what `choose` or `predict` refuse.
    """
    if draws < 1:
        raise InputError(f"draws {draws} is out of range; legal: 1 or more")
    found: list[SplitReport] = []
    made: list[Predictions] = []
    for folder, name in choose(folders, splits, digests=digests, skip=skip):
        predictions = predict(
            answerer,
            StimulusDataset(folder, name),
            batch_size,
            device=device,
            answers=answers,
            model=model,
            on_rows=on_rows,
        )
        made.append(predictions)
        found.append(judge(predictions, draws=draws, seed=seed))
        what = found[-1].overall.accuracy or found[-1].overall.said_same
        kind = "accuracy" if predictions.judged else 'answered "same"'
        share = "" if what is None else f": {kind} {what.value:.4f}"
        tell(f"{predictions.dataset}/{name}, {len(predictions):,} images{share}")
    return Report(model=model, splits=tuple(found), predictions=tuple(made), draws=draws, seed=seed)


def judge(predictions: Predictions, *, draws: int = metrics.DRAWS, seed: int = 0) -> SplitReport:
    """The metrics of a split's answers, overall and for each class of label and conditions."""
    same = predictions.answers.index(ANSWERS[1]) if ANSWERS[1] in predictions.answers else None

    def of(rows: Any) -> Metrics:
        score = predictions.score
        return measure(
            predictions.label[rows],
            predictions.answer[rows],
            predictions.group[rows],
            score=None if score is None else score[rows],
            judged=predictions.judged,
            same=same,
            draws=draws,
            seed=seed,
        )

    columns = {"label": (predictions.label, predictions.labels)}
    for name, values in predictions.conditions.items():
        columns[name] = values, predictions.classes[name]
    return SplitReport(
        dataset=predictions.dataset,
        digest=predictions.digest,
        split=predictions.split,
        labels=predictions.labels,
        answers=predictions.answers,
        overall=of(slice(None)),
        by={
            column: {names[k]: of(values == k) for k in np.unique(values).tolist()}
            for column, (values, names) in columns.items()
        },
    )


def choose(
    folders: Sequence[Path | str],
    splits: Sequence[str] | None = None,
    *,
    digests: Mapping[str, str] | None = None,
    skip: Collection[tuple[str, str]] = (),
) -> list[tuple[Path, str]]:
    """Every folder and split to ask about, in order.

    Args:
        folders: see `evaluate`.
        splits: see `evaluate`.
        digests: see `evaluate`.
        skip: see `evaluate`.

    Raises:
        InputError: no folder, no dataset, a grid of factors, one dataset given twice or with
            another digest, no such split, or nothing left of a folder.
    """
    if not folders:
        raise InputError("no folder given; give at least one dataset folder")
    seen: dict[str, Path] = {}
    known: dict[str, None] = {}
    found: list[tuple[Path, str]] = []
    for folder in map(Path, folders):
        manifest = load(folder)
        task, digest = tasks.get(manifest.recipe.task), manifest.digest()
        if task.space(manifest.recipe) is not None:
            raise InputError(f"{folder} is a grid of factors; use 'samediff-stimuli train' on it")
        if digest in seen:
            raise InputError(f"{folder} and {seen[digest]} are one dataset; give it once")
        seen[digest] = folder
        _check_digest(manifest, folder, digests or {})
        names = [split.name for split in task.splits(manifest.recipe)]
        known |= dict.fromkeys(names)
        asked = [name for name in names if splits is None or name in splits]
        if not asked:
            wanted = ", ".join(splits or ())
            raise InputError(f"{folder} has no split {wanted}; it has {', '.join(names)}")
        left = [(folder, name) for name in asked if (digest, name) not in skip]
        if not left:
            raise InputError(f"the model was fitted on {asked[0]} of {folder}; test it on another")
        found += left
    for name in splits or ():
        if name not in known:
            raise InputError(f"unknown split {name!r}; known: {', '.join(known)}")
    return found


def _check_digest(manifest: Manifest, folder: Path, digests: Mapping[str, str]) -> None:
    expected, digest = digests.get(manifest.name, ""), manifest.digest()
    if not digest.startswith(expected):
        raise InputError(
            f"{folder} has digest {digest[:12]}, not {expected[:12]} as expected of "
            f"{manifest.name}; give the folder that was meant, or make it anew"
        )


def _cells(found: Metrics) -> list[str]:
    """The cells of n and of each of _HEADS."""
    shares = (found.accuracy, found.balanced_accuracy, found.auc, found.said_same)
    return [f"{found.n:,}", *(metrics.percent(share) for share in shares)]


def _plain(data: Any) -> Any:
    """The same with lists for tuples, as JSON reads them back."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    return [_plain(value) for value in data] if isinstance(data, list | tuple) else data
