"""WebDataset: tar files of samples that are read one after the other.

OUT/SPLIT-000000.tar holds, for each stimulus, 0000012.png, 0000012.json (every column, the names of
class numbers beside them) and 0000012.cls (the label's number), in the order of the rows; further
images of a row are 0000012.VIEW.png. Owner, time and mode of every member are fixed, so that the
same dataset gives the same bytes.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samediff_stimuli.cards.exports import hub
from samediff_stimuli.cards.exports.format import Part, PartedFormat, Source
from samediff_stimuli.table import IMAGE, Column

_SAMPLES = 5000  # of a file: some 25 MB


@dataclass(frozen=True, kw_only=True)
class WebDataset(PartedFormat):
    """The rows of each split in tar files, which the libraries webdataset and datasets read."""

    name = "webdataset"
    files = re.compile(rf"{re.escape(hub.CARD)}|\w+-\d{{6,}}\.tar")

    def parts(self, source: Source) -> Sequence[Part]:
        """The tar files of every split; see `PartedFormat.parts`."""
        return [part for split in source.splits for part in source.parts(split, _SAMPLES)]

    def write_part(self, source: Source, out: Path, part: Part) -> None:
        """Write a tar file; see `PartedFormat.write_part`."""
        number = part.first // _SAMPLES
        _write_tar(out / f"{part.split}-{number:06d}.tar", _samples(source, part))

    def prepare(self, source: Source, out: Path) -> None:
        """Write the card; see `PartedFormat.prepare`."""
        hub.write_card(source, out, [(s.name, f"{s.name}-*.tar") for s in source.splits])

    def shown(self, out: Path) -> Sequence[str]:
        """Card and tar files; see `Format.shown`."""
        return [hub.CARD, *sorted(path.name for path in out.glob("*.tar"))]

    def then(self, out: str) -> Sequence[str]:
        """How to load it; see `Format.then`."""
        first = json.dumps(str(min(Path(out).glob("*.tar"))), ensure_ascii=False)
        samples = f"WebDataset({first}, shardshuffle=False)"
        code = f"from webdataset import WebDataset; print(next(iter({samples})))"
        return [hub.loading(out), f"python -c {shlex.quote(code)}  # pip install webdataset"]


def _samples(source: Source, part: Part) -> Iterator[dict[str, bytes]]:
    """The files of each sample, by name."""
    table, columns = source.table(part), source.task.columns(source.recipe)
    rows = range(part.first, part.stop)
    names = [view.name for view in source.task.views]
    pngs = zip(*(source.pngs(part.split, rows, view) for view in names), strict=True)
    for number, images in enumerate(pngs):
        row = table.row(number)
        text = json.dumps(_named(row, columns), ensure_ascii=False, separators=(",", ":"))
        key = f"{row['index']:07d}"
        ends = ["png" if view == IMAGE else f"{view}.png" for view in names]
        yield {
            **{f"{key}.{end}": image for end, image in zip(ends, images, strict=True)},
            f"{key}.json": text.encode(),
            f"{key}.cls": str(row[source.task.label]).encode(),
        }


def _named(row: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    """A row's values, and after each class number, as "label_name", its name."""
    found: dict[str, Any] = {}
    for column in columns:
        found[column.name] = row[column.name]
        if column.names:
            found[f"{column.name}_name"] = column.named(row[column.name])
    return found


def _write_tar(path: Path, samples: Iterator[dict[str, bytes]]) -> None:
    """Write samples to a tar file: everything that is not name or content is fixed."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for sample in samples:
            for name, data in sample.items():
                member = tarfile.TarInfo(name)  # time, uid and gid 0, mode 0644, no owner's name
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


FORMAT = WebDataset
