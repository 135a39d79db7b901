"""PNG files, with every object's mask as annotations in the COCO format.

OUT/images holds what the format png writes, and `samediff-stimuli import OUT/images` takes it back.
OUT/annotations/SPLIT.json is what pycocotools reads; its info says what the keys of our own mean.
OUT/depth/SPLIT/CLASS/0000012.png are depth maps, if the set has them.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import tasks
from samediff_stimuli.cards.exports import png
from samediff_stimuli.cards.exports.format import Part, PartedFormat, Source
from samediff_stimuli.cards.parquet import png_file
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.table import Column, Table

IMAGES, ANNOTATIONS, DEPTH = "images", "annotations", "depth"  # folders of an export
FULL = "full_masks"  # and DEPTH: names of maps; see `Task.maps`
MM = 100  # millimetres in a dm
_CLASSES = ("object", "model", "shape")  # columns that say what an object is, the best first
_CAMERA = ("intrinsics", "world_to_camera")  # columns that are copied as they are
_FOLDERS = "/SPLIT/CLASS/*.png"
_WHOLE = 1000  # visibility is in thousandths
_BATCH = 8  # images whose maps are made together: few, so that `depth_map` remembers them
_URLS = {"cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/"}
_KEYS = {
    "file_name": f"relative to {IMAGES}/",
    "index": "of an image: its row in the split and in the tables, from 0",
    "label": "of an image: the class to tell",
    "number": "of the object in the columns of its row, from 0; one that is wholly hidden "
    "has no annotation",
    "attributes": "classes of the object",
    "segmentation": "what is in sight of the object, as are area and bbox",
    "bbox": "x, y, width, height in pixels from the top left corner of the image",
}
_MORE = {  # of some sets
    "visibility": "how much of the object is in sight, 0 to 1",
    "amodal_segmentation": "the object as if alone",
    "amodal_bbox": "the box around that, as bbox",
    "depth_file": "16-bit PNG, relative to the folder of the export: distance along the camera's "
    "axis in mm, 0 where nothing is near",
}


@dataclass(frozen=True, kw_only=True)
class _Classes:
    """What is known of the objects of a set's images.

    Attributes:
        count: objects of an image.
        category: the column that says what an object is, or None.
        columns: all whose values are classes of objects.
    """

    count: int
    category: Column | None
    columns: tuple[Column, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Annotated:
    """A split to annotate.

    Attributes:
        recipe: of the set.
        split: its name.
        classes: of its objects.
        table: all its columns.
        files: the image file of each row, relative to IMAGES.
    """

    recipe: Recipe
    split: str
    classes: _Classes
    table: Table
    files: Sequence[str]

    @property
    def task(self) -> tasks.Task:
        """Of the set."""
        return tasks.get(self.recipe.task)

    def maps(self, table: Table) -> Mapping[str, NDArray[Any]]:
        """See `Task.maps`."""
        return self.task.maps(self.recipe, self.split, table)


@dataclass(frozen=True, kw_only=True)
class Coco(PartedFormat):
    """Every image as a PNG file, and its objects' masks in the COCO format.

    Attributes:
        objects: the pictures that a naturalistic set is made of, if they are the user's.
    """

    name = "coco"
    files = re.compile(
        rf"{IMAGES}/({png.FILES})|{DEPTH}/\w+/[^/]+/\d{{7,}}\.png|{ANNOTATIONS}/\w+\.json"
    )

    objects: Path | str | None = None

    def plan(self, source: Source) -> Source:
        """All of a set with instance maps; see `Format.plan`."""
        _classes(source.made)
        if self.objects is None:
            return source
        recipe = tasks.at_hand(source.recipe, {"objects": str(self.objects)})
        return replace(source, made=replace(source.made, recipe=recipe))

    def steps(self, source: Source) -> int:
        """Annotations, and images; see `Format.steps`."""
        return 2 * super().steps(source)

    def parts(self, source: Source) -> Sequence[Part]:
        """Annotations of each split, then the images of each shard; see `PartedFormat.parts`."""
        annotated = [
            Part(split=split.name, first=0, stop=split.rows, of=ANNOTATIONS)
            for split in source.splits
        ]
        return [*annotated, *(part for split in source.splits for part in source.parts(split))]

    def prepare(self, source: Source, out: Path) -> None:
        """Write the tables of the images; see `PartedFormat.prepare`."""
        for name in (IMAGES, ANNOTATIONS):
            (out / name).mkdir()
        for split in source.splits:
            png.prepare_split(source, split.name, out / IMAGES)

    def write_part(self, source: Source, out: Path, part: Part) -> None:
        """Write annotations, or images; see `PartedFormat.write_part`."""
        if part.of != ANNOTATIONS:
            png.write_images(source, part, out / IMAGES)
            return
        table = source.reader(part.split).table
        annotated = _Annotated(
            recipe=source.recipe,
            split=part.split,
            classes=_classes(source.made),
            table=table,
            files=png.files_of(source.made, part.split, table),
        )
        _annotate(source.made, annotated, out, source.on_rows)

    def shown(self, out: Path) -> Sequence[str]:
        """Annotations and folders of images; see `Format.shown`."""
        inner = {ANNOTATIONS: "/*.json", IMAGES: _FOLDERS, DEPTH: _FOLDERS}
        return [path.name + inner.get(path.name, "") for path in sorted(out.iterdir())]

    def then(self, out: str) -> Sequence[str]:
        """The way back, and how to read the annotations; see `Format.then`."""
        first = min((Path(out) / ANNOTATIONS).iterdir()).name
        quoted = json.dumps(f"{out}/{ANNOTATIONS}/{first}", ensure_ascii=False)
        code = f"from pycocotools.coco import COCO; COCO({quoted})"
        return [
            png.import_again(f"{out}/{IMAGES}", out),
            f"python -c {shlex.quote(code)}  # pip install pycocotools",
        ]


def rle(mask: NDArray[np.bool_]) -> dict[str, list[int]]:
    """A (height, width) mask as COCO's uncompressed run lengths.

    Columns from left to right, each from its top: how many pixels are off, on, off and so on; the
    first number is 0 if the mask begins with pixels that are on.
    """
    flat = np.concatenate([[False], mask.reshape(-1, order="F")])
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(turns, prepend=0, append=mask.size)
    return {"size": list(mask.shape), "counts": counts.tolist()}


def box(mask: NDArray[np.bool_]) -> list[int]:
    """x, y, width and height of the box around a (height, width) mask; zeros for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]


