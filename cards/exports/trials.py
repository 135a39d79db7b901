"""Trial lists for experiments with people, and two programs that run them.

OUT/trials.csv and OUT/trials.json have every stimulus with its exact parameters, in pixels and in
degrees of visual angle, and every participant's order and keys; OUT/images has the stimuli.
OUT/jspsych is a page for the browser, OUT/psychopy_experiment.py a program for the laboratory; both
save answers with the columns of `samediff-stimuli evaluate --out`'s trials.csv.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any

from samediff_stimuli.cards.exports import trial_order, visual_angle
from samediff_stimuli.cards.exports.format import Format, Source
from samediff_stimuli.cards.exports.trial_order import Group
from samediff_stimuli.cards.exports.visual_angle import Screen
from samediff_stimuli.recipe import MAX_SEED, InputError
from samediff_stimuli.table import Column

USUAL = 96  # trials: whole matched groups of any set, and a session of some minutes
_MOST = 1000  # participants
_SAMEDIFF = {"different", "same"}
_DIGITS = 12  # of the dataset's digest, as in models/trials.py
_PROGRAMS = {
    "index.html": "jspsych/index.html",
    "experiment.js": "jspsych/experiment.js",
    "package.json": "jspsych/package.json",
    "psychopy_experiment.py": "psychopy_experiment.py",
}
_DATA = "jspsych/trials.js"


@dataclass(frozen=True, kw_only=True)
class Trials(Format):
    """Stimuli to show to people, in balanced random orders, with two programs that show them.

    Attributes:
        viewing_distance_cm: from the eye to the screen.
        pixels_per_cm: of the screen; the default is 96 an inch.
        order_seed: of the choice and the order of trials.
        trials: how many each participant sees, a multiple of a matched group; when None 96, or all
            if there are fewer.
        participants: how many lists to make: each in its own order, and every second one with the
            two keys exchanged.
        question: the column that is asked for; the label when None.
        key_different: the key for "different".
        key_same: the key for "same".

    Raises:
        InputError: if a value is not legal.
    """

    name = "trials"
    files = re.compile(
        r"trials\.(csv|json)|images/\w+-\d{7,}\.png|"
        + "|".join(map(re.escape, (*_PROGRAMS.values(), _DATA)))
    )

    viewing_distance_cm: float = 57.0
    pixels_per_cm: float = 37.8
    order_seed: int = 0
    trials: int | None = None
    participants: int = 1
    question: str | None = None
    key_different: str = "f"
    key_same: str = "j"

    def __post_init__(self) -> None:
        """Check what can be checked without a dataset."""
        _ = self.screen
        for name, value, least, most in (
            ("order_seed", self.order_seed, 0, MAX_SEED),
            ("participants", self.participants, 1, _MOST),
        ):
            if not least <= value <= most:
                raise InputError(f"{name} {value} is out of range; legal: {least} .. {most}")
        for name, key in (("key_different", self.key_different), ("key_same", self.key_same)):
            if len(key) != 1 or key not in string.ascii_lowercase + string.digits:
                raise InputError(f"{name} {key!r} is not legal; legal: one of a .. z, 0 .. 9")
        if self.key_different == self.key_same:
            raise InputError(f"key_different and key_same are both {self.key_same!r}; give two")

    @property
    def screen(self) -> Screen:
        """On which the stimuli are shown."""
        return Screen(
            viewing_distance_cm=self.viewing_distance_cm, pixels_per_cm=self.pixels_per_cm
        )

    def steps(self, source: Source) -> int:
        """The number of stimuli; see `Format.steps`."""
        return _count(source, self)

    def plan(self, source: Source) -> Source:
        """The test split, or those that were named; see `Format.plan`."""
        if source.task.space(source.recipe) is not None:
            raise InputError(
                f"format 'trials' is for sets with one answer to each image; {source.made.name} is "
                "a grid of factors; give --format png"
            )
        if not source.chosen:
            test = tuple(s for s in source.splits if s.name == "test") or source.splits
            if len(test) > 1:
                names = ", ".join(split.name for split in test)
                raise InputError(f"{source.made.name} has no split 'test'; give --split: {names}")
            source = replace(source, splits=test)
        _question(source, self)
        _count(source, self)
        return source

    def write(self, source: Source, out: Path) -> None:
        """Write images, lists and programs; see `Format.write`."""
        made = _Experiment(source, self)
        for folder in ("images", "jspsych"):
            (out / folder).mkdir()
        for split, rows in made.rows.items():
            for row, png in zip(rows, source.pngs(split, rows), strict=True):
                (out / _image(split, row)).write_bytes(png)
        made.write_csv(out / "trials.csv")
        (out / "trials.json").write_text(_json(made.as_dict()), encoding="utf-8")
        page = f"const EXPERIMENT = {_json(made.for_page()).rstrip()};\n"
        (out / _DATA).write_text(page, encoding="utf-8")
        for name, path in _PROGRAMS.items():
            text = resources.files(__package__).joinpath("experiments", name).read_bytes()
            (out / path).write_bytes(text)

    def shown(self, out: Path) -> Sequence[str]:
        """Lists, images and programs; see `Format.shown`."""
        inner = {"images": "/*.png", "jspsych": "/index.html"}
        return [path.name + inner.get(path.name, "") for path in sorted(out.iterdir())]

    def then(self, out: str) -> Sequence[str]:
        """How to run the two programs; see `Format.then`."""
        page, program = shlex.quote(f"{out}/jspsych"), shlex.quote(f"{out}/psychopy_experiment.py")
        return [
            f"npm install --prefix {page}  # then open {page}/index.html?participant=1",
            f"python {program} --participant 1  # pip install psychopy",
        ]


class _Experiment:
    """Everything that is written of an experiment but the images.

    Args:
        source: the stimuli.
        options: of the experiment.
    """

    def __init__(self, source: Source, options: Trials) -> None:
        """Choose the stimuli and order them for each participant."""
        self.source, self.options = source, options
        self.columns = source.task.columns(source.recipe)
        self.tables = {split.name: source.reader(split.name).table for split in source.splits}
        self.question = _question(source, options)
        self.conditions = [
            c.name for c in self.columns if c.names and not c.shape and c.name != source.task.label
        ]
        name = ("trials", source.made.digest(), options.order_seed)
        size = source.task.group
        groups = [g for split in self.tables for g in self._groups(split)]
        chosen = trial_order.choose(groups, _count(source, options) // size, [*name, "choice"])
        self.rows = trial_order.by_split(chosen)
        self.lists = {
            person: trial_order.trials(chosen, person, [*name, "order"])
            for person in range(1, options.participants + 1)
        }
        self.stimuli = {
            (split, row): self._stimulus(split, row)
            for split in self.rows
            for row in self.rows[split]
        }

    def _groups(self, split: str) -> Iterator[Group]:
        """The matched groups of a split; their kind is the classes that belong to no one object."""
        table, size = self.tables[split], self.source.task.group
        objects = table["box"].shape[1:2] if "box" in table else ()
        names = [c.name for c in self.columns if c.names and (c.shape[:1] or (0,)) != objects]
        kinds = [str([table[name][row].tolist() for name in names]) for row in range(table.n_rows)]
        answers = table[self.question.name].tolist()
        for first in range(0, table.n_rows, size):
            rows = sorted(range(first, first + size), key=lambda row: (answers[row], kinds[row]))
            yield Group(
                split=split,
                rows=trial_order.alternated(rows, [answers[row] for row in rows]),
                kind=(split, *sorted(kinds[row] for row in rows)),
            )

    def _stimulus(self, split: str, row: int) -> dict[str, Any]:
        """Everything that is known of a stimulus, whoever sees it."""
        source, values = self.source, self.tables[split].row(row)
        named = {c.name: c.named(values[c.name]) for c in self.columns}
        height, width, _ = source.task.image_shape(source.recipe)
        label = source.task.label
        return {
            "image": _image(split, row),
            "stimulus_id": f"{source.made.name}/{split}/{row}",
            "digest": source.made.digest()[:_DIGITS],
            "split": split,
            **{name: named[name] for name in self.conditions},
            "label": named[label],
            "answer": named[self.question.name],
            "geometry": visual_angle.scene(
                self.options.screen, (height, width), values.get("box", [])
            ),
            "columns": {n: v for n, v in named.items() if n not in (label, *self.conditions)},
        }

    def keys(self, participant: int) -> dict[str, str]:
        """The key of each answer; the two of every second participant are exchanged."""
        names, given = self.question.names, self.options
        if set(names) != _SAMEDIFF:
            keys = [str(number) for number in range(1, len(names) + 1)]
        else:
            named = {"different": given.key_different, "same": given.key_same}
            keys = [named[name] for name in names]
        if len(names) == 2 and participant % 2 == 0:
            keys.reverse()
        return dict(zip(names, keys, strict=True))

    def _asked(self) -> str:
        """The question in words."""
        task = self.source.task
        return task.summary if self.question.name == task.label else self.question.about

    def settings(self) -> dict[str, Any]:
        """What holds for all trials."""
        first = ["stimulus_id", "digest", "split", *self.conditions]
        last = ["label", "response", "correct", "score", "rt", "participant"]
        return {
            "name": self.source.made.name,
            "digest": self.source.made.digest(),
            "title": self.source.task.title,
            "question": self.question.name,
            "about": self._asked(),
            "viewing_distance_cm": self.options.viewing_distance_cm,
            "pixels_per_cm": self.options.pixels_per_cm,
            "order_seed": self.options.order_seed,
            "response_columns": [*first, "block", "trial", *last],
        }

    def _participants(self) -> list[dict[str, Any]]:
        """Each participant's keys and order; a stimulus by its place among all."""
        place = {which: number for number, which in enumerate(self.stimuli)}
        return [
            {
                "participant": person,
                "keys": self.keys(person),
                "trials": [
                    {"block": t.block, "trial": t.number, "stimulus": place[t.split, t.row]}
                    for t in order
                ],
            }
            for person, order in self.lists.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data: what holds for all, the stimuli, and every participant's order of them."""
        return {
            "experiment": self.settings(),
            "geometry": visual_angle.ABOUT,
            "stimuli": list(self.stimuli.values()),
            "participants": self._participants(),
        }

    def for_page(self) -> dict[str, Any]:
        """What the page needs of it."""
        stimuli = [
            {
                **{n: v for n, v in one.items() if n not in ("geometry", "columns")},
                **{n: one["geometry"][n] for n in ("width_px", "height_px")},
            }
            for one in self.stimuli.values()
        ]
        return {
            "experiment": self.settings(),
            "stimuli": stimuli,
            "participants": self._participants(),
        }

    def write_csv(self, path: Path) -> None:
        """A line for each trial of each participant; "box_0_1" is the value [0][1] of "box"."""
        flat = {which: self._flat(one) for which, one in self.stimuli.items()}
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            keys = [f"key_{name}" for name in self.question.names]
            stimulus = next(iter(flat.values()))
            writer.writerow(["participant", "block", "trial", *keys, "answer_key", *stimulus])
            for person, order in self.lists.items():
                own = self.keys(person)
                for trial in order:
                    one = flat[trial.split, trial.row]
                    lead = [person, trial.block, trial.number, *own.values(), own[one["answer"]]]
                    writer.writerow([*lead, *one.values()])

    def _flat(self, stimulus: Mapping[str, Any]) -> dict[str, Any]:
        """A stimulus by one name for each value."""
        found = {n: v for n, v in stimulus.items() if n not in ("geometry", "columns")}
        found |= visual_angle.flat(stimulus["geometry"])
        for column in self.columns:
            if column.name in stimulus["columns"]:
                for place in product(*map(range, column.shape)):
                    value = stimulus["columns"][column.name]
                    for step in place:
                        value = value[step]
                    found["_".join([column.name, *map(str, place)])] = value
        return found


def _question(source: Source, options: Trials) -> Column:
    """The column that is asked for.

    Raises:
        InputError: if there is no such column, or more answers than keys.
    """
    name = source.task.label if options.question is None else options.question
    legal = {c.name: c for c in source.task.columns(source.recipe) if c.names and not c.shape}
    if name not in legal:
        raise InputError(
            f"question {name!r} is no class of a whole image; legal: {', '.join(legal)}"
        )
    column = legal[name]
    if not 2 <= len(column.names) <= 9:
        raise InputError(
            f"question {name!r} has {len(column.names)} answers; legal: 2 to 9, a key for each"
        )
    keys = options.key_different, options.key_same
    if set(column.names) != _SAMEDIFF and keys != (Trials.key_different, Trials.key_same):
        raise InputError(
            f"key_different and key_same are for these two answers; {name!r} has "
            f"{', '.join(column.names)}, whose keys are 1 to {len(column.names)}; leave them out"
        )
    return column


def _count(source: Source, options: Trials) -> int:
    """The number of trials.

    Raises:
        InputError: if matched groups would not be whole, or there are not as many stimuli.
    """
    every, size = sum(split.rows for split in source.splits), source.task.group
    if options.trials is None:
        return min(USUAL // size * size, every)
    if not 1 <= options.trials <= every:
        raise InputError(f"trials {options.trials} is out of range; legal: {size} .. {every}")
    if options.trials % size:
        raise InputError(
            f"trials {options.trials} is not a multiple of {size}, the size of a matched group; "
            f"nearest: {max(size, options.trials // size * size)}"
        )
    return options.trials


def _image(split: str, row: int) -> str:
    """The file of a stimulus, which does not tell its label."""
    return f"images/{split}-{row:07d}.png"


def _json(data: Mapping[str, Any]) -> str:
    """A key a line, and a record a line of lists."""
    parts = []
    for key, value in data.items():
        text = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list):
            text = "[\n" + ",\n".join(json.dumps(v, ensure_ascii=False) for v in value) + "\n]"
        parts.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


FORMAT = Trials
