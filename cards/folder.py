"""The state of a dataset folder: absent, unfinished, finished, or somebody else's.

`.partial` holds the recipe and the finished shards' records while a dataset is being made; the
manifest, written last, says that it is whole. At every moment a folder of ours has one of the two.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from samediff_stimuli import engine, kept, locks, manifest, tasks
from samediff_stimuli.cards import croissant, validated
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.shards import DamagedError

CARD = "README.md"
PREVIEW = "preview.png"
PROVENANCE = "provenance.csv"  # of imported images: which row is which file
_OUR_FILES = (
    *(manifest.NAME, CARD, croissant.NAME, PREVIEW, PROVENANCE),  # manifest first: removed first
    *(validated.REPORT, validated.PICTURE),
)


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


def check(out: Path, recipe: Recipe, parquet: bool, overwrite: bool) -> None:
    """Raise InputError unless a dataset of this recipe may be written there; change nothing."""
    check_place(out)
    if not _present(out):
        return
    there = plan_there(out)
    strangers = _strangers(out)
    if strangers and overwrite:
        raise InputError(
            f"--overwrite will not touch {out}: it also holds '{strangers[0]}'; move that away"
        )
    if overwrite or (there and there | {"made_with": {}} == _plan(recipe, parquet, {})):
        return
    if there is None:
        what = "a dataset whose manifest is missing or damaged"
    elif there["recipe"] == recipe.as_dict():
        what = f"this dataset {'without' if parquet else 'with'} its Parquet mirror"
    else:
        what = "a dataset of another recipe"
    raise InputError(f"--out {out} holds {what}; give another folder, or --overwrite")


def check_maker(
    out: Path, recipe: Recipe, parquet: bool, made_with: dict[str, str], overwrite: bool
) -> None:
    """Raise InputError if the folder's images were begun with something that gives others."""
    there = plan_there(out)
    if overwrite or there is None or there == _plan(recipe, parquet, made_with):
        return
    begun = manifest.in_words(there["made_with"])
    raise InputError(
        f"--out {out} was begun with {begun}; here it would go on with "
        f"{manifest.in_words(made_with)}, which gives other pixels; use the former, or another "
        "folder, or --overwrite"
    )


