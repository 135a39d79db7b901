"""Imported: images that came from elsewhere, in folders named after their classes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.aligned_options import INDEX
from samediff_stimuli.image_files import MAX_SIDE, Source
from samediff_stimuli.recipe import InputError, Options, Recipe, derived, local_option
from samediff_stimuli.table import Column, Table, typed
from samediff_stimuli.tasks import Split, Task

MAX_CLASSES = 1 << 16
_SHARD_BYTES = 1 << 28  # decoded images in a shard, so that memory stays flat for large images
_SHARD_ROWS = 1600
_FILES_ARE_GONE = "their files are not at hand; import the folder again to compare"


@dataclass(frozen=True, kw_only=True)
class ImportedOptions(Options):
    """What an imported dataset holds; `samediff_stimuli.cards.importing` makes it from a folder.

    Raises:
        InputError: without images, or for names and numbers that no folder gives.
    """

    image_height: int = derived("height of every image in pixels", 0)
    image_width: int = derived("width of every image in pixels", 0)
    classes: tuple[str, ...] = derived("names of the classes in the order of their labels", ())
    splits: tuple[str, ...] = derived("names of the splits", ())
    counts: tuple[int, ...] = derived("images of each class in the first split, then the next", ())
    content: str = derived("SHA-256 over every image's digest and label in order", "")
    source: Source | None = local_option("where the images lie", offered=False)

    def __post_init__(self) -> None:
        """Check names and numbers: they may come from somebody else's manifest."""
        if not self.content:
            raise InputError(
                "imported images are not made from a seed; "
                "use 'samediff-stimuli import FOLDER --out DIR'"
            )
        if not re.fullmatch("[0-9a-f]{64}", self.content):
            raise InputError(f"content {self.content!r} is not 64 hex digits")
        for name in ("image_height", "image_width"):
            if not 1 <= getattr(self, name) <= MAX_SIDE:
                raise InputError(f"{name} {getattr(self, name)} is out of range; legal: 1 .. 4096")
        for name in self.classes:
            check_class(name)
        for name in self.splits:
            check_split(name)
        for names in (self.classes, self.splits):
            if len(set(names)) != len(names):
                raise InputError(f"names must differ, not {', '.join(names)}")
        if not 2 <= len(self.classes) <= MAX_CLASSES:
            raise InputError(
                f"{len(self.classes)} classes are not legal; legal: 2 .. {MAX_CLASSES}"
            )
        if len(self.counts) != len(self.classes) * len(self.splits) or min(self.counts) < 1:
            raise InputError("counts must give at least one image of each class in each split")


