"""Stimuli packed into few bytes for a page: columns, thumbnails in sheets, masks as run lengths."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samediff_stimuli import tasks
from samediff_stimuli.cards.gallery import Chosen
from samediff_stimuli.engine import available_workers
from samediff_stimuli.image_files import as_picture
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.table import Table, concatenate

_BUDGET = 16_000_000  # bytes of all sheets: 21 MB as base64
_PIXELS = 260_000_000  # of all thumbnails: more take too long to make
_SHEET = 1_300_000  # pixels of a sheet: one is decoded whole, for any of its thumbnails
_GAP = 8  # pixels between thumbnails: lossy coding carries ink that far
_WHITE = (255, 255, 255)
_QUALITY = 80  # of lossy WebP
_METHOD = 2  # of its encoder; more is slower, and hardly smaller
_BATCH = 64  # images whose masks are made together
_KINDS = ("u1", "i1", "u2", "i2", "u4", "i4", "i8")  # what typed arrays of JavaScript hold
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Thumbs:
    """How thumbnails lie in sheets.

    Attributes:
        width: of a thumbnail, in pixels.
        height: of a thumbnail, in pixels.
        across: thumbnails in a line of a sheet.
        each: thumbnails of a sheet; the last may have fewer.
        gap: pixels to the right of each and below it.
    """

    width: int
    height: int
    across: int
    each: int
    gap: int = _GAP


class Stimuli:
    """The chosen stimuli of a dataset folder, in order of splits and rows.

    Args:
        folder: the dataset folder.
        made: its manifest.
        chosen: see `gallery.choose`.
    """

    def __init__(self, folder: Path, made: Manifest, chosen: Chosen) -> None:
        """Open nothing yet."""
        self.made = made
        self.task = tasks.get(made.recipe.task)
        self.readers = {name: SplitReader(folder, made, name) for name in chosen}
        self.rows = chosen
        self._stops = np.cumsum([len(rows) for rows in chosen.values()])

    def __len__(self) -> int:
        """How many."""
        return int(self._stops[-1])

    @property
    def table(self) -> Table:
        """All columns."""
        names = [column.name for column in self.task.columns(self.made.recipe)]
        parts = [self.readers[name].values(names, rows) for name, rows in self.rows.items()]
        return concatenate([Table(part) for part in parts])

    def parts(self, places: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Split by split, the rows that some increasing places are."""
        starts = np.concatenate([[0], self._stops[:-1]])
        which = np.searchsorted(self._stops, places, side="right")
        for number, (name, rows) in enumerate(self.rows.items()):
            found = places[which == number]
            if len(found):
                yield name, rows[found - starts[number]]

    def pictures(self, places: NDArray[np.int64]) -> Iterator[Image.Image]:
        """Images in turn."""
        for name, rows in self.parts(places):
            yield from map(as_picture, self.readers[name].images(rows.tolist()))


def pack_columns(table: Mapping[str, Array]) -> tuple[list[dict[str, Any]], bytes]:
    """Columns in as few bytes as their values need, one after another, deflated.

    Returns:
        For each column its kind ("u1", "i2", "f8", ...) and offset in bytes, and the zlib stream.
        A column begins at a multiple of eight; rows are on axis 0; bytes are little-endian.
    """
    places: list[dict[str, Any]] = []
    packed = bytearray()
    for values in table.values():
        kind = _kind(values)
        places.append({"kind": kind, "offset": len(packed)})
        packed += np.ascontiguousarray(values).astype(f"<{kind}").tobytes()
        packed += bytes(-len(packed) % 8)
    return places, zlib.compress(bytes(packed), 9)


def _kind(values: Array) -> str:
    if values.dtype.kind == "f":
        return "f8"
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    fits = (np.iinfo(kind) for kind in _KINDS)
    return _KINDS[next(n for n, info in enumerate(fits) if info.min <= low and high <= info.max)]


