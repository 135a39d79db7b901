"""croissant.json is what mlcroissant takes, and reads the dataset's own rows."""

import json
import logging

import numpy as np
import pytest

from samediff_stimuli import generate, make_recipe, tasks
from samediff_stimuli.cards.croissant import croissant
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import load
from tests.cases import FACTOR_SETS
from tests.factor_sets import use_tiny

TASKS = sorted({name for name, task in tasks.registry().items() if task.variants} - {*FACTOR_SETS})

# What rdflib and pandas say to mlcroissant of its own code.
pytestmark = [
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index"),
]


def opened(folder):
    """The folder's dataset, as mlcroissant reads it; it raises if anything is not valid."""
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    # a folder has no date, and the same dataset the same bytes
    assert [w for w in issues.warnings if "datePublished" not in w] == []
    return dataset


def test_rows_are_the_shards_rows(made):
    """Every column of every split, class names and pixels come back through mlcroissant."""
    folder = made["rmts"]
    name, dataset = load(folder).name, opened(folder)
    splits = {row["splits/name"]: row["splits/rows"] for row in dataset.records("splits")}
    classes = [row["classes/label/name"] for row in dataset.records("classes/label")]
    assert classes == ["different", "same"]
    found = {}
    for row in dataset.records(name):
        found.setdefault(row[f"{name}/split"].decode(), []).append(row)
    assert {split: len(rows) for split, rows in found.items()} == splits
    for split, rows in found.items():
        ours = StimulusDataset(folder, split)
        for column, values in ours.table.items():
            assert np.array_equal([row[f"{name}/{column}"] for row in rows], values), column
        images = ours.batch(range(3))[0].permute(0, 2, 3, 1).numpy()
        for row, image in zip(rows, images, strict=False):
            assert np.array_equal(np.asarray(row[f"{name}/image"]), image)


@pytest.mark.parametrize("task", TASKS)
def test_it_is_valid(made, task, caplog):
    """mlcroissant finds nothing wrong with any task's file, which follows from the manifest."""
    caplog.set_level(logging.ERROR)
    manifest = load(made[task])
    opened(made[task])
    text = (made[task] / "croissant.json").read_text()
    assert text == croissant(manifest)
    found = json.loads(text)
    listed = {f["contentUrl"]: f["sha256"] for f in found["distribution"] if "sha256" in f}
    assert listed == {file.path: file.sha256 for file in manifest.data_files()}
    assert found["identifier"] == f"sha256:{manifest.digest()}"
    assert {"rai:dataBiases", "rai:dataLimitations", "rai:dataCollection"} <= found.keys()


def test_a_grid(tmp_path, monkeypatch):
    """Of a grid, splits say which is stored, and lists of rows are among the files."""
    use_tiny(monkeypatch, "dsprites")
    made = generate(make_recipe("dsprites", 0), tmp_path / "set", workers=1)
    dataset = opened(tmp_path / "set")
    stored = [row["splits/name"] for row in dataset.records("splits") if row["splits/stored"]]
    assert stored == ["grid"]
    rows = list(dataset.records(made.name))
    assert len(rows) == made.shards[0].rows
    files = json.loads((tmp_path / "set" / "croissant.json").read_text())["distribution"]
    assert {index.file.path for index in made.indices} < {file["@id"] for file in files}


def test_without_parquet(tmp_path):
    """Without a mirror there are files and no records, and it is valid still."""
    options = tasks.get("squiggles").options(train=16, validation=0, test=0)
    made = generate(make_recipe("squiggles", 0, options), tmp_path / "set", parquet=False)
    dataset = opened(tmp_path / "set")
    assert dataset.metadata.record_sets == []
    assert len(dataset.metadata.distribution) == 1 + len(made.shards)
