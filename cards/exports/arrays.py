"""NumPy files: OUT/SPLIT/images.npy, which can be memory-mapped, and the columns beside.

OUT/SPLIT/columns.npz holds an array for each column (no pickles); OUT/columns.json says what the
columns and their class numbers mean. Images are streamed: memory stays flat. Further images of a
row are in files of their names, OUT/SPLIT/VIEW.npy.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from samediff_stimuli.cards.exports.format import Format, Source
from samediff_stimuli.cards.npz import NpzFile, write_npy
from samediff_stimuli.table import IMAGE

IMAGES, COLUMNS, ABOUT = "images.npy", "columns.npz", "columns.json"


@dataclass(frozen=True, kw_only=True)
class Numpy(Format):
    """The images of each split as one array, and its columns as others."""

    name = "numpy"
    files = re.compile(rf"\w+/(\w+\.npy|{re.escape(COLUMNS)})|{re.escape(ABOUT)}")

    def write(self, source: Source, out: Path) -> None:
        """Write images and columns of every split; see `Format.write`."""
        shape = source.task.image_shape(source.recipe)
        for split in source.splits:
            (out / split.name).mkdir()
            for view in (view.name for view in source.task.views):
                name = IMAGES if view == IMAGE else f"{view}.npy"
                with (out / split.name / name).open("wb") as file:
                    batches = source.batches(split.name, view)
                    write_npy(file, np.dtype(np.uint8), (split.rows, *shape), batches)
            with NpzFile(out / split.name / COLUMNS) as columns:
                for name, values in source.reader(split.name).table.items():
                    whole = np.ascontiguousarray(values)
                    columns.add(name, whole.dtype, whole.shape, [whole])
        about = {
            "name": source.made.name,
            "digest": source.made.digest(),
            "image_shape": shape,
            "label": source.task.label,
            "splits": {split.name: split.rows for split in source.splits},
            "columns": [asdict(column) for column in source.task.columns(source.recipe)],
        }
        text = json.dumps(about, indent=1, ensure_ascii=False)
        (out / ABOUT).write_text(text + "\n", encoding="utf-8")

    def shown(self, out: Path) -> Sequence[str]:
        """The arrays of each split; see `Format.shown`."""
        inner = f"/{IMAGES}, {COLUMNS}"
        return [path.name + (inner if path.is_dir() else "") for path in sorted(out.iterdir())]

    def then(self, out: str) -> Sequence[str]:
        """How to map the images; see `Format.then`."""
        first = min(Path(out).glob(f"*/{IMAGES}"))
        quoted = json.dumps(str(first), ensure_ascii=False)
        code = f'import numpy; print(numpy.load({quoted}, mmap_mode="r").shape)'
        return [f"python -c {shlex.quote(code)}"]


FORMAT = Numpy
