"""The Parquet mirror: the same rows as the HDF5 shards, with PNG images, as the Hub reads them."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import codec, tasks
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.replacing import replacing
from samediff_stimuli.table import IMAGE, Column, Table

ROW_GROUP = 100  # rows; small groups let a viewer or a stream fetch a page at a time


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """A (height, width, c) uint8 image as a PNG file: 8 bits, RGB or grey, unfiltered, one IDAT."""
    height, width, channels = image.shape
    lines = np.zeros((height, 1 + width * channels), dtype=np.uint8)  # byte 0: filter type None
    lines[:, 1:] = image.reshape(height, -1)
    return png_file(lines, width, 8, {1: 0, 3: 2}[channels])


def png_file(lines: NDArray[np.uint8], width: int, bits: int, kind: int) -> bytes:
    """A PNG file with one IDAT.

    Args:
        lines: (height, bytes) uint8: of each line its filter type, then its pixels.
        width: pixels of a line.
        bits: of a channel.
        kind: PNG's colour type: 0 grey, 2 RGB.
    """
    header = struct.pack(">IIBBBBB", width, len(lines), bits, kind, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", codec.deflate(lines)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", codec.crc32(body))


def features(columns: Sequence[Column], views: Sequence[str] = (IMAGE,)) -> dict[str, Any]:
    """The columns as `datasets.Features.to_dict()` has them: images first, then as declared."""
    out: dict[str, Any] = {view: {"_type": "Image"} for view in views}
    for column in columns:
        feature: dict[str, Any] = {"dtype": column.dtype, "_type": "Value"}
        if column.names:
            feature = {"names": list(column.names), "_type": "ClassLabel"}
        for _ in column.shape:
            feature = {"feature": feature, "_type": "List"}
        out[column.name] = feature
    return out


def features_of(recipe: Recipe) -> dict[str, Any]:
    """The features of a dataset's rows; see `features`."""
    task = tasks.get(recipe.task)
    return features(task.columns(recipe), [view.name for view in task.views])


class ParquetMirror:
    """Writes the mirror of shards; see `samediff_stimuli.engine.Mirror`.

    Args:
        columns: declarations of the task's columns.
        views: names of the images of a row.
    """

    suffix = ".parquet"

    def __init__(self, columns: Sequence[Column], views: Sequence[str] = (IMAGE,)) -> None:
        """Remember the columns."""
        self.columns, self.views = tuple(columns), tuple(views)

    def start(self, path: Path) -> ParquetShard:
        """Begin the mirror of one shard at `path` plus ".parquet"."""
        return ParquetShard(path.with_name(path.name + self.suffix), self.columns, self.views)


class ParquetShard:
    """The mirror of one shard in the making."""

    def __init__(self, path: Path, columns: Sequence[Column], views: Sequence[str]) -> None:
        """Start with no image."""
        self.path = path
        self.columns = columns
        self._images: dict[str, list[bytes]] = {view: [] for view in views}

    def add(self, image: NDArray[np.uint8], view: str) -> None:
        """Encode the next (height, width, c) image of that name."""
        self.add_png(png_bytes(image), view)

    def add_png(self, file: bytes, view: str) -> None:
        """Take the next image of that name as a PNG file of `png_bytes`."""
        self._images[view].append(file)

    def finish(self, table: Table) -> Path:
        """Write the file under a temporary name, rename it, and return its path."""
        import pyarrow as pa

        split, arrays = self.path.name.split("-")[0], {}
        for view, images in self._images.items():
            end = ".png" if view == IMAGE else f"-{view}.png"
            names = [f"{split}-{index:07d}{end}" for index in table["index"].tolist()]
            parts = [pa.array(images, pa.binary()), pa.array(names)]
            arrays[view] = pa.StructArray.from_arrays(parts, ["bytes", "path"])
        arrays |= {column.name: _arrow(table[column.name], column) for column in self.columns}
        info = json.dumps({"info": {"features": features(self.columns, list(self._images))}})
        rows = pa.table(arrays)
        rows = rows.replace_schema_metadata({"huggingface": info})
        with replacing(self.path) as temporary:
            write_rows(rows, temporary)
        return self.path


def write_rows(rows: Any, file: Path | BinaryIO) -> None:
    """Write an Arrow table as every Parquet file of ours is written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [field.name for field in rows.schema if pa.types.is_struct(field.type)]
    pq.write_table(
        rows,
        file,
        row_group_size=ROW_GROUP,
        compression={f"{name}.bytes": "none" for name in images},
        use_dictionary=False,
        write_page_index=True,
    )


def _arrow(values: NDArray[Any], column: Column) -> Any:
    """A column as an Arrow array: class indices as int64, row shapes as nested lists."""
    import pyarrow as pa

    flat = values.astype("int64" if column.names else column.dtype)
    array = pa.array(flat.reshape(-1))
    for size in reversed(column.shape):
        offsets = np.arange(0, len(array) + 1, size, dtype=np.int32)
        array = pa.ListArray.from_arrays(offsets, array)
    return array