def depth_png(depth: NDArray[np.float32]) -> bytes:
    """A (height, width) depth map in dm as a grey 16-bit PNG in mm; 0 where nothing is in reach."""
    height, width = depth.shape
    mm = np.rint(depth.astype(np.float64) * MM)
    values = np.where(mm <= np.iinfo(np.uint16).max, mm, 0).astype(">u2").view(np.uint8)
    lines = np.full((height, 1 + 2 * width), 2, dtype=np.uint8)  # filter type Up: less those above
    lines[:, 1:] = values
    lines[1:, 1:] -= values[:-1]
    return png_file(lines, width, 16, 0)


def _classes(made: Manifest) -> _Classes:
    """What is known of the objects.

    Raises:
        InputError: if the set has no instance maps.
    """
    columns = tasks.get(made.recipe.task).columns(made.recipe)
    boxes = [column.shape for column in columns if column.name == "box" and len(column.shape) == 2]
    if not boxes:  # every set of objects that are told apart has them
        raise InputError(
            f"format {Coco.name!r} is for sets with instance maps; {made.name} has none; "
            "give --format png"
        )
    k = boxes[0][0]
    known = {c.name: c for c in columns if c.names and c.shape[:1] == (k,)}
    named = [known[name] for name in _CLASSES if name in known and known[name].shape == (k,)]
    category = named[0] if named else None
    return _Classes(count=k, category=category, columns=tuple(known.values()))


