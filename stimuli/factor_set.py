"""A grid of factors: every combination of levels once, and splits as predicates over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import rng
from samediff_stimuli.aligned_options import INDEX
from samediff_stimuli.factor_options import FactorOptions, SplitOptions
from samediff_stimuli.factors import Draw, Factor, FactorSpace, Levels, Rows, label_files, official
from samediff_stimuli.factors.expression import parse
from samediff_stimuli.factors.holding import holding
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.table import Column, Table, typed
from samediff_stimuli.tasks import Split

GRID = "grid"  # the stored split: every image, in grid order
TRAIN, TEST, NEITHER = 0, 1, 2
LABEL = "label"  # of sets whose label is no column of its own
AWAY = "the published archive is not at hand; give --archive FILE"

Images = Callable[[Recipe, Table], Iterator[NDArray[np.uint8]]]


@dataclass(frozen=True, kw_only=True)
class FactorSet:
    """What is a set's own.

    Attributes:
        space: its factors.
        image_shape: (height, width, channels).
        title: of the set, e.g. "dSprites".
        shape: the factor that says what is shown: the label.
        draw: our own renderer: levels -> images; None if this package cannot draw the set.
        look: of a set that it can draw: what is kept of the published set, and what differs.
        turns: for each level of `shape`, the turns that leave it as it is; () if images do not
            turn on themselves.
        images: of a set that it cannot draw: (recipe, table) -> images.
        present: (n,) int64 increasing rows of the grid that there are images of; None for all.
            It follows from the recipe, as all else of such a set.
    """

    space: FactorSpace
    image_shape: tuple[int, int, int]
    title: str
    shape: str = "shape"
    draw: Draw | None = None
    look: str = ""
    turns: tuple[int, ...] = ()
    images: Images | None = None
    present: Rows | None = field(default=None, compare=False)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.space) if self.present is None else len(self.present)

    def grid_rows(self, places: Rows) -> Rows:
        """(n,) int64 rows of the grid that the stored images at (n,) places show."""
        return places if self.present is None else self.present[places]

    def places(self, rows: Rows) -> Rows:
        """(n,) int64 places among the stored images of (n,) rows of the grid.

        Raises:
            InputError: for a row that there is no image of.
        """
        if self.present is None:
            return rows
        places = np.searchsorted(self.present, rows)
        bad = self.present[np.minimum(places, len(self) - 1)] != rows
        if bad.any():
            levels = self.space.levels(rows[bad][:1])[0].tolist()
            raise InputError(f"there is no image of levels {levels}; the set is no whole grid")
        return places

    def columns(self, recipe: Recipe) -> tuple[Column, ...]:
        """The row of the grid, the level of every factor, and who made the image."""
        row = Column(name="row", dtype="uint32", about="row of the whole grid, last factor fastest")
        factors = map(_column, self.space.factors)
        return (INDEX, row, *factors, *self._more_columns())

    def _more_columns(self) -> Iterator[Column]:
        if self.turns:
            steps = len(self.space.factor("orientation")) - 1
            about = f"orientation up to the shape's own symmetry, in {steps}ths of its period"
            yield Column(name="phase", dtype="uint8", about=about)
        if self.draw is not None:
            yield Column(
                name="source",
                dtype="uint8",
                names=("procedural", "official"),
                about="who made the image: this package, or the authors of the published set",
            )
        elif self.shape != LABEL:
            about = f"that of {self.shape}, the class"
            yield _column(replace(self.space.factor(self.shape), name=LABEL, about=about))

    def splits(self, recipe: Recipe) -> tuple[Split, ...]:
        """Train and test of every partition, then the grid, if that is what is stored."""
        options = _options(recipe)
        made = []
        for partition in options.partitions:
            rows = self.counts(recipe, partition)
            for part, name in enumerate(label_files.PARTS):
                if not rows[part]:
                    raise InputError(_empty(options, partition, name))
                made.append(
                    Split(
                        name=name if len(options.partitions) == 1 else f"{partition}_{name}",
                        rows=int(rows[part]),
                        about=self._about(recipe, partition, part),
                        held_out=part == TEST,
                        partition=partition,
                    )
                )
        return tuple(made) if options.materialize else (*made, *self.stored(recipe))

    def counts(self, recipe: Recipe, partition: str) -> tuple[int, int]:
        """Images of train and of test in a partition."""
        options = _options(recipe)
        if options.labelled:
            of = dict(zip(options.labelled, options.labelled_rows, strict=True))
            return of[f"{partition}_train"], of[f"{partition}_test"]
        if partition == "random" and options.twins != "merge" and self.present is None:
            rows = len(self.space)
            rows -= int(_twins(self.space).sum()) if options.twins == "drop" else 0
            train = _share(rows, options.train_percent)
            return train, rows - train
        return _counts(self, recipe, partition)

    def stored(self, recipe: Recipe) -> tuple[Split, ...]:
        """The whole grid; train and test by themselves if they are materialised."""
        if _options(recipe).materialize:
            return self.splits(recipe)
        about = "every image once, in the order of the grid"
        if self.present is not None:
            about += f": {len(self):,} of its {len(self.space):,} combinations"
        return (Split(name=GRID, rows=len(self), about=about, partition=GRID),)

    def _about(self, recipe: Recipe, partition: str, part: int) -> str:
        options = _options(recipe)
        if options.labelled:
            return "rows of the label files"
        if partition == "random":
            share = options.train_percent if part == TRAIN else 100 - options.train_percent
            twins = any(factor.twins for factor in self.space.factors)
            of = "of the images that show no other's picture" if twins else "of all images"
            return f"{share} % {of if options.twins == 'drop' else 'of all images'}, at random"
        return f"{'not ' if part == TRAIN else ''}({self.expression(recipe, partition)})"

    def expression(self, recipe: Recipe, partition: str) -> str | None:
        """What is true of the test rows of a partition; None for a random one, or label files."""
        options = _options(recipe)
        if partition == "random" or options.labelled:
            return None
        return options.hold_out or holding(self.space, partition).expression

    def parts(self, recipe: Recipe, partition: str) -> NDArray[np.int8]:
        """(n,) int8 for each row of the grid: 0 train, 1 test, 2 neither."""
        return _parts(self, recipe, partition)

    def rows(self, recipe: Recipe, split: str) -> Rows | None:
        """(n,) int64 rows of the grid that a split consists of, in its order.

        None if the label files that list them are not at hand.
        """
        options = _options(recipe)
        if split == GRID:
            return self.grid_rows(np.arange(len(self)))
        partition, name = _place(options, split)
        if options.labelled:
            if options.split_labels is None:
                return None
            found = label_files.read(
                options.split_labels, self.space, options.partitions, drop=options.twins == "drop"
            )
            return found[f"{partition}_{name}"]
        return np.flatnonzero(self.parts(recipe, partition) == label_files.PARTS.index(name))

    def members(self, recipe: Recipe, split: str) -> Rows | None:
        """(n,) int64 places among the stored images of what a split consists of, in its order.

        None if the label files that list it are not at hand.
        """
        rows = self.rows(recipe, split)
        return None if rows is None else self.places(rows)

    def design(self, recipe: Recipe, split: str, start: int, stop: int) -> Table:
        """Rows [start, stop) of a split: what they show.

        Raises:
            InputError: if the label files that list the split's rows are not at hand.
        """
        if split == GRID:
            rows = self.grid_rows(np.arange(start, min(stop, len(self))))
        else:
            rows = _listed(self, recipe, split)[start:stop]
        if len(rows) != stop - start:
            raise InputError(f"split {split} ends before row {stop - 1}; there are no more images")
        levels = self.space.levels(rows)
        table = dict(zip(self.space.names, levels.T, strict=True))
        table |= {"index": np.arange(start, stop), "row": rows}
        table.setdefault(LABEL, levels[:, self.space.names.index(self.shape)])
        if self.draw is not None:
            table["source"] = np.full(len(rows), int(_drawn(recipe).source == "official"))
        if self.turns:
            table["phase"] = self.phase(levels)
        return typed(table, self.columns(recipe))

    def phase(self, levels: Levels) -> NDArray[np.int64]:
        """Orientation up to a shape's own symmetry, in steps of its period over the whole turn."""
        steps = len(self.space.factor("orientation")) - 1
        names = self.space.names
        turns = np.array(self.turns)[levels[:, names.index(self.shape)]]
        return np.asarray(levels[:, names.index("orientation")] * turns % steps)

    def levels_of(self, table: Mapping[str, NDArray[Any]]) -> Levels:
        """(n, n_factors) int64 levels that a table of ours holds."""
        return np.stack([table[name] for name in self.space.names], axis=1).astype(np.int64)

    def paint(self, recipe: Recipe, split: str, table: Table) -> Iterator[NDArray[np.uint8]]:
        """Each row's image, drawn, or read from the archive.

        Raises:
            InputError: if the archive is not at hand, or is broken.
        """
        if self.draw is None:
            assert self.images is not None  # a set is drawn, or read
            return self.images(recipe, table)
        options = _drawn(recipe)
        if options.source == "procedural":
            return self.draw(self.levels_of(table))
        if options.archive is None:
            raise InputError(AWAY)
        archive = official.published(self.space.name, options.archive_name)
        return official.images(options.archive, archive, self.space, table["row"])

    def contains(self, recipe: Recipe, split: str, row: Mapping[str, Any]) -> bool:
        """Whether the split's predicate holds of the row's levels."""
        levels = np.array([[row[name] for name in self.space.names]])
        where = int(self.space.rows(levels)[0])
        absent = self.present is not None and not np.isin(where, self.present)
        if where != row["row"] or absent:
            return False
        if split == GRID:
            return True
        options = _options(recipe)
        partition, name = _place(options, split)
        text = self.expression(recipe, partition)
        if text is None:
            return bool(np.isin(where, _listed(self, recipe, split)))
        if options.twins == "drop" and bool(self.space.is_twin(levels)[0]):
            return False
        shown = self.space.first(levels) if options.twins == "merge" else levels
        return bool(parse(text, self.space).holds(shown)[0]) == (name == "test")

    def oracle(self, recipe: Recipe, row: Mapping[str, Any]) -> int:
        """What is shown, from the row of the grid alone."""
        levels = self.space.levels(np.array([row["row"]]))
        return int(levels[0, self.space.names.index(self.shape)])

    def stimulus(self, recipe: Recipe, row: Mapping[str, Any]) -> tuple[object, ...]:
        """The levels, those of twins alike."""
        return tuple(self.space.first(self.space.levels(np.array([row["row"]])))[0].tolist())


