"""Relational match-to-sample: do the display pair and the sample pair show the same relation?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from samediff_stimuli import aligned, aligned_options, objects, painting, rng
from samediff_stimuli.aligned import Ints
from samediff_stimuli.grid import Grid
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.table import Column, Table, typed
from samediff_stimuli.tasks import Split, Task

GROUP = 4  # display same or different x sample same or different, of one display and one sample
ROLES = ("display", "sample")
CASES = ("same_same", "same_different", "different_same", "different_different")
_MAX_TRIES = 1024

ROLE = Column(name="role", dtype="uint8", shape=(4,), names=ROLES, about="role of each object")

COLUMNS = (
    aligned_options.INDEX,
    aligned_options.LABEL,
    Column(
        name="case",
        dtype="uint8",
        names=CASES,
        about="relation of the display pair, then of the sample pair",
    ),
    Column(
        name="relation",
        dtype="uint8",
        shape=(2,),
        names=objects.RELATIONS,
        about="how the two objects of the display pair relate, and of the sample pair",
    ),
    aligned_options.PAIR_ID,
    ROLE,
    *aligned_options.object_columns(4),
)


def grid_of(recipe: Recipe) -> Grid:
    """The patch grid, with the display pair's patches reserved."""
    return aligned.grid_of(recipe, reserved=True)


def splits(recipe: Recipe) -> tuple[Split, ...]:
    """The splits; see `aligned.splits`."""
    return aligned.splits(recipe, grid_of(recipe), GROUP)


