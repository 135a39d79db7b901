"""Files that are there whole or not at all: written under another name, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside a file to write to; what was written takes the file's place at the end.

    If anything is raised, the file stays as it was and nothing else is left. The name is hidden
    and ends in ".tmp", by which what a kill has left is found; no other process, thread or machine
    has it.

    Args:
        path: the file, which may or may not exist; its folder does.

    Yields:
        The name; nothing is there yet.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # what was raised is told
            temporary.unlink(missing_ok=True)
        raise
