"""Images as zlib streams: written so that every run gives the same bytes, read as fast as can be.

zlib-ng at level 2 is the fastest coder that is small and repeatable. ISA-L is twice as fast, but
looks at memory that it never cleared: about one stream in 300 differs from one process to the
next, though it decodes to the same image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from imagecodecs import ZlibngError, zlibng_crc32, zlibng_decode, zlibng_encode, zlibng_version
from numpy.typing import NDArray

LEVEL = 2


def deflate(values: NDArray[np.uint8]) -> bytes:
    """The zlib stream of an array's bytes in C order."""
    flat: Any = values.reshape(-1)  # any buffer will do; the stubs name three
    return bytes(zlibng_encode(flat, LEVEL))


def inflate_all(streams: Sequence[bytes], out: NDArray[np.uint8]) -> int | None:
    """Decode zlib streams into the rows of an array, outside the interpreter's lock.

    Args:
        streams: n of them.
        out: (n, m) uint8, C-contiguous.

    Returns:
        The number of the first that was not intact or did not fill its row exactly; None if all
        did.
    """
    size, views = out.shape[1], [row.data for row in out]
    # Threads contend for the lock here: between two images it is held for as short as can be.
    for number, (stream, view) in enumerate(zip(streams, views, strict=True)):
        try:
            if len(zlibng_decode(stream, out=view)) != size:
                return number
        except (ZlibngError, ValueError):
            return number
    return None


def crc32(data: bytes) -> int:
    """The CRC-32 of PNG and zlib."""
    return int(zlibng_crc32(data))


def version() -> str:
    """The zlib-ng release in use, e.g. "2.3.3"."""
    text: Any = zlibng_version()
    return str(text).split()[-1]
