"""Folders sent to URLs, a file at a time, so that no part of one is ever taken for the whole.

While files are sent, `.partial/sending.json` there says what they are of. So whoever goes on knows
that what lies there with the right size is a file of this very folder: a claim must name all that
their bytes follow from. The file that makes the folder one, its manifest say, is sent last.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samediff_stimuli.engine import PARTIAL
from samediff_stimuli.manifest import FileRecord
from samediff_stimuli.recipe import InputError, in_a_line
from samediff_stimuli.remote import Listed, Store, UnreachableError, md5_of, store
from samediff_stimuli.shards import DamagedError

CLAIM = f"{PARTIAL}/sending.json"
_PROBE = f"{PARTIAL}/probe"
_AT_ONCE = 8  # files that are sent at once


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A folder of this machine on its way to a URL; see `sending`.

    Attributes:
        there: where it goes.
        folder: the folder here.
        listed: what was there when it began.
        on_bytes: told the bytes of each file once it is there, from any thread.
    """

    there: Store
    folder: Path
    listed: dict[str, Listed]
    on_bytes: Callable[[int], None]
    _pool: ThreadPoolExecutor
    _begun: dict[str, Future[None] | None] = field(default_factory=dict)  # None: it is there
    _failed: list[BaseException] = field(default_factory=list)

    def add(self, file: FileRecord) -> None:
        """Begin to send a file, unless that was asked for before, or it is there.

        Raises:
            UnreachableError: if a file that was begun earlier could not be sent.
        """
        if self._failed:
            raise self._failed[0]
        if file.path not in self._begun:
            self._begun[file.path] = self._pool.submit(self._put, file)

    def finish(self, marker: str, files: Sequence[FileRecord]) -> None:
        """Send what is lacking, and last of all the file that says that all is there.

        Args:
            marker: that file, relative to the folder.
            files: all others.

        Raises:
            UnreachableError: if a file cannot be sent.
            DamagedError: if the place holds other bytes than were sent.
        """
        waiting: deque[FileRecord] = deque()
        for file in files:
            self.add(file)
            waiting.append(file)
            if len(waiting) > 2 * _AT_ONCE:
                self._wait_for(waiting.popleft())
        while waiting:
            self._wait_for(waiting.popleft())
        _check_sizes(self.there, files)
        self.there.put(self.folder / marker, marker)
        self.there.remove([CLAIM])
        self.there.remove_folder(PARTIAL)

    def _wait_for(self, file: FileRecord) -> None:
        begun = self._begun[file.path]
        if begun is not None:
            begun.result()
            self._begun[file.path] = None

    def _put(self, file: FileRecord) -> None:
        try:
            source = self.folder / file.path
            if not is_there(self.listed.get(file.path), file, source):
                self.there.put(source, file.path)
            self.on_bytes(file.n_bytes)
        except BaseException as error:
            self._failed.append(error)
            raise


@contextlib.contextmanager
def sending(
    there: Store,
    folder: Path,
    claim: dict[str, Any],
    marker: str,
    is_ours: Callable[[str], bool],
    on_bytes: Callable[[int], None],
    replaces: dict[str, Any] | None = None,
) -> Iterator[Sending]:
    """Make a place a folder's, and send its files.

    Args:
        there: where it goes; what another left there is removed.
        folder: the folder here, whole when `Sending.finish` is called.
        claim: what its bytes follow from, as plain data.
        marker: the file that says that all is there.
        is_ours: whether a file there, relative to the place, may be removed.
        on_bytes: told the bytes of each file once it is there, from any thread.
        replaces: what the claim says, until all of that is removed, of what another left there.

    Raises:
        InputError: if the place cannot be reached any more; what arrived stays, and the same call
            goes on from there.
    """
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        begun, uncleared = read_json(there, CLAIM), claim | {"cleared": False, "replaces": replaces}
        if begun == claim | {"cleared": True}:
            there.remove([marker])
        else:
            if begun != uncleared:
                there.write(CLAIM, json.dumps(uncleared).encode())
            there.remove([marker])  # from here on it is nothing
            ours = (path for path in there.listed() if is_ours(path))
            there.remove([path for path in ours if path != CLAIM])
            there.write(CLAIM, json.dumps(claim | {"cleared": True}).encode())
        listed = there.listed()
        yield Sending(there=there, folder=folder, listed=listed, on_bytes=on_bytes, _pool=pool)
    except UnreachableError as error:
        raise InputError(
            f"{error}, and run the same command again: what arrived is not sent twice"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def place(url: str, storage_options: Mapping[str, Any] | None = None) -> Store:
    """A place at a URL that files may be sent to; no network is asked.

    Args:
        url: e.g. "s3://bucket/name".
        storage_options: of fsspec's file system: credentials, an endpoint, ...

    Raises:
        InputError: no URL, no such protocol or driver, or a protocol for reading alone.
    """
    there = store(url, storage_options)
    if there.is_read_only:
        raise InputError(f"--out {url} cannot be written: http is for reading; give s3://, ...")
    return there


def check_writable(there: Store) -> None:
    """Raise InputError unless files may be written to a place; nothing is left there."""
    try:
        there.write(_PROBE, b"")
        there.remove([_PROBE])
        if CLAIM not in there.listed():
            there.remove_folder(PARTIAL)
    except FileNotFoundError as error:  # no such bucket
        raise InputError(f"--out {there.url} cannot be written: {in_a_line(error)}") from error


def files_there(there: Store) -> dict[str, Listed]:
    """What is at a place, by path; of what runs leave while they send, only a claim that says so.

    Raises:
        InputError: if the place is itself a file.
    """
    listed = there.listed()
    if "" in listed:
        raise InputError(f"--out {there.url} is a file; give a folder")
    claimed = CLAIM in listed and read_json(there, CLAIM) is not None  # a write may be cut
    left = f"{PARTIAL}/"
    return {p: f for p, f in listed.items() if not p.startswith(left) or (claimed and p == CLAIM)}


def read_json(there: Store, path: str) -> dict[str, Any] | None:
    """What a small JSON file says; None if it is not there, or is no JSON object."""
    try:
        data = json.loads(there.read(path))
    except (FileNotFoundError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):  # it is a ValueError, too
            raise
        return None
    return data if isinstance(data, dict) else None


def is_there(found: Listed | None, file: FileRecord, source: Path) -> bool:
    """Whether a file arrived: it has the size, and the MD5 if the store tells one."""
    if found is None or found.n_bytes != file.n_bytes:
        return False
    return found.md5 is None or found.md5 == md5_of(source)


def _check_sizes(there: Store, files: Sequence[FileRecord]) -> None:
    """Raise DamagedError unless every file is there with its size."""
    listed = there.listed()
    for file in files:
        found = listed.get(file.path)
        if found is None or found.n_bytes != file.n_bytes:
            has = "is not there" if found is None else f"has {found.n_bytes} bytes"
            raise DamagedError(
                f"{there.url}/{file.path} {has} after {file.n_bytes} bytes were sent; run the "
                "same command again"
            )
