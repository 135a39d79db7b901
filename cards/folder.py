"""The state of a dataset folder: absent, unfinished, finished, or somebody else's.

`.partial` holds the recipe and the finished shards' records while a dataset is being made; the
manifest, written last, says that it is whole. At every moment a folder of ours has one of the two.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from samediff_stimuli import engine, manifest, tasks
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.shards import DamagedError

CARD = "README.md"
PREVIEW = "preview.png"
RECIPE = f"{engine.PARTIAL}/recipe.json"
_OURS = {manifest.NAME, CARD, PREVIEW, "hdf5", "data", engine.PARTIAL}


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


def check(out: Path, recipe: Recipe, overwrite: bool) -> None:
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
    there = _recipe_there(out)
    ours = isinstance(there, dict) and there.keys() == recipe.as_dict().keys()
    if present and not ours:
        raise InputError(
            f"--out {out} is not empty and holds no dataset (it has {sorted(present)[0]!r}); "
            "give a new folder"
        )
    if strangers and overwrite:
        raise InputError(
            f"--overwrite will not touch {out}: it also holds {strangers[0]!r}; move that away"
        )
    if ours and not overwrite and there != recipe.as_dict():
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


def prepare(out: Path, recipe: Recipe, parquet: bool) -> None:
    """Make the folders; keep what belongs to this recipe and is intact, drop the rest."""
    _reopen(out, recipe, parquet)
    try:
        resumes = json.loads((out / RECIPE).read_text(encoding="utf-8")) == _plan(recipe, parquet)
    except (OSError, ValueError):
        resumes = False
    if not resumes:
        _claim(out, _plan(recipe, parquet))
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


def _plan(recipe: Recipe, parquet: bool) -> dict[str, object]:
    """What `.partial/recipe.json` says."""
    return {"recipe": recipe.as_dict(), "parquet": parquet}


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
    manifest.write_atomically(out / RECIPE, json.dumps(_plan(recipe, parquet), sort_keys=True))
    (out / manifest.NAME).unlink()
