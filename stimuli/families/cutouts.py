"""Cut-outs: objects from pictures, one object a picture, be it a file or made on demand.

A file is a PNG, JPEG or WebP picture whose object stands on transparency or on white. Pictures are
cropped to the object, centred in a square and averaged in exact arithmetic, so the bytes depend on
the decoded pictures alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samediff_stimuli import fixed
from samediff_stimuli.families import WHITE, Sprite
from samediff_stimuli.fixed import FULL_SCALE, Ints
from samediff_stimuli.recipe import InputError

MASTER = 192  # side of a prepared picture in pixels
MAX_SIDE = 8192
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_NEAR_WHITE = 245  # a background is white if all channels reach it
_BORDER_SHARE = 95  # per cent of the border that must be white when there is no transparency
_CLEAR = 128  # alpha below it is transparent when a picture is judged
_FINE = 4  # sub-pixels along a pixel's side


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder.

    Attributes:
        names: file names, in order.
        digests: SHA-256 of each file.
    """

    names: tuple[str, ...]
    digests: tuple[str, ...]

    def content(self) -> str:
        """SHA-256 over the files' digests in order."""
        return hashlib.sha256("".join(self.digests).encode()).hexdigest()


def listing(folder: str) -> Listing:
    """The pictures of a folder in the order of their names, hidden files left out.

    Raises:
        InputError: no such folder, no picture in it, or two files of the same bytes.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"objects {folder!r} is not a folder; give a folder of pictures")
    files = [p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != "."]
    files.sort(key=lambda p: p.name)
    if not files:
        raise InputError(f"objects {folder!r} has no {', '.join(SUFFIXES)} files")
    seen: dict[str, str] = {}
    for file in files:
        digest = hashlib.sha256(_bytes(file)).hexdigest()
        if digest in seen:
            raise InputError(f"objects: {file.name} and {seen[digest]} are the same file; drop one")
        seen[digest] = file.name
    return Listing(names=tuple(seen.values()), digests=tuple(seen))


def check(folder: str) -> Listing:
    """The listing of a folder whose every picture was found fit.

    Raises:
        InputError: for the first picture that cannot be used: its name, what is wrong, what to do.
    """
    found = listing(folder)
    small = np.zeros((len(found.names), _THUMB * _THUMB * 4), dtype=np.int64)
    for number, name in enumerate(found.names):
        master = prepared(_bytes(Path(folder) / name), name)
        small[number] = averaged(master, _THUMB).reshape(-1)
        apart = np.abs(small[:number] - small[number]).mean(axis=1)
        if number and apart.min() < _ALIKE:
            other = found.names[int(apart.argmin())]
            raise InputError(f"objects: {name} and {other} show the same; drop one")
    return found


_THUMB, _ALIKE = 16, 1.5  # side, and mean difference of channels, at which pictures are the same


@lru_cache(maxsize=4)
def _known(source: Folder) -> Listing:
    """The listing of a folder.

    Raises:
        InputError: if the folder holds other pictures than the recipe says.
    """
    if not source.path:
        raise InputError("the pictures of objects are not at hand; give their folder")
    found = listing(source.path)
    if found.content() != source.content:
        raise _changed(source)
    return found


def _changed(source: Folder) -> InputError:
    return InputError(
        f"objects {source.path!r} is not the folder that the recipe names by its content "
        f"{source.content[:12]}: pictures were added, removed or changed"
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"objects: {path.name} cannot be read: {error.strerror}") from error


class Source(Protocol):
    """Where the pictures of a family come from."""

    def __hash__(self) -> int:
        """Sources are keys of what was prepared."""

    def picture(self, number: int) -> NDArray[np.uint8]:
        """(MASTER, MASTER, 4) uint8: a picture as `prepared` gives it.

        Raises:
            InputError: if it is not at hand.
        """

    def attributes(self, numbers: Ints) -> dict[str, Ints]:
        """What is known of objects besides their numbers."""


@dataclass(frozen=True)
class Folder:
    """The pictures of a folder in the order of their names.

    Attributes:
        path: of the folder.
        content: what `Listing.content` must be.
    """

    path: str
    content: str

    def picture(self, number: int) -> NDArray[np.uint8]:
        """(MASTER, MASTER, 4) uint8: a prepared picture.

        Raises:
            InputError: if the folder's pictures are other ones.
        """
        found = _known(self)
        data = _bytes(Path(self.path) / found.names[number])
        if hashlib.sha256(data).hexdigest() != found.digests[number]:
            raise _changed(self)
        return prepared(data, found.names[number])

    def attributes(self, numbers: Ints) -> dict[str, Ints]:
        """None: an object is its number, its picture's place in the order of names."""
        return {}


