"""Shortcuts: what observers that cannot compare objects reach, after training of a few seconds.

Every observer is a linear readout (ridge regression) of a view of `shortcut_views`, fitted on the
train split and scored on all others. Where theory says how far a view can get, that is its ceiling;
a set is at fault where a readout gets further than its ceiling, or chance, and luck explain.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import rng, tasks
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import Manifest, load
from samediff_stimuli.markdown import markdown_table
from samediff_stimuli.models import shortcut_views
from samediff_stimuli.models.predictions import GROUP, Ints, some_rows
from samediff_stimuli.models.ridge import Readout, fit
from samediff_stimuli.models.shortcut_ceilings import Ceiling, ceilings
from samediff_stimuli.models.shortcut_views import VIEWS, Features
from samediff_stimuli.recipe import InputError
from samediff_stimuli.table import Column, Table, concatenate

BOUND = 4.0  # standard errors above ceiling or chance at which a readout gets too far
FOLDS = 5
FEWEST = 16  # rows
_BATCH = 64
_TRAIN = "train"


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """How far a readout of a view got.

    Attributes:
        view: name of the view.
        target: the label's column.
        split: split that it was scored on.
        fitted: split that it was fitted on; the same if it was cross-validated.
        n: stimuli.
        accuracy: mean over labels of the share of right answers.
        chance: one over the number of labels.
        ceiling: what the view can reach by theory.
        error: standard error of the accuracy, were it at the ceiling, or at chance if there is
            none.
    """

    view: str
    target: str
    split: str
    fitted: str
    n: int
    accuracy: float
    chance: float
    ceiling: Ceiling
    error: float

    @property
    def bound(self) -> float:
        """The most that the ceiling, or chance, and luck explain."""
        level = self.chance if self.ceiling.value is None else self.ceiling.value
        return min(1.0, level + BOUND * self.error)

    @property
    def tells(self) -> bool:
        """Whether the readout got further."""
        return self.accuracy > self.bound + 1e-9


@dataclass(frozen=True, kw_only=True)
class ShortcutReport:
    """How far every view got on every split.

    Attributes:
        name: the dataset's name.
        digest: its content digest, hex.
        fitted: split that readouts were fitted on.
        rows: largest number of stimuli of a split that were looked at.
        seed: that chose them.
        found: every view, on every split and label.
    """

    name: str
    digest: str
    fitted: str
    rows: int
    seed: int
    found: tuple[Shortcut, ...]

    def problems(self) -> list[str]:
        """One line for each readout that got too far; empty if all is well."""
        return [
            f"{s.split}: {s.view} tells {s.target}: accuracy {s.accuracy:.3f}; "
            f"{'chance' if s.ceiling.value is None else 'its ceiling'} and luck explain "
            f"{s.bound:.3f} at most"
            for s in self.found
            if s.tells
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        found = [{**dataclasses.asdict(s), "bound": s.bound, "tells": s.tells} for s in self.found]
        head = {"name": self.name, "digest": self.digest, "fitted": self.fitted}
        return {
            **head,
            "rows": self.rows,
            "seed": self.seed,
            "found": found,
            "problems": self.problems(),
        }

    def markdown(self) -> str:
        """What each view sees and can reach, then a row for each, a column for each split."""
        heads = list(dict.fromkeys((s.split, s.target) for s in self.found))
        by_key = {(s.view, s.split, s.target): s for s in self.found}
        views = [view for view in VIEWS if any(s.view == view.name for s in self.found)]
        several = len({target for _, target in heads}) > 1
        names = [f"{split} {target}" if several else split for split, target in heads]
        rows = []
        for view in views:
            cells = [by_key[view.name, *head] for head in heads]
            shown = [f"{100 * s.accuracy:.1f} (to {100 * s.bound:.1f})" for s in cells]
            marked = zip(cells, shown, strict=True)
            told = [f"**{text}**" if s.tells else text for s, text in marked]
            rows.append([view.name, _levels(cells), *told])
        beyond = len(self.problems())
        lines = [
            f"{self.name}: what observers reach that cannot compare objects. Linear readouts, "
            f"fitted on up to {self.rows:,} stimuli of {self.fitted}; accuracy in per cent, labels "
            "weighing alike; in brackets its bound: ceiling (chance, where theory gives none) and "
            f"{BOUND:.0f} standard errors. {beyond or 'None'} of {len(self.found)} beyond it.",
            *("", markdown_table(["view", "ceiling", *names], rows), ""),
        ]
        for view in views:
            known = {s.ceiling.why: s.target for s in self.found if s.view == view.name}
            for why, target in known.items():
                of = f" ({target})" if len(known) > 1 else ""
                lines.append(f"- **{view.name}**{of} sees {view.sees}. {why}")
        return "\n".join([*lines, ""])


def _levels(cells: list[Shortcut]) -> str:
    """The ceilings of a view, in per cent: one, or the least and the largest."""
    known = sorted(s.ceiling.value for s in cells if s.ceiling.value is not None)
    shown = dict.fromkeys(f"{100 * value:.1f}" for value in (known[:1] + known[-1:]))
    return " to ".join(shown) or "none"


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Some stimuli of a split: what views see, labels by column, and what to keep together."""

    split: str
    features: dict[str, Features]
    labels: dict[str, Ints]
    units: Ints
    ceilings: dict[str, dict[str, Ceiling]]


