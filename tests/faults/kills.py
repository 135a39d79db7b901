"""Kill -9 of whatever writes, at file operations that the seed chooses; then the same command.

After a kill nothing may look whole that is not; after the same command everything is as if nothing
had happened, to the byte, with nothing left over.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet  # noqa: F401 (here, so that no fork pays for the import)
import pytest
import rich.progress  # noqa: F401

from samediff_stimuli import InputError, rng
from samediff_stimuli.cards import dataset, importing_factors  # noqa: F401
from samediff_stimuli.cards.exports.folder import is_export
from samediff_stimuli.manifest import load
from samediff_stimuli.shards import DamagedError
from samediff_stimuli.verification import verify
from tests import stand_in
from tests.faults import crash

Contents = dict[str, str]

_TINY = "--image-size 64 --patch-size 16 --train 8 --validation 8 --test 8 --ood 0"
_SET = f"generate --task discrimination --seed 3 {_TINY} --workers 1"
_OTHER = f"generate --task rmts --seed 1 {_TINY} --workers 1"
_PHOTOS = "--image-size 32 --configurations 1 --held-out-objects 0 --workers 1"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A command that writes ROOT/out.

    Args:
        command: its words; ROOT stands for the folder.
        before: commands that make what is there before.
        change: what is done to that, given the folder.
    """

    command: str
    before: tuple[str, ...] = ()
    change: Callable[[Path], None] = lambda root: None


def _lose_a_shard(root: Path) -> None:
    next((root / "out" / "hdf5").rglob("test-*.h5")).unlink()


def _archive(root: Path) -> None:
    """An archive of 4 x 3 images of two factors, to import."""
    grid = np.stack(np.meshgrid(range(4), range(3), indexing="ij"), axis=-1).reshape(-1, 2)
    images = np.broadcast_to(grid[:, :1, None] * 60 + grid[:, 1:, None] * 5, (12, 16, 16))
    np.savez(root / "faces.npz", images=images.astype(np.uint8), labels=grid)


# Whatever writes a folder has its line here.
SCENARIOS = {
    "generate": Scenario(command=f"{_SET} --out ROOT/out"),
    "generate, two workers": Scenario(
        command=f"{_SET.replace('--workers 1', '--workers 2')} --out ROOT/out"
    ),
    "generate --overwrite": Scenario(
        command=f"{_SET} --out ROOT/out --overwrite", before=(f"{_OTHER} --out ROOT/out",)
    ),
    "generate, a shard lost": Scenario(
        command=f"{_SET} --out ROOT/out", before=(f"{_SET} --out ROOT/out",), change=_lose_a_shard
    ),
    "render": Scenario(command=f"generate --task photoreal --seed 0 {_PHOTOS} --out ROOT/out"),
    "import": Scenario(
        command="import ROOT/faces.npz --names age,smile --workers 1 --out ROOT/out",
        change=_archive,
    ),
    "export png": Scenario(
        command="export ROOT/set --format png --out ROOT/out", before=(f"{_SET} --out ROOT/set",)
    ),
    "export coco": Scenario(
        command="export ROOT/set --format coco --split test --out ROOT/out",
        before=(f"{_SET} --out ROOT/set",),
    ),
    "export --overwrite": Scenario(
        command="export ROOT/set --format png --out ROOT/out --overwrite",
        before=(
            f"{_SET} --out ROOT/set",
            "export ROOT/set --format png --split test --out ROOT/out",
        ),
    ),
}


Killed = tuple[str, int, int, bool, list[str]]


def kills(
    count: int, seed: int, place: Path, names: Sequence[str] = tuple(SCENARIOS)
) -> Iterator[Killed]:
    """Kill commands, and say of each what is wrong then.

    Args:
        count: how many commands; each is killed, and may be once more when it is run again.
        seed: chooses the moments.
        place: an empty folder.
        names: of the scenarios to go through in turn.

    Yields:
        Name of the scenario, number of its operations, the operation that it was killed at, whether
        a file was torn, and what is wrong, in lines.
    """
    with pytest.MonkeyPatch.context() as patch:
        stand_in.use(patch)
        cases = {name: _Case(SCENARIOS[name], place / str(i)) for i, name in enumerate(names)}
        for number in range(count):
            name = names[number % len(names)]
            case = cases[name]
            words = rng.mix(seed, number, np.arange(4))
            at, again = rng.below(words[:2], case.operations).tolist()
            torn = bool(words[2] & 1)
            yield name, case.operations, at, torn, case.killed(at, torn, again)


