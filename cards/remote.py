"""Datasets at URLs: made in a folder of this machine's cache, then sent file by file.

While files are sent, `.partial/sending.json` there says which dataset, by its manifest's SHA-256;
so whoever goes on knows that what lies there with the right size is of this very dataset. The
manifest is sent last: a reader never takes a part for the whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from samediff_stimuli import caches, locks
from samediff_stimuli.cards import folder
from samediff_stimuli.engine import PARTIAL
from samediff_stimuli.manifest import NAME, FileRecord, Manifest, load
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.remote import Listed, Store, UnreachableError, in_a_line, md5_of, store
from samediff_stimuli.shards import DamagedError

_CLAIM = f"{PARTIAL}/sending.json"
_PROBE = f"{PARTIAL}/probe"
_AT_ONCE = 8  # files that are sent at once


@dataclass(frozen=True, kw_only=True)
class Target:
    """A place at a URL that a dataset may be sent to.

    Attributes:
        there: the place.
        staging: folder of this machine where the dataset is made first.
        made: its manifest if the dataset is there already, whole.
    """

    there: Store
    staging: Path
    made: Manifest | None

    def send(self, on_bytes: Callable[[int], None] = lambda n: None) -> None:
        """Send the dataset in the staging folder, but for what is there, and remove the folder.

        Args:
            on_bytes: told the bytes of each file as it is there, the manifest's left out.

        Raises:
            InputError: if the place cannot be reached any more; what is there stays, and the same
                call goes on from there.
            DamagedError: if the place holds other bytes than were sent.
        """
        made = load(self.staging)
        whole = (self.staging / NAME).read_bytes()
        try:
            self._claim(made, hashlib.sha256(whole).hexdigest())
            self._send_files(made, on_bytes)
            _check_sizes(self.there, made)
            self.there.write(NAME, whole)
            self.there.remove([_CLAIM])
            self.there.remove_folder(PARTIAL)
        except UnreachableError as error:
            raise InputError(
                f"{error}, and run the same command again: what arrived is not sent twice"
            ) from error
        shutil.rmtree(self.staging, ignore_errors=True)

    def _claim(self, made: Manifest, sha256: str) -> None:
        """Make the place this dataset's: what another left there is removed."""
        claim = {"recipe": made.recipe.as_dict(), "parquet": _mirrored(made), "manifest": sha256}
        if _json(self.there, _CLAIM) == claim | {"cleared": True}:
            self.there.remove([NAME])
            return
        self.there.write(_CLAIM, json.dumps(claim | {"cleared": False}).encode())
        self.there.remove([NAME])  # from here on it is no dataset
        ours = (path for path in self.there.listed() if folder.is_ours(PurePosixPath(path)))
        self.there.remove([path for path in ours if path != _CLAIM])
        self.there.write(_CLAIM, json.dumps(claim | {"cleared": True}).encode())

    def _send_files(self, made: Manifest, on_bytes: Callable[[int], None]) -> None:
        """Send every file but the manifest, several at once."""
        listed = self.there.listed()

        def send(file: FileRecord) -> int:
            source = self.staging / file.path
            if not _is_there(listed.get(file.path), file, source):
                self.there.put(source, file.path)
            return file.n_bytes

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for n_bytes in pool.map(send, made.files()):
                on_bytes(n_bytes)