def shortcuts(
    folder: Path | str,
    *,
    rows: int = 4000,
    seed: int = 0,
    on_done: Callable[[str], None] = lambda split: None,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> ShortcutReport:
    """Fit and score a readout of every view.

    Readouts are fitted on the train split; where there is none, or nothing else, on the first split
    with five-fold cross-validation over matched groups (over configurations, where images share
    these), and on all of it for the other splits.

    Args:
        folder: the dataset folder.
        rows: stimuli of each split to look at, in whole matched groups.
        seed: of their choice and of the folds.
        on_done: told the name of each split that is done.
        on_rows: told the number of images of each batch that is looked at.

    Raises:
        InputError: no dataset, a grid of factors, no label of two classes, too few rows or groups,
            or rows of one label alone to fit on.
        DamagedError: if the dataset is damaged.
    """
    folder = Path(folder)
    if rows < FEWEST:
        raise InputError(f"rows {rows} is out of range; legal: {FEWEST} or more")
    manifest = load(folder)
    task = tasks.get(manifest.recipe.task)
    if task.space(manifest.recipe) is not None:
        raise InputError(f"{folder} is a grid of factors, which an image is to tell: no shortcuts")
    if not targets(manifest):
        label = task.label_column(manifest.recipe)
        raise InputError(
            f"{folder} has {len(label.names)} classes of {label.name}, {label.names[0]} .. "
            f"{label.names[-1]}; shortcuts are those to a label of two"
        )
    names = [split.name for split in task.splits(manifest.recipe) if split.rows]
    fitted = _TRAIN if _TRAIN in names else names[0]
    known = _look(folder, fitted, rows, seed, on_rows)
    _check_fit(known)
    found: list[Shortcut] = []
    if fitted != _TRAIN or len(names) == 1:
        for view in known.features:
            found += _scores(view, known, fitted, cross_validated(known, view, seed))
        on_done(fitted)
    readouts = {view: _readout(known, view) for view in known.features} if names[1:] else {}
    for name in names:
        if name == fitted:
            continue
        other = _look(folder, name, rows, seed, on_rows)
        for view, readout in readouts.items():
            found += _scores(view, other, fitted, readout.answers(other.features[view]))
        on_done(name)
    return ShortcutReport(
        name=manifest.name,
        digest=manifest.digest(),
        fitted=fitted,
        rows=rows,
        seed=seed,
        found=tuple(found),
    )


def targets(manifest: Manifest) -> tuple[Column, ...]:
    """What is to be told: the label if it has two classes, else the columns that do."""
    task = tasks.get(manifest.recipe.task)
    label = task.label_column(manifest.recipe)
    columns = task.columns(manifest.recipe)
    if len(label.names) == 2:
        return (label,)
    return tuple(c for c in columns if len(c.names) == 2 and c.shape == ())


def _check_fit(seen: _Seen) -> None:
    """Refuse what no readout can be fitted on.

    Raises:
        InputError: too few rows, or a column of one class alone.
    """
    if len(seen.units) < FEWEST:
        raise InputError(
            f"{len(seen.units)} stimuli of {seen.split} to fit on are too few; legal: {FEWEST} or "
            "more"
        )
    for name, label in seen.labels.items():
        if len(np.unique(label)) < 2:
            raise InputError(f"all stimuli of {seen.split} have one {name}: nothing is to be told")


def _look(folder: Path, split: str, rows: int, seed: int, on_rows: Callable[[int], None]) -> _Seen:
    """Look at some stimuli of a split.

    Raises:
        InputError: if there are none.
    """
    dataset = StimulusDataset(folder, split)
    chosen = some_rows(dataset, rows, rng.stream_key("shortcuts", seed, split))
    if not len(chosen):
        raise InputError(
            f"no matched group of {split} has as few as {rows} stimuli; give more rows"
        )
    table = dataset.table.rows(chosen)
    k = table["box"].shape[1] if "box" in table else 0
    objects = k - int(getattr(dataset.recipe.options, "distractors", 0))
    parts = []
    for first in range(0, len(chosen), _BATCH):
        batch = dataset.batch(chosen[first : first + _BATCH].tolist())
        images = batch["image"] if isinstance(batch, dict) else batch[0]
        parts.append(shortcut_views.look(images, table.rows(slice(first, first + _BATCH)), objects))
        on_rows(len(images))
    columns = targets(dataset.manifest)
    labels = {column.name: table[column.name].astype(np.int64) for column in columns}
    shared = "configuration" in table and len(np.unique(table["configuration"])) > 1
    unit = "configuration" if shared else GROUP
    return _Seen(
        split=split,
        features=dict(concatenate([Table(part) for part in parts])),
        labels=labels,
        units=table[unit].astype(np.int64) if unit in table else chosen,
        ceilings={
            name: ceilings(dataset.recipe, table, label, objects) for name, label in labels.items()
        },
    )


def _readout(seen: _Seen, view: str, rows: NDArray[np.bool_] | slice = slice(None)) -> Readout:
    """A readout fitted on some rows; each object of a stimulus counts as one."""
    features = seen.features[view][rows]
    times = 1 if features.ndim == 2 else features.shape[1]
    labels = {name: np.repeat(label[rows], times) for name, label in seen.labels.items()}
    return fit(features.reshape(-1, features.shape[-1]), labels)


def cross_validated(seen: _Seen, view: str, seed: int) -> dict[str, Ints]:
    """The answer to each stimulus by a readout that was fitted without its unit.

    Raises:
        InputError: if there are fewer than two units.
    """
    units, number = np.unique(seen.units, return_inverse=True)
    if len(units) < 2:
        raise InputError(f"{seen.split} has one matched group; cross-validation needs 2 or more")
    order = rng.order(rng.mix(rng.stream_key("shortcuts", seed, "folds"), units))
    rank = np.empty(len(units), dtype=np.int64)
    rank[order] = np.arange(len(units))
    fold = (rank % FOLDS)[number]
    shape = seen.features[view].shape[:-1]
    found = {name: np.zeros(shape, dtype=np.int64) for name in seen.labels}
    for k in range(min(FOLDS, len(units))):
        answers = _readout(seen, view, fold != k).answers(seen.features[view][fold == k])
        for name, values in answers.items():
            found[name][fold == k] = values
    return found


def _scores(view: str, seen: _Seen, fitted: str, answers: Mapping[str, Ints]) -> list[Shortcut]:
    """What the answers to a split are worth, for each label column."""
    made = []
    for name, label in seen.labels.items():
        given = answers[name].reshape(len(label), -1)
        right = (given == label[:, None]).mean(axis=1)
        _, number, counts = np.unique(label, return_inverse=True, return_counts=True)
        recall = np.bincount(number, weights=right) / counts
        chance, ceiling = 1 / len(counts), seen.ceilings[name][view]
        level = chance if ceiling.value is None else ceiling.value
        error = math.sqrt(level * (1 - level) * float((1 / counts).sum())) / len(counts)
        made.append(
            Shortcut(
                view=view,
                target=name,
                split=seen.split,
                fitted=fitted,
                n=len(label),
                accuracy=float(recall.mean()),
                chance=chance,
                ceiling=ceiling,
                error=error,
            )
        )
    return made
