"""A task that is a grid of factors: every row once, and splits as predicates over the factors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import factor_sections, rng
from samediff_stimuli.aligned_options import INDEX
from samediff_stimuli.factor_options import FactorOptions
from samediff_stimuli.factors import Draw, FactorSpace, Levels, Rows, label_files, official
from samediff_stimuli.factors.expression import parse
from samediff_stimuli.factors.holding import holding
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.table import Column, Table, typed
from samediff_stimuli.tasks import Split, Task

GRID = "grid"  # the stored split: every image, in grid order
TRAIN, TEST, NEITHER = 0, 1, 2
_SHARD_ROWS = 8000


@dataclass(frozen=True, kw_only=True)
class FactorSet:
    """What is a set's own.

    Attributes:
        space: its factors.
        draw: our own renderer: levels -> images.
        image_shape: (height, width, channels).
        title: of the set, e.g. "dSprites".
        look: what is kept of the published set, and what differs, for the card.
        turns: for each level of `shape`, the turns that leave it as it is; () if images do not
            turn on themselves.
        shape: the factor that says what is shown: the label.
    """

    space: FactorSpace
    draw: Draw
    image_shape: tuple[int, int, int]
    title: str
    look: str
    turns: tuple[int, ...] = ()
    shape: str = "shape"

    def columns(self, recipe: Recipe) -> tuple[Column, ...]:
        """The row of the grid, the level of every factor, and who made the image."""
        row = Column(name="row", dtype="uint32", about="row of the whole grid, last factor fastest")
        factors = [
            Column(
                name=factor.name,
                dtype="uint8" if len(factor) <= 256 else "uint16",
                names=factor.names,
                about=f"level, 0 .. {len(factor) - 1}: {factor.about}",
            )
            for factor in self.space.factors
        ]
        source = Column(
            name="source",
            dtype="uint8",
            names=("procedural", "official"),
            about="who made the image: this package, or the authors of the published set",
        )
        return (INDEX, row, *factors, *self._phase_column(), source)

    def _phase_column(self) -> tuple[Column, ...]:
        if not self.turns:
            return ()
        steps = len(self.space.factor("orientation")) - 1
        about = f"orientation up to the shape's own symmetry, in {steps}ths of its period"
        return (Column(name="phase", dtype="uint8", about=about),)

    def splits(self, recipe: Recipe) -> tuple[Split, ...]:
        """Train and test of every partition, then the grid, if that is what is stored."""
        options = _options(recipe)
        made = []
        for partition in options.partitions:
            rows = self.counts(recipe, partition)
            for part, name in enumerate(label_files.PARTS):
                if not rows[part]:
                    raise InputError(
                        f"hold_out {options.hold_out!r} leaves no image for {name}; "
                        "legal: one that holds of some images only"
                    )
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
        if partition == "random" and options.twins != "merge":
            rows = len(self.space)
            rows -= int(_twins(self.space).sum()) if options.twins == "drop" else 0
            train = _share(rows, options.train_percent)
            return train, rows - train
        train, test, _ = np.bincount(self.parts(recipe, partition), minlength=3).tolist()
        return train, test

    def stored(self, recipe: Recipe) -> tuple[Split, ...]:
        """The whole grid; train and test by themselves if they are materialised."""
        if _options(recipe).materialize:
            return self.splits(recipe)
        about = "every image once, in the order of the grid"
        return (Split(name=GRID, rows=len(self.space), about=about, partition=GRID),)

    def _about(self, recipe: Recipe, partition: str, part: int) -> str:
        options = _options(recipe)
        if options.labelled:
            return "rows of the published label files"
        if partition == "random":
            share = options.train_percent if part == TRAIN else 100 - options.train_percent
            return f"{share} % of all rows, at random"
        return f"{'not ' if part == TRAIN else ''}({self.expression(recipe, partition)})"

    def expression(self, recipe: Recipe, partition: str) -> str | None:
        """What is true of the test rows of a partition; None for a random one, or label files."""
        options = _options(recipe)
        if partition == "random" or options.labelled:
            return None
        return options.hold_out or holding(self.space, partition).expression

    def parts(self, recipe: Recipe, partition: str) -> NDArray[np.int8]:
        """(n,) int8 for each row of the grid: 0 train, 1 test, 2 neither."""
        options = _options(recipe)
        key = recipe.key(partition, "part") if partition == "random" else 0
        text = self.expression(recipe, partition)
        return _parts(self.space, text, options.twins or "drop", key, options.train_percent)

    def members(self, recipe: Recipe, split: str) -> Rows | None:
        """(n,) int64 rows of the grid that a split consists of, in its order.

        None if the label files that list them are not at hand.
        """
        options = _options(recipe)
        if split == GRID:
            return np.arange(len(self.space))
        partition, name = _place(options, split)
        if options.labelled:
            if options.split_labels is None:
                return None
            found = label_files.read(
                options.split_labels, self.space, options.partitions, drop=options.twins == "drop"
            )
            return found[f"{partition}_{name}"]
        return np.flatnonzero(self.parts(recipe, partition) == label_files.PARTS.index(name))

    def design(self, recipe: Recipe, split: str, start: int, stop: int) -> Table:
        """Rows [start, stop) of a split: what they show.

        Raises:
            InputError: if the label files that list the split's rows are not at hand.
        """
        rows = np.arange(start, stop) if split == GRID else _listed(self, recipe, split)[start:stop]
        if len(rows) != stop - start:
            raise InputError(f"split {split} ends before row {stop - 1}; there are no more images")
        levels = self.space.levels(rows)
        table = dict(zip(self.space.names, levels.T, strict=True))
        table |= {"index": np.arange(start, stop), "row": rows}
        official = _options(recipe).source == "official"
        table["source"] = np.full(len(rows), int(official))
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
        options = _options(recipe)
        if options.source == "procedural":
            return self.draw(self.levels_of(table))
        if options.archive is None:
            raise InputError(str(missing(recipe)))
        archive = official.published(self.space.name, options.archive_name)
        return official.images(options.archive, archive, self.space, table["row"])

    def contains(self, recipe: Recipe, split: str, row: Mapping[str, Any]) -> bool:
        """Whether the split's predicate holds of the row's levels."""
        levels = np.array([[row[name] for name in self.space.names]])
        where = int(self.space.rows(levels)[0])
        if where != row["row"]:
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


def _options(recipe: Recipe) -> FactorOptions:
    assert isinstance(recipe.options, FactorOptions)  # make_recipe has checked it
    return recipe.options


def _place(options: FactorOptions, split: str) -> tuple[str, str]:
    """The partition and the part that a split is."""
    partition, _, name = split.rpartition("_")
    return (partition, name) if partition else (options.partitions[0], name)


@lru_cache(maxsize=16)
def _listed(of: FactorSet, recipe: Recipe, split: str) -> Rows:
    rows = of.members(recipe, split)
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


@lru_cache(maxsize=16)
def _parts(
    space: FactorSpace, text: str | None, twins: str, key: int, percent: int
) -> NDArray[np.int8]:
    """The part of every row of a grid; see `FactorSet.parts`."""
    again = _twins(space)
    if text is not None:
        parts = parse(text, space).rows().astype(np.int8)
    else:
        drawn = np.arange(len(space)) if twins == "keep" else np.flatnonzero(~again)
        order = rng.order(rng.mix(key, drawn))
        parts = np.full(len(space), TEST, dtype=np.int8)
        parts[drawn[order[: _share(len(drawn), percent)]]] = TRAIN
    if twins == "merge":
        rows = np.flatnonzero(again)
        parts[rows] = parts[space.rows(space.first(space.levels(rows)))]
    elif twins == "drop":
        parts[again] = NEITHER
    parts.flags.writeable = False
    return parts


def missing(recipe: Recipe) -> str | None:
    """Why images cannot be painted: the archive that they come from is not at hand."""
    options = _options(recipe)
    if options.source == "official" and options.archive is None:
        return "the published archive is not at hand; give --archive FILE"
    return None


def name_of(recipe: Recipe) -> str:
    """E.g. "dsprites-procedural-extrapolation"."""
    return f"{recipe.task}-{_options(recipe).tag()}"


def license_of(recipe: Recipe) -> str:
    """Ours, or the archive's."""
    options = _options(recipe)
    if options.source == "procedural":
        return "cc-by-4.0"
    return official.published(options.space.name, options.archive_name).license


