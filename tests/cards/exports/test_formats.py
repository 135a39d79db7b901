"""What holds for every format: same bytes, only ours is replaced, and nothing half-written."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from samediff_stimuli import AlignedOptions, InputError, export, generate, make_recipe
from samediff_stimuli.cards import exports
from samediff_stimuli.cards.exports import folder as exported
from samediff_stimuli.cards.exports.folder import MARKER, source_of
from samediff_stimuli.cli import main
from samediff_stimuli.reading import SplitReader
from tests.factor_sets import use_tiny
from tests.stores import files_of

FORMATS = [name for name in exports.MODULES if name != "benchmark-npz"]  # that one is for grids
PARTED = ["png", "coco", "parquet", "webdataset"]  # which many workers can write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small folder without a mirror; tests must not change it."""
    out = tmp_path_factory.mktemp("formats") / "set"
    options = AlignedOptions(train=12, validation=0, test=24, ood=0)
    generate(make_recipe("discrimination", 0, options), out, workers=1, parquet=False)
    return out


@pytest.mark.parametrize("name", exports.MODULES)
def test_table_names_the_modules(name):
    """Each name leads to a format of that name, whose options all have defaults."""
    chosen = exports.get(name)
    assert chosen.name == name
    assert chosen() == chosen(**{f.name: f.default for f in fields(chosen)})


def test_unknown_format(folder, tmp_path):
    """Another name is one line that lists the known ones."""
    with pytest.raises(InputError, match="unknown format 'tfrecord'; known: png, coco, parquet"):
        export(folder, tmp_path / "out", "tfrecord")


@pytest.mark.parametrize("name", FORMATS)
def test_same_dataset_same_bytes(name, folder, tmp_path):
    """Two exports are equal, file by file, and every file of them is known as ours."""
    for out in ("one", "two"):
        export(folder, tmp_path / out, name)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    files = files_of(tmp_path / "one").keys() - {MARKER}
    assert all(exports.get(name).files.fullmatch(file) for file in files)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder of two shards without a mirror in train; tests must not change it."""
    out = tmp_path_factory.mktemp("parts") / "set"
    sizes = {"train": 6440, "validation": 0, "test": 8, "ood": 0}
    options = AlignedOptions(image_size=64, patch_size=16, **sizes)
    generate(make_recipe("discrimination", 0, options), out, workers=1, parquet=False)
    return out


def test_many_workers_write_the_same_bytes(parts, tmp_path):
    """Two processes write what one writes, and tell of as many images; no folder is in between."""
    for name in PARTED:
        splits = ["train", "test"] if name == "webdataset" else ["test"]
        told, how = [], {"splits": splits, "overwrite": True}
        export(parts, tmp_path / "one", name, **how)
        export(parts, tmp_path / "two", name, workers=2, on_rows=told.append, **how)
        assert files_of(tmp_path / "one") == files_of(tmp_path / "two"), name
        chosen = exports.get(name)()
        assert sum(told) == chosen.steps(chosen.plan(source_of(parts, splits)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_workers_must_see_the_folder(folder, tmp_path):
    """A worker without the folder, or with another release, writes nothing."""
    source, png = source_of(folder, ["test"]), exports.get("png")()
    (part,) = png.parts(source)
    with pytest.raises(InputError, match=r"does not see .*/absent; all workers need the dataset"):
        exported._write_part(png, source, tmp_path / "absent", part, "0.0.1")
    with pytest.raises(InputError, match=r"this machine 0\.0\.1, .* give all workers the same"):
        exported._write_part(png, source, tmp_path, part, "0.0.1")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", sorted(set(FORMATS) - set(PARTED)))
def test_other_formats_have_one_process(name, tmp_path, folder):
    """Workers for a format without parts are refused in a line that names those with."""
    words = ["export", folder, "--format", name, "--out", tmp_path / "out"]
    for more in (["--workers", "2"], ["--engine", "dask"]):
        done = CliRunner().invoke(main, [str(word) for word in (*words, *more)])
        assert done.exit_code == 2
        assert done.stderr.strip() == (
            f"Error: format {name!r} is written by one process; --workers and --engine are for "
            f"{', '.join(PARTED)}; leave them out"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_only_an_export_is_replaced(name, folder, tmp_path):
    """An export is replaced when told to, by any format, and never with a file of somebody else."""
    out = tmp_path / "out"
    export(folder, out, name)
    with pytest.raises(InputError, match="holds an export; give another folder, or --overwrite"):
        export(folder, out, name)
    (out / "mine.txt").touch()
    with pytest.raises(InputError, match=r"will not touch .*: it also holds 'mine.txt'"):
        export(folder, out, name, overwrite=True)
    (out / "mine.txt").unlink()
    export(folder, out, "numpy", overwrite=True)
    assert not list(out.glob("**/*.png"))
    export(folder, out, name, overwrite=True)
    export(folder, tmp_path / "fresh", name)
    assert files_of(out) == files_of(tmp_path / "fresh")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_export_leaves_nothing(name, error, folder, tmp_path, monkeypatch):
    """An export that dies among the images leaves no folder, and keeps the one that was there."""
    export(folder, tmp_path / "old", name)
    kept = files_of(tmp_path / "old")

    def fail(reader, rows, view):
        raise error

    monkeypatch.setattr(SplitReader, "images", fail)
    for out in ("old", "new"):
        with pytest.raises((KeyboardInterrupt, OSError)):
            export(folder, tmp_path / out, name, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert files_of(tmp_path / "old") == kept


def test_a_killed_export_is_no_export(folder, tmp_path):
    """Killed half-way, no folder of that name is there; the same command then makes it."""
    code = f"""
