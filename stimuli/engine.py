"""The engine makes shards: a shard is the unit of work, of resume and of distribution."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import kept, tasks
from samediff_stimuli.engines import Crew, Here
from samediff_stimuli.manifest import FileRecord, ShardRecord, write_atomically
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.shards import file_sha256, write_shard
from samediff_stimuli.table import Column, Table

SHARD_ROWS = 1600  # part of the format: a multiple of every task's group
DIGESTS = ".xxh3"  # in PARTIAL, beside the record of a shard: its images' digests, 16 bytes each
PARTIAL = ".partial"  # holds the recipe and finished shards' records until the manifest is written
CLAIM = f"{PARTIAL}/recipe.json"  # what the folder is being made to


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A shard to make: rows [start, start + rows) of a split, number `number` of `count`."""

    split: str
    number: int
    count: int
    start: int
    rows: int

    def stem(self) -> str:
        """File name without folder and suffix, e.g. "train-00000-of-00004"."""
        return f"{self.split}-{self.number:05d}-of-{self.count:05d}"


class Mirror(Protocol):
    """Writes the images of a shard once more in another format; must pickle."""

    def start(self, path: Path) -> MirrorShard:
        """Begin the mirror of one shard; `path` has no suffix and its folder exists."""


class MirrorShard(Protocol):
    """The mirror of one shard in the making."""

    def add(self, image: NDArray[np.uint8], view: str) -> None:
        """Take the next (height, width, c) image of that name."""

    def finish(self, table: Table) -> Path:
        """Write the file under a temporary name, rename it, and return its path."""


