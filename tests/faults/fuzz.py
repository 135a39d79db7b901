"""Inputs of every kind that users and files can give, by hypothesis: none ends in a traceback."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from samediff_stimuli import DamagedError, InputError, tasks
from samediff_stimuli.cards import folder, validated
from samediff_stimuli.cards.exports import folder as exported
from samediff_stimuli.cards.factor_listing import list_archive, list_table
from samediff_stimuli.cli import main
from samediff_stimuli.engine import PARTIAL, Shard, finished
from samediff_stimuli.factors import Factor, FactorSpace
from samediff_stimuli.factors.expression import parse
from samediff_stimuli.manifest import load
from samediff_stimuli.reading import SplitReader
from tests.faults.corruptions import folders

BORNE = (InputError, DamagedError)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 300),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63 - 1, 2**63, 10**30, 1e308, float("inf"), float("nan")]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", "train", "../x", "\0", "all", "RS", "0", "1e9", "[", "nan"]),
)
JSON = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


@dataclass(frozen=True)
class Target:
    """Something that takes input.

    Args:
        share: of the inputs, in percent.
        inputs: what is given.
        take: takes one input; raises one of BORNE, or nothing.
    """

    share: int
    inputs: st.SearchStrategy[Any]
    take: Callable[[Any], None]


def fuzz(count: int, start: int, place: Path) -> Iterator[tuple[str, int]]:
    """Give inputs to every target.

    Args:
        count: how many in all.
        start: chooses them.
        place: an empty folder.

    Yields:
        The target, and how many inputs it took.

    Raises:
        Exception: what the first input raised that is not borne; hypothesis says which.
    """
    for name, target in targets(place).items():
        wanted, taken = max(1, count * target.share // 100), 0
        for more in range(1000):
            if taken >= wanted:
                break
            taken += _some(target, wanted - taken, 1000 * start + more)
        yield name, taken


def _some(target: Target, count: int, chosen: int) -> int:
    """Give up to `count` inputs; how many there were."""
    taken = 0

    @seed(chosen)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def each(given: Any) -> None:
        nonlocal taken
        taken += 1
        with contextlib.suppress(*BORNE):
            target.take(given)

    each()
    return taken


def targets(place: Path) -> dict[str, Target]:
    """Every target by name, with files of theirs in a folder."""
    sets = folders(place)
    manifests = [json.loads((each / "manifest.json").read_text()) for each in sets]
    recipes = [*(each["recipe"] for each in manifests), *_defaults()]
    return {
        "hold-out expressions": Target(20, _expressions(), _take_expression),
        "recipes": Target(20, _changed(recipes), tasks.recipe_from_dict),
        "manifests": Target(20, _changed(manifests), _Manifests(place / "manifests", sets)),
        "command line": Target(20, _words(sets), _CommandLine(place / "here")),
        "reports of validations": Target(5, _changed(_reports()), _Reports(place / "reports")),
        "notes of unfinished sets": Target(5, _changed(_notes(sets[0])), _Notes(place / "notes")),
        "tables of trials": Target(3, _tables(), _Trials(place / "trials")),
        "tables of factors": Target(3, _tables(), _Factors(place / "factors")),
        "archives": Target(3, _bytes(_archives(place)), _Archives(place / "archives")),
        "checkpoints": Target(1, _bytes(_checkpoints(place)), _Checkpoints(place / "runs")),
    }


def _defaults() -> list[dict[str, Any]]:
    """The usual recipe of every task that has one."""
    found = []
    for task in tasks.registry().values():
        with contextlib.suppress(InputError):
            found.append(json.loads(json.dumps(tasks.make_recipe(task.name, 0).as_dict())))
    return found


@st.composite
def _changed(draw: st.DrawFn, known: list[Any]) -> Any:
    """Known plain data with one to three values replaced, or dropped, or keys renamed."""
    data = copy.deepcopy(draw(st.sampled_from(known)))
    for _ in range(draw(st.integers(1, 3))):
        inner: Any = data
        while isinstance(inner, dict | list) and inner:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            key = draw(st.sampled_from(keys))
            deeper = isinstance(inner[key], dict | list) and inner[key]
            if deeper and draw(st.integers(0, 5)):
                inner = inner[key]
                continue
            how = draw(st.sampled_from(["other", "other", "other", "gone", "more"]))
            if how == "gone":
                del inner[key]
            elif how == "more" and isinstance(inner, dict):
                inner[draw(st.text(max_size=6))] = draw(JSON)
            else:
                inner[key] = draw(JSON)
            break
    return data


SPACE = FactorSpace(
    name="toy",
    factors=(
        Factor(name="shape", values=("square", "heart", "cube"), about="shape"),
        Factor(name="scale", values=tuple(map(float, range(5))), about="size"),
        Factor(name="x", values=tuple(map(float, range(8))), about="place"),
    ),
)


def _expressions() -> st.SearchStrategy[str]:
    words = ["shape", "scale", "x", "'heart'", "'cone'", "0", "3", "10**9", "1e9", "-", "(", ")"]
    words += ["==", "!=", "<", "<=", ">", ">=", "in", "not in", "[1, 2]", "[]", "&", "|", "~"]
    words += ["and", "or", "not", "+", "*", "//", "%", "is", "lambda: 0", "__import__('os')", "'"]
    words += ["f''", "x.y", "x[0]", "...", "\\", "\n", "#", "0x", "b''", "1_0", "9" * 5000, "None"]
    return st.one_of(
        st.lists(st.sampled_from(words), max_size=12).map(" ".join),
        st.text(max_size=30),
        st.sampled_from("([{~-").flatmap(lambda c: st.integers(1, 2100).map(lambda n: c * n)),
        st.integers(1, 300).map(lambda n: "~(" * n + "x==1" + ")" * n),
    )


def _take_expression(text: str) -> None:
    predicate = parse(text, SPACE)
    assert predicate.rows().shape == (len(SPACE),)


class _Manifests:
    """Loads, and reads a dataset by, a changed manifest."""

    def __init__(self, place: Path, sets: list[Path]) -> None:
        self._places = {}
        for each in sets:
            copied = place / each.name
            copied.mkdir(parents=True)
            for name in ("hdf5", "splits"):
                if (each / name).exists():
                    (copied / name).symlink_to(each / name)
            self._places[json.loads((each / "manifest.json").read_text())["name"]] = copied

    def __call__(self, data: Any) -> None:
        for copied in self._places.values():
            (copied / "manifest.json").write_text(json.dumps(data))
            with contextlib.suppress(*BORNE):
                made = load(copied)
                for split in tasks.get(made.recipe.task).splits(made.recipe):
                    reader = SplitReader(copied, made, split.name)
                    with contextlib.suppress(*BORNE):
                        reader.table  # noqa: B018 (loading is the test)
                        reader.images([0])


@st.composite
def _words(draw: st.DrawFn, sets: list[Path]) -> list[str]:
    """A command line: a command, some of its options or others', values of all kinds."""
    commands = sorted(main.commands)
    command = draw(st.sampled_from([*commands, "nothing", "", "--version", "-x"]))
    known = main.commands.get(command)
    params = known.get_params(click.Context(known)) if known else []  # some are added when asked
    flags = [flag for param in params for flag in param.opts]
    flags = [flag for flag in flags if flag.startswith("-")]
    flags += ["--task", "--seed", "--out", "--image-size", "--hold-out", "--objects", "--help", "-"]
    names = [*tasks.registry(), "rtms", "quick", "cpu", "png", "dsprites", "mymodel:answer"]
    paths = [*map(str, sets), "absent", ".", "/proc/nowhere/x", str(sets[0] / "README.md")]
    numbers = ["0", "1", "-1", "8", "64", "1e9", "9" * 30, "nan", "inf", "0x10", "٣", ""]
    value = st.one_of(
        st.sampled_from(names), st.sampled_from(paths), st.sampled_from(numbers), _texts(8)
    )
    words = [command]
    for _ in range(draw(st.integers(0, 5))):
        words += draw(st.one_of(st.tuples(st.sampled_from(flags), value), st.tuples(value)))
    if command == "generate" and draw(st.booleans()):
        words += ["--task", draw(st.sampled_from(names)), "--seed", draw(st.sampled_from(numbers))]
    return words


