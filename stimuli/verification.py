"""Verify a dataset folder: every file's hash, every decoded array's digest, then the rows anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from samediff_stimuli import rng, tasks
from samediff_stimuli.engine import (
    Maker,
    available_workers,
    check_worker,
    maker,
    record_of,
    usual_workers,
)
from samediff_stimuli.engines import LOKY, Engine, Here, chosen_workers, opened
from samediff_stimuli.indices import index_digest, read_index
from samediff_stimuli.manifest import NAME, Manifest, ShardRecord, in_words, load, problem
from samediff_stimuli.recipe import FORMAT_VERSION, Recipe
from samediff_stimuli.shards import DamagedError, ImagesDigest, ShardReader, array_digest
from samediff_stimuli.table import Table

DIFFERS = "is not what the recipe gives"
BATCH = 16  # images decoded at a time
SAMPLE, FEW = 64, 4  # rows made anew in each split, unless all are asked for; of costly images
_WORTH = 20_000  # rows from which on another process is worth its start


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was checked and what was found.

    Attributes:
        files: number of files hashed.
        decoded: number of images decoded and digested.
        remade: number of rows made anew and compared.
        unmade: why no row was made anew, if the images cannot be made here.
        problems: one line each; empty when the folder is what its recipe says.
    """

    files: int
    decoded: int
    remade: int
    problems: tuple[str, ...]
    unmade: str | None = None


def verify(
    folder: Path,
    everything: bool = False,
    on_rows: Callable[[int], None] = lambda rows: None,
    workers: int | None = None,
    engine: Engine = LOKY,
    **places: Path | str | None,
) -> Report:
    """Check a dataset folder against its manifest and its recipe.

    Images that cannot be made here (see `Task.missing`) are compared with their digests only.

    Args:
        folder: the dataset folder.
        everything: make every row anew, not a sample of 64 a split (4 of costly images).
        on_rows: told the number of rows of each shard as it is checked.
        workers: shards checked at once; when None, all workers of the cluster at the engine's
            address, else as many processes as are fastest here.
        engine: who checks the shards. Workers of a cluster must see the folder at the same path.
        places: what a set is made from or with here, as its options say it: e.g. objects, the
            pictures of a naturalistic set; archive and split_labels of a factor set;
            blender_python and device of a rendered one.

    Raises:
        InputError: if the folder is no dataset, what it was made from is something else, or
            workers is below 1; also if a worker of a cluster does not see the folder, or would
            make other images.
        DamagedError: if its manifest is damaged.
    """
    manifest = load(folder)
    given = {name: str(place) for name, place in places.items() if place is not None}
    if given:
        manifest = replace(manifest, recipe=tasks.at_hand(manifest.recipe, given))
    workers = chosen_workers(workers, _usual(manifest), engine)
    problems = [*_file_problems(folder, manifest), *_index_problems(folder, manifest)]
    decoded = remade = 0
    found: dict[int, list[str]] = {}
    absolute = folder.absolute()  # workers may have been started in another folder
    with opened(engine, workers, tasks.get(manifest.recipe.task).costly) as crew:
        # what makes images is asked where rows are made anew; the release must be that of here
        made_by = replace(crew.call(maker, manifest.recipe), release=version("samediff-stimuli"))
        jobs = _jobs(manifest, absolute, everything, made_by)
        check = _checked if isinstance(crew, Here) else partial(_checked_afar, made_by)
        for number, unread, lines in crew.finished(check, jobs):
            shard, rows = manifest.shards[number], jobs[number][-1]
            path = str(absolute / shard.file.path), str(folder / shard.file.path)
            found[number] = [line.replace(*path) for line in lines]
            if not unread:
                decoded, remade = decoded + shard.rows, remade + len(rows)
            on_rows(shard.rows)
    problems += [line for number in sorted(found) for line in found[number]]
    if remade:
        problems += list(_other_maker(manifest, problems, made_by))
    return Report(
        files=len(manifest.files()),
        decoded=decoded,
        remade=remade,
        problems=tuple(problems),
        unmade=made_by.missing,
    )


_Job = tuple[int, Recipe, Path, ShardRecord, np.ndarray]


def _jobs(manifest: Manifest, folder: Path, everything: bool, made_by: Maker) -> list[_Job]:
    """What to check: each shard with its number, and its rows that are to be made anew."""
    wanted = _wanted(manifest, everything, made_by)
    jobs = []
    for number, shard in enumerate(manifest.shards):
        rows = wanted[shard.split]
        rows = rows[(rows >= shard.start) & (rows < shard.start + shard.rows)] - shard.start
        jobs.append((number, manifest.recipe, folder, shard, rows))
    return jobs


def _checked(
    number: int, recipe: Recipe, folder: Path, shard: ShardRecord, rows: np.ndarray
) -> tuple[int, bool, list[str]]:
    """A shard's number, whether it could not be read, and what is wrong with it."""
    try:
        return number, False, list(_shard_problems(recipe, folder, shard, rows))
    except DamagedError as error:
        return number, True, [str(error)]


def _checked_afar(
    made_by: Maker, number: int, recipe: Recipe, folder: Path, *job: Any
) -> tuple[int, bool, list[str]]:
    """`_checked` in a worker of a cluster."""
    check_worker(made_by, recipe, folder / NAME, str(folder))
    return _checked(number, recipe, folder, *job)


def _usual(manifest: Manifest) -> int:
    """Processes that check a dataset fastest: one, if it is small or painted by a renderer."""
    worth = 1 + sum(shard.rows for shard in manifest.shards) // _WORTH
    return min(worth, available_workers(), usual_workers(manifest.recipe))


