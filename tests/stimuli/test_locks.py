"""Locks: one writer of a folder at a time, and no dead one that blocks it for ever."""

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from samediff_stimuli import AlignedOptions, InputError, generate, locks, make_recipe
from samediff_stimuli.cards.exports.folder import export
from samediff_stimuli.manifest import load

FEW = AlignedOptions(train=8, validation=0, test=0, ood=0)
HOLD = (
    "import pathlib, sys, time; from samediff_stimuli import locks\n"
    "with locks.held(pathlib.Path(sys.argv[1]), 'x'): print('held', flush=True); time.sleep(600)"
)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """Holders count fast, so that the dead are known soon."""
    monkeypatch.setattr(locks, "BEAT", 0.05)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path`/set."""
    (tmp_path / "set").mkdir()
    command = [sys.executable, "-c", HOLD, tmp_path / "set" / locks.NAME]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def elsewhere(path, count=0):
    """Write what a holder on another machine says."""
    named = {"host": "elsewhere", "boot": "b", "process": 7, "started": "1", "count": count}
    path.write_text(json.dumps(named).ljust(512))


def test_the_second_writer_stops(holder, tmp_path):
    """While one process writes a folder, another is told which, and changes nothing."""
    out = tmp_path / "set"
    before = {path.name for path in out.iterdir()}
    message = f"--out {out} is being written by process {holder.pid} on .*; wait until"
    with pytest.raises(InputError, match=message):
        generate(make_recipe("rmts", 0, FEW), out, workers=1)
    assert {path.name for path in out.iterdir()} == before
    command = [sys.executable, "-m", "samediff_stimuli.cli", "generate", "--task", "rmts"]
    command += ["--seed", "0", "--out", out]
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 2
    assert "is being written by process" in second.stderr
    assert second.stderr.strip().count("\n") == 0


def test_a_killed_holder_blocks_nobody(holder, tmp_path):
    """After kill -9 of the holder the lock is free at once, though its file is still there."""
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "set" / locks.NAME).is_file()
    began = time.monotonic()
    with locks.held(tmp_path / "set" / locks.NAME, "x"):
        assert time.monotonic() - began < 5
    assert not (tmp_path / "set" / locks.NAME).exists()


def test_the_lock_goes_with_its_folders(tmp_path):
    """Lock and folders that were made for it go; folders that hold something by then stay."""
    with locks.held(tmp_path / "a" / "b" / locks.NAME, "x"):
        pass
    assert not (tmp_path / "a").exists()
    with locks.held(tmp_path / "a" / "b" / locks.NAME, "x"):
        (tmp_path / "a" / "kept").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["kept"]


@pytest.mark.parametrize("alive", [True, False])
def test_a_holder_on_another_machine(tmp_path, alive, caplog):
    """One that counts is waited for by nobody; one whose count stands still is dead."""
    path, done = tmp_path / locks.NAME, threading.Event()
    elsewhere(path)

    def count():
        number = 0
        while alive and not done.wait(0.02):
            number += 1
            elsewhere(path, number)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        with caplog.at_level(logging.INFO):
            if alive:
                with (
                    pytest.raises(InputError, match="process 7 on 'elsewhere'"),
                    locks.held(path, "x"),
                ):
                    pass
                assert path.exists()
            else:
                with locks.held(path, "x"):
                    assert json.loads(path.read_text())["process"] == os.getpid()
                assert "whether process 7 on 'elsewhere' is still at work" in caplog.text
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("shift", [-(10**9), 10**9])
def test_no_clock_decides(tmp_path, shift, monkeypatch):
    """A clock that jumps by thirty years, and times of files from then, free and block nobody."""
    path = tmp_path / locks.NAME
    now = time.time()
    with locks.held(path, "x"):
        os.utime(path, (now + shift, now + shift))
        monkeypatch.setattr(time, "time", lambda: now + shift)
        with pytest.raises(InputError, match="is being written"), locks.held(path, "x"):
            pass
    elsewhere(path)
    os.utime(path, (now + shift, now + shift))
    with locks.held(path, "x"):
        pass


@pytest.mark.parametrize("own", [True, False])
def test_locks_that_other_machines_do_not_see(tmp_path, monkeypatch, own):
    """Where the kernel grants a lock to two machines, the last that wrote its name has it."""
    path, sleep = tmp_path / locks.NAME, time.sleep
    monkeypatch.setattr(locks, "_is_own", lambda path: own)
    monkeypatch.setattr(time, "sleep", lambda seconds: (elsewhere(path), sleep(0)))
    if own:
        with locks.held(path, "x"):
            pass
    else:
        with (
            pytest.raises(InputError, match="written by process 7 on 'elsewhere'"),
            locks.held(path, "x"),
        ):
            pass
    assert path.exists() is not own


def test_the_lock_of_another_stays(tmp_path, monkeypatch):
    """What has come to name another by the end is not removed."""
    monkeypatch.setattr(locks, "BEAT", 600)
    path = tmp_path / locks.NAME
    with locks.held(path, "x"):
        elsewhere(path)
    assert path.exists()


@pytest.mark.parametrize(
    ("place", "own"),
    [("/data/set", True), ("/nfs/set", False), ("/nfs/a disk/set", True), ("/nfs2/set", True)],
)
def test_whose_disk_it_is(monkeypatch, place, own):
    """The innermost mounted file system counts; one of a network is not ours."""
    mounts = (
        "20 1 8:1 / / rw shared:1 - ext4 /dev/sda rw\n"
        "21 20 0:9 / /nfs rw - nfs4 host:/x rw,local_lock=flock\n"
        "22 21 8:2 / /nfs/a\\040disk rw master:1 - xfs /dev/sdb rw\n"
    )
    monkeypatch.setattr(locks.Path, "read_text", lambda *words, **how: mounts)
    assert locks._is_own(locks.Path(place)) is own


@pytest.mark.parametrize("holds", ["alive", "dead", "another of its number", "nonsense", "race"])
def test_without_locks_of_the_kernel(tmp_path, monkeypatch, holds):
    """Where the file system has no locks, what the file says of the process decides."""
    path = tmp_path / locks.NAME

    def refuse(handle, kind):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    this = locks._this()
    process, started = {
        "alive": (this.process, this.started),
        "dead": (2**22 + 1, "1"),
        "another of its number": (this.process, "1"),
    }.get(holds, (0, ""))
    named = {"host": this.host, "boot": this.boot, "process": process, "started": started}
    text = json.dumps(named) if holds != "nonsense" else '{"host": ['
    path.write_text(text if holds != "race" else "")
    if holds == "race":  # another machine looked at the same moment, and wrote last
        sleep = time.sleep
        monkeypatch.setattr(time, "sleep", lambda seconds: (elsewhere(path), sleep(0)))
    if holds in ("alive", "race"):
        with pytest.raises(InputError, match="is being written"), locks.held(path, "x"):
            pass
        assert path.exists()
    else:
        with locks.held(path, "x"):
            pass
        assert not path.exists()


def test_a_link_is_not_followed(tmp_path):
    """A lock file that is a link to another file is refused; that file is not written to."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / locks.NAME).symlink_to(tmp_path / "precious")
    with pytest.raises(InputError, match="cannot be written"), locks.held(tmp_path / ".lock", "x"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


def test_many_at_once(tmp_path):
    """Of four processes that ask for one folder again and again, never two have it together."""
    code = (
        "import pathlib, sys; from samediff_stimuli import locks, InputError\n"
        "place, had = pathlib.Path(sys.argv[1]), 0\n"
        "while had < 20:\n"
        "    try:\n"
        "        with locks.held(place / '.lock', 'x'):\n"
        "            (place / 'inside').mkdir(); (place / 'inside').rmdir(); had += 1\n"
        "    except InputError: pass\n"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, tmp_path]) for _ in range(4)]
    assert [run.wait() for run in runs] == [0] * 4
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small finished dataset."""
    out = tmp_path_factory.mktemp("whole") / "set"
    generate(make_recipe("rmts", 0, FEW), out, workers=1)
    return out


def test_exports_are_locked(whole, tmp_path):
    """Two exports to one folder: the second stops, the first is whole."""
    seen = []

    def second(rows):
        with pytest.raises(InputError, match="is being written by process"):
            export(whole, tmp_path / "out")
        seen.append(rows)

    export(whole, tmp_path / "out", on_rows=second)
    assert seen
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_finished_set_needs_no_lock(whole):
    """Many processes may ask for one finished set at once."""
    with locks.held(whole / locks.NAME, "x"):
        assert generate(load(whole).recipe, whole).name == "rmts-p32"
    elsewhere(whole / locks.NAME)  # left by a run that was killed at its very end
    generate(load(whole).recipe, whole)
    assert not (whole / locks.NAME).exists()


@pytest.fixture(scope="module")
def trainable(tmp_path_factory):
    """A small dataset that can be trained on."""
    out = tmp_path_factory.mktemp("trainable") / "set"
    sizes = {"image_size": 64, "patch_size": 16, "train": 32, "validation": 8, "test": 8, "ood": 0}
    generate(make_recipe("discrimination", 0, AlignedOptions(**sizes)), out, workers=1)
    return out


@pytest.mark.parametrize("what", ["train", "matrix", "validate"])
def test_runs_are_locked(trainable, tmp_path, what):
    """Two runs in one folder: the second stops before it changes anything."""
    from samediff_stimuli.models.matrix import matrix
    from samediff_stimuli.models.train import TrainConfig, train
    from samediff_stimuli.models.validation import validate

    out, config = tmp_path / "run", TrainConfig(epochs=1, batch_size=8, device="cpu")
    place = out / load(trainable).digest()[:12] if what == "validate" else out
    begin = {
        "train": lambda: train(trainable, out, config, print),
        "matrix": lambda: matrix(
            [trainable], out, config, images=32, test_images=8, seeds=1, tell=print
        ),
        "validate": lambda: validate(trainable, "checks", out),
    }[what]
    with (
        locks.held(place / locks.NAME, "x"),
        pytest.raises(InputError, match="is being written by process"),
    ):
        begin()
    assert not out.exists()
