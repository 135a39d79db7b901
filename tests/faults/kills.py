"""Kill -9 of whatever writes, at operations that the seed chooses; then the same command.

After a kill nothing may look whole that is not; after the same command everything is as if nothing
had happened, to the byte, with nothing left over.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet  # noqa: F401 (here, so that no fork pays for the import)
import pytest
import rich.progress  # noqa: F401
from huggingface_hub import HfApi  # noqa: F401

from samediff_stimuli import InputError, rng
from samediff_stimuli.cards import dataset, exports, importing_factors, publishing  # noqa: F401
from samediff_stimuli.cards.exports.folder import is_export
from samediff_stimuli.manifest import load
from samediff_stimuli.shards import DamagedError
from samediff_stimuli.verification import verify
from tests import hub, stand_in
from tests.faults import crash, sending

CACHE = "SAMEDIFF_STIMULI_CACHE"
Contents = dict[str, str]

_TINY = "--image-size 64 --patch-size 16 --train 8 --validation 8 --test 8 --ood 0"
_SET = f"generate --task discrimination --seed 3 {_TINY} --workers 1"
_OTHER = f"generate --task rmts --seed 1 {_TINY} --workers 1"
_PHOTOS = "--image-size 32 --configurations 1 --held-out-objects 0 --workers 1"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A command that writes ROOT/out, or to a Hub.

    Args:
        command: its words; ROOT stands for the folder.
        first: what is put into the folder first, given it.
        before: commands that make what is there before.
        change: what is done to that, given the folder.
        sends: it writes to a Hub, and its operations are requests to it, not those on files.
    """

    command: str
    first: Callable[[Path], None] = lambda root: None
    before: tuple[str, ...] = ()
    change: Callable[[Path], None] = lambda root: None
    sends: bool = False


def _lose_a_shard(root: Path) -> None:
    next((root / "out" / "hdf5").rglob("test-*.h5")).unlink()


def _archive(root: Path) -> None:
    """An archive of 4 x 3 images of two factors, to import."""
    grid = np.stack(np.meshgrid(range(4), range(3), indexing="ij"), axis=-1).reshape(-1, 2)
    images = np.broadcast_to(grid[:, :1, None] * 60 + grid[:, 1:, None] * 5, (12, 16, 16))
    np.savez(root / "faces.npz", images=images.astype(np.uint8), labels=grid)


def _export(format: str, words: str = "") -> Scenario:
    """The export of a small set in one format."""
    command = f"export ROOT/set --format {format} --out ROOT/out {words}"
    return Scenario(command=command, before=(f"{_SET} --out ROOT/set",))


def _export_grid() -> Scenario:
    """The export of a small grid of factors in the format that is for these."""
    return Scenario(
        command="export ROOT/set --format benchmark-npz --out ROOT/out",
        first=_archive,
        before=("import ROOT/faces.npz --names age,smile --workers 1 --out ROOT/set",),
    )


