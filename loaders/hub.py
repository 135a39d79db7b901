"""A split of a dataset on the Hub: its HDF5 files are fetched, checked once, and read as ever."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from samediff_stimuli import hub
from samediff_stimuli.loaders import fetched
from samediff_stimuli.loaders.dataset import StimulusDataset
from samediff_stimuli.loaders.fetched import MissingError
from samediff_stimuli.manifest import NAME, Manifest, load
from samediff_stimuli.recipe import InputError
from samediff_stimuli.shards import DamagedError

_KIND = "dataset"
_CHECKED = "samediff-stimuli"  # folder of the library's cache of a repository: what was hashed


def from_hub(
    repo_id: str,
    config: str,
    split: str,
    *,
    revision: str | None = None,
    columns: Sequence[str] | None = None,
    transform: Callable[[Tensor], Any] | None = None,
    hold_out: str | None = None,
    cache_dir: Path | str | None = None,
    token: str | None = None,
) -> StimulusDataset:
    """One split of a dataset that 'samediff-stimuli publish' put on the Hub.

    Only the manifest and the HDF5 files that hold the split are fetched. They stay in the cache of
    huggingface_hub, so that a second call reads them from there, without a network if need be. The
    SHA-256 of each is compared with the manifest's once.

    Args:
        repo_id: ORG/NAME.
        config: the dataset's name, e.g. "rmts-p32".
        split: split name, e.g. "train".
        revision: branch, tag or commit; default the newest state.
        columns: as for `StimulusDataset`.
        transform: as for `StimulusDataset`.
        hold_out: as for `FactorDataset`; only of a grid of factors.
        cache_dir: in place of the library's cache.
        token: in place of the one that is logged in.

    Returns:
        A `FactorDataset` of a grid of factors, unless columns are asked for, else a
        `StimulusDataset`; over the cache.

    Raises:
        InputError: no such repository, revision, config, split or column; a token that is refused;
            no network, and not in the cache.
        DamagedError: what the Hub holds is not what its manifest says.
    """
    hub.check_repo_id(repo_id)
    hub.check_config(config)
    fetch = _Fetch(repo_id, revision, cache_dir, token)
    root, manifest = _manifest(fetch, config)
    return fetched.opened(
        fetch,
        root,
        manifest,
        split,
        notes=root.parents[1] / _CHECKED,
        columns=columns,
        transform=transform,
        hold_out=hold_out,
    )


class _Fetch:
    """Fetches files of one state of a repository into the library's cache.

    Args:
        repo_id: ORG/NAME.
        revision: of the first file; those after it are of the commit that it was of.
        cache_dir: in place of the library's cache.
        token: in place of the one that is logged in.
    """

    def __init__(
        self, repo_id: str, revision: str | None, cache_dir: Path | str | None, token: str | None
    ) -> None:
        """Fetch nothing yet."""
        self.repo_id = repo_id
        self.revision = revision
        self._cache_dir = cache_dir
        self._token = token

    @property
    def place(self) -> str:
        """The repository, for messages."""
        return self.repo_id

    def __call__(self, path: str, anew: bool = False) -> Path:
        """A file of the repository, in the cache; `anew` replaces what is there."""
        from huggingface_hub import hf_hub_download

        with _told(self.repo_id, self.revision):
            found = hf_hub_download(
                self.repo_id,
                path,
                repo_type=_KIND,
                revision=self.revision,
                cache_dir=self._cache_dir,
                token=self._token,
                force_download=anew,
            )
        return Path(found)

    def configs(self) -> list[str]:
        """The datasets that the repository holds."""
        from huggingface_hub import HfApi

        with _told(self.repo_id, self.revision):
            files = HfApi(token=self._token).list_repo_files(
                self.repo_id, revision=self.revision, repo_type=_KIND
            )
        return sorted(path.split("/")[1] for path in files if path.startswith(f"{hub.MANIFESTS}/"))


def _manifest(fetch: _Fetch, config: str) -> tuple[Path, Manifest]:
    """The folder that a repository's files are in, in the cache, and a dataset's manifest."""
    try:
        path = fetch(hub.own_place(config, NAME))
    except MissingError as error:
        known = list(dict.fromkeys(fetch.configs()))
        few = config == hub.MINI or config.endswith(f"-{hub.MINI}")
        hint = "; few rows are Parquet alone: use load_dataset" if few and known else ""
        raise InputError(
            f"{fetch.repo_id} has no dataset {config!r}; known: {', '.join(known) or 'none'}{hint}"
        ) from error
    manifest = load(path.parent)
    if manifest.name != config:
        raise DamagedError(f"{path} is the manifest of {manifest.name!r}, not of {config!r}")
    root = path.parents[2]
    fetch.revision = root.name  # the commit, whatever the branch does meanwhile
    return root, manifest


@contextlib.contextmanager
def _told(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's library raises into one line, or MissingError if it lacks a file."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except LocalEntryNotFoundError as error:  # neither in the cache nor to be had
        raise InputError(hub.in_a_line(error, repo_id)) from error
    except EntryNotFoundError as error:
        raise MissingError(str(error)) from error
    except RevisionNotFoundError as error:
        raise InputError(f"{repo_id} has no revision {revision!r}") from error
    except hub.network_errors() as error:
        raise InputError(hub.in_a_line(error, repo_id)) from error
