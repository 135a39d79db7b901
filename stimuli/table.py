"""A table holds the scenes of a run of stimuli, one array per column, rows on axis 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IMAGE = "image"  # name of a row's first image, beside the columns
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a column holds: the same declaration feeds shards, Parquet, card and loaders.

    Attributes:
        name: column name.
        dtype: NumPy dtype name, e.g. "uint8".
        shape: shape of one row's value; () for a scalar.
        names: class names when the value is a class index, else empty.
        about: one line for the card: meaning, unit, range, origin.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    about: str

    def named(self, value: Any) -> Any:
        """A value as plain Python data, class indices (nested in lists, maybe) as class names."""
        if isinstance(value, list):
            return [self.named(v) for v in value]
        return self.names[value] if self.names else value


class Table(Mapping[str, Array]):
    """Columns of equal length by name.

    Args:
        columns: name -> array with rows on axis 0.

    Raises:
        ValueError: if the lengths differ.
    """

    def __init__(self, columns: Mapping[str, Array]) -> None:
        """Take the arrays as they are, without a copy."""
        self._columns = dict(columns)
        lengths = {name: len(values) for name, values in self._columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns differ in length: {lengths}")
        self.n_rows = next(iter(lengths.values()), 0)

    def __getitem__(self, name: str) -> Array:
        """The array of one column."""
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        """Column names in order."""
        return iter(self._columns)

    def __len__(self) -> int:
        """Number of columns (see `n_rows` for rows)."""
        return len(self._columns)

    def rows(self, which: slice | Sequence[int] | Array) -> Table:
        """The same columns for some rows."""
        return Table({name: values[which] for name, values in self.items()})

    def row(self, index: int) -> dict[str, Any]:
        """One row as plain Python values: ints and (nested) lists of ints."""
        return {name: values[index].tolist() for name, values in self.items()}


def concatenate(tables: Sequence[Table]) -> Table:
    """Tables with the same columns, one below the other."""
    return Table({name: np.concatenate([t[name] for t in tables]) for name in tables[0]})


def typed(table: Mapping[str, Array], columns: Sequence[Column]) -> Table:
    """The declared columns in their declared order and dtype, values checked to survive the cast.

    Raises:
        ValueError: if a column is missing, has another shape, or overflows its dtype.
    """
    out: dict[str, Array] = {}
    for column in columns:
        if column.name not in table:
            raise ValueError(f"column {column.name!r} is missing; there are {sorted(table)}")
        values = table[column.name]
        if values.shape[1:] != column.shape:
            raise ValueError(f"column {column.name!r} has shape {values.shape[1:]} per row")
        cast = values.astype(column.dtype)
        if not np.array_equal(cast, values):
            raise ValueError(f"column {column.name!r} does not fit in {column.dtype}")
        out[column.name] = cast
    return Table(out)
