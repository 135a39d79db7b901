"""Which stimuli people see, and in which order: balanced, and the same for the same seed.

Matched groups stay whole, and each of their stimuli goes to a block of its own: within a block
nobody sees two stimuli of a group, and the blocks are balanced as the groups are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from samediff_stimuli import rng

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Group:
    """A matched group of stimuli, or a stimulus that has none.

    Attributes:
        split: its split.
        rows: of its stimuli in the split, answers in turn; see `alternated`.
        kind: what groups are balanced over.
    """

    split: str
    rows: tuple[int, ...]
    kind: tuple[Hashable, ...]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A stimulus in one participant's list.

    Attributes:
        block: from 1.
        number: in the list, from 1.
        split: of the stimulus.
        row: of the stimulus in its split.
    """

    block: int
    number: int
    split: str
    row: int


def alternated(rows: Sequence[int], answers: Sequence[Hashable]) -> tuple[int, ...]:
    """Rows in an order in which answers take turns: any run of it is about balanced."""
    seen: Counter[Hashable] = Counter()
    turns: list[tuple[int, int, int]] = []
    for row, answer in zip(rows, answers, strict=True):
        turns.append((seen[answer], len(turns), row))
        seen[answer] += 1
    return tuple(row for _, _, row in sorted(turns))


def choose(groups: Sequence[Group], count: int, name: Sequence[str | int]) -> list[Group]:
    """Some groups, by kind; as many of each kind as can be, drawn at random.

    Args:
        groups: all there are.
        count: how many, at most all.
        name: of the stream of random bits.
    """
    kinds: dict[tuple[Hashable, ...], list[Group]] = {}
    for group in groups:
        kinds.setdefault(group.kind, []).append(group)
    drawn = {kind: _shuffled(own, [*name, repr(kind)]) for kind, own in kinds.items()}
    turns = max(map(len, drawn.values()))
    taken = [own[turn] for turn in range(turns) for own in drawn.values() if turn < len(own)]
    kept = set(taken[:count])
    return [group for own in drawn.values() for group in own if group in kept]


def trials(groups: Sequence[Group], participant: int, name: Sequence[str | int]) -> list[Trial]:
    """One participant's trials.

    Args:
        groups: from `choose`, of one size.
        participant: from 1; the next but one meets the stimuli of a group in other blocks, so that
            this is not bound to keys that every second one has exchanged.
        name: of the stream of random bits.
    """
    found: list[Trial] = []
    size, turn = len(groups[0].rows), (participant - 1) // 2
    for block in range(size):
        shown = [
            (group.split, group.rows[(place + block + turn) % size])
            for place, group in enumerate(groups)
        ]
        for split, row in _shuffled(shown, [*name, participant, block]):
            trial = Trial(block=block + 1, number=len(found) + 1, split=split, row=row)
            found.append(trial)
    return found


def by_split(groups: Sequence[Group]) -> Mapping[str, list[int]]:
    """The rows of all groups, ascending, by split."""
    rows: dict[str, list[int]] = {}
    for group in groups:
        rows.setdefault(group.split, []).extend(group.rows)
    return {split: sorted(own) for split, own in rows.items()}


def _shuffled(items: Sequence[T], name: Sequence[str | int]) -> list[T]:
    """Items in a random order, the same for the same name."""
    words = rng.blocks(rng.stream_key(*name), 0, -(-len(items) // rng.WORDS_PER_BLOCK))
    order = rng.order(words.reshape(-1)[: len(items)])
    return [items[place] for place in order.tolist()]
