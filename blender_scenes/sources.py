"""Which source files decide pixels: what is kept, or made elsewhere, is of the same ones."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from samediff_stimuli import fixed, rng


@lru_cache(maxsize=1)
def sources() -> str:
    """SHA-256 over the source files that decide pixels, hex."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), *sorted((here / "objects").glob("*.py"))]
    state = hashlib.sha256()
    for path in (*files, Path(rng.__file__), Path(fixed.__file__)):
        state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()
