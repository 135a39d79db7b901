"""Disks that fill, vanish or cannot be written, clocks that jump: nothing half looks whole."""

import os
import resource
import shutil
import subprocess
import sys
import time

import pytest

from samediff_stimuli import AlignedOptions, InputError, engine, generate, make_recipe
from samediff_stimuli.cards import dataset
from samediff_stimuli.cards.exports.folder import export
from samediff_stimuli.manifest import load
from samediff_stimuli.verification import verify
from tests.faults.kills import contents

FEW = AlignedOptions(image_size=64, patch_size=16, train=8, validation=8, test=8, ood=0)
RECIPE = make_recipe("discrimination", 3, FEW)
GENERATE = [
    *["generate", "--task", "discrimination", "--seed", "3", "--workers", "1"],
    *["--image-size", "64", "--patch-size", "16"],
    *["--train", "8", "--validation", "8", "--test", "8", "--ood", "0"],
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A dataset that was made undisturbed."""
    out = tmp_path_factory.mktemp("whole") / "set"
    generate(RECIPE, out, workers=1)
    return out


def limited(words, n_bytes):
    """The command, in a process that may write no file above a size: as a disk that is full."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))

    command = [sys.executable, "-m", "samediff_stimuli.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)


@pytest.mark.parametrize("n_bytes", [300, 20_000])
def test_a_file_that_cannot_grow(whole, tmp_path, n_bytes):
    """What cannot be written is one line; nothing looks whole; with room, all is as undisturbed."""
    run = limited([*GENERATE, "--out", tmp_path / "set"], n_bytes)
    assert run.returncode == 2, run.stderr
    assert run.stderr.strip().count("\n") == 0
    assert "File too large" in run.stderr
    with pytest.raises(InputError, match=r"unfinished dataset|not a dataset"):
        load(tmp_path / "set")
    assert not list(tmp_path.rglob("*.tmp"))
    generate(RECIPE, tmp_path / "set", workers=1)
    assert contents(tmp_path / "set") == contents(whole)


def test_an_export_that_cannot_grow(whole, tmp_path):
    """An export that does not fit leaves nothing at all."""
    words = ["export", whole, "--format", "png", "--out", tmp_path / "png"]
    run = limited(words, 2000)
    assert run.returncode == 2, run.stderr
    assert run.stderr.strip().count("\n") == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("gone", ["out", ".partial", "hdf5"])
def test_folders_that_vanish(whole, tmp_path, gone):
    """A folder that is taken away meanwhile ends the run with a line; the next one is whole."""
    out, seen = tmp_path / "set", []

    def vanish(rows):
        if not seen:
            shutil.rmtree(out if gone == "out" else out / gone)
        seen.append(rows)

    with pytest.raises((OSError, InputError)) as error:
        generate(RECIPE, out, workers=1, on_rows=vanish)
    assert "\n" not in str(error.value)
    if out.exists():
        with pytest.raises(InputError, match=r"unfinished dataset|not a dataset"):
            load(out)
    generate(RECIPE, out, workers=1, overwrite=True)
    assert contents(out) == contents(whole)


def test_a_source_that_vanishes(whole, tmp_path):
    """A dataset that is taken away while it is exported leaves no export."""
    source = shutil.copytree(whole, tmp_path / "set")
    with pytest.raises(Exception, match=r"not a readable shard|No such file") as error:
        export(
            source, tmp_path / "out", on_rows=lambda rows: shutil.rmtree(source, ignore_errors=True)
        )
    assert type(error.value).__name__ in ("DamagedError", "FileNotFoundError")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_file_system_that_is_read_only(whole, tmp_path):
    """Nothing is begun on a file system that cannot be written; what is there is read as ever."""
    place = tmp_path / "disk"
    shutil.copytree(whole, place / "set")
    mount = ["mount", "--bind", place, place]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        for call in (
            lambda: generate(RECIPE, place / "new", workers=1),
            lambda: generate(make_recipe("rmts", 0, FEW), place / "set", overwrite=True),
            lambda: export(place / "set", place / "out"),
        ):
            with pytest.raises(InputError, match="cannot be written"):
                call()
        assert not verify(place / "set").problems
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("years", [-40, 40])
def test_clocks_that_jump(whole, tmp_path, years, monkeypatch):
    """A run that is cut and resumed under another clock, with files from then, ends the same."""
    out, now = tmp_path / "set", time.time()
    jumped = now + years * 365 * 86_400

    def stop(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(RECIPE, out, workers=1, on_rows=stop)
    assert len(list((out / engine.PARTIAL).glob("*-of-*.json"))) == 1
    for path in [out, *out.rglob("*")]:
        os.utime(path, (jumped, jumped))
    monkeypatch.setattr(time, "time", lambda: jumped)
    monkeypatch.setattr(time, "time_ns", lambda: int(jumped * 1e9))
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*.h5")}
    generate(RECIPE, out, workers=1)
    assert contents(out) == contents(whole)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_the_manifest_is_last(tmp_path, monkeypatch):
    """Whatever fails after the shards are made, the folder is not taken for whole."""
    for name in ("card", "preview"):
        with monkeypatch.context() as patch:
            patch.setattr(dataset, name, None)
            with pytest.raises((TypeError, AttributeError)):
                generate(RECIPE, tmp_path / name, workers=1)
        with pytest.raises(InputError, match="unfinished dataset"):
            load(tmp_path / name)
