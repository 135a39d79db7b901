"""Tables of single trials, a model's and people's alike, and how far two of them agree."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from samediff_stimuli.manifest import write_atomically
from samediff_stimuli.models.predictions import Predictions
from samediff_stimuli.recipe import InputError

DIGITS = 12  # of the dataset's digest
FIRST = ("stimulus_id", "digest", "split")  # then the conditions
LAST = ("label", "response", "correct", "score", "rt", "participant")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One answer to one stimulus.

    Attributes:
        stimulus_id: dataset, split and row, e.g. "rmts-p32/test/17".
        digest: first 12 hex digits of the dataset's content digest.
        split: split name.
        conditions: condition -> class name; "" where the set has no such condition.
        label: name of the label.
        response: name of the answer.
        correct: whether the answer is right; None if it is neither.
        score: evidence for the second of two answers and against the first, or None.
        rt: response time as the table has it, or None.
        participant: who answered: a person's code, or a model's name.
    """

    stimulus_id: str
    digest: str
    split: str
    conditions: Mapping[str, str]
    label: str
    response: str
    correct: bool | None
    score: float | None
    rt: float | None
    participant: str


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two participants agree on the stimuli that both answered.

    Attributes:
        n: common stimuli.
        raw: share of equal answers.
        kappa: Cohen's kappa of the answers; None if both gave one and the same answer to all.
        judged: common stimuli whose answers are right or wrong.
        both_right_or_wrong: share of these that both answered rightly or both wrongly.
        by_chance: what that share would be if errors were independent.
        error_consistency: kappa of being right (Geirhos, Meding & Wichmann 2020, arXiv
            2006.16736); None if chance alone would give full agreement.
    """

    n: int
    raw: float
    kappa: float | None
    judged: int
    both_right_or_wrong: float | None
    by_chance: float | None
    error_consistency: float | None


def trial_table(predictions: Predictions | Sequence[Predictions], path: Path | str) -> None:
    """Write a model's answers as CSV, one line a stimulus, so that people's can lie beside them.

    Columns are stimulus_id, digest, split, every condition, label, response, correct (1 or 0),
    score, rt (empty) and participant (the model's name).

    Args:
        predictions: of one split, or several.
        path: the file; written under another name first.

    Raises:
        InputError: no predictions, or a condition with the name of another column.
    """
    parts = [predictions] if isinstance(predictions, Predictions) else list(predictions)
    if not parts:
        raise InputError("predictions are empty: there is nothing to write; give at least one")
    conditions = tuple(dict.fromkeys(name for part in parts for name in part.conditions))
    taken = [name for name in conditions if name in FIRST + LAST]
    if taken:
        raise InputError(f"condition {taken[0]!r} has the name of a column of the trial table")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*FIRST, *conditions, *LAST))
    for part in parts:
        writer.writerows(_lines(part, conditions))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue())


def _lines(part: Predictions, conditions: Sequence[str]) -> list[tuple[str, ...]]:
    """The cells of each row."""
    n = len(part)
    named = [
        [part.classes[name][k] for k in part.conditions[name].tolist()]
        if name in part.conditions
        else [""] * n
        for name in conditions
    ]
    correct = (part.label == part.answer).astype(int).tolist() if part.judged else [""] * n
    score = [""] * n if part.score is None else [repr(value) for value in part.score.tolist()]
    return [
        (
            *(f"{part.dataset}/{part.split}/{index}", part.digest[:DIGITS], part.split, *those),
            *(part.labels[label], part.answers[answer], str(right), points, "", part.model),
        )
        for index, label, answer, right, points, *those in zip(
            part.index.tolist(),
            part.label.tolist(),
            part.answer.tolist(),
            correct,
            score,
            *named,
            strict=True,
        )
    ]


def read_trial_table(path: Path | str) -> tuple[Trial, ...]:
    """The trials of a CSV file, a model's or people's.

    Columns may be in any order; those that are not trial_table's own are conditions. correct, score
    and rt may be empty, for people's trials and for models' alike.

    Raises:
        InputError: no such file, a column or cell that is missing or not legal, or one dataset
            with two digests.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            heads, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a trial table that can be read: {error}") from error
    missing = [name for name in FIRST + LAST if name not in heads]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}; trial_table writes them all")
    conditions = [name for name in heads if name not in FIRST + LAST]
    trials = tuple(
        _trial(row, conditions, f"{path}, trial {number}") for number, row in enumerate(rows, 1)
    )
    if not trials:
        raise InputError(f"{path} has no trials; give a table with at least one")
    digests: dict[str, str] = {}
    for trial in trials:
        dataset = trial.stimulus_id.split("/")[0]
        if digests.setdefault(dataset, trial.digest) != trial.digest:
            both = f"{digests[dataset]} and {trial.digest}"
            raise InputError(f"{path}: {dataset} has digests {both}: these are two datasets")
    return trials


