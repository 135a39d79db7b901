"""Which objects make a pair, and which scene each row of the set is.

The paper's set (Lepori et al. 2024): n objects make n same pairs and n different pairs, every
object in two different pairs; each pair in 8 configurations, each from 4 cameras. With 16 objects
that is 1,024 pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from samediff_stimuli import rng
from samediff_stimuli.recipe import FORMAT_VERSION, InputError

VIEWS = 4
GROUP = 2  # rows of a matched group: a same and a different one
FEWEST = 3  # objects that make a cycle of different pairs


class Row(NamedTuple):
    """Which scene a row of the set is.

    Attributes:
        pair: number in `pairs`, odd for a different pair.
        configuration: of places, light and room.
        view: camera.
        turned: whether the second object is turned once more.
    """

    pair: int
    configuration: int
    view: int
    turned: bool = False


def pairs(seed: int, names: Sequence[str]) -> list[tuple[str, str]]:
    """The set's pairs: (o_0, o_0), (o_0, o_1), (o_1, o_1), (o_1, o_2), ... (o_n-1, o_0).

    Args:
        seed: decides the order o of the objects.
        names: of n objects, each once, n >= 3; their order matters.

    Returns:
        2 n pairs; 2 i and 2 i + 1 make matched group i. Every object is in two different pairs,
        once first and once second.

    Raises:
        InputError: if there are fewer than 3 objects, or one twice.
    """
    if len(names) < FEWEST or len(set(names)) < len(names):
        raise InputError(
            f"{len(names)} objects, {len(set(names))} of them different, make no cycle of pairs; "
            f"give {FEWEST} or more, each once"
        )
    words = rng.blocks(rng.stream_key(FORMAT_VERSION, "photoreal", seed, "cycle"), 0, len(names))
    cycle = [names[i] for i in rng.order(words[:, 0])]
    after = [*cycle[1:], cycle[0]]
    return [pair for a, b in zip(cycle, after, strict=True) for pair in ((a, a), (a, b))]


def divided(seed: int, names: Sequence[str], held_out: int) -> tuple[list[str], list[str]]:
    """The objects that may be trained on, and those held out, each in their order.

    Args:
        seed: decides which.
        names: of all objects; their order matters.
        held_out: how many are held out: of two sets of one seed, the smaller number's are among
            the larger's.
    """
    key = rng.stream_key(FORMAT_VERSION, "photoreal", seed, "held out")
    out = {names[i] for i in rng.order(rng.blocks(key, 0, len(names))[:, 0])[:held_out]}
    return [name for name in names if name not in out], [name for name in names if name in out]


def rows_of(objects: int, configurations: int, turned: bool) -> int:
    """How many rows a split has."""
    return configurations * objects * VIEWS * GROUP * (2 if turned else 1)


def config_of(index: int, objects: int = 16, turned: bool = False) -> Row:
    """Which scene row `index` is: by configuration, group, view, and same before different.

    Rows 2 j and 2 j + 1 are matched: they differ in the second object's model alone. In a set with
    turned twins, rows 4 j + 2 and 4 j + 3 are rows 4 j and 4 j + 1 with the second object turned.

    Args:
        index: >= 0.
        objects: how many the set has.
        turned: whether the set has turned twins.
    """
    rest, member = divmod(index, GROUP)
    rest, twin = divmod(rest, 2) if turned else (rest, 0)
    rest, view = divmod(rest, VIEWS)
    configuration, group = divmod(rest, objects)
    return Row(GROUP * group + member, configuration, view, bool(twin))