def _other_maker(manifest: Manifest, problems: list[str], made_by: Maker) -> Iterator[str]:
    """What explains rows that differ: they were made anew with something else."""
    if not any(f"{DIFFERS} (" in problem for problem in problems):
        return
    if made_by.made_with != manifest.made_with:
        yield (
            f"the images were made with {in_words(manifest.made_with)}; here with "
            f"{in_words(made_by.made_with)}, which gives other pixels: verify with the former"
        )


def _file_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    wrong = problem(folder)
    if wrong is not None:
        yield wrong
    listed = {file.path for file in manifest.files()}
    for top in ("hdf5", "data", "splits"):
        for path in sorted((folder / top).rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in listed:
                yield f"{path}: the manifest does not list this file"
    for file in manifest.files():
        path = folder / file.path
        try:
            found = record_of(folder, path)
        except OSError as error:
            yield f"{path}: {error.strerror or error}"
            continue
        if found.n_bytes != file.n_bytes:
            yield f"{path}: {found.n_bytes} bytes, the manifest says {file.n_bytes}"
        elif found.sha256 != file.sha256:
            yield f"{path}: SHA-256 {found.sha256[:12]}, the manifest says {file.sha256[:12]}"


def _index_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Compare the lists of rows with their digests, and with what the recipe gives."""
    task = tasks.get(manifest.recipe.task)
    for index in manifest.indices:
        path = folder / index.file.path
        try:
            rows = read_index(path, index.rows)
        except DamagedError as error:
            yield str(error)
            continue
        if index_digest(rows) != index.digest:
            yield f"{path}: its rows do not have the digest that the manifest gives"
            continue
        listed = task.members(manifest.recipe, index.split) if task.members else None
        if listed is not None and not np.array_equal(rows, listed):
            yield f"{path}: its rows are not what the recipe gives"


def _wanted(manifest: Manifest, everything: bool, made_by: Maker) -> dict[str, np.ndarray]:
    """Rows to make anew in each split, increasing."""
    wanted = {}
    task = tasks.get(manifest.recipe.task)
    unmade, few = made_by.missing is not None, FEW if task.costly else SAMPLE
    for split in task.stored_splits(manifest.recipe):
        if unmade:
            wanted[split.name] = np.arange(0)
        elif everything or split.rows <= few:
            wanted[split.name] = np.arange(split.rows)
        else:
            key = rng.stream_key(FORMAT_VERSION, "verify", manifest.digest(), split.name)
            words = rng.blocks(key, 0, few // rng.WORDS_PER_BLOCK).reshape(-1)
            wanted[split.name] = np.unique(rng.below(words, split.rows))
    return wanted


def _shard_problems(
    recipe: Recipe, folder: Path, shard: ShardRecord, rows: np.ndarray
) -> Iterator[str]:
    """Compare a shard's decoded arrays with their digests, and its rows with new ones."""
    path = folder / shard.file.path
    task = tasks.get(recipe.task)
    reader = ShardReader(path, [view.name for view in task.views])
    shape = task.image_shape(recipe)
    if (reader.n_rows, reader.image_shape) != (shard.rows, shape):
        is_now = f"{reader.n_rows} rows of {reader.image_shape}"
        yield f"{path}: {is_now}, the manifest says {shard.rows} of {shape}"
        return
    listed = task.members is None or task.members(recipe, shard.split) is not None
    stop = shard.start + shard.rows
    new = task.design(recipe, shard.split, shard.start, stop) if listed else Table({})
    arrays = {name: array_digest(values) for name, values in reader.table.items()}
    bad = {}
    for view in task.views:
        arrays[view.name], bad[view.name] = _images(recipe, reader, shard, rows, new, view.name)
    for name in sorted(shard.arrays.keys() | arrays.keys()):
        if arrays.get(name) != shard.arrays.get(name):
            yield f"{path}: column {name!r} does not have the digest that the manifest gives"
    for name, values in new.items():
        if name not in reader.table or not np.array_equal(values, reader.table[name]):
            yield f"{path}: column {name!r} is not what the recipe gives"
    for name, found in bad.items():
        if found:
            yield f"{path}: {name} of row {found[0]} {DIFFERS} ({len(found)} such rows)"


def _images(
    recipe: Recipe, reader: ShardReader, shard: ShardRecord, rows: np.ndarray, new: Table, view: str
) -> tuple[str, list[int]]:
    """The digest of a shard's images of one view, and the rows that come out otherwise when made.

    Args:
        recipe: of the dataset.
        reader: of the shard.
        shard: its record.
        rows: to make anew, counted from the shard's first.
        new: the shard's table, made anew.
        view: which image of each row.
    """
    task = tasks.get(recipe.task)
    digest = ImagesDigest()
    out = np.empty((BATCH, *task.image_shape(recipe)), dtype=np.uint8)
    chosen = np.zeros(shard.rows, dtype=bool)
    chosen[rows] = True
    bad: list[int] = []
    for first in range(0, shard.rows, BATCH):
        part = np.arange(first, min(first + BATCH, shard.rows))
        images = out[: len(part)]
        reader.read_into(part.tolist(), images, view)
        for image in images:
            digest.update(image)
        again = part[chosen[part]]
        if len(again):
            made = task.render(recipe, shard.split, new.rows(again), view=view)
            differs = (made != images[again - first]).any(axis=(1, 2, 3))
            bad += (again[differs] + shard.start).tolist()
    return digest.hexdigest(), bad
