"""Make a whole dataset folder: shards, mirror, preview, card, and the manifest last of all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import h5py

from samediff_stimuli import codec, engine, manifest, preview, tasks
from samediff_stimuli.cards.card import card
from samediff_stimuli.cards.parquet import ParquetMirror
from samediff_stimuli.manifest import Manifest, ShardRecord
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.shards import DamagedError

CARD = "README.md"
PREVIEW = "preview.png"
RECIPE = f"{engine.PARTIAL}/recipe.json"
_OURS = {manifest.NAME, CARD, PREVIEW, "hdf5", "data", engine.PARTIAL}


def generate(
    recipe: Recipe,
    out: Path | str,
    *,
    workers: int | None = None,
    parquet: bool = True,
    overwrite: bool = False,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Manifest:
    """Make a dataset folder, or finish one that was interrupted.

    Args:
        recipe: what to make, from `make_recipe`.
        out: the folder; made if missing, finished if it holds this recipe's unfinished dataset.
        workers: processes; all available processors when None.
        parquet: write the Parquet mirror that `load_dataset(out)` reads.
        overwrite: replace a dataset of another recipe.
        on_rows: told the number of rows of each shard as it is finished.

    Returns:
        The manifest of the finished folder.

    Raises:
        InputError: if the folder holds something else, or cannot be written; nothing is changed.
        OSError: if the disk is full; finished shards stay, and the same call goes on from there.
    """
    workers = engine.available_workers() if workers is None else workers
    if workers < 1:
        raise InputError(f"workers {workers} is out of range; legal: 1 or more")
    out = Path(out)
    _check_folder(out, recipe, overwrite)
    done = complete(out, recipe, parquet)
    if done is not None:
        shutil.rmtree(out / engine.PARTIAL, ignore_errors=True)  # a run killed at its very end
        on_rows(sum(shard.rows for shard in done.shards))
        return done
    _prepare(out, recipe, parquet)
    mirror = ParquetMirror(tasks.get(recipe.task).columns) if parquet else None
    shards = engine.run(recipe, out, workers, mirror, on_rows)
    made = _finish(out, recipe, tuple(shards))
    shutil.rmtree(out / engine.PARTIAL)
    return made


def complete(out: Path, recipe: Recipe, parquet: bool) -> Manifest | None:
    """The manifest of a folder that holds exactly this dataset, every file of the right size."""
    try:
        found = manifest.load(out)
    except (InputError, DamagedError):
        return None
    mirrored = all(shard.mirror is not None for shard in found.shards)
    if found.recipe != recipe or mirrored != parquet:
        return None
    sizes = [(out / file.path, file.n_bytes) for file in found.files()]
    whole = all(path.is_file() and path.stat().st_size == size for path, size in sizes)
    return found if whole else None


def _check_folder(out: Path, recipe: Recipe, overwrite: bool) -> None:
    """Raise InputError unless a dataset of this recipe may be written there; change nothing."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give a folder")
    parent = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"--out {out} cannot be written: no permission for {parent}")
    if not out.exists():
        return
    present = {path.name for path in out.iterdir()}
    present -= {name for name in present if name.startswith(".") and name.endswith(".tmp")}
    strangers = sorted(present - _OURS)
    ours = manifest.NAME in present or (out / RECIPE).is_file()
    if present and not ours:
        raise InputError(
            f"--out {out} is not empty and holds no dataset (it has {sorted(present)[0]!r}); "
            "give a new folder"
        )
    if strangers and overwrite:
        raise InputError(
            f"--overwrite will not touch {out}: it also holds {strangers[0]!r}; move that away"
        )
    if ours and not overwrite and _recipe_there(out) != recipe.as_dict():
        raise InputError(
            f"--out {out} holds a dataset of another recipe; give another folder, or --overwrite"
        )


