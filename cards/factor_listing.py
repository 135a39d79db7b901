"""The labels of images that came from elsewhere: which combination of factors each of them shows.

They are an array of an archive, or a table of files. No image is opened here.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.factor_set import LABEL
from samediff_stimuli.factors import FactorSpace, Rows, arrays
from samediff_stimuli.recipe import InputError
from samediff_stimuli.tasks.factors import (
    Value,
    check_names,
    check_sizes,
    check_values,
    space_of,
)

IMAGES, LABELS = ("images", "imgs"), ("labels", "latents_classes")  # usual names of arrays
FILE = "file"  # the column of a table that names the images
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_EXACT = 2**53  # from here on, not every whole number is a float
_MAX_COLUMNS = 256

Where = Callable[[int], str]  # what to call an image in a message


@dataclass(frozen=True, kw_only=True)
class FactorListing:
    """What images that came from elsewhere show, by their labels.

    Attributes:
        source: the archive, or the folder of the images; absolute.
        table: the table of the files, absolute; None of an archive.
        keys: names of images and labels in the archive; () of a table.
        files: of a table: POSIX path of each image relative to the folder; else ().
        shape: (height, width, channels) of the images of an archive; None of a table.
        columns: names of all columns of labels, in the order of the source.
        space: the factors; the label is the one that is never held out.
        label: its name.
        constant: name and value of each column that is the same for all images: no factor.
        rows: (n,) int64 row of the grid that each image shows, in the order of the source.
    """

    source: Path
    table: Path | None
    keys: tuple[str, ...]
    files: tuple[str, ...]
    shape: tuple[int, int, int] | None
    columns: tuple[str, ...]
    space: FactorSpace
    label: str
    constant: tuple[tuple[str, Value], ...]
    rows: Rows

    def __len__(self) -> int:
        """Number of images."""
        return len(self.rows)


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column of labels: its name, its distinct values in order, and each image's level."""

    name: str
    values: tuple[Value, ...]
    levels: NDArray[np.int64]


def list_archive(
    path: Path | str,
    *,
    images_key: str | None = None,
    labels_key: str | None = None,
    names: Sequence[str] | None = None,
    label: str | None = None,
) -> FactorListing:
    """Read the labels of an archive; look at the type and shape of its images.

    Args:
        path: an .npz or HDF5 file.
        images_key: name of the images in it; "images", or else "imgs", when None.
        labels_key: name of the labels; "labels", or else "latents_classes", when None.
        names: of the columns of the labels; factor_0, factor_1, ... when None.
        label: name of the factor that is the class; when None, "label", or else the first factor
            whose levels have names, or else the first.

    Raises:
        InputError: for a file that cannot be read, or arrays that are not images and labels.
    """
    path = Path(path).absolute()
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the table of its files, too: --table FILE.csv")
    key, shape, dtype = arrays.find(path, (images_key,) if images_key else IMAGES, "images-key")
    image_shape = arrays.image_shape(path, key, shape, dtype)
    names_of = (labels_key,) if labels_key else LABELS
    labels, found, kind = arrays.find(path, names_of, "labels-key")
    if kind.kind not in "biuf" or len(found) != 2 or not 1 <= found[1] <= _MAX_COLUMNS:
        raise InputError(
            f"{path} has {kind} {found} in {labels!r}; labels must be numbers of shape (n, factors)"
        )
    if found[0] != shape[0]:
        raise InputError(
            f"{path} has {shape[0]:,} images in {key!r}, but {found[0]:,} rows in {labels!r}"
        )
    values = arrays.whole(path, labels)
    named = _named(path, [f"factor_{j}" for j in range(found[1])], names)
    return _listing(
        [_of_array(path, name, values[:, j]) for j, name in enumerate(named)],
        label,
        lambda number: f"row {number}",
        source=path,
        keys=(key, labels),
        shape=image_shape,
    )


def list_table(
    folder: Path | str,
    table: Path | str,
    *,
    names: Sequence[str] | None = None,
    label: str | None = None,
) -> FactorListing:
    """Read a table of image files: CSV with a column `file`, and one for each factor.

    Args:
        folder: the folder that the files are in.
        table: the CSV file. A column of numbers is sorted; one of words is in byte order.
        names: of the factors, in place of those in the table.
        label: see `list_archive`.

    Raises:
        InputError: for a table that cannot be read, or is none of this kind.
    """
    folder, table = Path(folder).absolute(), Path(table).absolute()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the one that the files of {table} are in")
    head, lines = _read(table)
    if head.count(FILE) != 1:
        raise InputError(
            f"{table} must have one column {FILE!r}, separated by commas from one for each factor; "
            f"it has {', '.join(map(repr, head))}"
        )
    at = head.index(FILE)
    named = _named(table, head[:at] + head[at + 1 :], names)
    files = [row[at] for _, row in lines]
    for (line, _), file in zip(lines, files, strict=True):
        pure = PurePosixPath(file)
        if pure.is_absolute() or ".." in pure.parts or not file.isprintable():
            raise InputError(f"line {line} of {table}: {file!r} is no path within {folder}")
    where = [f"line {line}" for line, _ in lines].__getitem__
    twice = _first_twice(files)
    if twice:
        raise InputError(
            f"{where(twice[0])} and {where(twice[1])} of {table} name the same file, "
            f"{files[twice[0]]!r}; leave one out"
        )
    texts = [[text for j, text in enumerate(row) if j != at] for _, row in lines]
    columns = zip(named, zip(*texts, strict=True), strict=True)
    return _listing(
        [_of_words(table, name, column, where) for name, column in columns],
        label,
        where,
        source=folder,
        table=table,
        files=tuple(files),
    )