def thumbs_for(stimuli: Stimuli, budget: int = _BUDGET) -> Thumbs:
    """The largest thumbnails, of 1/1, 1/2, 1/3 ... of the image's side, that stay in a budget.

    Args:
        stimuli: to show; one sheet of them is made, to see how many bytes they take.
        budget: bytes of all sheets.
    """
    height, width, _ = stimuli.task.image_shape(stimuli.made.recipe)
    for part in range(1, max(height, width)):
        size = max(1, height // part), max(1, width // part)
        if len(stimuli) * math.prod(size) > _PIXELS:
            continue
        each = max(1, _SHEET // math.prod(size))
        across = math.ceil(math.sqrt(each))
        thumbs = Thumbs(width=size[1], height=size[0], across=across, each=each)
        sample = np.unique(np.linspace(0, len(stimuli) - 1, min(each, len(stimuli))).astype(int))
        n_bytes = len(_sheet(stimuli, sample, thumbs)) * len(stimuli) / len(sample)
        if n_bytes <= budget:
            return thumbs
    return Thumbs(width=1, height=1, across=1024, each=1024**2)


def sheets(
    stimuli: Stimuli, thumbs: Thumbs, on_rows: Callable[[int], None] = lambda rows: None
) -> Iterator[bytes]:
    """Each sheet of thumbnails in turn, as a WebP file; lossless where images are grey.

    Threads make several at a time: the encoder runs outside the interpreter's lock.
    """
    starts = range(0, len(stimuli), thumbs.each)
    parts = [np.arange(first, min(first + thumbs.each, len(stimuli))) for first in starts]
    pool = ThreadPoolExecutor(available_workers())
    try:
        made = pool.map(lambda places: _sheet(stimuli, places, thumbs), parts)
        for places, sheet in zip(parts, made, strict=True):
            yield sheet
            on_rows(len(places))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest


def _sheet(stimuli: Stimuli, places: NDArray[np.int64], thumbs: Thumbs) -> bytes:
    lines = math.ceil(len(places) / thumbs.across)
    across = min(len(places), thumbs.across)
    step_x, step_y = thumbs.width + _GAP, thumbs.height + _GAP
    sheet = Image.new("RGB", (across * step_x, lines * step_y), _WHITE)
    size = thumbs.width, thumbs.height
    for number, picture in enumerate(stimuli.pictures(places)):
        thumb = picture if picture.size == size else picture.resize(size, Image.Resampling.BOX)
        line, column = divmod(number, thumbs.across)
        sheet.paste(thumb, (column * step_x, line * step_y))
    grey = stimuli.task.image_shape(stimuli.made.recipe)[-1] == 1
    file = BytesIO()
    sheet.save(file, "WEBP", quality=_QUALITY, method=_METHOD, lossless=grey)
    return file.getvalue()


def pack_masks(
    stimuli: Stimuli, thumbs: Thumbs, on_rows: Callable[[int], None] = lambda rows: None
) -> bytes:
    """The instance maps at the size of thumbnails.

    Returns:
        A zlib stream of (n + 1,) little-endian uint32 and what they are offsets into: the `runs`
        of each image.
    """
    each: list[bytes] = []
    shape = thumbs.height, thumbs.width
    for first in range(0, len(stimuli), _BATCH):
        places = np.arange(first, min(first + _BATCH, len(stimuli)))
        for name, rows in stimuli.parts(places):
            each += [runs(smaller(one, shape)) for one in instances(stimuli, name, rows)]
        on_rows(len(places))
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in each])]).astype("<u4")
    return zlib.compress(offsets.tobytes() + b"".join(each), 9)


def instances(stimuli: Stimuli, split: str, rows: Sequence[int] | Array) -> NDArray[np.uint8]:
    """(n, height, width) uint8 instance maps: 0 background, j for object j - 1."""
    reader = stimuli.readers[split]
    names = [column.name for column in stimuli.task.columns(stimuli.made.recipe)]
    scenes = Table(reader.values(names, reader.checked(np.asarray(rows))))
    return stimuli.task.instances(stimuli.made.recipe, split, scenes)


def smaller(values: Array, shape: tuple[int, int]) -> Array:
    """A map with fewer pixels: of each of them the one in the middle of where it lies."""
    if values.shape == shape:
        return values
    y, x = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for new, old in zip(shape, values.shape, strict=True)
    )
    found: Array = values[y[:, None], x]
    return found


def runs(instances: NDArray[np.uint8]) -> bytes:
    """A (height, width) instance map as run lengths.

    Lines from left to right, from the top. Of every run of pixels of one object: how many pixels
    of background precede it, how many it has, and the object's number from 1; each as a
    variable-length integer of seven bits a byte, the lowest first.
    """
    flat = np.concatenate([[0], instances.reshape(-1), [0]])
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    starts, ends = turns[:-1], turns[1:]
    objects = flat[starts + 1]
    inside = objects > 0
    starts, ends, objects = starts[inside], ends[inside], objects[inside]
    gaps = starts - np.concatenate([[0], ends[:-1]])[: len(starts)]
    return _varints(np.stack([gaps, ends - starts, objects], axis=1).reshape(-1))


def _varints(values: Array) -> bytes:
    """Whole numbers from 0 as variable-length integers."""
    values = values.astype(np.uint64)
    sizes = np.ones(len(values), dtype=np.int64)
    for bits in (7, 14, 21, 28):
        sizes += values >= 1 << bits
    starts = np.cumsum(sizes) - sizes
    out = np.zeros(int(sizes.sum()), dtype=np.uint8)
    for number in range(int(sizes.max(initial=0))):
        here = sizes > number
        more = (sizes[here] > number + 1).astype(np.uint64) << np.uint64(7)
        out[starts[here] + number] = (values[here] >> np.uint64(7 * number)) & np.uint64(127) | more
    return out.tobytes()
