"""What every task promises, checked for every registered task, variant and split at full size."""

import dataclasses
from functools import lru_cache
from itertools import product

import numpy as np
import pytest

from samediff_stimuli import tasks
from samediff_stimuli.tokens import patch_coverage
from tests.cases import CASES, recipe_of

SAMPLE = 160  # rows for checks that loop in Python or need pixels


@lru_cache(maxsize=1)
def everything(name, variant):
    """The recipe and every split's whole table."""
    task = tasks.get(name)
    recipe = recipe_of(name, variant)
    return recipe, {s.name: task.design(recipe, s.name, 0, s.rows) for s in task.splits(recipe)}


@pytest.fixture(params=CASES, ids="-".join, scope="module")
def case(request):
    """(task, recipe, tables by split)."""
    name, variant = request.param
    return tasks.get(name), *everything(name, variant)


def test_columns_are_as_declared(case):
    """Tables hold the declared columns with their dtypes and shapes; class indices are legal."""
    task, recipe, tables = case
    columns = task.columns(recipe)
    for table in tables.values():
        assert list(table) == [column.name for column in columns]
        assert np.array_equal(table["index"], np.arange(table.n_rows))
        for column in columns:
            values = table[column.name]
            assert values.dtype == column.dtype
            assert values.shape == (table.n_rows, *column.shape)
            if column.names:
                assert values.max() < len(column.names)


def test_label_is_the_oracles(case):
    """The label of every row of every split is what the scene alone says."""
    task, recipe, tables = case
    for split, table in tables.items():
        labels = [task.oracle(recipe, table.row(i)) for i in range(table.n_rows)]
        assert np.array_equal(labels, table["label"]), split


def test_labels_are_balanced_exactly(case):
    """Each label occurs equally often in every split."""
    task, recipe, tables = case
    names = next(column for column in task.columns(recipe) if column.name == "label").names
    for split, table in tables.items():
        assert len(set(np.bincount(table["label"], minlength=len(names)))) == 1, split


def test_no_stimulus_occurs_twice(case):
    """Within and across splits, no scene comes back (objects and patches, jitter apart)."""
    task, recipe, tables = case
    seen = set()
    for table in tables.values():
        seen.update(task.stimulus(recipe, table.row(i)) for i in range(table.n_rows))
    assert len(seen) == sum(table.n_rows for table in tables.values())


def test_splits_hold_what_their_predicates_admit(case):
    """Rows satisfy their split's predicate; rows of held-out splits fail train's."""
    task, recipe, tables = case
    for split in task.splits(recipe):
        table = tables[split.name]
        for i in range(0, table.n_rows, max(1, table.n_rows // SAMPLE)):
            row = table.row(i)
            assert task.contains(recipe, split.name, row), (split.name, i)
            if split.held_out:
                assert not task.contains(recipe, "train", row), (split.name, i)


def test_matched_groups_share_positions(case):
    """The rows of a matched group show their objects in the same places, and balance the label."""
    task, recipe, tables = case
    labels = next(column for column in task.columns(recipe) if column.name == "label").names
    for split, table in tables.items():
        places = table["box"].astype(np.int64) @ [1, 1 << 16, 1 << 32, 0]
        if "changed_box" in table:  # the edited object is moved in one row: the others are in none
            others = np.arange(places.shape[1]) != table["edited"][:, None]
            places = places[others].reshape(table.n_rows, -1)
        places = np.sort(places, axis=1)
        if "position" in table:  # objects of many sizes stand in the same places of a room
            places = table["position"].reshape(table.n_rows, -1)
        groups = places.reshape(-1, task.group, places.shape[1])
        assert (groups == groups[:, :1]).all(), split
        assert len(np.unique(table["pair_id"])) == len(groups)
        assert (table["pair_id"].reshape(-1, task.group).std(axis=1) == 0).all()
        found = np.sort(table["label"].reshape(-1, task.group), axis=1)
        assert (found == np.repeat(range(len(labels)), task.group // len(labels))).all()


def test_any_run_of_rows_is_designed_alone(case):
    """A row, or a run from any start, is the same as in the whole split."""
    task, recipe, tables = case
    for split, table in tables.items():
        n = table.n_rows
        for start, stop in [(0, 1), (777 % n, 777 % n + 1), (1599 % n, 1599 % n + 2), (n - 3, n)]:
            stop = min(stop, n)
            part = task.design(recipe, split, start, stop)
            for name in table:
                assert np.array_equal(part[name], table[name][start:stop]), (split, name, start)


def test_one_row_renders_as_in_any_batch(case):
    """The bytes of a row do not depend on what is rendered with it."""
    task, recipe, tables = case
    for (split, table), view in product(tables.items(), [view.name for view in task.views]):
        first = min(100, table.n_rows - 40)
        batch = task.render(recipe, split, table.rows(slice(first, first + 70)), view=view)
        for row in (0, 31, 32, len(batch) - 1):
            alone = task.render(recipe, split, table.rows([first + row]), view=view)
            assert np.array_equal(alone[0], batch[row]), (split, row)
        mixed = np.array([39, 1, 2, len(batch) - 1, 0])
        shuffled = task.render(recipe, split, table.rows(first + mixed), view=view)
        assert np.array_equal(shuffled, batch[mixed])


def some(table, tables):
    """The first rows of a split: fewer of them when there are many splits."""
    return table.rows(slice(0, SAMPLE * 4 // max(4, len(tables))))


def test_instance_maps_tell_object_from_ground(case):
    """Ground is pure white and only ground is; every object covers pixels, all in its square."""
    task, recipe, tables = case
    for (split, table), view in product(tables.items(), task.views):
        rows = some(table, tables)
        images = task.render(recipe, split, rows, view=view.name)
        maps, part = view.instances(recipe, split, rows), view.scene(rows)
        assert images.shape[1:] == task.image_shape(recipe)
        assert (images[maps == 0] == 255).all()
        assert (images[maps > 0] < 255).any(axis=-1).all()
        for picture, boxes in zip(maps, part["box"], strict=True):
            for number, (x0, y0, x1, y1) in enumerate(boxes, 1):
                ys, xs = np.nonzero(picture == number)
                assert len(xs) > 20
                assert x0 <= xs.min() <= xs.max() < x1
                assert y0 <= ys.min() <= ys.max() < y1


def test_aligned_objects_have_their_own_patches(case):
    """Where objects stand on patches, no patch is touched by two, and none spills over."""
    task, recipe, tables = case
    options = recipe.options
    if getattr(options, "placement", "patch") != "patch" or options.patch_size is None:
        return  # objects stand anywhere: the promise is not made
    size, side = options.patch_size, options.image_size // options.patch_size
    for (split, table), view in product(tables.items(), task.views):
        rows = some(table, tables)
        part = view.scene(rows)
        k = part["box"].shape[1]
        touched = patch_coverage(view.instances(recipe, split, rows), size, k) > 0
        assert (touched.sum(axis=1) <= 1).all()
        down, cols = np.divmod(np.arange(side * side), side)
        x0, y0, x1, y1 = (part["box"][..., i, None].astype(int) for i in range(4))
        inside = (down >= y0 // size) & (down * size < y1)
        inside &= (cols >= x0 // size) & (cols * size < x1)
        assert not (touched & ~inside).any()


def test_seeds_give_different_data(case):
    """Another seed gives other scenes; seed 0 is a seed."""
    task, recipe, tables = case
    other = dataclasses.replace(recipe, seed=1)
    split, table = next(iter(tables.items()))
    again = task.design(other, split, 0, 64)
    assert (again["box"] != table["box"][:64]).any(axis=(1, 2)).mean() > 0.9