def _trial(row: Mapping[str, str], conditions: Sequence[str], where: str) -> Trial:
    """A line of a table.

    Raises:
        InputError: naming the cell that is not legal.
    """
    for name in ("stimulus_id", "digest", "label", "response", "participant"):
        if not row[name]:
            raise InputError(f"{where}: {name} is empty; it must be given")
    if row["correct"] not in ("", "0", "1"):
        raise InputError(f"{where}: correct {row['correct']!r} is not legal; legal: 0, 1 or empty")
    numbers: dict[str, float | None] = {}
    for name in ("score", "rt"):
        try:
            numbers[name] = float(row[name]) if row[name] else None
        except ValueError:
            numbers[name] = math.nan
        value = numbers[name]
        if value is not None and not math.isfinite(value):
            raise InputError(f"{where}: {name} {row[name]!r} is not a number; leave it empty")
    return Trial(
        stimulus_id=row["stimulus_id"],
        digest=row["digest"],
        split=row["split"],
        conditions={name: row[name] for name in conditions},
        label=row["label"],
        response=row["response"],
        correct=bool(int(row["correct"])) if row["correct"] else None,
        score=numbers["score"],
        rt=numbers["rt"],
        participant=row["participant"],
    )


def by_participant(trials: Sequence[Trial]) -> dict[str, tuple[Trial, ...]]:
    """The trials of each participant, in order of first appearance."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.participant, []).append(trial)
    return {name: tuple(own) for name, own in found.items()}


def agreement(a: Sequence[Trial], b: Sequence[Trial]) -> Agreement:
    """How far two participants agree on the stimuli that both answered.

    Args:
        a: the trials of one participant.
        b: those of another.

    Raises:
        InputError: trials of several participants, a stimulus answered twice, no stimulus in
            common, or a common one with another digest or label.
    """
    first, second = _answered(a), _answered(b)
    common = [(one, second[name]) for name, one in first.items() if name in second]
    if not common:
        raise InputError("the two tables have no stimulus in common; compare tables of one split")
    for one, other in common:
        if (one.digest, one.label) != (other.digest, other.label):
            raise InputError(
                f"{one.stimulus_id} is {one.label} of dataset {one.digest} in one table and "
                f"{other.label} of {other.digest} in the other; compare tables of one dataset"
            )
    answers = [(one.response, other.response) for one, other in common]
    raw, _, kappa = _kappa(answers)
    judged = [
        (str(one.correct), str(other.correct))
        for one, other in common
        if one.correct is not None and other.correct is not None
    ]
    right = _kappa(judged) if judged else (None, None, None)
    return Agreement(
        n=len(common),
        raw=raw,
        kappa=kappa,
        judged=len(judged),
        both_right_or_wrong=right[0],
        by_chance=right[1],
        error_consistency=right[2],
    )


def _answered(trials: Sequence[Trial]) -> dict[str, Trial]:
    """One participant's trials by stimulus.

    Raises:
        InputError: several participants, or a stimulus answered twice.
    """
    people = by_participant(trials)
    if len(people) > 1:
        raise InputError(
            f"{len(people)} participants in one table; take one at a time from by_participant"
        )
    found: dict[str, Trial] = {}
    for trial in trials:
        if trial.stimulus_id in found:
            raise InputError(f"{trial.participant} answered {trial.stimulus_id} twice; keep one")
        found[trial.stimulus_id] = trial
    return found


def _kappa(pairs: Sequence[tuple[str, str]]) -> tuple[float, float, float | None]:
    """Share of equal pairs, that share if both sides were independent, and Cohen's kappa."""
    n = len(pairs)
    equal = sum(one == other for one, other in pairs) / n
    sides = [[pair[side] for pair in pairs] for side in (0, 1)]
    names = set(sides[0]) & set(sides[1])
    # Whole numbers: a sum in floats over a set would depend on the set's order.
    chance = sum(sides[0].count(name) * sides[1].count(name) for name in names) / n**2
    return equal, chance, None if chance == 1 else (equal - chance) / (1 - chance)
