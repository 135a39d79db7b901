"""A task turns a recipe into scenes, scenes into images, and says what each label means.

Adding a task is one new module in this folder that ends in the constant `TASK`.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import operator
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.factors import FactorSpace
from samediff_stimuli.recipe import FORMAT_VERSION, InputError, Options, Recipe
from samediff_stimuli.table import IMAGE, Column, Table, concatenate

_Paint = Callable[[Recipe, str, Table], Iterator[NDArray[np.uint8]]]
_Instances = Callable[[Recipe, str, Table], NDArray[np.uint8]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """A named part of a dataset.

    Attributes:
        name: e.g. "train".
        rows: number of stimuli, >= 1.
        about: one line for the card: what is in it, what is held out.
        held_out: whether train's predicate rejects every row of it.
        partition: splits of one partition share no stimulus; a dataset may be parted in many ways.
    """

    name: str
    rows: int
    about: str
    held_out: bool = False
    partition: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """One of the images that a row shows; all of them have the same size.

    Attributes:
        name: "image" of the first; another's columns are named after it, e.g.
            "counterfactual_shape".
        about: one line for the card.
        paint: as `Task.paint`, of this image.
        instances: as `Task.instances`, of this image.
    """

    name: str
    about: str
    paint: _Paint
    instances: _Instances

    def scene(self, table: Table) -> Table:
        """A table whose columns describe this image, under the names of the first image's."""
        mark = f"{self.name}_"
        own = {name.removeprefix(mark): v for name, v in table.items() if name.startswith(mark)}
        return Table({**table, **own})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """Everything the engine, the card, the loaders and the contract tests ask of a task.

    Attributes:
        name: the `--task` name.
        title: the card's title.
        summary: one sentence for `list`, `--help` and the card.
        source: citation key of the paper, a key of `cards.citations`; "" for images that this
            package did not make.
        options: the dataclass of this task's options.
        columns: recipe -> declared columns, `index` and the label among them.
        group: rows come in matched groups of this many; split sizes are multiples of it.
        variants: options of the paper's own variants, by name; goldens and contract tests use them.
        name_of: recipe -> config and folder name, e.g. "rmts-p16".
        image_shape: recipe -> (height, width, channels), 1 or 3 channels.
        splits: recipe -> its splits, in order; raises InputError if they cannot be made.
        design: (recipe, split, start, stop) -> table of rows [start, stop).
        paint: (recipe, split, table) -> each (height, width, c) uint8 image in turn; an image is
            good only until the next is asked for.
        instances: (recipe, split, table) -> (n, height, width) uint8; 0 background, j for object
            j - 1.
        oracle: (recipe, row) -> label, from the scene alone.
        contains: (recipe, split, row) -> whether the split's predicate admits the scene.
        stimulus: (recipe, row) -> hashable identity of a scene, up to jitter and noise.
        departures: the card's list of deliberate departures from the paper's set.
        limits: what the card warns of, besides what holds for every set.
        license: recipe -> of the images, as the Hub spells it; "unknown" if they show what users
            bring.
        missing: recipe -> why its stimuli cannot be painted here, or None if they can; `design`
            works all the same.
        shard_rows: recipe -> rows of a shard, or None for the usual number.
        label: the column that says what an image shows: the class to tell.
        space: recipe -> the factors that the set is a grid of, or None.
        stored: recipe -> the splits whose rows are on disk; the others are lists of their rows.
        members: (recipe, split) -> (n,) int64 rows of the first stored split, for one that is not
            stored itself; None if what lists them is not at hand.
        sections: recipe -> more of the card: text by heading.
        made_here: recipe -> whether this package drew the images, and read them from nowhere.
        tags: what the Hub should file the set under.
        measures: columns of numbers whose means should say nothing of the label, for the audit.
        costly: whether an image takes seconds, on all processors: images are kept one by one as
            they are made, and few are made anew to check a set.
        made_with: recipe -> what decides the pixels besides the recipe, in words, for the manifest;
            raises InputError if it is not at hand.
        maps: (recipe, split, table) -> more maps of the images by name, if there are any: "depth"
            (n, height, width) float32 along the camera's axis in dm, inf where nothing is near;
            "full_masks" (n, k, height, width) bool, each object as if alone.
        more_views: the images of a row after the first, which `paint` paints; none of costly ones.
    """

    name: str
    title: str
    summary: str
    source: str
    options: type[Options]
    columns: Callable[[Recipe], tuple[Column, ...]]
    group: int
    variants: Mapping[str, Options]
    name_of: Callable[[Recipe], str]
    image_shape: Callable[[Recipe], tuple[int, int, int]]
    splits: Callable[[Recipe], tuple[Split, ...]]
    design: Callable[[Recipe, str, int, int], Table]
    paint: _Paint
    instances: _Instances
    oracle: Callable[[Recipe, Mapping[str, Any]], int]
    contains: Callable[[Recipe, str, Mapping[str, Any]], bool]
    stimulus: Callable[[Recipe, Mapping[str, Any]], tuple[object, ...]]
    departures: tuple[str, ...]
    limits: tuple[str, ...] = ()
    license: Callable[[Recipe], str] = lambda recipe: "cc-by-4.0"
    missing: Callable[[Recipe], str | None] = lambda recipe: None
    shard_rows: Callable[[Recipe], int | None] = lambda recipe: None
    label: str = "label"
    space: Callable[[Recipe], FactorSpace | None] = lambda recipe: None
    stored: Callable[[Recipe], tuple[Split, ...]] | None = None
    members: Callable[[Recipe, str], NDArray[np.int64] | None] | None = None
    sections: Callable[[Recipe], Mapping[str, str]] = lambda recipe: {}
    made_here: Callable[[Recipe], bool] = lambda recipe: True
    tags: tuple[str, ...] = ("same-different", "relational-reasoning", "vision-transformers")
    measures: tuple[str, ...] = ()
    costly: bool = False
    made_with: Callable[[Recipe], Mapping[str, str]] = lambda recipe: {}
    maps: Callable[[Recipe, str, Table], Mapping[str, NDArray[Any]]] = lambda *which: {}
    more_views: tuple[View, ...] = ()

    @property
    def views(self) -> tuple[View, ...]:
        """The images of a row, in order; most tasks have one."""
        about = "the image that `label` is of" if self.more_views else ""
        first = View(name=IMAGE, about=about, paint=self.paint, instances=self.instances)
        return (first, *self.more_views)

    def view(self, name: str) -> View:
        """One of the images of a row by name.

        Raises:
            InputError: if a row has no such image.
        """
        for view in self.views:
            if view.name == name:
                return view
        known = ", ".join(view.name for view in self.views)
        raise InputError(f"unknown view {name!r}; the images of a row of {self.name!r}: {known}")

    def stored_splits(self, recipe: Recipe) -> tuple[Split, ...]:
        """The splits whose rows are on disk, in order."""
        return self.splits(recipe) if self.stored is None else self.stored(recipe)

    def label_column(self, recipe: Recipe) -> Column:
        """The declaration of the label."""
        return next(column for column in self.columns(recipe) if column.name == self.label)

    def render(
        self,
        recipe: Recipe,
        split: str,
        table: Table,
        out: NDArray[np.uint8] | None = None,
        view: str = IMAGE,
    ) -> NDArray[np.uint8]:
        """The images of a table's rows: (n, height, width, c) uint8, in `out` if it is given."""
        shape = (table.n_rows, *self.image_shape(recipe))
        images = np.empty(shape, dtype=np.uint8) if out is None else out
        paint = self.view(view).paint
        for image, painted in zip(images, paint(recipe, split, table), strict=True):
            image[:] = painted
        return images


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    """The names of all tasks: those of the modules in this folder, in order."""
    return tuple(sorted(info.name for info in pkgutil.iter_modules(__path__)))


