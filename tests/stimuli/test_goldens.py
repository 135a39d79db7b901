"""The bytes of every task never change: a golden digest of rows of each split of each variant.

A change of bytes is a new format version and a changelog entry under "Data". After one, remake the
goldens with `python -m tests.stimuli.test_goldens`. Photoreal's pixels are those of a stand-in;
those of Blender have goldens in `cards/releases`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from xxhash import xxh3_64_hexdigest

from samediff_stimuli import tasks
from samediff_stimuli.recipe import FORMAT_VERSION
from tests import stand_in
from tests.cases import CASES as PAIR_CASES
from tests.cases import FACTOR_CASES, FACTOR_SETS, recipe_of

FILE = Path(__file__).with_name("goldens.json")
CASES = PAIR_CASES + FACTOR_CASES
ROWS = 12  # rows at each of three places: the start, across a shard's end, the end
FACTOR_ROWS = 4  # likewise, of a grid of factors, which has many splits


def digests(name, variant):
    """Split -> row number -> digest of the row's columns and pixels."""
    task = tasks.get(name)
    recipe = recipe_of(name, variant)
    found = {}
    for split in task.splits(recipe):
        found[split.name] = {}
        rows = FACTOR_ROWS if name in FACTOR_SETS else ROWS
        for start in sorted({0, min(1594, split.rows - rows), split.rows - rows}):
            table = task.design(recipe, split.name, start, start + rows)
            views = [view.name for view in task.views]
            images = [task.render(recipe, split.name, table, view=view) for view in views]
            for row in range(rows):
                parts = [np.ascontiguousarray(values[row]) for values in table.values()]
                little = b"".join(p.astype(p.dtype.newbyteorder("<")).tobytes() for p in parts)
                digest = xxh3_64_hexdigest(little + b"".join(v[row].tobytes() for v in images))
                found[split.name][str(start + row)] = digest
    return found


@pytest.mark.parametrize(("name", "variant"), CASES, ids=map("-".join, CASES))
def test_goldens(name, variant):
    """Rows have the digests that they have always had; a failure names task, split and row."""
    kept = json.loads(FILE.read_text())
    assert kept["format"] == FORMAT_VERSION, "remake the goldens of a new format version"
    for split, rows in digests(name, variant).items():
        for row, digest in rows.items():
            golden = kept["goldens"][f"{name}-{variant}"][split][row]
            assert digest == golden, f"{name} {variant}: {split} row {row} changed its bytes"


def test_every_golden_is_checked():
    """No golden is left over from a task or variant that is gone."""
    kept = json.loads(FILE.read_text())["goldens"]
    assert set(kept) == {f"{name}-{variant}" for name, variant in CASES}


if __name__ == "__main__":
    stand_in.use(pytest.MonkeyPatch())
    made = {f"{name}-{variant}": digests(name, variant) for name, variant in CASES}
    FILE.write_text(json.dumps({"format": FORMAT_VERSION, "goldens": made}, indent=0) + "\n")
