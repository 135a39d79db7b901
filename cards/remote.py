"""Datasets at URLs: made in a folder of the cache, each shard sent once it is finished."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from samediff_stimuli import caches, locks
from samediff_stimuli.cards import folder
from samediff_stimuli.cards.sending import (
    CLAIM,
    Sending,
    check_writable,
    files_there,
    place,
    read_json,
    sending,
)
from samediff_stimuli.manifest import NAME, Manifest, ShardRecord, load
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.remote import Listed, Store
from samediff_stimuli.shards import DamagedError


@dataclass(frozen=True, kw_only=True)
class Target:
    """A place at a URL that a dataset may be sent to.

    Attributes:
        there: the place.
        staging: folder of this machine where the dataset is made first.
        made: its manifest if the dataset is there already, whole.
        check: what `target` raises now; the manifest as it is now.
    """

    there: Store
    staging: Path
    made: Manifest | None
    check: Callable[[], Manifest | None]


class _Outgoing:
    """A dataset on its way. What was there before stays until the first shard is finished.

    Args:
        target: where it goes.
        on_bytes: told the bytes of each file once it is there, from any thread.
        until_sent: closed when it is there, or given up.
    """

    def __init__(
        self, target: Target, on_bytes: Callable[[int], None], until_sent: contextlib.ExitStack
    ) -> None:
        self._target, self._on_bytes, self._until_sent = target, on_bytes, until_sent
        self._begun: Sending | None = None

    def shard(self, record: ShardRecord) -> None:
        """Begin to send a finished shard."""
        for file in record.files():
            self._sending().add(file)

    def finish(self, made: Manifest) -> None:
        """Send what is lacking of the finished dataset, and remove the staging folder."""
        self._sending().finish(NAME, made.files())
        shutil.rmtree(self._target.staging, ignore_errors=True)

    def _sending(self) -> Sending:
        if self._begun is None:
            there, staging = self._target.there, self._target.staging
            if self._target.check() is not None:  # much may have happened there meanwhile
                raise InputError(
                    f"--out {there.url} has been sent by another meanwhile, whole; run the same "
                    "command again to see that"
                )
            given = there, staging, _claim(staging), NAME, _is_ours, self._on_bytes
            self._begun = self._until_sent.enter_context(sending(*given))
        return self._begun


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
    there = place(url, storage_options)
    with staging(there, recipe.digest(), parquet) as here:
        check = functools.partial(_check, there, recipe, parquet, overwrite)
        made = check()
        if made is not None:
            shutil.rmtree(here, ignore_errors=True)  # of a run that was killed when all was sent
        yield Target(there=there, staging=here, made=made, check=check)


@contextlib.contextmanager
def staging(there: Store, *what: object) -> Iterator[Path]:
    """The folder of the cache where something is made that goes to a place; held against others.

    Args:
        there: the place.
        what: what is made, as plain data; the same comes to the same folder.

    Raises:
        InputError: if another process makes something for the same place.
    """
    place, made = (
        caches.folder() / "sending" / hashlib.sha256(named.encode()).hexdigest()[:32]
        for named in (there.url, json.dumps([there.url, *what]))
    )
    with locks.held(place.with_name(f"{place.name}{locks.NAME}"), f"--out {there.url}"):
        yield made


def generate(
    recipe: Recipe,
    url: str,
    *,
    parquet: bool = True,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    on_rows: Callable[[int], None] = lambda rows: None,
    on_shard: Callable[[ShardRecord], None] = lambda record: None,
    on_bytes: Callable[[int], None] = lambda n: None,
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
        on_shard: as for `dataset.generate`.
        on_bytes: told the bytes of each file once it is there, from any thread.
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
        with contextlib.ExitStack() as until_sent:
            outgoing = _Outgoing(place, on_bytes, until_sent)

            def finished(record: ShardRecord) -> None:
                outgoing.shard(record)
                on_shard(record)

            how |= {"parquet": parquet, "on_rows": on_rows, "on_shard": finished}
            made = dataset.generate(recipe, place.staging, **how)
            outgoing.finish(made)
        return made


def _check(there: Store, recipe: Recipe, parquet: bool, overwrite: bool) -> Manifest | None:
    """Raise InputError unless the dataset may be sent there; its manifest if it is there, whole."""
    listed = files_there(there)
    strangers = sorted(path for path in listed if not _is_ours(path))
    plan = read_json(there, CLAIM) or _plan_of_manifest(read_json(there, NAME))
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
    check_writable(there)
    return None


def _whole(there: Store, listed: Mapping[str, Listed]) -> Manifest | None:
    """The manifest of a place that holds a whole dataset, every file of the right size."""
    if NAME not in listed or CLAIM in listed:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / NAME).write_bytes(there.read(NAME))
        try:
            made = load(Path(scratch))
        except (InputError, DamagedError):
            return None
    sizes = {path: file.n_bytes for path, file in listed.items()}
    return made if all(sizes.get(file.path) == file.n_bytes for file in made.files()) else None


def _is_ours(path: str) -> bool:
    return folder.is_ours(PurePosixPath(path))


def _claim(staging: Path) -> dict[str, Any]:
    """What the bytes of the dataset in a folder, which may be unfinished, follow from."""
    from samediff_stimuli.cards import dataset

    plan = folder.plan_there(staging)
    assert plan is not None  # a shard of it is finished
    try:
        versions = load(staging).versions
    except (InputError, DamagedError):
        versions = dataset.versions(parquet=plan["parquet"])
    return {**plan, "versions": versions}


def _plan_of_manifest(data: dict[str, Any] | None) -> dict[str, Any] | None:
    """Recipe and mirror of a manifest as a claim has them; None if it is none."""
    try:
        mirrored = all(shard["mirror"] is not None for shard in data["shards"]) if data else None
        return None if not data else {"recipe": data["recipe"], "parquet": mirrored}
    except (KeyError, TypeError):
        return None
