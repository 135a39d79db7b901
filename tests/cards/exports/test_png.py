"""A dataset comes out as the image folders that the field uses, with every column beside."""

import csv
import json
import os

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import (
    AlignedOptions,
    DamagedError,
    InputError,
    export,
    generate,
    make_recipe,
    tasks,
)
from samediff_stimuli.cards.exports import format
from samediff_stimuli.cards.exports.folder import MARKER, is_export
from samediff_stimuli.cards.importing import import_folder
from samediff_stimuli.cli import main
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import load
from samediff_stimuli.tasks.dissociation import DissociationOptions


@pytest.fixture(scope="module")
def rmts(tmp_path_factory):
    """A small relational match-to-sample folder; tests must not change it."""
    out = tmp_path_factory.mktemp("export") / "rmts"
    options = AlignedOptions(train=16, validation=8, test=8, ood=0)
    generate(make_recipe("rmts", 0, options), out, workers=1, parquet=False)
    return out


@pytest.fixture(scope="module")
def exported(rmts):
    """Its export; tests must not change it."""
    export(rmts, rmts.with_name("png"))
    return rmts.with_name("png")


def contents(folder):
    """Every file's bytes by relative path."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_images_lie_by_split_and_class(rmts, exported):
    """Each row is one PNG, OUT/SPLIT/CLASS/INDEX.png, with the pixels of the shards."""
    for split, rows in {"train": 16, "validation": 8, "test": 8}.items():
        data = StimulusDataset(rmts, split)
        assert len(list((exported / split).glob("*/*.png"))) == rows
        for index, (image, label) in enumerate(data):
            name = ("different", "same")[label]
            with Image.open(exported / split / name / f"{index:07d}.png") as opened:
                assert opened.mode == "RGB"
                assert np.array_equal(np.asarray(opened), image.permute(1, 2, 0).numpy())


def test_tables_have_every_column(rmts, exported):
    """CSV and JSON lines hold the file and every column: names of classes, nested values flat."""
    data = StimulusDataset(rmts, "test")
    columns = tasks.get("rmts").columns(data.recipe)
    with (exported / "test.csv").open(newline="") as file:
        flat = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (exported / "test.jsonl").read_text().splitlines()]
    assert len(flat) == len(lines) == len(data)
    for row, (plain, nested) in enumerate(zip(flat, lines, strict=True)):
        assert plain["file"] == nested["file"]
        assert (exported / plain["file"]).is_file()
        assert nested["file"].split("/")[1] == nested["label"]
        for column in columns:
            values = data.table[column.name][row]
            named = np.array(column.names, dtype=object)[values] if column.names else values
            value = named.tolist() if column.shape else named
            assert nested[column.name] == value
            for place in np.ndindex(column.shape):
                key = "_".join([column.name, *map(str, place)])
                assert plain[key] == str(
                    np.asarray(values)[place]
                    if not column.names
                    else np.asarray(named, dtype=object)[place]
                )
    assert len(flat[0]) == 1 + sum(int(np.prod(column.shape)) for column in columns)


def test_eight_labels(tmp_path):
    """A set of eight labels has eight folders, empty ones of a split included; import takes it."""
    recipe = make_recipe("dissociation", 0, DissociationOptions(test=16))
    generate(recipe, tmp_path / "set", workers=1, parquet=False)
    export(tmp_path / "set", tmp_path / "png")
    folders = sorted(path.name for path in (tmp_path / "png" / "test").iterdir())
    assert folders == [f"{label:03b}" for label in range(8)]
    made = import_folder(tmp_path / "png", tmp_path / "again", workers=1, parquet=False)
    assert made.recipe.options.classes == tuple(folders)
    ours, again = (StimulusDataset(tmp_path / name, "test") for name in ("set", "again"))
    assert sorted(x.numpy().tobytes() for x, _ in ours) == sorted(
        x.numpy().tobytes() for x, _ in again
    )


def test_same_dataset_same_bytes(rmts, exported, tmp_path):
    """Two exports of one dataset are equal, byte for byte."""
    export(rmts, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(exported)
    about = json.loads((exported / MARKER).read_text())
    assert about["digest"] == load(rmts).digest()


def test_out_may_be_new_or_empty(rmts, tmp_path):
    """A missing folder is made, with its parents; an empty one is filled."""
    export(rmts, tmp_path / "a" / "b")
    (tmp_path / "empty").mkdir()
    export(rmts, tmp_path / "empty")
    assert is_export(tmp_path / "a" / "b")
    assert is_export(tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "empty"]


def test_only_an_export_is_replaced(rmts, tmp_path):
    """--overwrite replaces an earlier export, and nothing that holds a file of somebody else."""
    out = tmp_path / "png"
    export(rmts, out)
    kept = contents(out)
    (out / "test.csv").write_text("changed")
    with pytest.raises(InputError, match="holds an export; give another folder, or --overwrite"):
        export(rmts, out)
    export(rmts, out, overwrite=True)
    assert contents(out) == kept
    (out / "test" / "notes.txt").touch()
    with pytest.raises(InputError, match=r"will not touch .*: it also holds 'test/notes.txt'"):
        export(rmts, out, overwrite=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").touch()
    with pytest.raises(InputError, match="is not empty and no export of ours"):
        export(rmts, other, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "png"]


@pytest.mark.parametrize("inner", [".", "..", "new", "hdf5"])
def test_a_dataset_is_never_overwritten(rmts, inner):
    """Neither the dataset, nor a folder in it or around it, may be the export."""
    before = contents(rmts)
    with pytest.raises(InputError, match="overlap; give another folder"):
        export(rmts, rmts / inner, overwrite=True)
    assert contents(rmts) == before


def test_out_that_cannot_be(rmts, tmp_path):
    """A file in the way, no dataset, or no permission is one line; nothing is written."""
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "png"):
        with pytest.raises(InputError, match="there is a file; give a folder"):
            export(rmts, out)
    with pytest.raises(InputError, match="is not a dataset"):
        export(tmp_path, tmp_path / "png")
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(InputError, match="cannot be written: no permission"):
            export(rmts, tmp_path / "locked" / "png")
    assert not (tmp_path / "png").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interrupted_export_leaves_nothing(error, rmts, tmp_path, monkeypatch):
    """An export that dies half-way leaves no folder, and keeps the export that was there."""
    export(rmts, tmp_path / "old")
    kept, calls = contents(tmp_path / "old"), []

    def fail(image):
        calls.append(1)
        if len(calls) == 20:
            raise error
        return b""

    monkeypatch.setattr(format, "png_bytes", fail)
    for name in ("new", "old"):
        calls.clear()
        with pytest.raises((KeyboardInterrupt, OSError)):
            export(rmts, tmp_path / name, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert contents(tmp_path / "old") == kept


def test_leftovers_of_a_killed_export_go(rmts, tmp_path):
    """What a killed export left, hidden, is removed by the next one."""
    (tmp_path / ".png.export.tmp" / "train").mkdir(parents=True)
    export(rmts, tmp_path / "png")
    assert [path.name for path in tmp_path.iterdir()] == ["png"]


def test_damage_is_not_exported(tmp_path):
    """A damaged shard is named, and no export is left."""
    recipe = make_recipe("rmts", 0, AlignedOptions(train=8, validation=0, test=0, ood=0))
    generate(recipe, tmp_path / "set", workers=1, parquet=False)
    victim = next((tmp_path / "set").rglob("*.h5"))
    victim.write_bytes(victim.read_bytes()[:1000])
    with pytest.raises(DamagedError, match="is not a readable shard"):
        export(tmp_path / "set", tmp_path / "png")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_commands(rmts, tmp_path, monkeypatch):
    """export and import on the command line say what was made and what to type next."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["export", str(rmts), "--format", "png", "--out", "my png"])
    assert done.exit_code == 0, done.output
    assert "my png:\n" in done.stdout
    assert "samediff-stimuli import 'my png' --out 'my png-again'" in done.stdout
    done = CliRunner().invoke(main, ["import", "my png", "--out", "back", "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert "back: 32 images" in done.stdout
    assert "samediff-stimuli verify back" in done.stdout
    done = CliRunner().invoke(main, ["export", str(rmts), "--format", "png", "--out", "my png"])
    assert done.exit_code == 2
    assert "--overwrite" in done.stderr
    for command in ("import", "export"):
        assert "\n  samediff-stimuli" in CliRunner().invoke(main, [command, "--help"]).stdout
