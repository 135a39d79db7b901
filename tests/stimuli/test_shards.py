"""Shards: byte-stable to write, exact to read, and never trusted."""

import pickle

import h5py
import numpy as np
import pytest

from samediff_stimuli import make_recipe, tasks
from samediff_stimuli.shards import DamagedError, ShardReader, write_shard

SHAPE = (224, 224, 3)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(path, table, images, record) of a shard of 40 rmts rows."""
    task = tasks.get("rmts")
    recipe = make_recipe("rmts", 0)
    table = task.design(recipe, "train", 0, 40)
    images = task.render(recipe, "train", table)
    path = tmp_path_factory.mktemp("shard") / "a.h5"
    record = write_shard(path, table, task.columns(recipe), {"image": images}, SHAPE, {"x": 1})
    return path, table, images, record


def test_round_trip(written):
    """What is read is what was written, images in any order, after pickling too."""
    path, table, images, _ = written
    reader = pickle.loads(pickle.dumps(ShardReader(path)))
    assert all(np.array_equal(reader.table[name], table[name]) for name in table)
    rows = [39, 0, 7, 7]
    out = np.empty((4, 224, 224, 3), dtype=np.uint8)
    reader.read_into(rows, out)
    assert np.array_equal(out, images[rows])


def test_plain_h5py_reads_it(written):
    """Any HDF5 reader opens the images without a plug-in, one chunk each, rows on axis 0."""
    path, _table, images, _ = written
    with h5py.File(path) as file:
        assert file["image"].compression == "gzip"
        assert file["image"].chunks == (1, 224, 224, 3)
        assert np.array_equal(file["image"][:], images)
        assert {len(data) for data in file.values()} == {40}


def test_same_bytes_again(written, tmp_path):
    """Writing the same rows again gives the same file."""
    path, table, images, record = written
    task = tasks.get("rmts")
    again = write_shard(
        tmp_path / "b.h5",
        table,
        task.columns(make_recipe("rmts", 0)),
        {"image": images},
        SHAPE,
        {"x": 1},
    )
    assert again == record
    assert (tmp_path / "b.h5").read_bytes() == path.read_bytes()


def test_no_partial_file_after_a_failure(written, tmp_path):
    """A writer that fails half-way leaves nothing behind."""
    _, table, images, _ = written

    def batches():
        yield from images[:13]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_shard(
            tmp_path / "c.h5",
            table,
            tasks.get("rmts").columns(make_recipe("rmts", 0)),
            {"image": batches()},
            SHAPE,
            {},
        )
    assert list(tmp_path.iterdir()) == []


def test_truncated_shard(written, tmp_path):
    """A shard cut anywhere is refused in one line that names it."""
    whole = written[0].read_bytes()
    for share in (0, 10, 2000, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "cut.h5"
        path.write_bytes(whole[:share])
        with pytest.raises(DamagedError, match=r"cut\.h5") as error:
            ShardReader(path).table  # noqa: B018 (loading is the test)
        assert "\n" not in str(error.value)


def test_flipped_bit_in_an_image(written, tmp_path):
    """A flipped bit in an image's bytes is an error, not a wrong image."""
    path, _, images, _ = written
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        place = file["image"].id.get_chunk_info(17)
    data[place.byte_offset + place.size // 2] ^= 4
    bad = tmp_path / "bad.h5"
    bad.write_bytes(data)
    out = np.empty((1, 224, 224, 3), dtype=np.uint8)
    reader = ShardReader(bad)
    reader.read_into([16], out)
    assert np.array_equal(out[0], images[16])
    with pytest.raises(DamagedError, match="image of row 17 is damaged"):
        reader.read_into([17], out)


@pytest.mark.parametrize("kind", ["other file", "no image", "wrong dtype", "whole chunks"])
def test_other_hdf5_files_are_refused(tmp_path, kind):
    """A file that is no shard is refused, whatever it is."""
    path = tmp_path / "x.h5"
    if kind == "other file":
        path.write_text("hello")
    else:
        with h5py.File(path, "w") as file:
            if kind == "no image":
                file["label"] = np.zeros(3)
            elif kind == "wrong dtype":
                file["image"] = np.zeros((3, 4, 4, 3), dtype=np.float32)
            else:
                file.create_dataset(
                    "image", data=np.zeros((3, 4, 4, 3), np.uint8), chunks=(3, 4, 4, 3)
                )
    with pytest.raises(DamagedError, match="is not a readable shard"):
        ShardReader(path).table  # noqa: B018 (loading is the test)
