"""Imported factors: images that came from elsewhere, with a table of the factors they show."""

from __future__ import annotations

import base64
import bz2
import itertools
import keyword
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.factor_options import SplitOptions
from samediff_stimuli.factor_set import LABEL, FactorSet
from samediff_stimuli.factor_task import make_task
from samediff_stimuli.factors import Factor, FactorSpace, Rows
from samediff_stimuli.factors.arrays import ArrayImages
from samediff_stimuli.factors.holding import KINDS, holding
from samediff_stimuli.image_files import MAX_SIDE, Source
from samediff_stimuli.recipe import InputError, Recipe, derived, local_option
from samediff_stimuli.table import Table

MAX_FACTORS = 12  # the search for levels to hold out goes through all sets of factors
MAX_LEVELS = 1 << 16  # of a factor: a column of them is uint16 at most
MAX_GRID = 1 << 24  # rows: a split holds a few bytes for each
_HUGE = 2.0**1023  # so that no number is infinite, or none
RESERVED = ("index", "row", "image", "file")  # what tables of a dataset call something else
_TITLE = "Imported factors"
_GONE = "what they were read from is not at hand; import it again to compare"
_ABOUT = {True: "a class of the table", False: "a number of the table"}

Value = str | int | float


@dataclass(frozen=True, kw_only=True)
class ImportedFactorOptions(SplitOptions):
    """What an imported grid holds; `samediff_stimuli.cards.importing_factors` makes it.

    Raises:
        InputError: as `SplitOptions`; without images, or for names and numbers that no table gives.
    """

    factors: tuple[str, ...] = derived("names of the factors", ())
    sizes: tuple[int, ...] = derived("levels of each factor", ())
    values: tuple[Value, ...] = derived("what levels stand for: the first factor's, the next's", ())
    label: str = derived("the factor that is the class", "")
    image_height: int = derived("height of every image in pixels", 0)
    image_width: int = derived("width of every image in pixels", 0)
    channels: int = derived("3, or 1 for grey images", 3)
    present: str = derived("rows of the grid that have an image: bits, bz2, base64; '' for all", "")
    content: str = derived("SHA-256 over every image's digest in the order of the grid", "")
    source: ArrayImages | Source | None = local_option("where the images lie", offered=False)

    def __post_init__(self) -> None:
        """Check names and numbers: they may come from somebody else's manifest."""
        if not self.content:
            raise InputError(
                "imported images are not made from a seed; "
                "use 'samediff-stimuli import SOURCE --out DIR'"
            )
        if not re.fullmatch("[0-9a-f]{64}", self.content):
            raise InputError(f"content {self.content!r} is not 64 hex digits")
        for name in ("image_height", "image_width"):
            if not 1 <= getattr(self, name) <= MAX_SIDE:
                raise InputError(f"{name} {getattr(self, name)} is out of range; legal: 1 .. 4096")
        if self.channels not in (1, 3):
            raise InputError(f"channels {self.channels} is not legal; legal: 1, 3")
        check_names(self.factors, self.label)
        check_sizes(dict(zip(self.factors, self.sizes, strict=False)))
        if len(self.sizes) != len(self.factors) or len(self.values) != sum(self.sizes):
            raise InputError("factors, sizes and values do not fit one another")
        for factor in self.space.factors:
            check_values(factor)
        if self.present:
            _unpack(self.present, len(self.space))
        super().__post_init__()

    @property
    def space(self) -> FactorSpace:
        """The factors, by what the table said."""
        return space_of(self.factors, self.sizes, self.values, self.label)

    @property
    def makers(self) -> tuple[str, ...]:
        """The first digits of the content."""
        return (self.content[:8],)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those that the factors have levels enough for."""
        return ("random", *(kind for kind in KINDS if _is_possible(self.space, kind)))


@lru_cache(maxsize=16)
def space_of(
    names: tuple[str, ...], sizes: tuple[int, ...], values: tuple[Value, ...], label: str
) -> FactorSpace:
    """The factors of these names and numbers of levels; the label is never held out.

    Args:
        names: of the factors.
        sizes: levels of each.
        values: what the levels of the first stand for, then those of the next.
        label: name of the factor that is the class.
    """
    factors, rest = [], iter(values)
    for name, size in zip(names, sizes, strict=True):
        own = tuple(itertools.islice(rest, size))
        about = _ABOUT[any(isinstance(value, str) for value in own)]
        factors.append(Factor(name=name, values=own, about=about, held=name != label))
    return FactorSpace(name="factors", factors=tuple(factors))


def _is_possible(space: FactorSpace, kind: str) -> bool:
    try:
        holding(space, kind)
    except InputError:
        return False
    return True


def check_names(names: tuple[str, ...], label: str) -> None:
    """Refuse names of factors that cannot be columns, nor stand in an expression.

    Raises:
        InputError: if one is not legal, they do not differ, or the label is none of them.
    """
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) or keyword.iskeyword(name):
            raise InputError(
                f"factor name {name!r} is not legal; legal: letters, digits and _, no digit in "
                "front, no word of Python's: rename it"
            )
        if name in RESERVED:
            raise InputError(f"factor name {name!r} is another column's; rename or remove it")
    if len(set(names)) != len(names):
        raise InputError(f"names of factors must differ, not {', '.join(names)}")
    if label not in names:
        raise InputError(f"unknown label {label!r}; the factors are {', '.join(names)}")
    if LABEL in names and label != LABEL:
        raise InputError(f"factor {LABEL!r} is not the label {label!r}; rename it, or make it that")


def check_sizes(sizes: dict[str, int]) -> None:
    """Refuse grids that are too large, or no grids.

    Raises:
        InputError: if they are.
    """
    named = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    if not 1 <= len(sizes) <= MAX_FACTORS:
        raise InputError(
            f"{len(sizes)} factors ({named}) are not legal; legal: 1 .. {MAX_FACTORS}: leave "
            "some out"
        )
    if not all(type(size) is int and 2 <= size <= MAX_LEVELS for size in sizes.values()):
        raise InputError(
            f"levels of factors ({named}) are out of range; legal: 2 .. {MAX_LEVELS:,}"
        )
    if math.prod(sizes.values()) > MAX_GRID:
        raise InputError(
            f"the grid of {math.prod(sizes.values()):,} combinations ({named}) is too large; "
            f"legal: up to {MAX_GRID:,}: round numbers to fewer levels, or leave factors out"
        )


def check_values(factor: Factor) -> None:
    """Refuse what cannot be a factor's levels: increasing numbers, or names in byte order.

    Raises:
        InputError: if it is not.
    """
    names = factor.names
    if names:
        right = factor.values == tuple(sorted(set(names), key=_bytes))
    else:
        numbers = {v for v in factor.values if not isinstance(v, str | bool) and abs(v) < _HUGE}
        right = list(factor.values) == sorted(numbers)
    if not right:
        raise InputError(
            f"levels of {factor.name!r} must be increasing numbers, or names in byte order"
        )
    for name in names:
        if not name.isprintable() or not name.strip() or len(_bytes(name)) > 200:
            legal = "printable characters, up to 200 bytes"
        elif not factor.held and (set(name) & set("/\\") or name[0] == "."):
            legal = "as a class, no / or \\, no dot in front"
        else:
            continue
        raise InputError(
            f"level {name!r} of {factor.name!r} is not legal; legal: {legal}: rename it"
        )


def _bytes(name: object) -> bytes:
    return str(name).encode(errors="surrogateescape")


def pack(rows: Rows, n: int) -> str:
    """The text of `present` for (m,) increasing rows of a grid of n: "" if they are all.

    bz2, unlike zlib, gives the same bytes whoever built the library.
    """
    if len(rows) == n:
        return ""
    bits = np.zeros(n, dtype=bool)
    bits[rows] = True
    return base64.b64encode(bz2.compress(np.packbits(bits).tobytes())).decode()


@lru_cache(maxsize=16)
def _unpack(text: str, n: int) -> Rows:
    """(m,) int64 increasing rows back from `pack`."""
    try:
        machine = bz2.BZ2Decompressor()
        data = machine.decompress(base64.b64decode(text, validate=True), max_length=-(-n // 8) + 1)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"present is not bits in bz2 in base64: {error}") from error
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    if len(data) != -(-n // 8) or not machine.eof or bits[n:].any() or not bits.any():
        raise InputError(f"present does not hold a bit for each of the {n} rows of the grid")
    rows = np.flatnonzero(bits)
    rows.flags.writeable = False
    return rows


def _options(recipe: Recipe) -> ImportedFactorOptions:
    assert isinstance(recipe.options, ImportedFactorOptions)  # make_recipe has checked it
    return recipe.options


@lru_cache(maxsize=16)
def set_of(recipe: Recipe) -> FactorSet:
    """The set that a recipe tells of."""
    options = _options(recipe)
    return FactorSet(
        space=options.space,
        image_shape=(options.image_height, options.image_width, options.channels),
        title=_TITLE,
        shape=options.label,
        images=images,
        present=_unpack(options.present, len(options.space)) if options.present else None,
    )


def images(recipe: Recipe, table: Table) -> Iterator[NDArray[np.uint8]]:
    """Each row's image, read from its file, or from the archive.

    Raises:
        InputError: if they are not at hand, or changed since they were looked at.
    """
    source = _options(recipe).source
    if source is None:
        raise InputError("the images are not at hand; import them again")
    places = set_of(recipe).places(table["row"].astype(np.int64))
    if isinstance(source, Source):
        return map(source.image, places.tolist())
    return source.images(places)


def missing(recipe: Recipe) -> str | None:
    """Why images cannot be painted: a finished dataset does not know where they came from."""
    return _GONE if _options(recipe).source is None else None


TASK = make_task(
    set_of,
    name="factors",
    title=_TITLE,
    summary="Images that came from elsewhere, with a table of the factors that they show.",
    source="",
    options=ImportedFactorOptions,
    variants={},
    license=lambda recipe: "unknown",
    missing=missing,
    label=LABEL,
    made_here=lambda recipe: False,
)