# Whatever writes a folder, or to a Hub, has its line here.
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
        first=_archive,
    ),
    "export png": _export("png"),
    "export coco": _export("coco", "--split test"),
    "export parquet": _export("parquet"),
    "export webdataset": _export("webdataset"),
    "export numpy": _export("numpy"),
    "export trials": _export("trials", "--trials 8 --participants 2"),
    "export benchmark-npz": _export_grid(),
    "export --overwrite": Scenario(
        command="export ROOT/set --format png --out ROOT/out --overwrite",
        before=(
            f"{_SET} --out ROOT/set",
            "export ROOT/set --format png --split test --out ROOT/out",
        ),
    ),
    "generate to a URL": Scenario(command=f"{_SET} --out file://ROOT/out"),
    "generate to a URL --overwrite": Scenario(
        command=f"{_SET} --out file://ROOT/out --overwrite",
        before=(f"{_OTHER} --out file://ROOT/out",),
    ),
    "export to a URL": Scenario(
        command="export ROOT/set --format webdataset --out file://ROOT/out",
        before=(f"{_SET} --out ROOT/set",),
    ),
    "export to a URL --overwrite": Scenario(
        command="export ROOT/set --format webdataset --out file://ROOT/out --overwrite",
        before=(
            f"{_SET} --out ROOT/set",
            "export ROOT/set --format png --split test --out file://ROOT/out",
        ),
    ),
    "publish": Scenario(
        command="publish ROOT/set --repo-id org/set --revision v1.0",
        before=(f"{_SET} --out ROOT/set",),
        sends=True,
    ),
    "publish, another is there": Scenario(
        command="publish ROOT/set --repo-id org/set --revision v1.1",
        before=(
            f"{_OTHER} --out ROOT/other",
            "publish ROOT/other --repo-id org/set --revision v1.0",
            f"{_SET} --out ROOT/set",
        ),
        sends=True,
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
    with _served(place) as served:
        cases: dict[str, _Case] = {}
        for number in range(count):
            name = names[number % len(names)]
            if name not in cases:
                cases[name] = _Case(SCENARIOS[name], place / str(number), served)
            case = cases[name]
            words = rng.mix(seed, number, np.arange(4))
            at, again = rng.below(words[:2], case.operations).tolist()
            torn = bool(words[2] & 1)
            yield name, case.operations, at, torn, case.killed(at, torn, again)


def every_kill(seed: int, place: Path, names: Sequence[str]) -> Iterator[Killed]:
    """Kill commands at each of their operations in turn; see `kills`."""
    with _served(place) as served:
        for i, name in enumerate(names):
            case = _Case(SCENARIOS[name], place / str(i), served)
            for at in range(case.operations):
                words = rng.mix(seed, at, np.arange(2))
                again, torn = int(rng.below(words[:1], case.operations)[0]), bool(words[1] & 1)
                yield name, case.operations, at, torn, case.killed(at, torn, again)


@contextlib.contextmanager
def _served(place: Path) -> Iterator[hub.Hub]:
    """All that commands need from elsewhere: a stand-in for Blender, and a Hub, which is given."""
    for format in exports.MODULES:
        exports.get(format)  # here, so that no fork pays for the import
    with pytest.MonkeyPatch.context() as patch, hub.running() as served:
        stand_in.use(patch)
        hub.use(patch, served.url, place / "home")
        patch.setenv(CACHE, "")  # each case has its own; put back at the end
        yield served


class _Case:
    """A scenario that was run undisturbed, and is ready to be run again.

    Args:
        scenario: what is run.
        place: its folder, which is made.
        served: a Hub, which it has to itself while it runs.
    """

    def __init__(self, scenario: Scenario, place: Path, served: hub.Hub) -> None:
        self._root, self._fresh, self._hub = place / "root", place / "fresh", served
        self._sends = scenario.sends
        self._words = scenario.command.replace("ROOT", str(self._root)).split()
        self._root.mkdir(parents=True)
        served.repos, served.large = {}, {}
        scenario.first(self._root)
        os.environ[CACHE] = str(self._root / "cache")
        for command in scenario.before:
            _must(crash.run(command.replace("ROOT", str(self._root)).split(), self._root))
        scenario.change(self._root)
        shutil.copytree(self._root, self._fresh)
        self._repos, self._large = copy.deepcopy(served.repos), dict(served.large)
        self._before = contents(self._root / "out")
        self.operations = _must(self._run()).operations
        self._after, self._whole = self._state(), contents(self._root / "out")
        self._whole_repos = copy.deepcopy(served.repos)

    def killed(self, at: int, torn: bool, again: int) -> list[str]:
        """What is wrong after a kill, after one of the same command, and once that may end.

        Args:
            at: the operation before which the command is killed.
            torn: see `crash.run`.
            again: the operation before which it is killed when it is run again, if it comes to it.
        """
        self._restore()
        ended = self._run(at, torn)
        if ended.code is not None:
            return [f"it ended with {ended.code} instead of being killed: {ended.said}"]
        found = list(self._looks_whole())
        self._run(again)
        found += self._looks_whole()
        stood = contents(self._root / "out") == self._whole
        ended = self._run()
        left = self._state()
        if ended.code == 2 and stood and "holds an export" in ended.said:
            # It was whole already, and the command does not replace what is there.
            left = {n: d for n, d in left.items() if not n.startswith(".out.")}
        elif ended.code != 0:
            found.append(f"the same command ended with {ended.code}: {ended.said}")
        for name in sorted(left.keys() | self._after.keys()):
            if left.get(name) != self._after.get(name):
                found.append(f"in the end {name} is not as in an undisturbed run")
        return found

    def _restore(self) -> None:
        """Let all be as it was before the command was run."""
        shutil.rmtree(self._root)
        shutil.copytree(self._fresh, self._root)
        self._hub.repos, self._hub.large = copy.deepcopy(self._repos), dict(self._large)

    def _run(self, at: int | None = None, torn: bool = False) -> crash.Ended:
        """Run the command; see `crash.run`."""
        os.environ[CACHE] = str(self._root / "cache")  # that what is left there is seen, too
        if self._sends:
            return sending.run(self._words, self._root, self._hub, at, torn)
        return crash.run(self._words, self._root, at, torn)

    def _state(self) -> Contents:
        """All that is there."""
        return contents(self._root) | sending.contents(self._hub)

    def _looks_whole(self) -> Iterator[str]:
        """What looks whole and is not."""
        yield from self._repositories() if self._sends else self._folder(self._root / "out")

    def _repositories(self) -> Iterator[str]:
        """What a Hub shows that it should not: all repositories are as before, empty, or whole."""
        for repo_id, repo in self._hub.repos.items():
            whole = self._whole_repos[repo_id]
            before = self._repos.get(repo_id, hub.Repo(private=whole.private))
            for commit in repo.commits.keys() - before.commits.keys() - whole.commits.keys():
                yield f"{repo_id} has a commit {commit} that no undisturbed run makes"
            if not repo.tags.items() <= whole.tags.items():
                yield f"a tag of {repo_id} is not as in an undisturbed run: {repo.tags}"

    def _folder(self, out: Path) -> Iterator[str]:
        """What looks whole in a folder and is not."""
        there = {n: d for n, d in contents(out).items() if not _passing(n)}
        if is_export(out):
            if there not in (self._whole, self._before):
                yield "an export looks whole and is not"
            return
        try:
            load(out)
        except InputError:
            return  # unfinished, and it says so
        except DamagedError as error:
            yield f"the manifest is damaged: {error}"
            return
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
