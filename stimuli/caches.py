"""The folder in the user's cache where this package keeps what was made or fetched once."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path


def folder() -> Path:
    """The folder: $SAMEDIFF_STIMULI_CACHE, or samediff-stimuli in the user's cache.

    If neither can be made and written to, a temporary one of this process.
    """
    return _usable(os.environ.get("SAMEDIFF_STIMULI_CACHE", ""))


@lru_cache(maxsize=8)
def _usable(wanted: str) -> Path:
    """The first folder that can be made and written to: as wanted, the user's, a temporary one."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not Path(cache).is_absolute():
        cache = os.path.expanduser("~/.cache")  # begins with ~ still where there is no home
    own = Path(cache) / "samediff-stimuli" if Path(cache).is_absolute() else None
    for place in (Path(wanted).absolute() if wanted else None, own):
        try:
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=place):
                    return place
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="samediff-stimuli-"))
