"""Where the files of datasets lie in a repository on the Hub, and what the Hub's errors mean.

A repository holds one dataset or many, each under its name, the config, e.g. rmts-p32:

    README.md                          card of the repository; its configs are Parquet alone
    hdf5/CONFIG/, data/CONFIG/, splits/CONFIG/    as in the dataset's folder
    manifests/CONFIG/                  every other file of that folder, unchanged: manifest.json,
                                       README.md (the dataset's own card), preview.png, ...
    mini/CONFIG/                       some rows of every split, as Parquet
    manifest.json, preview.png, ...    only of a repository with a single dataset: once more what is
                                       in manifests/CONFIG/, so that its copy is a dataset's folder;
                                       this manifest lists the repository's card
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from samediff_stimuli import recipe
from samediff_stimuli.recipe import InputError

MANIFESTS, MINI = "manifests", "mini"
DATA = ("hdf5", "data", "splits")  # folders that are where they are in a dataset's folder
_PART = r"\w(?:[\w.-]*\w)?"
_REPO_ID = re.compile(rf"(?!.*(?:--|\.\.|\.git$)){_PART}/{_PART}", re.ASCII)
_LONGEST = 96  # characters of a name, as the Hub has it
_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)


def place(config: str, path: str) -> str:
    """Where a file of a dataset's folder lies in a repository.

    Args:
        config: the dataset's name.
        path: POSIX path in its folder.
    """
    return path if path.startswith(tuple(f"{top}/" for top in DATA)) else own_place(config, path)


def own_place(config: str, path: str) -> str:
    """Where a file other than shards and lists of rows lies, e.g. manifests/rmts-p32/README.md."""
    return f"{MANIFESTS}/{config}/{path}"


def mini_of(config: str) -> str:
    """The config that holds some rows of a dataset."""
    return f"{config}-{MINI}"


def check_repo_id(repo_id: str) -> None:
    """Raise InputError unless it is spelled ORG/NAME as the Hub wants it."""
    if not _REPO_ID.fullmatch(repo_id) or len(repo_id.rpartition("/")[2]) > _LONGEST:
        raise InputError(
            f"repo id {repo_id!r} is malformed; legal: ORG/NAME, each of letters, digits, '-', '_' "
            f"and '.' (these two at no end and not twice running), NAME of at most {_LONGEST}"
        )


def check_config(config: str) -> None:
    """Raise InputError unless it can be the name of a dataset."""
    if not _NAME.fullmatch(config):
        raise InputError(f"config {config!r} is malformed; legal: a dataset's name, e.g. rmts-p32")


def network_errors() -> tuple[type[BaseException], ...]:
    """What the Hub's library raises when a request fails, whichever HTTP library it uses."""
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, RuntimeError, ValueError, *HfHubHTTPError.__bases__)


def in_a_line(error: BaseException, repo_id: str) -> str:
    """What a failed request to the Hub means, and what to do, in one line."""
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalTokenNotFoundError

    status = _status(error)
    if status is not None:
        return _of_status(status, repo_id)
    *_, first = _causes(error)
    if isinstance(first, LocalTokenNotFoundError):
        return "no token; log in with 'hf auth login', or set HF_TOKEN"
    reason = recipe.in_a_line(first)
    if _is_lost(error):
        return f"no connection to {constants.ENDPOINT} ({reason}); check the network"
    return reason


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed another time."""
    status = _status(error)
    return _is_lost(error) if status is None else status in (409, 412, 429) or status >= 500


def _is_lost(error: BaseException) -> bool:
    """Whether no answer came."""
    from huggingface_hub.errors import HfHubHTTPError

    lost = (ConnectionError, TimeoutError, *HfHubHTTPError.__bases__[:1])
    return any(isinstance(cause, lost) for cause in _causes(error)) and _status(error) is None


def _status(error: BaseException) -> int | None:
    """The HTTP status of the answer, if the Hub gave one."""
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    for cause in _causes(error):
        if isinstance(cause, RepositoryNotFoundError):
            return 404  # whoever is not logged in is told 401
        if isinstance(cause, HfHubHTTPError):
            return cause.response.status_code
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def _of_status(status: int, repo_id: str) -> str:
    """What an HTTP status means to whoever reads or writes a repository."""
    told = {
        401: "the Hub refuses the token; log in anew with 'hf auth login', or set HF_TOKEN",
        403: f"the token may not write to {repo_id}; give one with write access to "
        f"{repo_id.partition('/')[0]!r}",
        404: f"there is no {repo_id} on the Hub, or the token may not see it",
        409: f"{repo_id} is being changed by another",
        412: f"{repo_id} was changed by another meanwhile",
        429: "too many requests to the Hub; wait a while",
    }
    return f"{told.get(status, 'the Hub failed; wait a while')} (HTTP {status})"