def _texts(most: int) -> st.SearchStrategy[str]:
    """Text that a command line can hold, and that names nothing outside the folder at hand."""
    letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0/")
    return st.text(letters, max_size=most)


_BEGINNINGS = (
    *("cards.dataset.run", "cards.dataset.estimate", "cards.downloading.download"),
    *("models.train.fit", "models.factor_runs.train_factors", "models.matrix._Row"),
    *("models.validation._checks", "models.answerers.answerer", "models.shortcuts.shortcuts"),
)


class _CommandLine:
    """Runs commands; those that would make, train or fetch something stop before they do."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._place = place

    def __call__(self, words: list[str]) -> None:
        said = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            patch.chdir(self._place)
            for where in _BEGINNINGS:
                patch.setattr(f"samediff_stimuli.{where}", _stop)
            code = _code(words)
        text = said.getvalue()
        if code not in (0, 1, 2) or "Traceback" in text:
            raise AssertionError(f"{words} ended with {code}: {text}")
        if code == 2 and sum(line.startswith("Error: ") for line in text.splitlines()) != 1:
            raise AssertionError(f"{words} says not one line: {text}")


def _stop(*arguments: Any, **more: Any) -> Any:
    raise InputError("it would begin here")


def _code(words: list[str]) -> Any:
    try:
        main(words)
    except SystemExit as ended:
        return ended.code or 0
    return 0


def _reports() -> list[dict[str, Any]]:
    """A report of a validation, as validation.json has it."""
    kept = Path(__file__).resolve().parents[2] / "cards" / "releases"
    return [json.loads(path.read_text()) for path in sorted(kept.rglob("validation.json"))[:3]]


class _Reports:
    """Puts a report into the card of a dataset, as `generate` does."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._place = place

    def __call__(self, data: Any) -> None:
        (self._place / validated.REPORT).write_text(json.dumps(data))
        report = validated.stored(self._place)
        if report is not None:
            validated.with_section("# A\n\n## Files and digests\n", report)