import time
from samediff_stimuli import export
export({str(folder)!r}, {str(tmp_path / "out")!r}, "webdataset", on_rows=lambda n: time.sleep(60))
"""
    with subprocess.Popen([sys.executable, "-c", code]) as run:
        until = time.monotonic() + 60
        while not list(tmp_path.glob(".out.export.tmp/*.tar")) and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(run.pid, signal.SIGKILL)
    assert {path.name for path in tmp_path.iterdir()} == {".out.export.tmp", ".out.lock"}
    export(folder, tmp_path / "out", "webdataset")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", FORMATS)
def test_progress_is_what_was_planned(name, folder, tmp_path):
    """As many images are told of as `steps` says, whichever splits are chosen."""
    for splits in (None, ["test"]):
        told = []
        chosen = exports.get(name)()
        planned = chosen.plan(source_of(folder, splits))
        out = tmp_path / str(splits)
        export(folder, out, name, splits=splits, on_rows=told.append)
        assert sum(told) == chosen.steps(planned) > 0


@pytest.mark.parametrize("name", FORMATS)
def test_command(name, folder, tmp_path, monkeypatch):
    """The command says what was made and what to type next, for folders with odd names too."""
    monkeypatch.chdir(tmp_path)
    command = ["export", str(folder), "--format", name, "--out", "my out", "--split", "test"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    shown, then = done.stdout.split("\nNext:\n")
    assert shown.startswith("my out:\n  ")
    assert "my out" in then
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert "--overwrite" in done.stderr


def test_options_of_other_formats(folder, tmp_path):
    """An option that belongs to another format is one line that names it; nothing is written."""
    for option, of in (("--objects", "coco"), ("--question", "trials")):
        command = ["export", str(folder), "--format", "numpy", "--out", str(tmp_path / "out")]
        done = CliRunner().invoke(main, [*command, option, "x"])
        assert done.exit_code == 2
        assert f"{option} x is for --format {of}; leave it out" in done.stderr
    assert not list(tmp_path.iterdir())


def test_help_names_every_format():
    """The help of export explains each format."""
    text = CliRunner().invoke(main, ["export", "--help"]).stdout
    for name in exports.MODULES:
        assert f"\n  {name} " in text


@pytest.mark.parametrize("name", ["parquet", "webdataset", "numpy"])
def test_grids_of_factors(name, tmp_path, monkeypatch):
    """A split that is a list of rows of a grid is written as its rows; shapes may be grey."""
    use_tiny(monkeypatch, "dsprites")
    generate(make_recipe("dsprites", 0), tmp_path / "grid", workers=1, parquet=False)
    export(tmp_path / "grid", tmp_path / "out", name, splits=["composition_test"])
    found = SimpleNamespace(
        parquet=rows_of_parquet, webdataset=rows_of_tars, numpy=rows_of_arrays
    ).__dict__[name](tmp_path / "out")
    source = source_of(tmp_path / "grid")
    table = source.reader("composition_test").table
    assert found == table["row"].tolist()
    shutil.rmtree(tmp_path / "out")


def rows_of_parquet(out):
    """The column `row`, of all files in order."""
    import pyarrow.parquet as pq

    files = sorted(out.glob("data/*/*.parquet"))
    return [row for file in files for row in pq.read_table(file)["row"].to_pylist()]


def rows_of_tars(out):
    """The column `row` of all samples in order."""
    import json
    import tarfile

    found = []
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.endswith(".json"):
                    found.append(json.load(archive.extractfile(member))["row"])
    return found


def rows_of_arrays(out):
    """The column `row`."""
    import numpy as np

    assert np.load(out / "composition_test" / "images.npy", mmap_mode="r").shape[-1] == 1
    with np.load(out / "composition_test" / "columns.npz") as columns:
        return columns["row"].tolist()