_FOUND: dict[str, Task] = {}  # those that were asked for


def registry() -> dict[str, Task]:
    """Every task by name: the `TASK` constant of each module in this folder."""
    return {name: get(name) for name in _names()}


def get(name: str) -> Task:
    """The task of that name; others are not imported.

    Raises:
        InputError: if there is none; suggests the nearest name.
    """
    known = _names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"unknown task {name!r}; {hint}known: {', '.join(known)}")
    if name not in _FOUND:
        _FOUND[name] = importlib.import_module(f"{__name__}.{name}").TASK
    return _FOUND[name]


def make_recipe(task: str, seed: int, options: Options | None = None) -> Recipe:
    """A checked recipe.

    Args:
        task: a registered name.
        seed: integer in [0, 2**63).
        options: the task's options; the paper's own when None.

    Raises:
        InputError: unknown task, options of another task, or a dataset that cannot be made.
    """
    chosen = get(task)
    options = chosen.options() if options is None else options
    if type(options) is not chosen.options:
        wants = chosen.options.__name__
        raise InputError(f"task {task!r} takes {wants}, not {type(options).__name__}")
    recipe = Recipe(task=task, seed=seed, options=options)
    chosen.splits(recipe)
    return recipe


def recipe_from_dict(data: Mapping[str, Any]) -> Recipe:
    """A recipe back from `Recipe.as_dict`, checked like a new one.

    Raises:
        InputError: another format version, unknown fields, or illegal values.
    """
    if not isinstance(data, Mapping) or set(data) != {"format", "task", "seed", "options"}:
        raise InputError("recipe must have exactly the fields format, task, seed, options")
    if data["format"] != FORMAT_VERSION:
        raise InputError(
            f"recipe has format {data['format']!r}, this version makes format {FORMAT_VERSION}; "
            "install the samediff-stimuli release that wrote it"
        )
    cls = get(str(data["task"])).options
    names, given = cls.names(), data["options"]
    if not isinstance(given, Mapping) or set(given) != set(names):
        raise InputError(f"recipe options must be exactly {', '.join(sorted(names))}")
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}
    try:
        return make_recipe(str(data["task"]), data["seed"], cls(**values))
    except InputError:
        raise
    except Exception as error:  # options check values of their types; others raise what they raise
        raise InputError(f"recipe options are not what {data['task']!r} takes: {error}") from error


