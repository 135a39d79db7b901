"""Faults, counted: python -m tests.faults --kills 100 --corruptions 1000 --fuzz 10000."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click


@click.command()
@click.option("--kills", "n_kills", type=click.IntRange(0), default=0, help="How many kills.")
@click.option("--scenario", "names", multiple=True, help="Only this one; give it again for more.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Chooses moments and places.")
def main(n_kills: int, names: tuple[str, ...], seed: int) -> None:
    """Do harm, and say what came of it; exit code 1 if any of it was not borne."""
    from tests.faults import kills

    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        chosen = names or tuple(kills.SCENARIOS)
        done = 0
        for name, of, at, torn, found in kills.kills(n_kills, seed, Path(place), chosen):
            done, wrong = done + 1, wrong + bool(found)
            how = ", torn" if torn else ""
            print(f"{name}: killed at {at} of {of}{how}: {'; '.join(found) or 'fine'}", flush=True)
        if n_kills:
            print(f"{done} kills, {wrong} with a wrong end")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