def _column(factor: Factor) -> Column:
    """The level of a factor; the label's levels have names, whatever they are."""
    names = tuple(map(str, factor.values)) if factor.name == LABEL else factor.names
    return Column(
        name=factor.name,
        dtype="uint8" if len(factor) <= 256 else "uint16",
        names=names,
        about=f"level, 0 .. {len(factor) - 1}: {factor.about}",
    )


def _options(recipe: Recipe) -> SplitOptions:
    assert isinstance(recipe.options, SplitOptions)  # make_recipe has checked it
    return recipe.options


def _drawn(recipe: Recipe) -> FactorOptions:
    assert isinstance(recipe.options, FactorOptions)  # as above; only sets with `draw` ask
    return recipe.options


def _empty(options: SplitOptions, partition: str, part: str) -> str:
    """What is wrong with a split of which one part is empty."""
    if options.hold_out is None:
        return (
            f"variant {partition!r} leaves no image for {part}; legal: another variant, "
            "train_percent, or hold_out"
        )
    return (
        f"hold_out {options.hold_out!r} leaves no image for {part}; "
        "legal: one that holds of some images only"
    )


def _place(options: SplitOptions, split: str) -> tuple[str, str]:
    """The partition and the part that a split is."""
    partition, _, name = split.rpartition("_")
    return (partition, name) if partition else (options.partitions[0], name)