def _recipe_there(out: Path) -> object:
    """The recipe of a finished or unfinished dataset as plain data; None if it is unreadable."""
    try:
        if (out / RECIPE).is_file():
            return json.loads((out / RECIPE).read_text(encoding="utf-8"))["recipe"]
        return json.loads((out / manifest.NAME).read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _prepare(out: Path, recipe: Recipe, parquet: bool) -> None:
    """Make the folders; keep what belongs to this recipe and is intact, drop the rest."""
    plan = {"recipe": recipe.as_dict(), "parquet": parquet}
    _reopen(out, recipe, parquet)
    try:
        resumes = json.loads((out / RECIPE).read_text(encoding="utf-8")) == plan
    except (OSError, ValueError):
        resumes = False
    if not resumes:
        _claim(out, plan)
        for name in (manifest.NAME, CARD, PREVIEW):  # manifest first: it must not look whole
            (out / name).unlink(missing_ok=True)
        for name in ("hdf5", "data"):
            shutil.rmtree(out / name, ignore_errors=True)
    name = tasks.get(recipe.task).name_of(recipe)
    folders = [f"hdf5/{name}", f"data/{name}"] if parquet else [f"hdf5/{name}"]
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
        for leftover in (out / folder).glob(".*.tmp"):
            leftover.unlink()


def _claim(out: Path, plan: dict[str, object]) -> None:
    """Make the folder this plan's: at no moment is there a `.partial` without a recipe."""
    partial, text = out / engine.PARTIAL, json.dumps(plan, sort_keys=True)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for leftover in out.glob(".*.tmp"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        if partial.is_dir():
            for note in partial.glob("*-of-*.json"):
                note.unlink()
            manifest.write_atomically(out / RECIPE, text)
        else:
            fresh = out / f"{engine.PARTIAL}.{os.getpid()}.tmp"
            fresh.mkdir()
            (fresh / "recipe.json").write_text(text, encoding="utf-8")
            fresh.rename(partial)
    except OSError as error:
        raise InputError(f"--out {out} cannot be written: {error.strerror}") from error


def _reopen(out: Path, recipe: Recipe, parquet: bool) -> None:
    """Turn a finished dataset of this recipe that lacks files into an unfinished one."""
    try:
        found = manifest.load(out)
    except (InputError, DamagedError):
        return
    if found.recipe != recipe or any(
        (shard.mirror is not None) != parquet for shard in found.shards
    ):
        return
    (out / engine.PARTIAL).mkdir(exist_ok=True)
    for shard in found.shards:
        engine.take_note(out, shard)
    plan = {"recipe": recipe.as_dict(), "parquet": parquet}
    manifest.write_atomically(out / RECIPE, json.dumps(plan, sort_keys=True))
    (out / manifest.NAME).unlink()


def _finish(out: Path, recipe: Recipe, shards: tuple[ShardRecord, ...]) -> Manifest:
    """Write preview and card, then the manifest."""
    versions = {
        "samediff-stimuli": version("samediff-stimuli"),
        "h5py": version("h5py"),
        "hdf5": h5py.version.hdf5_version,
        "zlib-ng": codec.version(),
        **({"pyarrow": version("pyarrow")} if shards[0].mirror else {}),
    }
    bare = Manifest(recipe=recipe, shards=shards, extras=(), versions=versions)
    preview.save(preview.sheet_of_recipe(recipe), out / PREVIEW)
    manifest.write_atomically(out / CARD, card(bare))
    extras = tuple(engine.record_of(out, out / name) for name in (CARD, PREVIEW))
    made = Manifest(recipe=recipe, shards=shards, extras=extras, versions=versions)
    manifest.write(out, made)
    return made


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What making a dataset would take: files, bytes on disk, seconds on these workers."""

    files: int
    n_bytes: int
    seconds: float


_SAMPLE = 64  # rows of each split that an estimate makes


def estimate(recipe: Recipe, workers: int, parquet: bool) -> Estimate:
    """Make a few rows of each split in a temporary folder, and scale them up."""
    task = tasks.get(recipe.task)
    mirror = ParquetMirror(task.columns) if parquet else None
    shards, name = engine.plan(recipe), task.name_of(recipe)
    n_bytes = seconds = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for inner in (engine.PARTIAL, f"hdf5/{name}", f"data/{name}"):
            (folder / inner).mkdir(parents=True)

        def make(split: tasks.Split) -> ShardRecord:
            rows = min(split.rows, _SAMPLE)
            shard = engine.Shard(split=split.name, number=0, count=1, start=0, rows=rows)
            return engine.make_shard(recipe, folder, shard, mirror)[1]

        make(task.splits(recipe)[0])  # pays for the imports
        for split in task.splits(recipe):
            began = time.perf_counter()
            record = make(split)
            share = split.rows / record.rows
            seconds += (time.perf_counter() - began) * share
            n_bytes += record.file.n_bytes * share
            n_bytes += record.mirror.n_bytes * share if record.mirror else 0
    return Estimate(
        files=len(shards) * (2 if parquet else 1) + 3,
        n_bytes=round(n_bytes),
        seconds=seconds / min(workers, len(shards)),
    )
