"""Files made to do harm: they are refused with a line, and nothing else is read, made or run."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest

from samediff_stimuli import AlignedOptions, DamagedError, InputError, generate, make_recipe
from samediff_stimuli.cards.factor_listing import list_archive
from samediff_stimuli.codec import deflate
from samediff_stimuli.indices import read_index
from samediff_stimuli.manifest import load
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.shards import ShardReader
from samediff_stimuli.verification import verify

FEW = AlignedOptions(image_size=32, patch_size=8, train=4, validation=0, test=0, ood=0)
SHAPE = (4, 32, 32, 3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small dataset; tests must not change it."""
    out = tmp_path_factory.mktemp("whole") / "set"
    generate(make_recipe("discrimination", 0, FEW), out, workers=1, parquet=False)
    return out


@pytest.fixture
def copied(whole, tmp_path):
    """A copy, to be harmed."""
    return shutil.copytree(whole, tmp_path / "set")


def shard_of(folder):
    """Its one shard."""
    (path,) = (folder / "hdf5").rglob("*.h5")
    return path


def rewritten(path, name, make):
    """A shard with one dataset made anew by `make(file)`."""
    with h5py.File(path, "r+") as file:
        del file[name]
        make(file)


def secret(folder):
    """A file of somebody's beside the dataset, with a dataset and with bytes."""
    with h5py.File(folder.parent / "secret.h5", "w") as file:
        file["label"] = np.array([0, 1, 0, 1], dtype=np.uint8)
        file.create_dataset("image", data=np.ones(SHAPE, np.uint8), chunks=(1, 32, 32, 3))
    (folder.parent / "secret.txt").write_bytes(b"\0\1\0\1")
    return folder.parent


def virtual(file, name, other):
    """A dataset whose values are another file's."""
    shape = SHAPE if name == "image" else (4,)
    layout = h5py.VirtualLayout(shape=shape, dtype=np.uint8)
    layout[:] = h5py.VirtualSource(str(other / "secret.h5"), name, shape=shape)
    file.create_virtual_dataset(name, layout)


def bomb(file, name, other):
    """A column of a terabyte, in a few bytes."""
    file.create_dataset(
        name, shape=(2**40,), dtype=np.uint8, chunks=(2**20,), compression="gzip", fillvalue=1
    )


def squeezed(file, name, other):
    """A column whose chunks inflate a thousandfold."""
    file.create_dataset(name, data=np.zeros(2**22, np.uint8), chunks=(2**22,), compression="gzip")


def references(file, name, other):
    """Object references in place of numbers."""
    file.create_dataset(name, data=np.array([file.ref] * 4, dtype=h5py.ref_dtype))


def words(file, name, other):
    """Text of any length in place of numbers."""
    file.create_dataset(name, data=["a"] * 4, dtype=h5py.string_dtype())


def plugin(file, name, other):
    """A filter that wants code loaded from somewhere."""
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((4,))
    made.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (0, 0, 0, 0, 5, 1, 0))
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_UINT8, space, made)


