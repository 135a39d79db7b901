"""Whatever is wrong with a card is found: each rule of the checker against one change."""

import json
import re
import shutil

import datasets
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from samediff_stimuli import InputError, generate, make_recipe, tasks
from samediff_stimuli.cards.card import card
from samediff_stimuli.cards.checking import problems
from samediff_stimuli.cli import main
from samediff_stimuli.manifest import load
from tests.cases import FACTOR_SETS
from tests.factor_sets import use_tiny

TASKS = sorted({name for name, task in tasks.registry().items() if task.variants} - {*FACTOR_SETS})


@pytest.mark.parametrize("task", TASKS)
def test_cards_are_true(made, task):
    """Nothing is wrong with the card of any task."""
    assert problems(made[task]) == []


@pytest.mark.parametrize("parquet", [True, False])
def test_cards_of_grids_are_true(tmp_path, monkeypatch, parquet):
    """Nothing is wrong with the card of a grid, with and without Parquet; `datasets` loads both."""
    use_tiny(monkeypatch, "dsprites")
    generate(make_recipe("dsprites", 0), tmp_path / "set", workers=1, parquet=parquet)
    assert problems(tmp_path / "set", deep=True) == []


def test_errors_of_libraries_are_one_line(copied, monkeypatch):
    """What a library says in many lines is one, so that each problem is a line."""

    def fail(*given, **more):
        raise ValueError("first\n  second\n\nthird")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    assert problems(copied, deep=True)[0].endswith("first second third")
    monkeypatch.setattr(pq, "ParquetFile", fail)
    assert all(line.endswith("cannot be read: first second third") for line in problems(copied))


