"""A split of a dataset folder at a URL: read through a cache of this machine."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from samediff_stimuli import caches
from samediff_stimuli.loaders import fetched
from samediff_stimuli.loaders.dataset import StimulusDataset
from samediff_stimuli.loaders.fetched import MissingError
from samediff_stimuli.manifest import MOST_BYTES, NAME, Manifest, load
from samediff_stimuli.recipe import InputError
from samediff_stimuli.remote import OversizeError, Store, UnreachableError, store
from samediff_stimuli.replacing import replacing
from samediff_stimuli.shards import DamagedError

_CHECKED = ".checked"  # says which files were hashed


def from_url(
    url: str,
    split: str,
    *,
    columns: Sequence[str] | None = None,
    transform: Callable[[Tensor], Any] | None = None,
    hold_out: str | None = None,
    cache_dir: Path | str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> StimulusDataset:
    """One split of a dataset folder at any URL that fsspec reads.

    Only the manifest and the HDF5 files that hold the split are fetched, several at once. They
    stay in a cache, so that a second call asks for the manifest alone; it reads the cache if the
    URL cannot be reached. The SHA-256 of each file is compared with the manifest's once.

    Args:
        url: of the folder, e.g. "s3://bucket/rmts-p32-seed0" or "https://host/rmts-p32-seed0".
        split: split name, e.g. "train".
        columns: as for `StimulusDataset`.
        transform: as for `StimulusDataset`.
        hold_out: as for `FactorDataset`; only of a grid of factors.
        cache_dir: in place of $SAMEDIFF_STIMULI_CACHE, or of samediff-stimuli in the user's cache.
        storage_options: of fsspec's file system: credentials, an endpoint, ...

    Returns:
        A `FactorDataset` of a grid of factors, unless columns are asked for, else a
        `StimulusDataset`; over the cache.

    Raises:
        InputError: no such protocol, driver, dataset, split or column; no connection, and not in
            the cache.
        DamagedError: what lies there is not what its manifest says.
        OSError: if the cache cannot be written.
    """
    there = store(url, storage_options)
    cache = caches.folder() if cache_dir is None else Path(cache_dir)
    place = cache / "urls" / hashlib.sha256(there.url.encode()).hexdigest()[:32]
    root, manifest = _manifest(there, place)
    return fetched.opened(
        _Fetch(there, root, manifest),
        root,
        manifest,
        split,
        notes=root / _CHECKED,
        columns=columns,
        transform=transform,
        hold_out=hold_out,
    )


class _Fetch:
    """Fetches files of one state of a folder into the cache.

    Args:
        there: the folder.
        root: its place in the cache.
        manifest: its manifest, which says how large files are.
    """

    def __init__(self, there: Store, root: Path, manifest: Manifest) -> None:
        """Fetch nothing yet."""
        self.place = there.url
        self._there = there
        self._root = root
        self._sizes = {file.path: file.n_bytes for file in manifest.files()}

    def __call__(self, path: str, anew: bool = False) -> Path:
        """A file of the folder, in the cache; `anew` replaces what is there."""
        target = self._root / path
        if anew or not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._there.get(path, target, self._sizes[path])
            except FileNotFoundError as error:
                raise MissingError(path) from error
            except OversizeError as error:
                raise DamagedError(f"{self.place}: {error}") from error
        return target


def _manifest(there: Store, place: Path) -> tuple[Path, Manifest]:
    """The folder of the cache for the state that a URL is in, and its manifest.

    Each state has a folder of its own, named by its manifest: who reads an earlier one is not
    disturbed.
    """
    place.mkdir(parents=True, exist_ok=True)
    newest = place / NAME
    try:
        with replacing(newest) as fresh:
            _get(there, fresh)
            return _state(place, fresh)
    except UnreachableError as error:
        if not newest.is_file():
            raise
        logging.getLogger(__name__).info(f"{error}; what is in the cache is read")
        return _state(place, newest)


def _get(there: Store, target: Path) -> None:
    """Fetch the manifest."""
    try:
        there.get(NAME, target, MOST_BYTES)
    except FileNotFoundError as error:
        raise InputError(
            f"there is no dataset at {there.url}: it has no {NAME}; give the folder that has"
        ) from error
    except OversizeError as error:
        raise DamagedError(f"{there.url}: {error}") from error


def _state(place: Path, path: Path) -> tuple[Path, Manifest]:
    """The folder for the state that a manifest describes, with that manifest in it."""
    data = path.read_bytes()
    root = place / hashlib.sha256(data).hexdigest()[:32]
    if not (root / NAME).is_file() or (root / NAME).read_bytes() != data:
        root.mkdir(exist_ok=True)
        with replacing(root / NAME) as temporary:
            temporary.write_bytes(data)
    return root, load(root)
