"""A byte changed anywhere in a dataset folder: `verify` finds it, and no reader is thrown by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from samediff_stimuli import AlignedOptions, InputError, generate, make_recipe, rng, tasks
from samediff_stimuli.cards.importing_factors import import_factors
from samediff_stimuli.manifest import load
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.shards import DamagedError
from samediff_stimuli.verification import verify

BORNE = (DamagedError, InputError)
_SIZES = {"image_size": 32, "patch_size": 8, "validation": 0, "test": 4, "ood": 0}


def folders(place: Path) -> list[Path]:
    """Two small datasets: of pairs, and a grid of factors with lists of rows."""
    generate(make_recipe("rmts", 0, AlignedOptions(train=4, **_SIZES)), place / "pairs", workers=1)
    grid = np.stack(np.meshgrid(range(4), range(3), indexing="ij"), axis=-1).reshape(-1, 2)
    images = np.broadcast_to(grid[:, :1, None] * 60 + grid[:, 1:, None] * 5, (12, 16, 16))
    np.savez(place / "faces.npz", images=images.astype(np.uint8), labels=grid)
    names = ["age", "smile"]
    import_factors(place / "faces.npz", place / "grid", names=names, workers=1)
    return [place / "pairs", place / "grid"]


def corruptions(count: int, seed: int, place: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Change one byte after another, each alone.

    Args:
        count: how many.
        seed: chooses files, places and bytes; every file has its turn.
        place: an empty folder.

    Yields:
        The file, the place of the byte, and what is wrong: it was not found, or a reader was
        thrown.
    """
    files = [path for folder in folders(place) for path in sorted(folder.rglob("*"))]
    files = [path for path in files if path.is_file()]
    for number in range(count):
        path = files[number % len(files)]
        whole = path.read_bytes()
        words = rng.mix(seed, number, np.arange(2))
        at = int(rng.below(words[:1], len(whole))[0])
        changed = bytearray(whole)
        changed[at] ^= 1 + int(rng.below(words[1:], 255)[0])
        path.write_bytes(changed)
        folder = next(above for above in path.parents if above.parent == place)
        yield path.relative_to(place).as_posix(), at, [*_missed(folder), *_thrown(folder)]
        path.write_bytes(whole)


def _missed(folder: Path) -> Iterator[str]:
    """Whether verify says that nothing is wrong, or is thrown itself."""
    try:
        if not verify(folder).problems:
            yield "not found"
    except BORNE:
        pass
    except Exception as error:
        yield f"verify was thrown: {error!r}"


def _thrown(folder: Path) -> Iterator[str]:
    """What readers raise that is none of ours."""
    try:
        read_all(folder)
    except BORNE:
        pass
    except Exception as error:
        yield f"a reader was thrown: {error!r}"


def read_all(folder: Path) -> None:
    """Read every image and column of a dataset."""
    made = load(folder)
    for split in tasks.get(made.recipe.task).splits(made.recipe):
        reader = SplitReader(folder, made, split.name)
        rows = reader.table.n_rows
        for first in range(0, rows, 16):
            reader.images(range(first, min(first + 16, rows)))
