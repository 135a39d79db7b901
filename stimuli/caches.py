"""The folder in the user's cache where this package keeps what was made or fetched once."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from functools import lru_cache
from multiprocessing.util import Finalize
from pathlib import Path

from samediff_stimuli.recipe import InputError

_VARIABLE = "SAMEDIFF_STIMULI_CACHE"


def folder() -> Path:
    """The folder: $SAMEDIFF_STIMULI_CACHE, or samediff-stimuli in the user's cache.

    If the latter cannot be made and written to, a temporary one of this process, removed at its
    end.

    Raises:
        InputError: if the variable is set, and its folder cannot be made and written to.
    """
    return _usable(os.environ.get(_VARIABLE, ""))


@lru_cache(maxsize=8)
def _usable(wanted: str) -> Path:
    """The folder as wanted, or else the user's, or a temporary one."""
    if wanted:
        try:
            return _checked(Path(wanted).absolute())
        except OSError as error:
            raise InputError(
                f"{_VARIABLE} {wanted!r} cannot be written: {error.strerror}; let it name a folder "
                "that can be, or unset it"
            ) from error
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not Path(cache).is_absolute():
        cache = os.path.expanduser("~/.cache")  # begins with ~ still where there is no home
    if Path(cache).is_absolute():
        with contextlib.suppress(OSError):
            return _checked(Path(cache) / "samediff-stimuli")
    place = Path(tempfile.mkdtemp(prefix="samediff-stimuli-"))
    gone = {"ignore_errors": True}
    Finalize(None, shutil.rmtree, (place,), gone, exitpriority=-1)  # atexit passes over workers
    return place


def _checked(place: Path) -> Path:
    """The folder, made and written to."""
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=place):
        return place
