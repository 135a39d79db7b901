"""Export a dataset: to a hidden folder beside the one that is wanted, renamed at the end.

OUT/export.json, written last, says what the folder holds; only such a folder is ever replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from samediff_stimuli import locks, manifest, tasks
from samediff_stimuli.cards import exports
from samediff_stimuli.cards.exports.format import Format, Part, PartedFormat, Source
from samediff_stimuli.engines import LOKY, Engine, opened
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.recipe import InputError
from samediff_stimuli.remote import is_url

MARKER = "export.json"
_KIND = "samediff-stimuli export"


def export(
    folder: Path | str,
    out: Path | str,
    format: Format | str = "png",
    *,
    splits: Sequence[str] | None = None,
    overwrite: bool = False,
    on_rows: Callable[[int], None] = lambda rows: None,
    workers: int | None = None,
    engine: Engine = LOKY,
) -> Manifest:
    """Write a dataset, or some of its splits, in another format.

    Everything is written to a hidden folder beside `out`, which is renamed at the end.

    Args:
        folder: the dataset folder.
        out: the folder to write, or its URL, e.g. "s3://bucket/name".
        format: a format with its options, or the name of one, with its defaults.
        splits: which splits to write; when None, all, or those that the format is made for.
        overwrite: replace an earlier export.
        on_rows: told the number of images as they are written; by some formats more than once.
        workers: parts written at once; when None, all workers of the cluster at the engine's
            address, else one.
        engine: who writes the parts. Workers of a cluster must see both folders at the same paths.

    Returns:
        The dataset's manifest.

    Raises:
        InputError: no dataset, no such format or split, a dataset that the format is not for, a
            folder that may not be written, or workers for a format without parts; nothing is
            changed.
        DamagedError: a shard cannot be read; nothing is left.
        OSError: if the disk is full; nothing is left.
    """
    chosen = exports.get(format)() if isinstance(format, str) else format
    source = chosen.plan(source_of(folder, splits))
    source = replace(source, on_rows=on_rows)
    how: dict[str, Any] = {"overwrite": overwrite, "workers": workers, "engine": engine}
    if is_url(out):
        from samediff_stimuli.cards.exports import remote

        remote.send(source, str(out), chosen, **how)
    else:
        write(source, out, chosen, **how)
    return source.made


def source_of(folder: Path | str, names: Sequence[str] | None = None) -> Source:
    """A dataset, and those of its splits that have these names; all of them for None.

    Raises:
        InputError: no dataset, or no such split.
    """
    made = manifest.load(Path(folder))
    every = tasks.get(made.recipe.task).splits(made.recipe)
    named = tuple(dict.fromkeys(names or ()))
    splits = every if names is None else tuple(tasks.split_of(made.recipe, n) for n in named)
    return Source(folder=Path(folder), made=made, splits=splits, chosen=names is not None)


def write(
    source: Source,
    out: Path | str,
    format: Format,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    engine: Engine = LOKY,
) -> None:
    """Write what a format has planned; see `export`."""
    alone = engine == LOKY and workers in (None, 1)
    if not alone and not isinstance(format, PartedFormat):
        parted = [name for name in exports.MODULES if issubclass(exports.get(name), PartedFormat)]
        raise InputError(
            f"format {format.name!r} is written by one process; --workers and --engine are for "
            f"{', '.join(parted)}; leave them out"
        )
    with _fresh_folder(source, Path(out), format, overwrite) as fresh:
        if alone or not isinstance(format, PartedFormat):
            format.write(source, fresh)
        else:
            _write_parts(source, fresh, format, workers, engine)


def _write_parts(
    source: Source, fresh: Path, format: PartedFormat, workers: int | None, engine: Engine
) -> None:
    """Let a crew write the parts of an export."""
    elsewhere = replace(source, folder=source.folder.absolute(), on_rows=_unheard)
    with opened(engine, workers) as crew:
        format.prepare(source, fresh)
        release = version("samediff-stimuli")
        jobs = [(format, elsewhere, fresh, part, release) for part in format.parts(source)]
        for rows in crew.finished(_write_part, jobs):
            source.on_rows(rows)


def _write_part(format: PartedFormat, source: Source, out: Path, part: Part, release: str) -> int:
    """In a worker: write a part; the number of rows that was told of.

    Raises:
        InputError: if the worker is unlike the machine that asks for it, whose release is given.
    """
    where, here = f"the worker on {platform.node()!r}", version("samediff-stimuli")
    if not out.is_dir():
        raise InputError(
            f"{where} does not see {out}; all workers need the dataset and --out on a file system "
            "that they share with this machine, at the same paths"
        )
    if here != release:
        raise InputError(
            f"{where} has samediff-stimuli {here}, this machine {release}, so that files might "
            "differ; give all workers the same"
        )
    told: list[int] = []
    format.write_part(replace(source, on_rows=told.append), out, part)
    return sum(told)


def _unheard(rows: int) -> None:
    """Told of rows where nobody listens; unlike a lambda it goes to other processes."""


@contextlib.contextmanager
def _fresh_folder(source: Source, out: Path, format: Format, overwrite: bool) -> Iterator[Path]:
    """A hidden folder beside `out` to write an export to; it becomes `out` if nothing fails.

    Args:
        source: what is exported.
        out: the folder of the export.
        format: for the marker.
        overwrite: replace an earlier export.

    Raises:
        InputError: if `out` may not be written, or is being written by another process; nothing
            is changed.
    """
    check(source.folder, out, overwrite)
    out = out.resolve()
    fresh, old = (out.with_name(f".{out.name}.{what}.tmp") for what in ("export", "old"))
    with locks.held(out.with_name(f".{out.name}{locks.NAME}"), f"--out {out}"):
        check(source.folder, out, overwrite)  # from here on nobody else changes it
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            yield fresh
            text = json.dumps(about(source, format), indent=1) + "\n"
            manifest.write_atomically(fresh / MARKER, text)
            shutil.rmtree(old, ignore_errors=True)
            if out.exists():
                out.rename(old)
            fresh.rename(out)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def check(folder: Path, out: Path, overwrite: bool) -> None:
    """Raise InputError unless an export of `folder` may be written to `out`; change nothing."""
    there, here = folder.resolve(), out.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise InputError(f"--out {out} and the dataset {folder} overlap; give another folder")
    above = next(path for path in here.parents if path.exists())
    if not above.is_dir() or (here.exists() and not here.is_dir()):
        raise InputError(f"--out {out} is not possible: there is a file; give a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"--out {out} cannot be written: no permission for {above}")
    if not here.exists() or not any(here.iterdir()):
        return
    found = _format_of(here)
    if found is None:
        raise InputError(f"--out {out} is not empty and no export of ours; give a new folder")
    if not overwrite:
        raise InputError(f"--out {out} holds an export; give another folder, or --overwrite")
    stranger = next(_strangers(here, found), None)
    if stranger is not None:
        raise InputError(
            f"--overwrite will not touch {out}: it also holds '{stranger}'; move that away"
        )


def is_export(out: Path) -> bool:
    """Whether a folder says that it is a finished export."""
    return _format_of(out) is not None


def about(source: Source, format: Format) -> dict[str, str]:
    """What OUT/export.json says."""
    made = source.made
    return {"export": _KIND, "format": format.name, "name": made.name, "digest": made.digest()}


def format_of(about: object) -> type[Format] | None:
    """The format of an export that OUT/export.json tells of; None if it tells of none of ours."""
    if not isinstance(about, dict) or about.get("export") != _KIND:
        return None
    try:
        return exports.get(str(about.get("format")))
    except InputError:
        return None


def _format_of(out: Path) -> type[Format] | None:
    """The format of a finished export, or None if the folder is none."""
    try:
        return format_of(json.loads((out / MARKER).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _strangers(out: Path, format: type[Format]) -> Iterator[Path]:
    """What a finished export holds that we did not write, relative to it."""
    for path in sorted(out.rglob("*")):
        inner = path.relative_to(out)
        ours = inner.as_posix() == MARKER or format.files.fullmatch(inner.as_posix())
        if path.is_symlink() or not (path.is_dir() or ours):
            yield inner
