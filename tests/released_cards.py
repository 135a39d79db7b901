"""Card and Croissant of every released set, made anew: python -m tests.released_cards.

Both follow from manifest and validation, which cards/releases holds; the manifest then lists what
was written. Digests of the content do not change. Before a release, and after each change of what
cards say.
"""

import dataclasses
import sys
from pathlib import Path

from samediff_stimuli import engine, manifest
from samediff_stimuli.cards import croissant, folder, validated
from samediff_stimuli.cards.card import card

KEPT = Path(__file__).resolve().parents[1] / "cards" / "releases"


def texts(place):
    """File name -> text of what is made from the manifest and the report of a released set."""
    made = manifest.load(place)
    report = validated.read(place, made.digest())
    return {folder.CARD: card(made, None, report), croissant.NAME: croissant.croissant(made)}


def write(place):
    """Write them, and list them in the manifest as they are now."""
    made, new = manifest.load(place), texts(place)
    for name, text in new.items():
        manifest.write_atomically(place / name, text)
    records = {record.path: record for record in made.extras}
    records |= {name: engine.record_of(place, place / name) for name in new}
    manifest.write(place, dataclasses.replace(made, extras=tuple(records.values())))


def main():
    """Make all of them anew, and say so."""
    for place in sorted(path.parent for path in KEPT.glob("*/manifest.json")):
        write(place)
        print(place.name)


if __name__ == "__main__":
    sys.exit(main())