COLUMNS = {
    "soft link": lambda file, name, other: file.__setitem__(name, h5py.SoftLink("/case")),
    "external link": lambda file, name, other: file.__setitem__(
        name, h5py.ExternalLink(str(other / "secret.h5"), name)
    ),
    "external bytes": lambda file, name, other: file.create_dataset(
        name, shape=(4,), dtype=np.uint8, external=[(str(other / "secret.txt"), 0, 4)]
    ),
    "virtual": virtual,
    "huge": bomb,
    "bomb": squeezed,
    "references": references,
    "words": words,
    "plugin": plugin,
    "group": lambda file, name, other: file.create_group(name),
    "scalar": lambda file, name, other: file.__setitem__(name, np.uint8(1)),
    "other type": lambda file, name, other: file.__setitem__(name, np.zeros(4)),
    "too few": lambda file, name, other: file.__setitem__(name, np.zeros(3, np.uint8)),
    "too many": lambda file, name, other: file.__setitem__(name, np.zeros(5, np.uint8)),
    "no such class": lambda file, name, other: file.__setitem__(name, np.full(4, 9, np.uint8)),
    "compound": lambda file, name, other: file.__setitem__(
        name, np.zeros(4, [("a", np.uint8), ("b", object)][:1])
    ),
    "missing": lambda file, name, other: None,
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns(copied, kind):
    """A column that is not plain numbers of this file, one a row, is refused by every reader."""
    other, path = secret(copied), shard_of(copied)
    rewritten(path, "label", lambda file: COLUMNS[kind](file, "label", other))
    reader = SplitReader(copied, load(copied), "train")
    with pytest.raises(DamagedError, match=path.name) as one:
        reader.values(["label"], np.arange(4))
    with pytest.raises(DamagedError, match=path.name):
        reader.table  # noqa: B018 (loading is the test)
    assert "\n" not in str(one.value)
    assert verify(copied).problems


def huge_images(file, name, other):
    """As many images as there are atoms."""
    file.create_dataset(
        name, shape=(2**50, 32, 32, 3), dtype=np.uint8, chunks=(1, 32, 32, 3), compression="gzip"
    )


def large_images(file, name, other):
    """Images of 4 GB each."""
    shape = (4, 2**15, 2**15, 3)
    file.create_dataset(name, shape=shape, dtype=np.uint8, chunks=(1, *shape[1:]), compression=1)


def image_bombs(file, name, other):
    """Streams that inflate to far more than an image."""
    data = images(file, name)
    for row in range(4):
        data.id.write_direct_chunk((row, 0, 0, 0), deflate(np.zeros(1 << 24, np.uint8)))


def images(file, name):
    """A dataset of images as ours are, without any."""
    return file.create_dataset(
        name, shape=SHAPE, dtype=np.uint8, chunks=(1, *SHAPE[1:]), compression="gzip"
    )


def places(*pair):
    """Images that say that they lie elsewhere."""

    def make(file, name, other):
        data = images(file, name)
        data[:] = 0
        data.attrs["places"] = np.array([pair] * 4, dtype=np.int64)

    return make


IMAGES = {
    "external link": COLUMNS["external link"],
    "soft link": COLUMNS["soft link"],
    "virtual": virtual,
    "huge": huge_images,
    "large": large_images,
    "bombs": image_bombs,
    "unwritten": lambda file, name, other: images(file, name),
    "group": COLUMNS["group"],
    "references": references,
    "places beyond the file": places(0, 2**40),
    "places that overflow": places(2**62, 2**62),
    "places before the file": places(-8, 16),
    "places elsewhere": places(8, 16),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_images(copied, kind):
    """Images that are not one gzip stream each in this file are refused, without much memory."""
    other, path = secret(copied), shard_of(copied)
    rewritten(path, "image", lambda file: IMAGES[kind](file, "image", other))
    reader = SplitReader(copied, load(copied), "train")
    with pytest.raises(DamagedError, match=path.name):
        reader.images([0])
    assert verify(copied).problems


def test_too_few_rows(copied):
    """A shard with fewer rows than the manifest says is refused."""
    path = shard_of(copied)

    def fewer(file):
        data = file.create_dataset(
            "image", data=np.zeros((2, 32, 32, 3), np.uint8), chunks=(1, 32, 32, 3), compression=1
        )
        assert len(data) == 2

    rewritten(path, "image", fewer)
    with pytest.raises(DamagedError, match="has 2 rows, not 4"):
        SplitReader(copied, load(copied), "train").images([3])


@pytest.mark.parametrize("kind", ["huge", "external link", "virtual", "references", "group"])
def test_lists_of_rows(tmp_path, kind):
    """An index file is held to the same rules."""
    other, path = secret(tmp_path / "set"), tmp_path / "index.h5"
    with h5py.File(path, "w") as file:
        if kind == "huge":
            file.create_dataset("row", shape=(2**40,), dtype="<u4", chunks=(2**20,), compression=1)
        else:
            COLUMNS[kind](file, "row", other)
    with pytest.raises(DamagedError, match=r"index\.h5 is not a readable index"):
        read_index(path, 2**40 if kind == "huge" else 4)


@pytest.mark.parametrize("kind", ["external link", "soft link", "virtual", "huge", "inner link"])
@pytest.mark.parametrize("where", ["images", "labels"])
def test_imported_archives(tmp_path, kind, where):
    """So are the arrays of an HDF5 file that is imported: it cannot bring another file along."""
    place = secret(tmp_path / "set")
    with h5py.File(place / "secret.h5", "a") as file:
        file["images"] = np.zeros((4, 8, 8), np.uint8)
        file["labels"] = np.arange(8).reshape(4, 2)
        file.create_group("inner")["images"] = np.zeros((4, 8, 8), np.uint8)
    shape = {"images": (4, 8, 8), "labels": (4, 2)}
    key = {}
    with h5py.File(place / "a.h5", "w") as file:
        file["other"] = np.zeros(shape[where], np.uint8)
        for name in {"images", "labels"} - {where}:
            file[name] = np.zeros(shape[name], np.uint8)
        if kind == "external link":
            file[where] = h5py.ExternalLink(str(place / "secret.h5"), where)
        elif kind == "inner link":
            file["inner"] = h5py.ExternalLink(str(place / "secret.h5"), "/")
            key = {f"{where}_key": f"inner/{where}"}
        elif kind == "soft link":
            file[where] = h5py.SoftLink("/other")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape=shape[where], dtype=np.uint8)
            layout[:] = h5py.VirtualSource(str(place / "secret.h5"), where, shape=shape[where])
            file.create_virtual_dataset(where, layout)
        else:
            huge = (2**40, *shape[where][1:])
            file.create_dataset(where, shape=huge, dtype=np.uint8, chunks=(1, *huge[1:]))
    with pytest.raises(InputError, match=r"is a link|no dataset of this file|cut off") as error:
        list_archive(place / "a.h5", **key)
    assert "\n" not in str(error.value)


def changed(folder, change):
    """Change the manifest as plain data."""
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("place", ["../x", "/etc/passwd", "a/../../x", "a\\..\\x", "C:x", "\0", ""])
@pytest.mark.parametrize("where", ["shards", "extras"])
def test_paths_that_leave(copied, place, where):
    """A path of a manifest that is absolute, or goes up, is refused before anything is opened."""

    def change(data):
        record = data[where][0]["file"] if where == "shards" else data[where][0]
        record["path"] = place

    changed(copied, change)
    with pytest.raises(DamagedError, match=r"leaves the folder|names no file"):
        load(copied)


MANIFESTS = {
    "empty": "",
    "a list": "[]",
    "a number": "1",
    "not a number": "NaN",
    "deep lists": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "a long number": '{"manifest": ' + "9" * 10_000 + "}",
    "a word": '"manifest"',
    "half a letter": '{"manifest": "\\ud800"}',
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_manifests_of_other_forms(copied, kind):
    """JSON that is no manifest is refused, however deep."""
    (copied / "manifest.json").write_text(MANIFESTS[kind])
    with pytest.raises((DamagedError, InputError)) as error:
        load(copied)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_a_huge_manifest(copied):
    """A manifest of gigabytes is not read."""
    os.truncate(copied / "manifest.json", 1 << 40)
    with pytest.raises(DamagedError, match="more than"):
        load(copied)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rows", 10**15),
        ("rows", 3),
        ("rows", 0),
        ("rows", -4),
        ("rows", float("nan")),
        ("rows", float("inf")),
        ("start", 1),
        ("split", "test"),
    ],
)
def test_rows_that_are_not_there(copied, key, value):
    """Shards must hold all rows of the recipe's splits, each once."""
    changed(copied, lambda data: data["shards"][0].update({key: value}))
    with pytest.raises(DamagedError):
        load(copied)