def every_kill(seed: int, place: Path, names: Sequence[str]) -> Iterator[Killed]:
    """Kill commands at each of their operations in turn; see `kills`."""
    with pytest.MonkeyPatch.context() as patch:
        stand_in.use(patch)
        for i, name in enumerate(names):
            case = _Case(SCENARIOS[name], place / str(i))
            for at in range(case.operations):
                words = rng.mix(seed, at, np.arange(2))
                again, torn = int(rng.below(words[:1], case.operations)[0]), bool(words[1] & 1)
                yield name, case.operations, at, torn, case.killed(at, torn, again)


class _Case:
    """A scenario that was run undisturbed, and is ready to be run again.

    Args:
        scenario: what is run.
        place: its folder, which is made.
    """

    def __init__(self, scenario: Scenario, place: Path) -> None:
        self._root, self._fresh = place / "root", place / "fresh"
        self._words = scenario.command.replace("ROOT", str(self._root)).split()
        self._root.mkdir(parents=True)
        for command in scenario.before:
            _must(crash.run(command.replace("ROOT", str(self._root)).split(), self._root))
        scenario.change(self._root)
        shutil.copytree(self._root, self._fresh)
        self._before = contents(self._root / "out")
        ended = _must(crash.run(self._words, self._root))
        self.operations, self._after = ended.operations, contents(self._root)
        self._whole = contents(self._root / "out")

    def killed(self, at: int, torn: bool, again: int) -> list[str]:
        """What is wrong after a kill, after one of the same command, and once that may end.

        Args:
            at: the operation before which the command is killed.
            torn: see `crash.run`.
            again: the operation before which it is killed when it is run again, if it comes to it.
        """
        shutil.rmtree(self._root)
        shutil.copytree(self._fresh, self._root)
        ended = crash.run(self._words, self._root, at, torn)
        if ended.code is not None:
            return [f"it ended with {ended.code} instead of being killed: {ended.said}"]
        found = list(self._looks_whole(self._root / "out"))
        crash.run(self._words, self._root, again)
        found += self._looks_whole(self._root / "out")
        stood = contents(self._root / "out") == self._whole
        ended = crash.run(self._words, self._root)
        left = contents(self._root)
        if ended.code == 2 and stood and "holds an export" in ended.said:
            # It was whole already, and the command does not replace what is there.
            left = {n: d for n, d in left.items() if not n.startswith(".out.")}
        elif ended.code != 0:
            found.append(f"the same command ended with {ended.code}: {ended.said}")
        for name in sorted(left.keys() | self._after.keys()):
            if left.get(name) != self._after.get(name):
                found.append(f"in the end {name} is not as in an undisturbed run")
        return found

    def _looks_whole(self, out: Path) -> Iterator[str]:
        """What looks whole and is not."""
        if is_export(out):
            if contents(out) not in (self._whole, self._before):
                yield "an export looks whole and is not"
            return
        try:
            load(out)
        except InputError:
            return  # unfinished, and it says so
        except DamagedError as error:
            yield f"the manifest is damaged: {error}"
            return
        there = {n: d for n, d in contents(out).items() if not _passing(n)}
        if there == self._before:
            return  # it was not begun
        if there != self._whole:
            yield "a dataset looks whole and is not"
        yield from verify(out).problems


def _passing(name: str) -> bool:
    """Whether a file is gone once a run has ended: notes, temporary files, a lock."""
    parts = Path(name).parts
    return bool({".partial", ".lock"} & set(parts)) or any(part.endswith(".tmp") for part in parts)


def _must(ended: crash.Ended) -> crash.Ended:
    if ended.code != 0:
        raise RuntimeError(ended.said)
    return ended


def contents(folder: Path) -> Contents:
    """Relative path -> SHA-256 of every file; of a folder without any, none."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
