"""Make a whole dataset folder: shards, mirror, preview, card, and the manifest last of all."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import h5py

from samediff_stimuli import codec, engine, manifest, preview, tasks
from samediff_stimuli.cards import factors, folder
from samediff_stimuli.cards.card import Origin, card
from samediff_stimuli.cards.parquet import ParquetMirror
from samediff_stimuli.manifest import Manifest, ShardRecord
from samediff_stimuli.recipe import InputError, Recipe


def generate(
    recipe: Recipe,
    out: Path | str,
    *,
    workers: int | None = None,
    parquet: bool = True,
    overwrite: bool = False,
    on_rows: Callable[[int], None] = lambda rows: None,
    origin: Origin | None = None,
) -> Manifest:
    """Make a dataset folder, or finish one that was interrupted.

    Args:
        recipe: what to make, from `make_recipe`.
        out: the folder; made if missing, finished if it holds this recipe's unfinished dataset.
        workers: processes; when None, as many as make this set fastest.
        parquet: write the Parquet mirror that `load_dataset(out)` reads.
        overwrite: replace a dataset of another recipe.
        on_rows: told the number of rows of each shard as it is finished.
        origin: of images that this package did not make; card and origin are written anew even
            if the folder is finished.

    Returns:
        The manifest of the finished folder.

    Raises:
        InputError: if the folder holds something else or cannot be written, or if what the images
            are made from is not at hand; nothing is changed.
        OSError: if the disk is full; finished shards stay, and the same call goes on from there.
    """
    workers = engine.usual_workers(recipe) if workers is None else workers
    if workers < 1:
        raise InputError(f"workers {workers} is out of range; legal: 1 or more")
    out = Path(out)
    folder.check(out, recipe, parquet, overwrite)
    out = out.absolute()  # workers may have been started in another folder
    done = folder.complete(out, recipe, parquet)
    if done is not None and origin is None:
        shutil.rmtree(out / engine.PARTIAL, ignore_errors=True)  # a run killed at its very end
        on_rows(sum(shard.rows for shard in done.shards))
        return done
    reason = tasks.get(recipe.task).missing(recipe)
    if reason is not None:
        raise InputError(f"the images of {recipe.task!r} cannot be made: {reason}")
    factors.check_lists(recipe)
    made_with = dict(tasks.get(recipe.task).made_with(recipe))
    folder.check_maker(out, recipe, parquet, made_with, overwrite)
    folder.prepare(out, recipe, parquet, made_with)
    mirror = ParquetMirror(tasks.get(recipe.task).columns(recipe)) if parquet else None
    shards = engine.run(recipe, out, workers, mirror, on_rows)
    made = _finish(out, recipe, tuple(shards), origin or Origin(), made_with)
    shutil.rmtree(out / engine.PARTIAL)
    return made


def _finish(
    out: Path,
    recipe: Recipe,
    shards: tuple[ShardRecord, ...],
    origin: Origin,
    made_with: dict[str, str],
) -> Manifest:
    """Write preview, card and the origin's files, then the manifest."""
    versions = {
        "samediff-stimuli": version("samediff-stimuli"),
        "h5py": version("h5py"),
        "hdf5": h5py.version.hdf5_version,
        "zlib-ng": codec.version(),
        **({"pyarrow": version("pyarrow")} if shards[0].mirror else {}),
        **origin.versions,
    }
    bare = Manifest(
        recipe=recipe,
        shards=shards,
        extras=(),
        versions=versions,
        indices=factors.write_indices(out, recipe),
        repeats=factors.repeats(out, recipe, shards),
        made_with=made_with,
    )
    preview.save(preview.sheet_of_folder(out, bare), out / folder.PREVIEW)
    manifest.write_atomically(out / folder.CARD, card(bare, origin))
    for name, text in origin.files.items():
        manifest.write_atomically(out / name, text)
    names = (folder.CARD, folder.PREVIEW, *origin.files)
    extras = tuple(engine.record_of(out, out / name) for name in names)
    made = replace(bare, extras=extras)
    manifest.write(out, made)
    return made


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What making a dataset would take: files, bytes on disk, seconds on these workers."""

    files: int
    n_bytes: int
    seconds: float


_SAMPLE, _FEW = 64, 1  # rows of each split that an estimate makes; of costly images


def estimate(recipe: Recipe, workers: int, parquet: bool) -> Estimate:
    """Make a few rows of each split in a temporary folder, and scale them up."""
    task = tasks.get(recipe.task)
    mirror = ParquetMirror(task.columns(recipe)) if parquet else None
    shards, name = engine.plan(recipe), task.name_of(recipe)
    lists = len(set(task.splits(recipe)) - set(task.stored_splits(recipe)))
    n_bytes = seconds = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        for inner in (engine.PARTIAL, f"hdf5/{name}", f"data/{name}"):
            (scratch / inner).mkdir(parents=True)

        def make(split: tasks.Split) -> ShardRecord:
            rows = min(split.rows, _FEW if task.costly else _SAMPLE)
            shard = engine.Shard(split=split.name, number=0, count=1, start=0, rows=rows)
            return engine.make_shard(recipe, scratch, shard, mirror)[1]

        make(task.stored_splits(recipe)[0])  # pays for the imports
        for split in task.stored_splits(recipe):
            began = time.perf_counter()
            record = make(split)
            share = split.rows / record.rows
            seconds += (time.perf_counter() - began) * share
            n_bytes += record.file.n_bytes * share
            n_bytes += record.mirror.n_bytes * share if record.mirror else 0
    return Estimate(
        files=len(shards) * (2 if parquet else 1) + lists + 3,
        n_bytes=round(n_bytes),
        seconds=seconds if task.costly else seconds / min(workers, len(shards)),
    )
