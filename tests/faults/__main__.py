"""Faults, counted: python -m tests.faults --kills 100 --corruptions 1000 --fuzz 10000."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click


@click.command()
@click.option("--kills", "n_kills", type=click.IntRange(0), default=0, help="How many kills.")
@click.option("--every", is_flag=True, help="Kill at every operation of --scenario.")
@click.option("--scenario", "names", multiple=True, help="Only this one; give it again for more.")
@click.option("--corruptions", "n_corruptions", type=click.IntRange(0), default=0, help="Bytes.")
@click.option("--fuzz", "n_inputs", type=click.IntRange(0), default=0, help="Inputs.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Chooses moments and places.")
def main(
    n_kills: int,
    every: bool,
    names: tuple[str, ...],
    n_corruptions: int,
    n_inputs: int,
    seed: int,
) -> None:
    """Do harm, and say what came of it; exit code 1 if any of it was not borne."""
    with tempfile.TemporaryDirectory() as place:
        count = None if every else n_kills
        wrong = _kills(count, names, seed, Path(place)) if every or n_kills else 0
    with tempfile.TemporaryDirectory() as place:
        wrong += _corruptions(n_corruptions, seed, Path(place)) if n_corruptions else 0
    with tempfile.TemporaryDirectory() as place:
        if n_inputs:
            _fuzz(n_inputs, seed, Path(place))
    sys.exit(wrong > 0)


def _kills(count: int | None, names: tuple[str, ...], seed: int, place: Path) -> int:
    """Kill that many commands, or each at every operation."""
    from tests.faults import kills

    wrong = done = 0
    chosen = names or tuple(kills.SCENARIOS)
    if count is None:
        found_of = kills.every_kill(seed, place, chosen)
    else:
        found_of = kills.kills(count, seed, place, chosen)
    for name, of, at, torn, found in found_of:
        done, wrong = done + 1, wrong + bool(found)
        how = ", torn" if torn else ""
        print(f"{name}: killed at {at} of {of}{how}: {'; '.join(found) or 'fine'}", flush=True)
    print(f"{done} kills, {wrong} with a wrong end")
    return wrong


def _corruptions(count: int, seed: int, place: Path) -> int:
    from tests.faults.corruptions import corruptions

    wrong = 0
    for path, at, found in corruptions(count, seed, place):
        if found:
            print(f"{path}, byte {at}: {'; '.join(found)}", flush=True)
        wrong += bool(found)
    print(f"{count} bytes changed, {count - wrong} detected, {wrong} not or with a traceback")
    return wrong


def _fuzz(count: int, seed: int, place: Path) -> None:
    from tests.faults.fuzz import fuzz

    total = 0
    for name, taken in fuzz(count, seed, place):
        total += taken
        print(f"{name}: {taken} inputs, no traceback", flush=True)
    print(f"{total} inputs, no traceback")


if __name__ == "__main__":
    main()