def at_hand(recipe: Recipe, places: Mapping[str, str]) -> Recipe:
    """The same recipe, told where what it is made from lies.

    Args:
        recipe: of a finished dataset.
        places: local option -> path or word, e.g. "objects", "archive", "device".

    Raises:
        InputError: if the recipe is not made from such, or other things lie there.
    """
    specs = dataclasses.fields(recipe.options)
    local = {spec.name for spec in specs if spec.metadata.get("local")}
    for name, place in places.items():
        if name not in local:
            raise InputError(f"{name} {place!r}: {recipe.task!r} is made from none; leave it out")
    options: Any = recipe.options
    found = dataclasses.replace(recipe, options=dataclasses.replace(options, **places))
    if found != recipe:
        given = ", ".join(f"{name} {place!r}" for name, place in places.items())
        raise InputError(f"{given}: this dataset was not made from it; leave it out")
    return found


def split_of(recipe: Recipe, name: str) -> Split:
    """One split of a recipe by name.

    Raises:
        InputError: if the recipe has no such split.
    """
    splits = get(recipe.task).splits(recipe)
    for split in splits:
        if split.name == name:
            return split
    known = ", ".join(split.name for split in splits)
    raise InputError(f"unknown split {name!r}; this dataset has: {known}")


def design(recipe: Recipe, split: str, rows: Sequence[int] | slice) -> Table:
    """The scenes of some rows of a split; see the task's columns.

    Args:
        recipe: what to make.
        split: split name.
        rows: row numbers in any order, at least one, or a slice, cut as a list would cut it.

    Raises:
        InputError: a row that the split does not have, or no rows.
    """
    task, n_rows = get(recipe.task), split_of(recipe, split).rows
    if isinstance(rows, slice):
        start, stop, step = rows.indices(n_rows)
        if step == 1 and start < stop:
            return task.design(recipe, split, start, stop)
        rows = range(start, stop, step)
    rows = [operator.index(row) for row in rows]  # arrays and tensors of integers, too
    if not rows:
        raise InputError(f"no rows asked for; {split} has rows 0 .. {n_rows - 1}")
    for row in rows:
        if not 0 <= row < n_rows:
            raise InputError(f"index {row} is out of range; {split} has rows 0 .. {n_rows - 1}")
    return concatenate([task.design(recipe, split, row, row + 1) for row in rows])


def render(
    recipe: Recipe, split: str, rows: Sequence[int] | slice, view: str = IMAGE
) -> NDArray[np.uint8]:
    """The images of some rows of a split, made without making any others.

    Args:
        recipe: what to make.
        split: split name.
        rows: as for `design`.
        view: which image of each row, where rows have several.

    Returns:
        (n, height, width, c) uint8 in [0, 255]; c is 3, or 1 for binary images.

    Raises:
        InputError: a row that the split does not have, or no such image.
    """
    return get(recipe.task).render(recipe, split, design(recipe, split, rows), view=view)
