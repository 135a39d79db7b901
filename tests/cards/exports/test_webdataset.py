"""Tar files that the real libraries read, with nothing in them that changes from run to run."""

import gc
import tarfile

import numpy as np
import pytest
import webdataset
from datasets import load_dataset

from samediff_stimuli import AlignedOptions, export, generate, make_recipe
from samediff_stimuli.cards.exports import webdataset as format
from samediff_stimuli.cards.exports.folder import source_of

# Both libraries leave it to the garbage collector to close the files that they read.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


@pytest.fixture(autouse=True)
def closed():
    """Files are closed before the next test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A set, and its export in files of ten samples; tests must not change them."""
    root = tmp_path_factory.mktemp("webdataset")
    options = AlignedOptions(train=24, validation=0, test=8, ood=0)
    generate(make_recipe("rmts", 0, options), root / "set", workers=1, parquet=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(format, "_SAMPLES", 10)
        export(root / "set", root / "out", "webdataset")
    return root


def test_members_are_in_order_and_bare(made):
    """A file holds its samples' png, json and cls in order, without owner or time."""
    names = sorted(path.name for path in (made / "out").glob("*.tar"))
    assert names == [
        "test-000000.tar",
        *(f"train-{number:06d}.tar" for number in range(3)),
    ]
    with tarfile.open(made / "out" / "train-000001.tar") as archive:
        members = archive.getmembers()
    keys = [f"{row:07d}" for row in range(10, 20)]
    assert [m.name for m in members] == [f"{k}.{e}" for k in keys for e in ("png", "json", "cls")]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {
        (0, 0, 0, "", "", 0o644)
    }


def test_the_library_reads_it(made):
    """webdataset gives every row's pixels, label and columns, names beside class numbers."""
    pattern = str(made / "out" / "train-{000000..000002}.tar")
    pipeline = webdataset.WebDataset(pattern, shardshuffle=False)
    samples = list(pipeline.decode("rgb8").to_tuple("png", "json", "cls"))
    reader = source_of(made / "set").reader("train")
    assert len(samples) == len(reader)
    for row, (image, values, label) in enumerate(samples):
        assert np.array_equal(image, reader.images([row])[0])
        assert label == reader.table["label"][row] == values["label"]
        assert values["label_name"] == ("different", "same")[label]
        assert values["index"] == row
        assert values["shape"] == reader.table["shape"][row].tolist()
        assert len(values["shape_name"]) == 4
        assert isinstance(values["case_name"], str)


def test_datasets_reads_it(made, tmp_path):
    """load_dataset(OUT) finds every split; so does the builder by name, and streaming."""
    found = load_dataset(str(made / "out"), cache_dir=str(tmp_path))
    assert {name: len(split) for name, split in found.items()} == {"train": 24, "test": 8}
    reader = source_of(made / "set").reader("test")
    for row, sample in enumerate(found["test"]):
        assert np.array_equal(np.asarray(sample["png"]), reader.images([row])[0])
        assert sample["cls"] == sample["json"]["label"] == reader.table["label"][row]
    files = {"train": str(made / "out" / "train-*.tar")}
    rows = load_dataset("webdataset", data_files=files, streaming=True, split="train")
    assert [row["json"]["index"] for row in rows] == list(range(24))
