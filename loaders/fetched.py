"""A split of a dataset that lies elsewhere: the files it needs are fetched, checked once, read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from samediff_stimuli import hub, tasks
from samediff_stimuli.factor_task import GRID
from samediff_stimuli.loaders.dataset import StimulusDataset
from samediff_stimuli.loaders.factors import FactorDataset
from samediff_stimuli.manifest import FileRecord, Manifest
from samediff_stimuli.recipe import InputError
from samediff_stimuli.replacing import replacing
from samediff_stimuli.shards import DamagedError, file_sha256

_AT_ONCE = 8  # files that are fetched at once


class MissingError(Exception):
    """The place that holds a dataset answers that a file is not there."""


class Fetch(Protocol):
    """Fetches files of one dataset's place into a cache; threads call it at once.

    Attributes:
        place: where the dataset lies, for messages.
    """

    @property
    def place(self) -> str:
        """Where the dataset lies, for messages."""

    def __call__(self, path: str, anew: bool = False) -> Path:
        """A file of the dataset, in the cache; `anew` replaces what is there.

        Raises:
            MissingError: if the place has no such file.
            InputError: if it cannot be asked.
        """


def opened(
    fetch: Fetch,
    root: Path,
    manifest: Manifest,
    split: str,
    *,
    notes: Path,
    columns: Sequence[str] | None,
    transform: Callable[[Tensor], Any] | None,
    hold_out: str | None,
) -> StimulusDataset:
    """Fetch and check the files that a split needs, and open it over the cache.

    Args:
        fetch: fetches a file.
        root: the dataset's folder in the cache.
        manifest: of the dataset.
        split: split name.
        notes: folder that says which files were hashed.
        columns: as for `StimulusDataset`.
        transform: as for `StimulusDataset`.
        hold_out: as for `FactorDataset`; only of a grid of factors.

    Raises:
        InputError: no such split or column, or a hold_out that is not legal, before anything is
            fetched; no connection, and not in the cache.
        DamagedError: a file is not what the manifest says.
    """
    is_grid = tasks.get(manifest.recipe.task).space(manifest.recipe) is not None
    if hold_out is not None and (not is_grid or columns is not None):
        raise InputError(f"hold_out {hold_out!r} is for grids of factors, without columns")
    data: StimulusDataset  # it opens no file yet, and refuses what is wrong before any is fetched
    if is_grid and columns is None:
        how: dict[str, Any] = {"hold_out": hold_out, "_manifest": manifest}
        data = FactorDataset(root, split, transform=transform, **how)
    else:
        how = {"columns": columns, "_manifest": manifest}
        data = StimulusDataset(root, split, transform=transform, **how)
    files = _needed(manifest, split if hold_out is None else GRID)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(partial(_check, fetch, notes), files):
            pass  # the first error is raised; what has not begun is left
    return data


def _needed(manifest: Manifest, split: str) -> list[FileRecord]:
    """The files that a split is read from; each lies in a folder of its dataset's."""
    index = manifest.index_of(split)
    files = [shard.file for shard in manifest.of_split(split)] + ([index.file] if index else [])
    for file in files:
        if not file.path.startswith(tuple(f"{top}/{manifest.name}/" for top in hub.DATA)):
            raise DamagedError(f"the manifest of {manifest.name!r} lists {file.path!r} as its data")
    return files


def _check(fetch: Fetch, notes: Path, file: FileRecord) -> None:
    """Fetch a file and compare its SHA-256 with the manifest's, unless that was done before."""
    note = notes / file.sha256
    for anew in (False, True):  # what is in the cache may have been damaged there
        try:
            path = fetch(file.path, anew)
        except MissingError as error:
            raise DamagedError(f"{fetch.place} lacks {file.path}, which it lists") from error
        state = path.stat()
        seen = f"{state.st_size} {state.st_mtime_ns}"
        with contextlib.suppress(OSError, ValueError):  # absent, or damaged and no text
            if not anew and note.read_text() == seen:
                return
        if file_sha256(path) == file.sha256:
            _write(note, seen)
            return
    raise DamagedError(
        f"{file.path} of {fetch.place} does not have the SHA-256 that its manifest gives, "
        f"{file.sha256[:12]}"
    )


def _write(note: Path, seen: str) -> None:
    """Keep a note; without it a file is hashed again."""
    with contextlib.suppress(OSError):
        note.parent.mkdir(exist_ok=True)
        with replacing(note) as temporary:
            temporary.write_text(seen)