def check_split(name: str) -> None:
    """Refuse what cannot be a split's name for `load_dataset`, nor part of a file's.

    Raises:
        InputError: if it is not legal.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) or name == "all":
        raise InputError(
            f"split name {name!r} is not legal; legal: letters, digits and _, but not 'all': rename"
        )


def check_class(name: str) -> None:
    """Refuse what cannot be a class's name: it must do as a folder's, in a card and in a table.

    Raises:
        InputError: if it is not legal.
    """
    bad = not name.isprintable() or set(name) & set("/\\") or name[:1] in ("", ".")
    if bad or len(name.encode(errors="replace")) > 200:
        raise InputError(
            f"class name {name!r} is not legal; legal: printable characters but / and \\, "
            "no dot in front, up to 200 bytes: rename the folder"
        )


def _options(recipe: Recipe) -> ImportedOptions:
    assert isinstance(recipe.options, ImportedOptions)  # make_recipe has checked it
    return recipe.options


@lru_cache(maxsize=16)
def order(counts: tuple[int, ...]) -> NDArray[np.int64]:
    """The order of a split's rows: one of each class, then each spread evenly over the rest.

    Args:
        counts: images of each class.

    Returns:
        (n,) int64: for each row, its image's number when classes are counted one after the other.
    """
    label = np.repeat(np.arange(len(counts)), counts)
    rank = np.concatenate([np.arange(count) for count in counts])
    place = rank / np.repeat(counts, counts)  # IEEE: equal quotients are equal everywhere
    found = np.lexsort((label, place))
    found.flags.writeable = False
    return found


@lru_cache(maxsize=16)
def _labels(counts: tuple[int, ...]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(counts)), counts)[order(counts)]


def counts_of(recipe: Recipe, split: str) -> tuple[int, ...]:
    """Images of each class in a split."""
    options = _options(recipe)
    number, classes = options.splits.index(split), len(options.classes)
    return options.counts[number * classes : (number + 1) * classes]


def columns(recipe: Recipe) -> tuple[Column, ...]:
    """The row number and the label."""
    names = _options(recipe).classes
    return (
        INDEX,
        Column(
            name="label",
            dtype="uint8" if len(names) <= 256 else "uint16",
            names=names,
            about="the class: the name of the folder that the image came from",
        ),
    )


def name_of(recipe: Recipe) -> str:
    """E.g. "imported-3f2a9c01": the first digits of the content."""
    return f"imported-{_options(recipe).content[:8]}"


def image_shape(recipe: Recipe) -> tuple[int, int, int]:
    """(height, width, 3)."""
    return (_options(recipe).image_height, _options(recipe).image_width, 3)


def splits(recipe: Recipe) -> tuple[Split, ...]:
    """The splits as they came."""
    options = _options(recipe)
    if recipe.seed != 0:
        raise InputError(f"seed {recipe.seed} is not legal; imported images have seed 0")
    made = []
    for name in options.splits:
        counts = counts_of(recipe, name)
        named = zip(counts, options.classes, strict=True)
        about = ", ".join(f"{count:,} {label}" for count, label in named)
        if len(counts) > 4:
            about = f"{len(counts)} classes of {min(counts):,} to {max(counts):,} images"
        made.append(Split(name=name, rows=sum(counts), about=about))
    return tuple(made)


def design(recipe: Recipe, split: str, start: int, stop: int) -> Table:
    """Rows [start, stop): their numbers and labels."""
    labels = _labels(counts_of(recipe, split))
    if stop > len(labels):
        raise InputError(f"split {split} ends at row {len(labels) - 1}; there are no more images")
    index = np.arange(start, stop)
    return typed({"index": index, "label": labels[start:stop]}, columns(recipe))


def missing(recipe: Recipe) -> str | None:
    """Why images cannot be painted: a finished dataset does not know where they came from."""
    return _FILES_ARE_GONE if _options(recipe).source is None else None


def paint(recipe: Recipe, split: str, table: Table) -> Iterator[NDArray[np.uint8]]:
    """Each row's image, read from its file.

    Raises:
        InputError: if the files are not at hand, or changed since they were listed.
    """
    options = _options(recipe)
    if options.source is None:
        raise InputError("the images are not at hand; import the folder again")
    first = sum(sum(counts_of(recipe, name)) for name in _before(options.splits, split))
    for index in table["index"].tolist():
        yield options.source.image(first + index)


def _before(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names[: names.index(name)]


def instances(recipe: Recipe, split: str, table: Table) -> NDArray[np.uint8]:
    """Nothing: what is where in the images is not known.

    Raises:
        InputError: always.
    """
    raise InputError("imported images have no instance maps; leave them out")


def oracle(recipe: Recipe, row: Mapping[str, Any]) -> int:
    """The row's own label: there is no scene to judge by."""
    return int(row["label"])


def contains(recipe: Recipe, split: str, row: Mapping[str, Any]) -> bool:
    """Whether the label is one of the classes."""
    return int(row["label"]) in range(len(_options(recipe).classes))


def shard_rows(recipe: Recipe) -> int:
    """Fewer rows the larger the images."""
    height, width, channels = image_shape(recipe)
    return min(_SHARD_ROWS, max(1, _SHARD_BYTES // (height * width * channels)))


TASK = Task(
    name="imported",
    title="Imported images",
    summary="Images that came from elsewhere, in folders named after their classes.",
    source="",
    options=ImportedOptions,
    columns=columns,
    group=1,
    variants={},
    name_of=name_of,
    image_shape=image_shape,
    splits=splits,
    design=design,
    paint=paint,
    instances=instances,
    oracle=oracle,
    contains=contains,
    stimulus=lambda recipe, row: (row["index"],),
    departures=(),
    license=lambda recipe: "unknown",
    missing=missing,
    shard_rows=shard_rows,
)