@contextlib.contextmanager
def target(
    url: str,
    recipe: Recipe,
    *,
    parquet: bool = True,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Iterator[Target]:
    """A place at a URL that a recipe's dataset may be sent to, held against others here.

    Args:
        url: of the folder, e.g. "s3://bucket/rmts-p32-seed0".
        recipe: what will be sent.
        parquet: whether it will have its Parquet mirror.
        overwrite: replace another dataset there.
        storage_options: of fsspec's file system: credentials, an endpoint, ...

    Raises:
        InputError: no such protocol or driver, no connection, no permission to write, or a place
            that holds something else; nothing is changed.
    """
    there = store(url, storage_options)
    if there.is_read_only:
        raise InputError(f"--out {url} cannot be written: http is for reading; give s3://, ...")
    named = json.dumps([there.url, recipe.digest(), parquet])
    staging = caches.folder() / "sending" / hashlib.sha256(named.encode()).hexdigest()[:32]
    lock = staging.with_name(f"{staging.name}{locks.NAME}")
    with locks.held(lock, f"--out {url}"):
        made = _check(there, recipe, parquet, overwrite)
        yield Target(there=there, staging=staging, made=made)


def generate(
    recipe: Recipe,
    url: str,
    *,
    parquet: bool = True,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    on_rows: Callable[[int], None] = lambda rows: None,
    **how: Any,
) -> Manifest:
    """Make a dataset and send it to a URL; finish one that was interrupted. See `target`.

    Args:
        recipe: what to make.
        url: of the folder.
        parquet: as for `dataset.generate`.
        overwrite: replace another dataset there.
        storage_options: of fsspec's file system.
        on_rows: as for `dataset.generate`.
        how: what else `dataset.generate` takes.

    Returns:
        The manifest of what is there.
    """
    from samediff_stimuli.cards import dataset

    given: dict[str, Any] = {"parquet": parquet, "overwrite": overwrite}
    with target(url, recipe, storage_options=storage_options, **given) as place:
        if place.made is not None:
            on_rows(sum(shard.rows for shard in place.made.shards))
            return place.made
        made = dataset.generate(recipe, place.staging, parquet=parquet, on_rows=on_rows, **how)
        place.send()
        return made


def _check(there: Store, recipe: Recipe, parquet: bool, overwrite: bool) -> Manifest | None:
    """Raise InputError unless the dataset may be sent there; its manifest if it is there, whole."""
    listed = there.listed()
    listed.pop(_PROBE, None)
    if "" in listed:
        raise InputError(f"--out {there.url} is a file; give a folder")
    strangers = sorted(path for path in listed if not folder.is_ours(PurePosixPath(path)))
    plan = _json(there, _CLAIM) or _plan_of_manifest(_json(there, NAME))
    if strangers and (overwrite or plan is None):
        raise InputError(
            f"--out {there.url} is not empty: it also holds {strangers[0]!r}; give a new folder, "
            "or move that away"
        )
    same = plan is not None and (plan.get("recipe"), plan.get("parquet")) == (
        recipe.as_dict(),
        parquet,
    )
    if listed and not same and not overwrite:
        raise InputError(
            f"--out {there.url} holds another dataset; give another folder, or --overwrite"
        )
    if same and (made := _whole(there, listed)) is not None:
        return made
    _probe(there)
    return None


def _probe(there: Store) -> None:
    """Raise InputError unless files may be written there."""
    try:
        there.write(_PROBE, b"")
        there.remove([_PROBE])
        if _CLAIM not in there.listed():
            there.remove_folder(PARTIAL)
    except FileNotFoundError as error:  # no such bucket
        raise InputError(f"--out {there.url} cannot be written: {in_a_line(error)}") from error


def _whole(there: Store, listed: Mapping[str, Listed]) -> Manifest | None:
    """The manifest of a place that holds a whole dataset, every file of the right size."""
    if NAME not in listed or _CLAIM in listed:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / NAME).write_bytes(there.read(NAME))
        try:
            made = load(Path(scratch))
        except (InputError, DamagedError):
            return None
    sizes = {path: file.n_bytes for path, file in listed.items()}
    return made if all(sizes.get(file.path) == file.n_bytes for file in made.files()) else None


def _is_there(found: Listed | None, file: FileRecord, source: Path) -> bool:
    """Whether a file arrived: it has the size, and the MD5 if the store tells one."""
    if found is None or found.n_bytes != file.n_bytes:
        return False
    return found.md5 is None or found.md5 == md5_of(source)


def _check_sizes(there: Store, made: Manifest) -> None:
    """Raise DamagedError unless every file is there with its size."""
    listed = there.listed()
    for file in made.files():
        found = listed.get(file.path)
        if found is None or found.n_bytes != file.n_bytes:
            has = "is not there" if found is None else f"has {found.n_bytes} bytes"
            raise DamagedError(
                f"{there.url}/{file.path} {has} after {file.n_bytes} bytes were sent; run the "
                "same command again"
            )


def _mirrored(made: Manifest) -> bool:
    return all(shard.mirror is not None for shard in made.shards)


def _json(there: Store, path: str) -> dict[str, Any] | None:
    """What a small JSON file says; None if it is not there, or is no JSON object."""
    try:
        data = json.loads(there.read(path))
    except (FileNotFoundError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):  # it is a ValueError, too
            raise
        return None
    return data if isinstance(data, dict) else None


def _plan_of_manifest(data: dict[str, Any] | None) -> dict[str, Any] | None:
    """Recipe and mirror of a manifest as a claim has them; None if it is none."""
    try:
        mirrored = all(shard["mirror"] is not None for shard in data["shards"]) if data else None
        return None if not data else {"recipe": data["recipe"], "parquet": mirrored}
    except (KeyError, TypeError):
        return None