@lru_cache(maxsize=16)
def _listed(of: FactorSet, recipe: Recipe, split: str) -> Rows:
    rows = of.rows(recipe, split)
    if rows is None:
        raise InputError(f"the rows of {split} are in label files; give --split-labels DIR")
    return rows


def _share(rows: int, percent: int) -> int:
    """Per cent of rows, rounded."""
    return (rows * percent + 50) // 100


@lru_cache(maxsize=4)
def _twins(space: FactorSpace) -> NDArray[np.bool_]:
    """(n,) bool for each row of a grid: whether an earlier one shows the same."""
    again = np.zeros(space.sizes, dtype=bool)
    for axis, factor in enumerate(space.factors):
        for later, _ in factor.twins:
            again[(slice(None),) * axis + (later,)] = True
    return again.reshape(-1)


@lru_cache(maxsize=64)
def _counts(of: FactorSet, recipe: Recipe, partition: str) -> tuple[int, int]:
    """Rows of train and of test; the manifest asks often."""
    train, test, _ = np.bincount(of.parts(recipe, partition), minlength=3).tolist()
    return train, test


@lru_cache(maxsize=16)
def _parts(of: FactorSet, recipe: Recipe, partition: str) -> NDArray[np.int8]:
    """The part of every row of a grid; see `FactorSet.parts`."""
    space, options = of.space, _options(recipe)
    again, twins = _twins(space), options.twins
    absent = np.full(len(space), of.present is not None)
    if of.present is not None:
        absent[of.present] = False
    text = of.expression(recipe, partition)
    if text is not None:
        parts = parse(text, space).rows().astype(np.int8)
    else:
        drawn = np.flatnonzero(~absent if twins == "keep" else ~(absent | again))
        order = rng.order(rng.mix(recipe.key(partition, "part"), drawn))
        parts = np.full(len(space), TEST, dtype=np.int8)
        parts[drawn[order[: _share(len(drawn), options.train_percent)]]] = TRAIN
    if twins == "merge":
        rows = np.flatnonzero(again)
        parts[rows] = parts[space.rows(space.first(space.levels(rows)))]
    elif twins == "drop":
        parts[again] = NEITHER
    parts[absent] = NEITHER
    parts.flags.writeable = False
    return parts