def check_place(out: Path) -> None:
    """Raise InputError unless some dataset may be written there; change nothing."""
    parent = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not parent.is_dir():
        raise InputError(f"--out {out} is not possible: {parent} is a file; give a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"--out {out} cannot be written: no permission for {parent}")
    present = _present(out)
    if present and plan_there(out) is None and not _shards(out):
        raise InputError(
            f"--out {out} is not empty and holds no dataset (it has {min(present).name!r}); "
            "give a new folder"
        )


def _present(out: Path) -> list[Path]:
    """What a folder holds but for our temporary files; nothing if there is no such folder."""
    return [path for path in out.iterdir() if not _is_temporary(path)] if out.exists() else []


def _is_temporary(path: Path) -> bool:
    return path.name == locks.NAME or (path.name.startswith(".") and path.name.endswith(".tmp"))


_FOLDERS = ("hdf5", "data", "splits")
_SHARD = re.compile(r"\w+-\d{5}-of-\d{5}\.(h5|parquet)|\w+\.h5")


def _shards(out: Path) -> list[Path]:
    """Files that are named and placed like our shards."""
    files = [path for top in _FOLDERS for path in (out / top).glob("*/*")]
    return [path for path in files if path.is_file() and _SHARD.fullmatch(path.name)]


def is_ours(path: PurePosixPath) -> bool:
    """Whether a path, relative to a dataset's folder, is one that a dataset's file may have."""
    top, depth = path.parts[0], len(path.parts)
    if depth == 1:
        return path.name in _OUR_FILES
    if top == engine.PARTIAL:
        return True
    return top in _FOLDERS and depth == 3 and bool(_SHARD.fullmatch(path.name))


def _strangers(out: Path) -> list[Path]:
    """What a dataset folder holds besides a dataset, at any depth, relative to it."""
    ours = {*_shards(out), *(out / name for name in _OUR_FILES)}
    files = [path for path in out.rglob("*") if not path.is_dir() and path not in ours]
    found = [path.relative_to(out) for path in files]
    return sorted(
        path
        for path in found
        if path.parts[0] != engine.PARTIAL and not any(map(_is_temporary, map(Path, path.parts)))
    )


def plan_there(out: Path) -> dict[str, Any] | None:
    """The plan of a finished or unfinished dataset as plain data; None if there is none."""
    for read in (_plan_of_partial, _plan_of_manifest):
        try:
            plan = read(out)
            if isinstance(plan["recipe"], dict) and "task" in plan["recipe"]:
                return plan
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _plan_of_partial(out: Path) -> dict[str, Any]:
    text = json.loads((out / engine.CLAIM).read_text(encoding="utf-8"))
    return {name: text[name] for name in ("recipe", "parquet")} | {
        "made_with": text.get("made_with", {})
    }


def _plan_of_manifest(out: Path) -> dict[str, Any]:
    text = json.loads((out / manifest.NAME).read_text(encoding="utf-8"))
    mirrored = all(shard["mirror"] is not None for shard in text["shards"])
    made_with = text.get("made_with", {})
    return {"recipe": text["recipe"], "parquet": mirrored, "made_with": made_with}


def prepare(out: Path, recipe: Recipe, parquet: bool, made_with: dict[str, str]) -> None:
    """Make the folders; keep what belongs to this recipe and is intact, drop the rest."""
    plan = _plan(recipe, parquet, made_with)
    _reopen(out, recipe, parquet, made_with)
    try:
        text = {"made_with": {}} | json.loads((out / engine.CLAIM).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        text = None
    if text != plan | {"cleared": True}:
        _claim(out, plan | {"cleared": False})
        for name in _OUR_FILES:
            (out / name).unlink(missing_ok=True)
        for name in _FOLDERS:
            shutil.rmtree(out / name, ignore_errors=True)
        _say_cleared(out, plan)
    name = tasks.get(recipe.task).name_of(recipe)
    folders = [f"hdf5/{name}", f"data/{name}"] if parquet else [f"hdf5/{name}"]
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
    for leftover in list(out.rglob(".*.tmp")):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def _say_cleared(out: Path, plan: dict[str, object]) -> None:
    """From here on, what the folder holds is this plan's; before, a resumed run clears again."""
    text = json.dumps(plan | {"cleared": True}, sort_keys=True)
    manifest.write_atomically(out / engine.CLAIM, text)


def _plan(recipe: Recipe, parquet: bool, made_with: dict[str, str]) -> dict[str, object]:
    """What `.partial/recipe.json` says."""
    return {"recipe": recipe.as_dict(), "parquet": parquet, "made_with": made_with}


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
            shutil.rmtree(partial / kept.FOLDER, ignore_errors=True)
            manifest.write_atomically(out / engine.CLAIM, text)
        else:
            fresh = out / f"{engine.PARTIAL}.{os.getpid()}.tmp"
            fresh.mkdir()
            (fresh / "recipe.json").write_text(text, encoding="utf-8")
            fresh.rename(partial)
    except OSError as error:
        raise InputError(f"--out {out} cannot be written: {error.strerror}") from error


def _reopen(out: Path, recipe: Recipe, parquet: bool, made_with: dict[str, str]) -> None:
    """Turn a finished dataset of this recipe that lacks files into an unfinished one."""
    try:
        found = manifest.load(out)
    except (InputError, DamagedError):
        return
    mirrored = {shard.mirror is not None for shard in found.shards}
    if (found.recipe, found.made_with, mirrored) != (recipe, made_with, {parquet}):
        return
    (out / engine.PARTIAL).mkdir(exist_ok=True)
    for shard in found.shards:
        engine.take_note(out, shard)
    _say_cleared(out, _plan(recipe, parquet, made_with))
    (out / manifest.NAME).unlink()