def _annotate(made: Manifest, part: _Annotated, out: Path, on_rows: Callable[[int], None]) -> None:
    """Write the annotations of a split, a record a line, and its depth maps."""
    kinds = set(part.maps(part.table.rows([0])))
    path = out / ANNOTATIONS / f"{part.split}.json"
    with path.open("w", encoding="utf-8") as file:
        file.write("{\n")
        for key, value in _head(made, part, kinds).items():
            file.write(f'"{key}": {_json(value)},\n')
        _write_list(file, "images", _images(part, DEPTH in kinds))
        file.write(",\n")
        found = _annotations(part, out, on_rows)
        _write_list(file, "annotations", ({"id": n, **one} for n, one in enumerate(found, 1)))
        file.write("\n}\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _write_list(file: IO[str], key: str, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a key and its list, a record a line."""
    file.write(f'"{key}": [')
    for number, record in enumerate(records):
        file.write((",\n" if number else "\n") + _json(record))
    file.write("\n]")


def _head(made: Manifest, part: _Annotated, kinds: Set[str]) -> dict[str, Any]:
    """What is not of one image: info, licences, categories."""
    task, category = part.task, part.classes.category
    there = {
        "visibility": "visibility" in part.table,
        "amodal_segmentation": FULL in kinds,
        "amodal_bbox": FULL in kinds,
        "depth_file": DEPTH in kinds,
    }
    about = {column.name: column.about for column in task.columns(part.recipe)}
    keys = _KEYS | {key: text for key, text in _MORE.items() if there[key]}
    keys |= {name: about[name] for name in _CAMERA if name in about}
    license = task.license(part.recipe)
    names = ("object",) if category is None else category.names
    return {
        "info": {
            "description": f"{task.title} ({made.name}, {part.split})",
            "version": made.digest(),
            "contributor": "samediff-stimuli",
            "keys": keys,
        },
        "licenses": [{"id": 1, "name": license, "url": _URLS.get(license, "")}],
        "categories": [
            {"id": number, "name": name, "supercategory": "object"}
            for number, name in enumerate(names, 1)
        ],
    }


def _images(part: _Annotated, deep: bool) -> Iterator[dict[str, Any]]:
    """The record of each image."""
    height, width, _ = part.task.image_shape(part.recipe)
    label = part.task.label_column(part.recipe)
    labels = label.named(part.table[label.name].tolist())
    camera = [name for name in _CAMERA if name in part.table]
    for row, file in enumerate(part.files):
        yield {
            "id": row + 1,
            "file_name": file,
            "height": height,
            "width": width,
            "license": 1,
            "index": row,
            "label": labels[row],
            **({"depth_file": f"{DEPTH}/{file}"} if deep else {}),
            **{name: part.table[name][row].tolist() for name in camera},
        }


def _annotations(
    part: _Annotated, out: Path, on_rows: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    """The record of each object in sight; depth maps are written on the way."""
    for first in range(0, part.table.n_rows, _BATCH):
        rows = range(first, min(first + _BATCH, part.table.n_rows))
        some = part.table.rows(rows)
        instances, maps = part.task.instances(part.recipe, part.split, some), part.maps(some)
        for number, row in enumerate(rows):
            full = maps[FULL][number] if FULL in maps else None
            for record in _of_image(instances[number], full, part.classes, some.row(number)):
                yield {"image_id": row + 1, **record}
            if DEPTH in maps:
                path = out / DEPTH / part.files[row]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(depth_png(maps[DEPTH][number]))
        on_rows(len(rows))


def _of_image(
    instances: NDArray[np.uint8],
    full: NDArray[Any] | None,
    classes: _Classes,
    values: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """The record of each object in sight.

    Args:
        instances: (height, width), 0 background, j for object j - 1.
        full: (k, height, width), or None if the set has none.
        classes: of the set's objects.
        values: the row's columns.
    """
    for number in range(classes.count):
        mask = instances == number + 1
        if not mask.any():
            continue
        category = classes.category
        record: dict[str, Any] = {
            "category_id": 1 + (0 if category is None else values[category.name][number]),
            "bbox": box(mask),
            "area": int(np.count_nonzero(mask)),
            "iscrowd": 0,
            "segmentation": rle(mask),
            "number": number,
            "attributes": {c.name: c.named(values[c.name][number]) for c in classes.columns},
        }
        if "visibility" in values:
            record["visibility"] = values["visibility"][number] / _WHOLE
        if full is not None:
            record["amodal_segmentation"] = rle(full[number])
            record["amodal_bbox"] = box(full[number])
        yield record


FORMAT = Coco
