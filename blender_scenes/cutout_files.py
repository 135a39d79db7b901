"""Cut-outs as files: what was made once is kept in the user's cache folder.

Each file holds the digest of its pixels, and the folder is named by the source code that decides
pixels, so nothing damaged or out of date is ever used. Files are written under a temporary name
first: any number of processes may share the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samediff_stimuli import caches
from samediff_stimuli.blender_scenes import cutouts
from samediff_stimuli.blender_scenes.cutouts import SIZE
from samediff_stimuli.blender_scenes.sources import sources
from samediff_stimuli.replacing import replacing

_DIGEST = "sha256"  # the text in a file that holds the digest of its pixels


def kept(number: int, size: int = SIZE) -> NDArray[np.uint8]:
    """(size, size, 4) uint8: `cutouts.cutout`, read if it was made before, else made and kept.

    Raises:
        InputError: if there is no such object or size.
    """
    chosen = cutouts.variation(number)
    path = folder(size) / f"{number:04d}-{chosen.model}.png"
    found = _read(path, size)
    if found is None:
        found = cutouts.cutout(number, size)
        _write(path, found)
    return found


def folder(size: int = SIZE) -> Path:
    """Where cut-outs of a size are kept: under $SAMEDIFF_STIMULI_CACHE, or in the user's cache."""
    named = f"cutouts-{size}-{sources()[:16]}"
    return caches.folder() / named


def digest(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of a picture's shape and pixels, hex."""
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def _read(path: Path, size: int) -> NDArray[np.uint8] | None:
    """The pixels of a file, or None if there is none that is whole."""
    try:
        with Image.open(path) as opened:
            if opened.size != (size, size) or opened.mode != "RGBA":
                return None
            pixels, told = np.array(opened), opened.info.get(_DIGEST)
    except Exception:  # Pillow raises many kinds for broken files
        return None
    return pixels if digest(pixels) == told else None


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Keep a picture; a full disk is no reason to stop."""
    text = PngInfo()
    text.add_text(_DIGEST, digest(pixels))
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary:
            Image.fromarray(pixels).save(temporary, format="png", pnginfo=text)