def display_kind_of(group: Ints) -> Ints:
    """How each group's different display pair differs: a Latin square against the sample's."""
    kinds: Ints = np.asarray(objects.KINDS)[(group + group // 3) % 3]
    return kinds


@lru_cache(maxsize=256)
def _display_round(recipe: Recipe, split: str, number: int) -> Ints:
    """(n, 2) object indices: the display pairs of one round of n groups.

    A display pair shares no object with its group's sample pair, so that no object common to both
    tells anything. Where one would, it changes places with the display pair of another row of the
    same half of the round and the same kind, which keeps the round's balance.
    """
    pool = aligned.pool_of(recipe, split, GROUP)
    n = len(pool.objects)
    groups = np.arange(number * n, (number + 1) * n)
    bounds = int(groups[0]), int(groups[-1]) + 1
    key = recipe.key(split, "pairs")
    sample = aligned.pairs_of(pool, key, aligned.kind_of(groups), *bounds)
    for attempt in range(_MAX_TRIES):
        key = rng.stream_key(recipe.key(split, "display"), attempt)
        display = aligned.pairs_of(pool, key, display_kind_of(groups), *bounds).copy()
        if _part(display, sample, display_kind_of(groups)):
            return display
    raise RuntimeError(f"no display pairs for round {number} of {split} in {_MAX_TRIES} tries")


def _part(display: Ints, sample: Ints, kind: Ints) -> bool:
    """Swap rows of display, within halves and kinds, until none shares an object with its sample.

    Returns:
        Whether that was possible.
    """
    half = len(kind) // 2
    for row in range(len(kind)):
        if not set(display[row]) & set(sample[row]):
            continue
        first = row // half * half
        for other in range(first, first + half):
            if kind[other] != kind[row]:
                continue
            shared = set(display[other]) & set(sample[row]) or set(display[row]) & set(
                sample[other]
            )
            if not shared:
                display[[row, other]] = display[[other, row]]
                break
        else:
            return False
    return True


def _displays(recipe: Recipe, split: str, start: int, stop: int) -> Ints:
    """(stop - start, 2) object indices of the display pairs of groups [start, stop)."""
    n = len(aligned.objects_of(recipe, split))
    first = start // n
    rounds = [_display_round(recipe, split, r) for r in range(first, -(-stop // n))]
    return np.concatenate(rounds)[start - first * n : stop - first * n]


def design(recipe: Recipe, split: str, start: int, stop: int) -> Table:
    """Rows [start, stop): groups of four stimuli, the order inside each group random.

    The four stimuli of a group cross one display (same or different) with one sample (same or
    different), at the same positions and offsets, so no pair alone predicts the label.
    """
    index = np.arange(start, stop)
    first, last = start // GROUP, -(-stop // GROUP)
    made = aligned.groups(recipe, grid_of(recipe), split, GROUP, first, last)
    row = index // GROUP - first
    number = made.number[row]
    key = recipe.key(split, "order")
    shuffled = rng.order(rng.mix(key, made.number[:, None], np.arange(GROUP)))
    case = shuffled[row, index % GROUP]
    different = np.stack([case // 2, case % 2], axis=1).astype(bool)
    pairs = np.stack([_displays(recipe, split, first, last)[row], made.pairs[row]], axis=1)
    pairs = np.where(different[:, :, None], pairs, pairs[:, :, :1])
    kinds = np.stack([display_kind_of(number), aligned.kind_of(number)], axis=1)
    patch, jitter = _places(recipe, split, made)
    swap = (rng.mix(key, number[:, None], np.array([4, 5])) >> np.uint64(63)).astype(bool)
    # Swapping names the objects of a pair anew; display objects move with their names.
    pairs = np.where(swap[:, :, None], pairs[:, :, ::-1], pairs)
    patch, jitter = patch[row], jitter[row]
    sample = swap[:, 1, None]
    patch[:, 2:] = np.where(sample, patch[:, :1:-1], patch[:, 2:])
    jitter[:, 2:] = np.where(sample[:, :, None], jitter[:, :1:-1], jitter[:, 2:])
    shapes, colors = aligned.objects_of(recipe, split).arrays()
    table = {
        "index": index,
        "label": different[:, 0] == different[:, 1],
        "case": case,
        "relation": np.where(different, kinds, objects.SAME),
        "pair_id": number,
        "role": np.broadcast_to([0, 0, 1, 1], (len(index), 4)),
        "shape": shapes[pairs.reshape(-1, 4)],
        "color": colors[pairs.reshape(-1, 4)],
        **aligned.scene_columns(recipe, grid_of(recipe), patch, jitter),
    }
    return typed(table, COLUMNS)


def _places(recipe: Recipe, split: str, made: aligned.Groups) -> tuple[Ints, Ints]:
    """Patches (g, 4) and offsets (g, 4, 2) of a group's display and sample objects."""
    key = recipe.key(split, "display_jitter")
    base = aligned_options.options_of(recipe).room + 1
    words = rng.mix(key, made.number[:, None], np.arange(4))
    jitter = rng.below(words, base).reshape(-1, 2, 2)
    display = np.broadcast_to(grid_of(recipe).display(), made.patch.shape)
    return (
        np.concatenate([display, made.patch], axis=1),
        np.concatenate([jitter, made.jitter], axis=1),
    )


def oracle(recipe: Recipe, row: Mapping[str, Any]) -> int:
    """1 if the display objects are the same exactly when the sample objects are."""
    things = list(zip(row["shape"], row["color"], strict=True))
    return int((things[0] == things[1]) == (things[2] == things[3]))


def contains(recipe: Recipe, split: str, row: Mapping[str, Any]) -> bool:
    """The shared predicate, and: the display pair stands side by side at the top left."""
    display = row["patch"][:2] == grid_of(recipe).display().tolist()
    return display and row["role"] == [0, 0, 1, 1] and aligned.admits(recipe, split, row)


TASK = Task(
    name="rmts",
    title="Relational match-to-sample",
    summary="A display pair and a sample pair of objects: the same relation in both, or not?",
    source="lepori2024",
    options=aligned_options.AlignedOptions,
    columns=lambda recipe: COLUMNS,
    group=GROUP,
    variants=aligned_options.VARIANTS,
    name_of=aligned_options.name_of,
    image_shape=aligned_options.image_shape,
    splits=splits,
    design=design,
    paint=painting.paint,
    instances=painting.instances,
    oracle=oracle,
    contains=contains,
    stimulus=aligned.stimulus,
    departures=aligned_options.DEPARTURES,
    limits=aligned_options.LIMITS,
)