CHANGES = {  # name: (pattern in the card, what it becomes, what is said)
    "no licence": ("license: cc-by-4.0\n", "", "it has no license"),
    "licence": ("license: cc-by-4.0", "license: {cc: by}", "license {'cc': 'by'} is not of the"),
    "unknown licence": ("license: cc-by-4.0", "license: ccby4", "license 'ccby4' is not of the"),
    "unknown size": ("- n<1K", "- huge", "size_categories 'huge' is not of the"),
    "wrong size": ("- n<1K", "- 1K<n<10K", "must be 'n<1K': there are 264 rows"),
    "unknown task": ("- image-classification", "- seeing", "task_categories 'seeing' is not"),
    "yaml": ("tags:\n", "tags: [\n", "its front matter is no YAML"),
    "no front matter": (r"\A---\n.*?\n---\n", "", "does not begin with front matter"),
    "list for front matter": (r"\A---\n.*?\n---\n", "---\n- a\n---\n", "is no mapping"),
    "configs": (r"configs:\n.*?dataset_info:", "configs: 3\ndataset_info:", "refuses its configs"),
    "no pattern": (r"    path: data/\S+\n", "", "refuses its configs"),
    "no configs": (r"configs:\n.*?dataset_info:", "dataset_info:", "its configs are none, not"),
    "one pattern": (
        r"data_files:\n.*?dataset_info:",
        "data_files: '*'\ndataset_info:",
        "which is not",
    ),
    "outside": (r"path: data/\S+/test-\*", r"path: /test-*", "'/test-*.parquet' matches no file"),
    "pattern of nothing": (r"path: data/\S+/test-\*", "path: data/test-*", "matches no file"),
    "pattern of too much": (r"(path: data/\S+/)test-\*", r"\1t*-*", "is not of it"),
    "matched twice": (r"(path: data/\S+/)test-\*", r"\1t*-*", "2 patterns match"),
    "matched by none": (r"  - split: test\n    path: \S+\n", "", "0 patterns match"),
    "rows": ("num_examples: 96", "num_examples: 97", "split 'train' is"),
    "split": ("- name: train\n", "- name: training\n", "lacks split 'train'"),
    "class name": ("'1': same\n", "'1': equal\n", "column 'label' is"),
    "type": ("- name: index\n    dtype: int64", "- name: index\n    dtype: int32", "'index' is"),
    "column": (r"  - name: index\n    dtype: int64\n", "", "lacks column 'index'"),
    "another column": ("  - name: index\n", "  - name: number\n", "has column 'number', which"),
    "no info": (r"dataset_info:\n.*?\n---", "---", "it has no dataset_info"),
    "picture": (r"\(preview.png\)", "(view.png)", "links to view.png, which is not there"),
    "link": ("## Splits", "[see](more.md)\n\n## Splits", "links to more.md, which is not there"),
    "python": ("for images, labels in", "for images, labels", "block of python does not parse"),
    "json": (r'\{"format"', '{"format', "block of json does not parse"),
    "shell": ("generate --task", "generate '--task", "block of sh does not parse"),
    "command": ("--seed 0", "--seed 1", "does not make this dataset"),
    "open block": ("```python", "```python\n```", "a block of code has no end"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_card(copied, change):
    """One change of the card, and the rule that it breaks is named."""
    pattern, new, said = CHANGES[change]
    path = copied / "README.md"
    text, count = re.subn(pattern, new, path.read_text(), count=1, flags=re.DOTALL)
    assert count == 1
    path.write_text(text)
    found = problems(copied)
    assert any(said in problem for problem in found), found
    assert all(str(path) in problem for problem in found)


def hdf5(change):
    """A change of an HDF5 shard."""

    def apply(folder):
        path = next((folder / "hdf5").rglob("test-*.h5"))
        with h5py.File(path, "a") as file:
            change(file)

    return apply


def without(file, name):
    """A column's values; it is gone."""
    values = file[name][()]
    del file[name]
    return values


def parquet(change):
    """A change of a Parquet file."""

    def apply(folder):
        path = next((folder / "data").rglob("test-*.parquet"))
        pq.write_table(change(pq.read_table(path)), path)

    return apply


def croissant(change):
    """A change of the Croissant file."""

    def apply(folder):
        path = folder / "croissant.json"
        found = json.loads(path.read_text())
        change(found)
        path.write_text(json.dumps(found))

    return apply


def renamed(table):
    """The same table with other class names."""
    metadata = table.schema.metadata[b"huggingface"].replace(b'"same"', b'"equal"', 1)
    return table.replace_schema_metadata({"huggingface": metadata})


DAMAGE = {
    "column": (hdf5(lambda f: f.pop("case", None) or without(f, "label")), "'label' is missing"),
    "rows": (hdf5(lambda f: f.create_dataset("index", data=without(f, "index")[1:])), "95 rows"),
    "type": (
        hdf5(lambda f: f.create_dataset("index", data=without(f, "index").astype(np.int32))),
        "'index' is int32 (), not int64 ()",
    ),
    "more": (hdf5(lambda f: f.create_dataset("x", data=np.arange(96))), "'x' is not declared"),
    "names": (hdf5(lambda f: f["label"].attrs.modify("names", '["a", "b"]')), "other class names"),
    "no hdf5": (
        lambda folder: next((folder / "hdf5").rglob("test-*.h5")).write_text("no"),
        "cannot be read",
    ),
    "parquet rows": (parquet(lambda table: table.slice(1)), "rows, not"),
    "parquet names": (parquet(renamed), "column 'label' is ClassLabel"),
    "parquet type": (
        parquet(lambda table: table.set_column(1, "index", table["index"].cast(pa.int32()))),
        "column 'index' is",
    ),
    "croissant": (
        lambda folder: (folder / "croissant.json").write_text("{"),
        "cannot be read as Croissant",
    ),
    "content": (croissant(lambda c: c.update(identifier="sha256:0")), "it is of content sha256:0"),
    "hash": (croissant(lambda c: c["distribution"][-1].update(sha256="0")), "not listed as it is"),
    "file": (croissant(lambda c: c["distribution"].pop()), "not listed as it is"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_other_files(copied, damage):
    """One change of a shard, its mirror or the Croissant file, and what it is is said."""
    change, said = DAMAGE[damage]
    change(copied)
    found = problems(copied)
    assert any(said.replace("95 rows", "rows, not") in problem for problem in found), found


def test_what_does_not_load(copied):
    """The deep check says what `datasets` says of a file that is whole to all other rules."""
    path = next((copied / "data").rglob("test-*.parquet"))
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    assert problems(copied) == []
    assert "load_dataset does not load" in problems(copied, deep=True)[0]
    path.write_bytes(whole)
    assert problems(copied, deep=True) == []


def test_verify_checks_the_card(copied):
    """`verify` counts what is wrong with a card that its manifest lists, and exits with 1."""
    done = CliRunner().invoke(main, ["verify", str(copied)])
    assert (done.exit_code, "the card checked: no problems" in done.stdout) == (0, True)
    path = copied / "README.md"
    path.write_text(path.read_text().replace("license: cc-by-4.0", "license: mine"))
    done = CliRunner().invoke(main, ["verify", str(copied)])
    assert done.exit_code == 1
    assert "license 'mine' is not of the Hub's" in done.stderr
    assert "2 problems" in done.stdout  # its hash, and its licence


def test_older_folders(copied):
    """A folder of an earlier release, without Croissant and digest of the manifest, is in order."""
    manifest = load(copied)
    (copied / "croissant.json").unlink()
    data = json.loads((copied / "manifest.json").read_text())
    data["extras"] = [extra for extra in data["extras"] if extra["path"] != "croissant.json"]
    del data["about"]
    (copied / "manifest.json").write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")
    assert load(copied).digest() == manifest.digest()
    assert CliRunner().invoke(main, ["verify", str(copied)]).exit_code == 0
    before = shutil.copytree(copied, copied.with_name("before"))
    generate(manifest.recipe, copied, workers=1)
    assert sorted(p.name for p in before.iterdir()) == sorted(p.name for p in copied.iterdir())


def test_no_dataset(tmp_path):
    """A folder without a manifest is refused."""
    with pytest.raises(InputError, match="not a dataset"):
        problems(tmp_path)


def test_a_card_that_is_gone(copied):
    """A folder without its card has one problem."""
    text = (copied / "README.md").read_text()
    assert text == card(load(copied))
    (copied / "README.md").unlink()
    assert len(problems(copied)) == 1