def test_shards_twice(copied):
    """A shard that is listed twice is refused."""
    changed(copied, lambda data: data["shards"].append(data["shards"][0]))
    with pytest.raises(DamagedError, match="does not follow the one before"):
        load(copied)


def test_keys_twice(copied):
    """A key that is there twice, of which readers of JSON may take either, is found by verify."""
    path = copied / "manifest.json"
    path.write_text(path.read_text().replace("{", '{"name": "other",', 1))
    assert any("not written as this package writes it" in line for line in verify(copied).problems)


def test_words_that_nothing_is_computed_from(copied):
    """A changed version number, which fits everything else, is found by verify."""
    path = copied / "manifest.json"
    path.write_text(path.read_text().replace('"h5py": "3', '"h5py": "4'))
    load(copied)
    assert verify(copied).problems == (f"{path}: it does not have the SHA-256 that it says",)


def test_links_to_files_are_read_and_replaced(copied, tmp_path):
    """Files may be links, as in the Hub's cache; a writer replaces a link, not what it is to."""
    path = shard_of(copied)
    blob = path.rename(tmp_path / "blob")
    path.symlink_to(blob)
    assert not verify(copied).problems
    blob.write_bytes(b"precious")
    assert verify(copied).problems
    generate(make_recipe("discrimination", 0, FEW), copied, workers=1, parquet=False)
    blob_after = blob.read_bytes()
    assert not verify(copied).problems
    assert blob_after == b"precious"
    assert not path.is_symlink()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_pipes_and_devices(copied, kind):
    """What is no regular file is refused, and not waited for."""
    path, card = shard_of(copied), copied / "README.md"
    for each in (path, card):
        each.unlink()
        if kind == "pipe":
            os.mkfifo(each)
        elif kind == "device":
            each.symlink_to("/dev/zero")
        else:
            each.mkdir()
    with pytest.raises(DamagedError, match="no regular file"):
        SplitReader(copied, load(copied), "train").images([0])
    assert sum("no regular file" in line for line in verify(copied).problems) == 3
    with pytest.raises(DamagedError, match="no regular file"):
        read_index(path, 4)


def test_no_descriptor_is_lost(copied):
    """A thousand refused files leave none open."""
    path = shard_of(copied)
    rewritten(path, "image", lambda file: images(file, "image"))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        with pytest.raises(DamagedError):
            ShardReader(path).n_rows  # noqa: B018 (opening is the test)
    assert len(os.listdir("/proc/self/fd")) == before