def _read(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The heads of a CSV file, and its lines with their numbers."""
    try:
        text = table.read_bytes().decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        found = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except OSError as error:
        raise InputError(f"{table} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} is no CSV file in UTF-8: {error}") from error
    if len(found) < 2:
        raise InputError(f"{table} has no lines of values; give a CSV file with a line of heads")
    (_, head), *lines = found
    for line, row in lines:
        if len(row) != len(head):
            raise InputError(f"line {line} of {table} has {len(row)} values, not {len(head)}")
        if "" in row:
            name = head[row.index("")]
            raise InputError(f"line {line} of {table} has no value for {name!r}; give all of them")
    return head, lines


def _named(path: Path, heads: list[str], names: Sequence[str] | None) -> list[str]:
    """The names of the columns of labels."""
    if names is None:
        return heads
    if len(names) != len(heads):
        raise InputError(
            f"names {','.join(names)} are {len(names)}, but {path} has {len(heads)} columns of "
            "labels; give a name for each"
        )
    return list(names)


def _of_array(path: Path, name: str, column: NDArray[Any]) -> _Column:
    """A column of numbers."""
    plain = column.astype({"f": np.float64, "u": np.uint64}.get(column.dtype.kind, np.int64))
    if plain.dtype.kind == "f" and not np.isfinite(plain).all():
        row = int(np.argmin(np.isfinite(plain)))
        raise InputError(
            f"{path} has {plain[row]} for {name!r} in row {row}; labels must be finite numbers"
        )
    values, levels = np.unique(plain, return_inverse=True)
    return _Column(name=name, values=tuple(map(_plain, values.tolist())), levels=levels)


def _of_words(path: Path, name: str, texts: Sequence[str], where: Where) -> _Column:
    """A column of a table: numbers, if all of it is; else words."""
    given: list[Value] = list(texts)
    if all(_NUMBER.fullmatch(text) or _NO_NUMBER.fullmatch(text) for text in texts):
        given = [int(t) if _WHOLE.fullmatch(t) else _plain(float(t)) for t in texts]
        for number, (text, value) in enumerate(zip(texts, given, strict=True)):
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(
                    f"{where(number)} of {path} has {text!r} for {name!r}; labels must be finite "
                    "numbers, or words"
                )
    values = sorted(set(given), key=lambda v: v.encode() if isinstance(v, str) else v)
    level = {value: number for number, value in enumerate(values)}
    return _Column(name=name, values=tuple(values), levels=np.array([level[v] for v in given]))


def _plain(value: float) -> int | float:
    """A number as a whole one, if it is one."""
    return (
        int(value)
        if math.isfinite(value) and abs(value) < _EXACT and value == int(value)
        else value
    )


def _listing(
    columns: Sequence[_Column],
    label: str | None,
    where: Where,
    *,
    source: Path,
    table: Path | None = None,
    keys: tuple[str, ...] = (),
    files: tuple[str, ...] = (),
    shape: tuple[int, int, int] | None = None,
) -> FactorListing:
    """Check the columns of labels: they must be a grid of factors, no combination of which recurs.

    Args:
        columns: of the labels.
        label: as it was given.
        where: what to call each image.
        source: see `FactorListing`, as for all that follow.
        table: see `FactorListing`.
        keys: see `FactorListing`.
        files: see `FactorListing`.
        shape: see `FactorListing`.
    """
    path = source if table is None else table
    factors = [column for column in columns if len(column.values) > 1]
    constant = tuple((c.name, c.values[0]) for c in columns if len(c.values) == 1)
    if label in dict(constant):
        raise InputError(f"label {label!r} is {dict(constant)[label]!r} for all images of {path}")
    if not factors:
        raise InputError(f"{path} has no factor: each of its columns is the same for all images")
    names = tuple(column.name for column in factors)
    label = _usual_label(factors) if label is None else label
    check_names(names, label)
    sizes = {column.name: len(column.values) for column in factors}
    check_sizes(sizes)
    values = tuple(value for column in factors for value in column.values)
    space = space_of(names, tuple(sizes.values()), values, label)
    for factor in space.factors:
        check_values(factor)
    rows = space.rows(np.stack([column.levels for column in factors], axis=1))
    twice = _first_twice(rows.tolist())
    if twice:
        shown = space.levels(rows[twice[0] : twice[0] + 1])[0].tolist()
        named = zip(space.factors, shown, strict=True)
        what = ", ".join(f"{factor.name} {factor.values[level]}" for factor, level in named)
        raise InputError(
            f"{where(twice[0])} and {where(twice[1])} of {path} show the same combination, {what}; "
            "legal: each once, at most"
        )
    return FactorListing(
        source=source,
        table=table,
        keys=keys,
        files=files,
        shape=shape,
        columns=tuple(column.name for column in columns),
        space=space,
        label=label,
        constant=constant,
        rows=rows,
    )


def _usual_label(columns: Sequence[_Column]) -> str:
    """The factor of that name; or else the first whose levels have names; or else the first."""
    if any(column.name == LABEL for column in columns):
        return LABEL
    worded = [column.name for column in columns if isinstance(column.values[0], str)]
    return [*worded, columns[0].name][0]


def _first_twice(keys: Sequence[Hashable]) -> tuple[int, int] | None:
    """The numbers of the first two that are equal."""
    first: dict[Hashable, int] = {}
    for number, key in enumerate(keys):
        if first.setdefault(key, number) != number:
            return first[key], number
    return None
