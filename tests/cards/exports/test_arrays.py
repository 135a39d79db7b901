"""NumPy files: images that can be mapped, columns without pickles, and what they mean."""

import json

import numpy as np
import psutil
import pytest

from samediff_stimuli import AlignedOptions, export, generate, make_recipe, tasks
from samediff_stimuli.cards.exports.folder import source_of


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A set and its export; tests must not change them."""
    root = tmp_path_factory.mktemp("numpy")
    options = AlignedOptions(train=64, validation=0, test=72, ood=0)
    generate(make_recipe("rmts", 0, options), root / "set", workers=1, parquet=False)
    export(root / "set", root / "out", "numpy")
    return root


def test_images_can_be_mapped(made):
    """images.npy is mapped, not read, and has the pixels of the shards."""
    for split in ("train", "test"):
        images = np.load(made / "out" / split / "images.npy", mmap_mode="r")
        assert isinstance(images, np.memmap)
        assert images.dtype == np.uint8
        reader = source_of(made / "set").reader(split)
        assert np.array_equal(images, reader.images(range(len(reader))))
        assert images.flags.c_contiguous


def test_columns_need_no_pickle(made):
    """columns.npz has every column with its dtype; columns.json has its names and meaning."""
    about = json.loads((made / "out" / "columns.json").read_text())
    declared = tasks.get("rmts").columns(source_of(made / "set").recipe)
    assert about["splits"] == {"train": 64, "test": 72}
    assert about["image_shape"] == [224, 224, 3]
    assert about["label"] == "label"
    assert [column["name"] for column in about["columns"]] == [c.name for c in declared]
    table = source_of(made / "set").reader("test").table
    with np.load(made / "out" / "test" / "columns.npz", allow_pickle=False) as columns:
        assert set(columns.files) == {column.name for column in declared}
        for column, said in zip(declared, about["columns"], strict=True):
            values = columns[column.name]
            assert values.dtype == column.dtype == said["dtype"]
            assert values.shape[1:] == tuple(said["shape"]) == column.shape
            assert np.array_equal(values, table[column.name])
            assert tuple(said["names"]) == column.names


@pytest.mark.slow
def test_memory_is_flat(tmp_path):
    """Writing 600 MB of images takes no more than a few batches of them in memory."""
    options = AlignedOptions(train=4000, validation=0, test=0, ood=0)
    generate(make_recipe("discrimination", 0, options), tmp_path / "set", parquet=False)
    export(tmp_path / "set", tmp_path / "warm", "numpy")
    process, peak = psutil.Process(), 0

    def watch(rows):
        nonlocal peak
        peak = max(peak, process.memory_info().rss)

    before = process.memory_info().rss
    export(tmp_path / "set", tmp_path / "out", "numpy", on_rows=watch)
    assert (tmp_path / "out" / "train" / "images.npy").stat().st_size > 600e6
    assert peak - before < 100e6
