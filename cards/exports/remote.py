"""Exports at URLs: written to a folder of the cache, then sent, the marker last."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from samediff_stimuli.cards import remote, sending
from samediff_stimuli.cards.exports.folder import MARKER, about, format_of, is_export, write
from samediff_stimuli.cards.exports.format import Format, Source
from samediff_stimuli.engine import PARTIAL, record_of
from samediff_stimuli.engines import LOKY, Engine
from samediff_stimuli.manifest import FileRecord
from samediff_stimuli.recipe import InputError
from samediff_stimuli.remote import Store


class _HeldError(InputError):
    """An export is there, and is not to be replaced."""


def send(
    source: Source,
    url: str,
    format: Format,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    engine: Engine = LOKY,
    on_bytes: Callable[[int], None] = lambda n: None,
) -> Sequence[str]:
    """Write what a format has planned, and send it; what was interrupted goes on.

    Args:
        source: what is exported.
        url: of the folder, e.g. "s3://bucket/rmts-png".
        format: that planned it.
        overwrite: replace an earlier export there.
        workers: as for `export`.
        engine: as for `export`.
        on_bytes: told the bytes of each file once it is there, from any thread.

    Returns:
        What is there, in short, for people.

    Raises:
        InputError: as for `export`, or if the place cannot be reached; what arrived stays, and the
            same call goes on from there.
        DamagedError: a shard cannot be read, or the place holds other bytes than were sent.
        OSError: if the disk is full.
    """
    there = sending.place(url)
    of = {
        **about(source, format),
        "options": dataclasses.asdict(format),
        "splits": [split.name for split in source.splits],
        "samediff-stimuli": version("samediff-stimuli"),
    }
    of = json.loads(json.dumps(of, default=str))  # as it is read back
    with remote.staging(there, of) as staging:
        here = staging / "export"  # beside it, what writing it leaves if it is killed
        try:
            _check(there, of, format, overwrite)
        except _HeldError:
            _remove(staging, here)  # of a run that was killed when all was sent
            raise
        if not is_export(here):
            shutil.rmtree(here, ignore_errors=True)  # what `_remove` left that was killed
            staging.mkdir(exist_ok=True)
            write(source, here, format, workers=workers, engine=engine)
        files, shown = _files(here), format.shown(here)
        content = hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
        claim = {"of": of, "content": content}
        replaced = _check(there, of, format, overwrite)  # much may have happened there meanwhile
        replaces = {"export": of["export"], "format": replaced.name}
        given = there, here, claim, MARKER, _is_of(replaced, format), on_bytes
        with sending.sending(*given, replaces=replaces) as outgoing:
            outgoing.finish(MARKER, files)
        _remove(staging, here)
        return shown


def _check(there: Store, of: dict[str, Any], format: Format, overwrite: bool) -> type[Format]:
    """Raise InputError unless the export may be sent there; the format of what is there."""
    listed = sending.files_there(there)
    begun = sending.read_json(there, sending.CLAIM) or {}
    uncleared = None if begun.get("cleared") else begun.get("replaces")  # its files are still there
    found = format_of(uncleared or begun.get("of") or sending.read_json(there, MARKER))
    if listed and found is None:
        raise InputError(f"--out {there.url} is not empty and no export of ours; give a new folder")
    if listed and begun.get("of") != of:
        if not overwrite:
            raise _HeldError(
                f"--out {there.url} holds an export; give another folder, or --overwrite"
            )
        is_ours = _is_of(found or type(format), format)
        stranger = next((path for path in sorted(listed) if not is_ours(path)), None)
        if stranger is not None:
            raise InputError(
                f"--overwrite will not touch {there.url}: it also holds {stranger!r}; move that "
                "away"
            )
    sending.check_writable(there)
    return found or type(format)


def _is_of(replaced: type[Format], format: Format) -> Callable[[str], bool]:
    """Whether a path is one that an export there before, or the new one, may have."""
    patterns = replaced.files, format.files

    def is_of(path: str) -> bool:
        ours = path == MARKER or path.startswith(f"{PARTIAL}/")
        return ours or any(pattern.fullmatch(path) for pattern in patterns)

    return is_of


def _remove(staging: Path, export: Path) -> None:
    """Remove a staging folder; first what says that the export in it is whole."""
    (export / MARKER).unlink(missing_ok=True)
    shutil.rmtree(staging, ignore_errors=True)


def _files(folder: Path) -> list[FileRecord]:
    """All files of an export but its marker, in order."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [record_of(folder, path) for path in paths if path != folder / MARKER]
