"""Object sets: which combinations of shape and colour a split draws from, and how two differ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import palette, silhouettes

# How the two objects of a pair relate; the values are class indices of the relation columns.
SAME, BOTH, SHAPE, COLOR = range(4)
RELATIONS: tuple[str, ...] = ("same", "differs_in_both", "differs_in_shape", "differs_in_color")
KINDS = (BOTH, SHAPE, COLOR)  # the ways to differ, one third each

N = 16
FULL = N * N


@dataclass(frozen=True)
class ObjectSet:
    """Distinct objects, each a shape index and a colour index.

    Attributes:
        name: e.g. "seen".
        shapes: shape index of each object.
        colors: colour index of each object.
    """

    name: str
    shapes: tuple[int, ...]
    colors: tuple[int, ...]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.shapes)

    def contains(self, shape: int, color: int) -> bool:
        """Whether the combination belongs to the set."""
        return (shape, color) in _pairs(self)

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Shapes and colours as two (n,) int64 arrays."""
        return np.array(self.shapes), np.array(self.colors)


@lru_cache(maxsize=64)
def _pairs(objects: ObjectSet) -> frozenset[tuple[int, int]]:
    return frozenset(zip(objects.shapes, objects.colors, strict=True))


def _grid(name: str, shapes: range, colors: range) -> ObjectSet:
    pairs = [(shape, color) for color in colors for shape in shapes]
    return ObjectSet(name, tuple(s for s, _ in pairs), tuple(c for _, c in pairs))


@lru_cache(maxsize=16)
def ring(combinations: int) -> tuple[ObjectSet, ObjectSet]:
    """The compositional split: combinations seen in training, and the rest of the 256.

    Colour c keeps the k = combinations / 16 shapes (c + 16 - k) .. (c + 15) modulo 16, so that
    every shape has k colours and every colour k shapes (Lepori et al. 2024, released code, where
    k is 2 and the colour order is that of a set, hence arbitrary; ours is the palette's order).

    Args:
        combinations: a multiple of 16 in [32, 224], or 256 (then nothing is held out).
    """
    keep = combinations // N
    seen = [((c + N - k) % N, c) for c in range(N) for k in range(keep, 0, -1)]
    held = [(s, c) for c in range(N) for s in range(N) if (s, c) not in set(seen)]
    return (
        ObjectSet("seen", tuple(s for s, _ in seen), tuple(c for _, c in seen)),
        ObjectSet("held_out", tuple(s for s, _ in held), tuple(c for _, c in held)),
    )


_OLD, _NEW_SHAPES = range(N), range(N, N + silhouettes.N_OOD)
_NEW_COLORS = range(N, N + palette.N_OOD)

# Lepori et al. 2024: four new shapes, four new colours, or both; 64, 64 and 16 objects.
OOD: dict[str, ObjectSet] = {
    "ood_shape": _grid("ood_shape", _NEW_SHAPES, _OLD),
    "ood_color": _grid("ood_color", _OLD, _NEW_COLORS),
    "ood_shape_color": _grid("ood_shape_color", _NEW_SHAPES, _NEW_COLORS),
}