@dataclass(frozen=True)
class Cutouts:
    """Objects cut out of pictures; see `samediff_stimuli.families.Family`.

    Attributes:
        source: of the pictures.
        count: number of pictures.
    """

    source: Source
    count: int
    looks: None = None

    def attributes(self, numbers: Ints) -> dict[str, Ints]:
        """What their source knows of them."""
        return self.source.attributes(numbers)

    def ink(self, numbers: Ints) -> Ints:
        """Not measured: every picture would have to be read."""
        return np.zeros_like(numbers)

    def draw(self, number: int, size: int, angle: int, scale: int) -> Sprite:
        """The picture on white, its pixels at most 254, so that they tell from the ground."""
        master, full = _master(self.source, number), _FINE**2
        if angle == 0 and scale == FULL_SCALE:
            whole = master[:-1].reshape(MASTER, MASTER, 4)
            shown = averaged(whole, size).astype(np.int64) * full
        else:
            lanes = master.view(np.uint64)[:, 0]  # four channels at a time, 16 bits each
            fine = lanes[fixed.source(size * _FINE, MASTER, angle, scale)]
            tiles = fine.reshape(size, _FINE, size, _FINE)
            rows = tiles[:, 0] + tiles[:, 1] + tiles[:, 2] + tiles[:, 3]
            sums = rows[..., 0] + rows[..., 1] + rows[..., 2] + rows[..., 3]
            shown = sums[..., None].view(np.uint16).astype(np.int64)
        mask = shown[..., 3] >= full * 8
        paper = full * WHITE - shown[..., 3:]
        pixels = np.minimum((2 * (shown[..., :3] + paper) + full) // (2 * full), WHITE - 1)
        return Sprite(np.where(mask[..., None], pixels, WHITE).astype(np.uint8), mask)


@lru_cache(maxsize=512)
def _master(source: Source, number: int) -> NDArray[np.uint16]:
    """(MASTER * MASTER + 1, 4) uint16: a prepared picture, flat; the last entry is blank."""
    flat = source.picture(number).reshape(-1, 4)
    return np.concatenate([flat, np.zeros((1, 4), np.uint8)]).astype(np.uint16)


def prepared(data: bytes, name: str) -> NDArray[np.uint8]:
    """A picture cropped to its object, centred in a square.

    Args:
        data: the file's bytes.
        name: the file's name, for errors.

    Returns:
        (MASTER, MASTER, 4) uint8: RGB times alpha, and alpha.

    Raises:
        InputError: if there is no object on transparency or white, or the file cannot be read.
    """
    picture = _rgba(data, name)
    alpha = picture[..., 3]
    if int(alpha.min()) >= _CLEAR:
        picture[..., 3] = np.where(_ground(picture[..., :3], name), 0, alpha)
    return squared(picture, name)


def squared(picture: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """A picture on transparency, cropped to its object, centred in a square.

    Args:
        picture: (height, width, 4) uint8 RGB and alpha.
        name: for errors.

    Returns:
        (MASTER, MASTER, 4) uint8: RGB times alpha, and alpha.

    Raises:
        InputError: if there is no object.
    """
    rows, cols = (np.flatnonzero((picture[..., 3] >= _CLEAR).any(axis=a)) for a in (1, 0))
    if len(rows) < 2 or len(cols) < 2:
        raise InputError(f"objects: {name} is blank; remove it")
    part = picture[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].astype(np.int64)
    part[..., :3] = (part[..., :3] * part[..., 3:] + 127) // 255
    height, width = part.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side, 4), dtype=np.uint8)
    square[top : top + height, left : left + width] = part
    return averaged(square, MASTER)


def _rgba(data: bytes, name: str) -> NDArray[np.uint8]:
    """(height, width, 4) uint8 pixels of a file."""
    try:
        with Image.open(BytesIO(data)) as opened:
            if max(opened.size) > MAX_SIDE:
                raise InputError(f"objects: {name} is larger than {MAX_SIDE} pixels; shrink it")
            if opened.mode.startswith(("I", "F")):
                raise InputError(f"objects: {name} has mode {opened.mode}; save it with 8 bits")
            return np.array(opened.convert("RGBA"))
    except InputError:
        raise
    except Exception as error:  # Pillow raises many kinds for broken files
        raise InputError(f"objects: {name} cannot be read as a picture: {error}") from error


def _ground(rgb: NDArray[np.uint8], name: str) -> NDArray[np.bool_]:
    """Where a picture without transparency shows its white ground: white that meets the border."""
    white = np.asarray(np.all(rgb >= _NEAR_WHITE, axis=-1))
    border = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    if 100 * int(border.sum()) < _BORDER_SHARE * len(border):
        raise InputError(
            f"objects: {name} has neither transparency nor a white border; cut its object out"
        )
    from scipy import ndimage  # slow to import

    parts, _ = ndimage.label(white)
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    return np.isin(parts, np.setdiff1d(edge, [0]))


def averaged(pixels: NDArray[np.unsignedinteger], side: int) -> NDArray[np.uint8]:
    """A square picture at another size: each new pixel is the exact mean of what it covers.

    Args:
        pixels: (n, n, c) in [0, 255].
        side: of the result.

    Returns:
        (side, side, c) uint8, means rounded half up.
    """
    n = len(pixels)
    if n == side:
        return pixels.astype(np.uint8)
    weights = _weights(n, side)
    # Products of integers in float64, every sum below 2**53: exact whatever the order.
    rows = np.tensordot(weights, pixels.astype(np.float64), axes=(1, 0))
    both = np.tensordot(rows, weights, axes=(1, 1)).swapaxes(1, 2).astype(np.int64)
    return ((2 * both + n * n) // (2 * n * n)).astype(np.uint8)


@lru_cache(maxsize=16)
def _weights(n: int, side: int) -> NDArray[np.float64]:
    """(side, n): overlap of new and old pixels, in units of which an old pixel has `side`."""
    new, old = np.arange(side)[:, None] * n, np.arange(n)[None, :] * side
    overlap = np.minimum(new + n, old + side) - np.maximum(new, old)
    return np.asarray(np.maximum(overlap, 0), dtype=np.float64)
