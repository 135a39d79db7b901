"""A factor set shows every combination of levels of a few factors, one image each, in grid order.

Row-major: the last factor varies fastest. A row of the grid and its levels determine each other, so
a split of such a set is a predicate over levels, and a list of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.recipe import InputError

Levels = NDArray[np.int64]
Rows = NDArray[np.int64]
Draw = Callable[[Levels], Iterator[NDArray[np.uint8]]]


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One factor of variation.

    Attributes:
        name: as the published set spells it.
        values: what each level stands for, in order: class names, or numbers.
        about: one line: what it is, and its unit.
        held: whether splits hold levels of it out (Schott et al. 2021 do so for all but shape).
        twins: pairs (later, earlier) of levels that show the same.
    """

    name: str
    values: tuple[str | float, ...]
    about: str
    held: bool = True
    twins: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        """Number of levels."""
        return len(self.values)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the levels if they have any, else nothing."""
        return tuple(v for v in self.values if isinstance(v, str))


@dataclass(frozen=True, kw_only=True)
class FactorSpace:
    """The factors of a set, in the order of the published labels.

    Attributes:
        name: e.g. "dsprites".
        factors: in order; the last varies fastest.
    """

    name: str
    factors: tuple[Factor, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the factors."""
        return tuple(factor.name for factor in self.factors)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Levels of each factor."""
        return tuple(map(len, self.factors))

    def __len__(self) -> int:
        """Number of combinations: rows of the grid."""
        return math.prod(self.sizes)

    def factor(self, name: str) -> Factor:
        """A factor by name.

        Raises:
            InputError: if there is none.
        """
        for factor in self.factors:
            if factor.name == name:
                return factor
        raise InputError(f"unknown factor {name!r}; {self.name} has {', '.join(self.names)}")

    def levels(self, rows: Rows) -> Levels:
        """(n, n_factors) int64 levels of (n,) rows of the grid.

        Raises:
            InputError: a row outside the grid.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < len(self):
            raise InputError(f"row out of range; {self.name} has rows 0 .. {len(self) - 1}")
        return np.stack(np.unravel_index(rows, self.sizes), axis=-1).astype(np.int64)

    def rows(self, levels: Levels) -> Rows:
        """(n,) int64 rows of (n, n_factors) levels.

        Raises:
            InputError: levels of another shape, or out of range.
        """
        levels = np.asarray(levels)
        if (
            levels.ndim != 2
            or levels.shape[1] != len(self.factors)
            or levels.dtype.kind not in "iu"
        ):
            raise InputError(
                f"levels must be integers of shape (n, {len(self.factors)}), not "
                f"{levels.dtype} {levels.shape}"
            )
        if levels.size and ((levels < 0) | (levels >= np.array(self.sizes))).any():
            raise InputError(f"level out of range; {self.name} has {self.sizes} levels")
        columns = tuple(levels.astype(np.int64).T)
        return np.asarray(np.ravel_multi_index(columns, self.sizes), dtype=np.int64)

    def normalised(self, levels: Levels) -> NDArray[np.float64]:
        """Levels over the largest level: targets in [0, 1] (Schott et al. 2021, released code).

        Args:
            levels: (n, n_factors) integers.

        Returns:
            (n, n_factors) float64.
        """
        return np.asarray(levels / np.maximum(np.array(self.sizes) - 1, 1), dtype=np.float64)

    def first(self, levels: Levels) -> Levels:
        """The levels of the first twin: images of equal `first` show the same."""
        out = np.array(levels, dtype=np.int64)
        for column, factor in enumerate(self.factors):
            for later, earlier in factor.twins:
                out[out[:, column] == later, column] = earlier
        return out

    def is_twin(self, levels: Levels) -> NDArray[np.bool_]:
        """(n,) bool: whether an earlier row shows the same."""
        return np.asarray((self.first(levels) != levels).any(axis=1))