def instances(recipe: Recipe, split: str, table: Table) -> NDArray[np.uint8]:
    """Nothing: these sets have no instance maps.

    Raises:
        InputError: always.
    """
    raise InputError(f"{recipe.task!r} has no instance maps; leave them out")


def make_task(
    of: FactorSet,
    *,
    name: str,
    summary: str,
    options: type[FactorOptions],
) -> Task:
    """The task of a factor set.

    Args:
        of: what is its own.
        name: see `Task`, as for all that follow.
        summary: see `Task`.
        options: see `Task`.
    """
    variants: dict[str, Any] = {kind: options(variant=kind) for kind in ("random", "composition")}
    variants |= {kind: options(variant=kind) for kind in ("interpolation", "extrapolation")}
    return Task(
        name=name,
        title=of.title,
        summary=summary,
        source="schott2021",
        options=options,
        columns=of.columns,
        group=1,
        variants={"all": options(), **variants},
        name_of=name_of,
        image_shape=lambda recipe: of.image_shape,
        splits=of.splits,
        design=of.design,
        paint=of.paint,
        instances=instances,
        oracle=of.oracle,
        contains=of.contains,
        stimulus=of.stimulus,
        departures=(),
        license=license_of,
        missing=missing,
        shard_rows=lambda recipe: _SHARD_ROWS,
        label=of.shape,
        space=lambda recipe: of.space,
        stored=of.stored,
        members=of.members,
        sections=lambda recipe: factor_sections.sections(of, recipe, _options(recipe)),
    )