def _notes(finished_set: Path) -> list[dict[str, Any]]:
    """What `.partial` and an export's marker hold."""
    made = json.loads((finished_set / "manifest.json").read_text())
    claim = {"recipe": made["recipe"], "parquet": True, "made_with": {}, "cleared": True}
    return [made["shards"][0], claim, {"export": "samediff-stimuli export", "format": "png"}]


class _Notes:
    """Looks at an unfinished dataset, and at an export."""

    def __init__(self, place: Path) -> None:
        self._place = place
        (place / PARTIAL).mkdir(parents=True)

    def __call__(self, data: Any) -> None:
        text = json.dumps(data)
        for name in ("recipe.json", "train-00000-of-00001.json"):
            (self._place / PARTIAL / name).write_text(text)
        (self._place / exported.MARKER).write_text(text)
        finished(self._place, Shard(split="train", number=0, count=1, start=0, rows=4))
        exported.is_export(self._place)
        for overwrite in (False, True):
            with contextlib.suppress(*BORNE):
                recipe = tasks.make_recipe("rmts", 0)
                folder.check(self._place, recipe, True, overwrite)
                folder.check_maker(self._place, recipe, True, {}, overwrite)


def _tables() -> st.SearchStrategy[str]:
    heads = ["stimulus_id", "digest", "split", "label", "response", "correct", "score", "rt"]
    heads += ["participant", "file", "age", "smile"]
    cells = st.one_of(
        st.sampled_from([*heads, "1", "0", "nan", "1e999", '"', "", "a/b/1"]), _texts(6)
    )
    line = st.lists(cells, max_size=12).map(",".join)
    lines = st.lists(line, max_size=5).map("\n".join)
    whole = st.just(",".join(heads))
    return st.one_of(lines, st.tuples(whole, lines).map("\n".join), st.text(max_size=40))


class _Trials:
    """Reads a table of trials."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._path = place / "trials.csv"

    def __call__(self, text: str) -> None:
        from samediff_stimuli.models.trials import read_trial_table

        self._path.write_text(text, encoding="utf-8", errors="surrogatepass")
        read_trial_table(self._path)


class _Factors:
    """Reads a table of factors."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._path = place / "factors.csv"

    def __call__(self, text: str) -> None:
        self._path.write_text(text, encoding="utf-8", errors="surrogatepass")
        list_table(self._path.parent, self._path)


def _archives(place: Path) -> list[bytes]:
    """An archive of images and labels, as .npz and as HDF5."""
    with np.load(place / "faces.npz") as data, h5py.File(place / "faces.h5", "w") as file:
        for key in ("images", "labels"):
            file[key] = data[key]
    return [(place / name).read_bytes() for name in ("faces.npz", "faces.h5")]


def _checkpoints(place: Path) -> list[bytes]:
    """A file that torch wrote."""
    import torch

    torch.save({"format": 1, "weights": {"w": torch.zeros(2)}}, place / "checkpoint.pt")
    return [(place / "checkpoint.pt").read_bytes()]


@st.composite
def _bytes(draw: st.DrawFn, known: list[bytes]) -> bytes:
    """A known file, cut short, or with some bytes changed; or any bytes."""
    data = bytearray(draw(st.one_of(st.sampled_from(known), st.binary(max_size=60))))
    if data and draw(st.booleans()):
        del data[draw(st.integers(0, len(data) - 1)) :]
    for _ in range(draw(st.integers(0, 4)) if data else 0):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


class _Archives:
    """Lists an archive that somebody brought."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._path = place / "a.npz"

    def __call__(self, data: bytes) -> None:
        self._path.write_bytes(data)
        list_archive(self._path)


class _Checkpoints:
    """Loads a checkpoint."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._path = place / "checkpoint.pt"

    def __call__(self, data: bytes) -> None:
        from samediff_stimuli.models import checkpoints, factor_cnn

        self._path.write_bytes(data)
        with contextlib.suppress(*BORNE):
            factor_cnn.load_model(self._path)
        checkpoints.load(self._path)