def plan(recipe: Recipe) -> list[Shard]:
    """Every shard of a dataset, in order."""
    shards = []
    task = tasks.get(recipe.task)
    most = task.shard_rows(recipe) or SHARD_ROWS
    for split in task.stored_splits(recipe):
        count = -(-split.rows // most)
        for number in range(count):
            start = number * most
            rows = min(most, split.rows - start)
            shards.append(
                Shard(split=split.name, number=number, count=count, start=start, rows=rows)
            )
    return shards


@dataclass(frozen=True, kw_only=True)
class Maker:
    """What images depend on besides the recipe: it must be the same wherever shards are made.

    Args:
        release: of this package.
        missing: why the images cannot be made there; None if they can.
        made_with: as in the manifest; empty if images depend on nothing else.
    """

    release: str
    missing: str | None
    made_with: dict[str, str]


def maker(recipe: Recipe) -> Maker:
    """What would make a recipe's images in this process."""
    task = tasks.get(recipe.task)
    missing = task.missing(recipe)
    made_with = {} if missing else dict(task.made_with(recipe))
    return Maker(release=version("samediff-stimuli"), missing=missing, made_with=made_with)


def run(
    recipe: Recipe,
    folder: Path,
    crew: Crew,
    mirror: Mirror | None,
    on_rows: Callable[[int], None],
    made_by: Maker,
    on_shard: Callable[[ShardRecord], None] = lambda record: None,
) -> list[ShardRecord]:
    """Make every shard that the folder does not hold yet.

    Args:
        recipe: what to make.
        folder: the dataset folder, absolute; `hdf5/<name>`, `data/<name>` and `.partial` exist in
            it, and every worker sees it.
        crew: who makes them.
        mirror: a second format to write on the way, or None.
        on_rows: told the number of rows of each shard as it is finished, or found finished; of
            each image if they are costly and made in this process.
        made_by: what the images depend on besides the recipe.
        on_shard: given the record of each shard as it is finished, or found finished.

    Returns:
        The records of all shards, in order.

    Raises:
        InputError: if a worker of a cluster does not see the folder, or is another maker.
        OSError: if the disk is full or the workers are lost; finished shards stay.
    """
    records: dict[Shard, ShardRecord] = {}
    missing = []
    for shard in plan(recipe):
        record = finished(folder, shard)
        if record is None:
            missing.append(shard)
        else:
            records[shard] = record
            on_rows(shard.rows)
            on_shard(record)
    for shard, record in _made(recipe, folder, missing, crew, mirror, on_rows, made_by):
        records[shard] = record
        on_shard(record)
    return [records[shard] for shard in plan(recipe)]


def _made(
    recipe: Recipe,
    folder: Path,
    missing: list[Shard],
    crew: Crew,
    mirror: Mirror | None,
    on_rows: Callable[[int], None],
    made_by: Maker,
) -> Iterator[tuple[Shard, ShardRecord]]:
    here = isinstance(crew, Here)
    if here and (crew.size() == 1 or len(missing) < 2):
        costly = tasks.get(recipe.task).costly
        for shard in missing:
            yield make_shard(recipe, folder, shard, mirror, on_rows if costly else None)
            if not costly:
                on_rows(shard.rows)
        return
    make = make_shard if here else partial(_make_afar, made_by)
    for shard, record in crew.finished(make, ((recipe, folder, s, mirror) for s in missing)):
        if not (folder / record.file.path).is_file():
            raise _unseen(
                f"--out {folder}",
                f"a worker says that it wrote {record.file.path}, which is not here",
            )
        yield shard, record
        on_rows(shard.rows)


def _make_afar(
    made_by: Maker, recipe: Recipe, folder: Path, shard: Shard, mirror: Mirror | None
) -> tuple[Shard, ShardRecord]:
    """`make_shard` in a worker of a cluster."""
    check_worker(made_by, recipe, folder / PARTIAL, f"--out {folder}")
    return make_shard(recipe, folder, shard, mirror)


def check_worker(made_by: Maker, recipe: Recipe, there: Path, place: str) -> None:
    """Check this worker of a cluster, which may be unlike the machine that asks for it.

    Args:
        made_by: what makes the images elsewhere; no images are made if it cannot.
        recipe: of them.
        there: what it must see of the dataset folder.
        place: the folder, as messages have it.

    Raises:
        InputError: if it does not see the folder, or is another maker.
    """
    where = f"the worker on {platform.node()!r}"
    if not there.exists():
        raise _unseen(place, f"{where} does not see {there.parent}")
    found = maker(recipe)
    if made_by.missing is not None:  # nor need this one be able to
        found = dataclasses.replace(made_by, release=found.release)
    if found.missing is not None and made_by.missing is None:
        raise InputError(f"{where} cannot make images of {recipe.task!r}: {found.missing}")
    if found != made_by:
        raise InputError(
            f"{where} has {_words(found)}, another has {_words(made_by)}, so that images would "
            "not be the same; give all workers the same"
        )


def _unseen(place: str, what: str) -> InputError:
    return InputError(
        f"{what}; all workers need {place} on a file system that they share with this "
        "machine, at the same path"
    )


def _words(made_by: Maker) -> str:
    """What a maker is, for a message."""
    found = {"samediff-stimuli": made_by.release, **made_by.made_with}
    return ", ".join(f"{name} {value}" for name, value in found.items())


def make_shard(
    recipe: Recipe,
    folder: Path,
    shard: Shard,
    mirror: Mirror | None,
    on_rows: Callable[[int], None] | None = None,
) -> tuple[Shard, ShardRecord]:
    """Design, render, write and record one shard; tell of each image if that is asked for."""
    task = tasks.get(recipe.task)
    name = task.name_of(recipe)
    table = task.design(recipe, shard.split, shard.start, shard.start + shard.rows)
    path = folder / "hdf5" / name / f"{shard.stem()}.h5"
    twin = mirror.start(folder / "data" / name / shard.stem()) if mirror else None
    safe = folder / PARTIAL / kept.FOLDER

    def images(view: tasks.View) -> Iterator[NDArray[np.uint8]]:
        rows = recipe, shard.split, table
        for image in kept.painted(*rows, safe) if task.costly else view.paint(*rows):
            if twin:
                twin.add(image, view.name)
            yield image
            if on_rows:
                on_rows(1)
        check_claim(folder, recipe)

    about = {"recipe": recipe.as_dict(), "split": shard.split, "start": shard.start}
    columns = task.columns(recipe)
    views = {view.name: images(view) for view in task.views}
    written = write_shard(path, table, columns, views, task.image_shape(recipe), about)
    record = ShardRecord(
        split=shard.split,
        start=shard.start,
        rows=shard.rows,
        file=FileRecord(
            path=path.relative_to(folder).as_posix(),
            n_bytes=written.n_bytes,
            sha256=written.sha256,
        ),
        mirror=record_of(folder, twin.finish(table)) if twin else None,
        arrays=written.arrays,
        counts=counts_of(table, columns),
    )
    if task.space(recipe) is not None:
        (folder / PARTIAL / f"{shard.stem()}{DIGESTS}").write_bytes(written.images)
    take_note(folder, record)
    if task.costly:
        kept.forget(shard.split, table, safe)
    return shard, record


def check_claim(folder: Path, recipe: Recipe) -> None:
    """Raise unless the folder is being made to this recipe still.

    A worker may outlive the run that asked for a shard, if that is killed, and see the folder
    given to another recipe before the shard is made; then it must not be written.

    Raises:
        InputError: if it is made to another recipe, or to none.
    """
    try:
        claimed = json.loads((folder / CLAIM).read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        claimed = None
    if claimed != recipe.as_dict():
        raise InputError(
            f"{folder} is not being made to the recipe of this run any more; was it changed "
            "meanwhile? run the command again"
        )


def counts_of(table: Table, columns: Sequence[Column]) -> dict[str, list[int]]:
    """How often each class of each class column occurs, over all objects of a row."""
    named = [column for column in columns if column.names]
    return {
        column.name: np.bincount(
            table[column.name].reshape(-1), minlength=len(column.names)
        ).tolist()
        for column in named
    }


def take_note(folder: Path, record: ShardRecord) -> None:
    """Keep a finished shard's record until the manifest is written."""
    note = json.dumps(dataclasses.asdict(record), sort_keys=True)
    write_atomically(folder / PARTIAL / f"{Path(record.file.path).stem}.json", note)


def record_of(folder: Path, path: Path) -> FileRecord:
    """The record of a file in a dataset folder.

    Raises:
        OSError: if it cannot be read, or is a pipe or a device, which would never end.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return FileRecord(
        path=path.relative_to(folder).as_posix(),
        n_bytes=path.stat().st_size,
        sha256=file_sha256(path),
    )


def finished(folder: Path, shard: Shard) -> ShardRecord | None:
    """The record of a shard that is there and intact, else None."""
    try:
        text = (folder / PARTIAL / f"{shard.stem()}.json").read_text(encoding="utf-8")
        record = ShardRecord.from_dict(json.loads(text))
        if (record.split, record.start, record.rows) != (shard.split, shard.start, shard.rows):
            return None
        intact = all(record_of(folder, folder / file.path) == file for file in record.files())
    except Exception:  # a note of other forms raises many kinds; the shard is made again
        return None
    return record if intact else None


def usual_workers(recipe: Recipe) -> int:
    """Processes that make a dataset fastest: one where painting takes all processors by itself."""
    return 1 if tasks.get(recipe.task).costly else available_workers()


def available_workers() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
