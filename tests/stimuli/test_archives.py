"""Published archives are read by row as they are, and files that are not them are refused."""

import hashlib
import multiprocessing
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from samediff_stimuli.factors import Factor, FactorSpace, archives, containers
from samediff_stimuli.factors.archives import PUBLISHED, Archive, Published, identify, md5_of
from samediff_stimuli.recipe import InputError
from samediff_stimuli.rng import blocks, stream_key

SIDE = 8


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Tiny files are read in many blocks and slices, as the published ones are."""
    monkeypatch.setattr(archives, "_BLOCK", 1000)
    monkeypatch.setattr(containers, "_BLOCK", 1000)
    monkeypatch.setattr(containers, "_ROWS", 70)


def space_of(name, *sizes, values=None):
    """A grid with numbers as values, and words where `values` says so."""
    values = values or {}
    factors = [
        Factor(name=f"f{i}", values=values.get(i, tuple(k / 7 for k in range(size))), about="x")
        for i, size in enumerate(sizes)
    ]
    return FactorSpace(name=name, factors=tuple(factors))


DSPRITES = space_of("dsprites", 2, 2, 3)
SHAPES3D = space_of("shapes3d", 3, 2, 50, values={1: ("cube", "ball")})
MPI3D = space_of("mpi3d", 2, 30)


def pixels(key, *shape, top=256):
    """Arbitrary uint8 below `top`."""
    n = int(np.prod(shape))
    values = blocks(stream_key("archive", key), 0, n // 32 + 1).view(np.uint8).reshape(-1)[:n]
    return (values.astype(np.int64) % top).astype(np.uint8).reshape(shape)


def published(path, **changes):
    """The archive that a file is said to be."""
    fields = {
        "name": "tiny",
        "file": f"tiny{path.suffix}",
        "urls": ("https://example.org/data/other" + path.suffix,),
        "n_bytes": path.stat().st_size,
        "md5": hashlib.md5(path.read_bytes()).hexdigest(),
        "key": "images",
        "license": "mit",
        "cite": "nobody",
    }
    return Published(**fields | changes)


SPRITES = {"key": "imgs", "channels": 1, "scale": 255, "labels": "latents_classes"}


def write_dsprites(path, save=np.savez_compressed, **changes):
    """A file as dSprites is, with its pickled metadata; returns its arrays."""
    levels = DSPRITES.levels(np.arange(len(DSPRITES)))
    classes = np.concatenate([np.zeros((len(levels), 1), dtype=np.int64), levels], axis=1)
    arrays = {
        "metadata": np.array({"date": "April 2017", "author": Trap()}, dtype=object),
        "imgs": pixels("dsprites", len(DSPRITES), SIDE, SIDE, top=2),
        "latents_classes": classes,
        "latents_values": classes / 7,
    }
    arrays = {name: array for name, array in (arrays | changes).items() if array is not None}
    save(path, **arrays)
    return arrays


class Trap:
    """Unpickling it ends the test run."""

    def __reduce__(self):
        return os._exit, (3,)


def write_shapes3d(path, chunks=(32, 4, 4, 1), **changes):
    """A file as Shapes3D is: gzip, chunks of many rows and few pixels."""
    levels = SHAPES3D.levels(np.arange(len(SHAPES3D)))
    labels = levels / 7
    labels[:, 1] = levels[:, 1]
    arrays = {"images": pixels("shapes3d", len(SHAPES3D), SIDE, SIDE, 3), "labels": labels}
    arrays = {name: array for name, array in (arrays | changes).items() if array is not None}
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            at = chunks if array.ndim == 4 else None
            gzip = None if chunks is None else "gzip"
            file.create_dataset(name, data=array, chunks=at, compression=gzip)
    return arrays


def write_mpi3d(path, save=np.savez, name="mpi3d"):
    """A file as MPI3D is: images and no labels."""
    images = pixels(name, len(MPI3D), SIDE, SIDE, 3)
    save(path, images=images)
    return images


KINDS = ("dsprites-deflated", "dsprites-stored", "shapes3d", "shapes3d-plain", "mpi3d", "mpi3d-z")


@pytest.fixture(params=KINDS)
def known(request, tmp_path):
    """An archive's file, what it is, its grid, and its images as they must come out."""
    kind = request.param
    if kind.startswith("dsprites"):
        path = tmp_path / "a.npz"
        save = np.savez if kind.endswith("stored") else np.savez_compressed
        images = write_dsprites(path, save)["imgs"][..., None] * np.uint8(255)
        return path, published(path, **SPRITES), DSPRITES, images
    if kind.startswith("shapes3d"):
        path = tmp_path / "a.h5"
        images = write_shapes3d(path, None if kind.endswith("plain") else (32, 4, 4, 1))["images"]
        return path, published(path, labels="labels"), SHAPES3D, images
    path = tmp_path / "a.npz"
    images = write_mpi3d(path, np.savez_compressed if kind.endswith("z") else np.savez)
    return path, published(path), MPI3D, images


def same(found, wanted):
    """Whether images come as promised, and are these."""
    found = list(found)
    assert all(image.dtype == np.uint8 and image.flags.c_contiguous for image in found)
    assert all(image.base is None or image.base.nbytes == image.nbytes for image in found)
    return len(found) == len(wanted) and all(map(np.array_equal, found, wanted))


def test_the_table_of_archives_is_whole():
    """Every set has archives with two mirrors, an MD5 each, and its kind from its file name."""
    assert set(PUBLISHED) == {"dsprites", "shapes3d", "mpi3d"}
    every = [archive for archives in PUBLISHED.values() for archive in archives]
    assert len({archive.name for archive in every}) == len({a.md5 for a in every}) == 5
    for archive in every:
        assert len(archive.urls) == 2
        assert all(url.startswith("https://") for url in archive.urls)
        assert len(bytes.fromhex(archive.md5)) == 16
        assert archive.kind == ("HDF5" if archive.name == "shapes3d" else "npz")
    assert PUBLISHED["mpi3d"][2].urls[1].endswith("/data/real.npz")


def test_an_archive_is_identified(known):
    """A file is known by what is in it, under any name; its MD5 is read once, block by block."""
    path, what, space, _ = known
    told = []
    assert identify(path, space, candidates=[what], on_bytes=told.append) is what
    assert sum(told) == path.stat().st_size
    other = path.rename(path.with_name("renamed"))
    assert identify(other, space, candidates=[what]) is what
    assert identify(other, space, False, [what]) is what


def test_images_come_by_row(known):
    """All rows, ranges in any order, backwards, and two iterators in turns are the file's rows."""
    path, what, space, images = known
    archive = Archive(path, what, space)
    assert same(archive.images(0, len(space)), images)
    words = blocks(stream_key("ranges"), 0, 20).reshape(-1)
    bounds = np.sort((words % np.uint64(len(space) + 1)).astype(int).reshape(-1, 2), axis=1)
    for start, stop in bounds.tolist():
        assert same(archive.images(start, stop), images[start:stop])
    for row in reversed(range(len(space))):
        assert same(archive.images(row, row + 1), images[row : row + 1])
    pairs = zip(archive.images(0, len(space)), archive.images(0, len(space)), strict=True)
    assert all(np.array_equal(one, two) for one, two in pairs)
    assert same(archive.images(3, 3), images[3:3])


def test_images_are_the_callers_own(known):
    """Writing into an image does not change what is read later."""
    path, what, space, images = known
    archive = Archive(path, what, space)
    next(archive.images(2, 4))[:] = 7
    assert same(archive.images(2, 4), images[2:4])


def test_a_closed_archive_opens_again(known):
    """Closing an archive, even twice and while it is read, only costs its place in the file."""
    path, what, space, images = known
    archive = Archive(path, what, space)
    running = archive.images(0, 12)
    first = next(running)
    archive.close()
    archive.close()
    assert same([first, *running], images[:12])


def test_rows_outside_the_grid_are_refused(known):
    """A range that leaves the grid is refused before anything is read."""
    path, what, space, _ = known
    archive = Archive(path.with_name("absent"), what, space)
    for start, stop in [(-1, 2), (0, len(space) + 1), (3, 2)]:
        with pytest.raises(InputError, match=r"are not within 0 \.\. "):
            archive.images(start, stop)


def test_a_copy_reads_on_its_own(known):
    """A pickled copy of an archive in use is small, and reads the same."""
    path, what, space, images = known
    archive = Archive(path, what, space)
    running = archive.images(0, 12)
    first = next(running)
    text = pickle.dumps(archive)
    assert len(text) < 4000
    assert same(pickle.loads(text).images(5, 9), images[5:9])
    assert same([first, *running], images[:12])


def _child(archive, start, stop, pipe):
    pipe.send(np.stack(list(archive.images(start, stop))))
    pipe.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["deflated", "stored", "h5"])
def test_a_forked_process_does_not_disturb(tmp_path, kind):
    """Parent and child read different rows of an archive that was open before the fork."""
    space, path = space_of("mpi3d", 60), tmp_path / ("a.h5" if kind == "h5" else "a.npz")
    images = pixels("fork", 60, 64, 64, 3)  # more than any buffer holds
    if kind == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("images", data=images, chunks=(10, 64, 64, 3), compression="gzip")
    else:
        (np.savez if kind == "stored" else np.savez_compressed)(path, images=images)
    archive = Archive(path, published(path), space)
    running = archive.images(0, 60)
    first = [next(running), next(running)]
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    with here:
        child = context.Process(target=_child, args=(archive, 37, 57, there))
        child.start()
        there.close()
        middle = [next(running) for _ in range(9)]
        try:
            assert np.array_equal(here.recv(), images[37:57])
        finally:
            child.join()
    assert child.exitcode == 0
    assert same([*first, *middle, *running], images)


def test_a_spawned_process_reads(known, tmp_path):
    """Another interpreter, in another folder, reads from a pickle that came from here."""
    path, what, space, images = known
    text = tmp_path / "archive.pickle"
    text.write_bytes(pickle.dumps(Archive(path, what, space)))
    code = (
        "import pickle, sys, hashlib\n"
        "archive = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(hashlib.md5(b''.join(i.tobytes() for i in archive.images(1, 5))).hexdigest())"
    )
    command = [sys.executable, "-c", code, text]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.md5(images[1:5].tobytes()).hexdigest()


def test_metadata_is_never_unpickled(tmp_path):
    """The trap in the metadata does go off when it is unpickled, so reading did not do that."""
    path = tmp_path / "a.npz"
    write_dsprites(path)
    code = "import sys, numpy; numpy.load(sys.argv[1], allow_pickle=True)['metadata']"
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 3
    what = published(path, **SPRITES)
    list(Archive(path, identify(path, DSPRITES, candidates=[what]), DSPRITES).images(0, 12))


def test_headers_of_python_2_are_read(tmp_path):
    """A header with long integers, as Python 2 wrote them, is read without a warning."""
    images = pixels("old", len(MPI3D), SIDE, SIDE, 3)
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (60L, 8L, 8L, 3L), }"
    header = header.ljust(117) + "\n"
    text = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("images.npy", text + images.tobytes())
    what = identify(path, MPI3D, candidates=[published(path)])
    assert same(Archive(path, what, MPI3D).images(0, 60), images)


def test_chunks_are_decoded_once(tmp_path, monkeypatch):
    """Rows in order, from any row on, come from slices of whole chunks, each read once."""
    path = tmp_path / "a.h5"
    images = write_shapes3d(path)["images"]
    archive = Archive(path, published(path, labels="labels"), SHAPES3D)
    real, starts = h5py.Dataset.__getitem__, []

    def get(data, rows):
        starts.append(rows.start)
        return real(data, rows)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", get)
    assert same(archive.images(70, 90), images[70:90])
    assert same(archive.images(90, 300), images[90:])
    assert starts == [64, 128, 192, 256]  # two chunks of 32 rows


def test_labels_may_lie_column_by_column(tmp_path):
    """Labels in Fortran order are compared as well as others."""
    path = tmp_path / "a.npz"
    classes = write_dsprites(path)["latents_classes"]
    write_dsprites(path, latents_classes=np.asfortranarray(classes))
    identify(path, DSPRITES, candidates=[published(path, **SPRITES)])
    write_dsprites(path, latents_classes=np.asfortranarray(classes[::-1]))
    with pytest.raises(InputError, match="not in grid order"):
        identify(path, DSPRITES, candidates=[published(path, **SPRITES)])


def test_a_stored_array_is_found_behind_others(tmp_path):
    """Rows of a stored array are found when more than 64 KiB of other arrays precede it."""
    path = tmp_path / "a.npz"
    images = pixels("mpi3d", len(MPI3D), SIDE, SIDE, 3)
    np.savez(path, before=pixels("before", 300_000), images=images, after=np.arange(9))
    archive = Archive(path, published(path), MPI3D)
    assert same(archive.images(40, 60), images[40:])
    assert same(archive.images(7, 9), images[7:9])


def test_archives_that_look_alike_are_told_apart(tmp_path):
    """Those of MPI3D differ in their MD5; without it, in their file's name here or at a mirror."""
    known = {}
    for name in ("toy", "real"):
        path = tmp_path / f"mpi3d_{name}.npz"
        write_mpi3d(path, name=name)
        url = f"https://example.org/{name}.npz"
        known[name] = published(path, name=name, file=path.name, urls=(url,))
    (tmp_path / "mpi3d_real.npz").rename(tmp_path / "real.npz")
    (tmp_path / "any.npz").write_bytes((tmp_path / "real.npz").read_bytes())
    candidates = list(known.values())
    for file, name in {"mpi3d_toy": "toy", "real": "real"}.items():
        for digest in (True, False):
            found = identify(tmp_path / f"{file}.npz", MPI3D, digest, candidates)
            assert found is known[name]
    assert identify(tmp_path / "any.npz", MPI3D, True, candidates) is known["real"]
    with pytest.raises(InputError, match=r"may be mpi3d_toy\.npz or mpi3d_real\.npz: its MD5"):
        identify(tmp_path / "any.npz", MPI3D, False, candidates)


def refusal(path, space, *candidates, digest=True):
    """The one line with which a file is refused."""
    with pytest.raises(InputError) as caught:
        identify(path, space, digest, candidates or None)
    line = str(caught.value)
    assert "\n" not in line
    return line


def refused_sprites(path, **changes):
    """The line for a file that departs from dSprites in some array."""
    write_dsprites(path, **changes)
    return refusal(path, DSPRITES, published(path, **SPRITES))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    """No file, a folder, an empty file, text and a set without archives each have their line."""
    path = tmp_path / "a.npz"
    assert "cannot be read: No such file" in refusal(path, space_of("mpi3d", 2))
    assert "Is a directory" in refusal(tmp_path, space_of("mpi3d", 2))
    path.write_bytes(b"")
    assert f"{path} is empty, but mpi3d_toy.npz is npz" in refusal(path, space_of("mpi3d", 2))
    path.write_text("<html>no</html>")
    line = refusal(path, space_of("shapes3d", 2))
    assert "is neither .npz nor HDF5, but 3dshapes.h5 is HDF5; download it again" in line
    assert "known: dsprites, shapes3d, mpi3d" in refusal(path, space_of("other", 2))


def test_the_wrong_kind_is_refused(tmp_path):
    """What a file is says its start, not its name."""
    path = tmp_path / "3dshapes.h5"
    with path.open("wb") as file:
        np.savez(file, images=np.zeros(3))
    assert "is npz, but 3dshapes.h5 is HDF5" in refusal(path, SHAPES3D)
    write_shapes3d(path)
    assert "is HDF5, but mpi3d_toy.npz is npz" in refusal(path, MPI3D)


def test_a_file_cut_off_is_refused(known):
    """However much is missing, a file that was cut is called so, and its images are not read."""
    path, what, space, _ = known
    text = path.read_bytes()
    for size in (len(text) - 1, len(text) // 2, 200):
        path.write_bytes(text[:size])
        line = refusal(path, space, what)
        assert line.startswith(f"{path} is cut off; download it again (see 'samediff-stimuli")
        with pytest.raises(InputError, match="is cut off; download it again"):
            list(Archive(path, what, space).images(0, 2))


def test_a_wrong_key_is_refused(tmp_path):
    """The arrays that there are are named."""
    path = tmp_path / "a.npz"
    line = refused_sprites(path, imgs=None)
    assert "has no array 'imgs', but metadata, latents_classes, latents_values; " in line
    line = refused_sprites(path, latents_classes=None)
    assert "has no array 'latents_classes', but metadata, imgs" in line
    path = tmp_path / "a.h5"
    write_shapes3d(path, images=None)
    line = refusal(path, SHAPES3D, published(path, labels="labels"))
    assert "has no array 'images', but labels;" in line


def test_a_wrong_dtype_is_refused(tmp_path):
    """Images that are not uint8 are refused, with what they are."""
    path = tmp_path / "a.npz"
    images = pixels("dsprites", len(DSPRITES), SIDE, SIDE, top=2)
    line = refused_sprites(path, imgs=images.astype(np.float32))
    assert "has float32 in 'imgs', but tiny has uint8" in line
    path = tmp_path / "a.h5"
    write_shapes3d(path, images=np.zeros((len(SHAPES3D), SIDE, SIDE, 3), dtype=np.int16))
    line = refusal(path, SHAPES3D, published(path, labels="labels"))
    assert "has int16 in 'images', but tiny has uint8" in line


@pytest.mark.parametrize(
    "shape", [(11, 8, 8), (12, 64), (12, 8, 8, 1), (12, 8, 8, 3), (12, 0, 8), ()]
)
def test_a_wrong_shape_is_refused(tmp_path, shape):
    """Rows, sides and channels must be the grid's and the archive's."""
    line = refused_sprites(tmp_path / "a.npz", imgs=np.zeros(shape, dtype=np.uint8))
    assert f"has shape {shape} in 'imgs', but tiny has (12, height, width)" in line


def test_images_in_fortran_order_are_refused(tmp_path):
    """Images that do not lie row by row cannot be read by row."""
    images = pixels("dsprites", len(DSPRITES), SIDE, SIDE, top=2)
    line = refused_sprites(tmp_path / "a.npz", imgs=np.asfortranarray(images))
    assert "has 'imgs' in Fortran order" in line


def test_pickled_images_are_refused(tmp_path):
    """An array of Python objects under the images' name is refused and not unpickled."""
    trap = np.array([Trap()] * len(DSPRITES), dtype=object)
    for array in (trap, np.array(Trap(), dtype=object)):
        line = refused_sprites(tmp_path / "a.npz", imgs=array)
        assert "has Python objects in 'imgs', which are never unpickled" in line
        line = refused_sprites(tmp_path / "a.npz", latents_classes=array)
        assert "has object" in line


def test_a_wrong_size_or_hash_is_refused(known):
    """Sizes and hashes are named, found and expected; no hash is made if it is not wanted."""
    path, what, space, _ = known
    size, md5 = path.stat().st_size, what.md5
    line = refusal(path, space, published(path, n_bytes=5, **SPRITES | vars_of(what)))
    assert f"has {size} bytes, but {what.file} has 5; download it again" in line
    wrong = published(path, md5="0" * 32, **vars_of(what))
    line = refusal(path, space, wrong)
    assert line.startswith(f"{path} has MD5 {md5}, not {'0' * 32} (tiny); download it again (see ")
    assert identify(path, space, False, [wrong]) is wrong
    assert md5_of(path) == md5


def vars_of(what):
    """The fields of an archive that say what its arrays are."""
    return {name: getattr(what, name) for name in ("key", "channels", "scale", "labels")}


def test_labels_in_another_order_are_refused(tmp_path):
    """The first row that is not the grid's is named, also if the hash is not made."""
    path = tmp_path / "a.npz"
    classes = write_dsprites(path)["latents_classes"]
    swapped = classes.copy()
    swapped[[4, 7]] = swapped[[7, 4]]
    line = refused_sprites(path, latents_classes=swapped)
    assert "has [0, 1, 0, 1] in row 4 of 'latents_classes', not that of levels [0, 1, 1]" in line
    what = published(path, **SPRITES)
    assert "not in grid order" in refusal(path, DSPRITES, what, digest=False)
    coloured = classes.copy()
    coloured[9, 0] = 1
    assert "in row 9 of" in refused_sprites(path, latents_classes=coloured)
    assert "int64 (12, 2) in" in refused_sprites(path, latents_classes=classes[:, :2])
    path = tmp_path / "a.h5"
    labels = write_shapes3d(path)["labels"]
    for row, column, by in [(299, 0, 2e-6), (280, 1, 1.0), (0, 2, np.nan)]:
        wrong = labels.copy()
        wrong[row, column] += by
        write_shapes3d(path, labels=wrong)
        line = refusal(path, SHAPES3D, published(path, labels="labels"))
        assert f"in row {row} of 'labels'" in line
    write_shapes3d(path, labels=labels + 1e-7)
    identify(path, SHAPES3D, candidates=[published(path, labels="labels")])


@pytest.mark.parametrize("where", ["pixels", "end"])
def test_broken_bytes_are_found(tmp_path, where):
    """Changed bytes of a deflated array end in one line, at the latest with its last row."""
    path = tmp_path / "a.npz"
    write_mpi3d(path, np.savez_compressed)
    what, text = published(path), bytearray(path.read_bytes())
    at = len(text) // 2 if where == "pixels" else len(text) - 120
    text[at] ^= 0x40
    path.write_bytes(text)
    with pytest.raises(InputError, match=r"is (broken: .*|cut off); download it again") as caught:
        list(Archive(path, what, MPI3D).images(0, len(MPI3D)))
    assert "\n" not in str(caught.value)


def test_broken_chunks_are_found(tmp_path):
    """Changed bytes of a compressed HDF5 chunk end in one line; other rows can still be read."""
    path = tmp_path / "a.h5"
    images = write_shapes3d(path)["images"]
    what = published(path, labels="labels")
    with h5py.File(path) as file:
        where = file["images"].id.get_chunk_info_by_coord((288, 0, 0, 0))
    text = bytearray(path.read_bytes())
    text[where.byte_offset + 9 : where.byte_offset + 20] = bytes(11)
    path.write_bytes(text)
    archive = Archive(path, what, SHAPES3D)
    with pytest.raises(InputError, match=r"is broken: .*; download it again"):
        list(archive.images(290, 300))
    assert same(archive.images(0, 20), images[:20])


def test_pixels_that_are_not_binary_are_refused(tmp_path):
    """A sprite's pixels are 0 and 1: others would not fit when multiplied."""
    path = tmp_path / "a.npz"
    write_dsprites(path, imgs=pixels("dsprites", len(DSPRITES), SIDE, SIDE, top=3))
    with pytest.raises(InputError, match=r"has pixels of 2, not 0 \.\. 1"):
        list(Archive(path, published(path, **SPRITES), DSPRITES).images(0, 12))


@pytest.mark.parametrize("kind", ["deflated", "stored", "h5"])
def test_memory_stays_flat(tmp_path, kind, monkeypatch):
    """Reading 40 MB of images, and going far ahead and back, takes a few MB of memory."""
    monkeypatch.undo()
    rows, side = 3300, 64
    space, path = space_of("mpi3d", rows), tmp_path / ("a.h5" if kind == "h5" else "a.npz")
    images = np.repeat(pixels("flat", rows, 1, 1, 1), side * side * 3).reshape(rows, side, side, 3)
    if kind == "h5":
        with h5py.File(path, "w") as file:
            chunks = (300, 16, 16, 3)
            file.create_dataset("images", data=images, chunks=chunks, compression="gzip")
    else:
        (np.savez if kind == "stored" else np.savez_compressed)(path, images=images)
    first = images[:, 0, 0, 0].copy()
    assert images.nbytes > 40_000_000
    del images
    archive = Archive(path, published(path, n_bytes=None), space)
    tracemalloc.start()
    try:
        found = [int(image[63, 63, 2]) for image in archive.images(0, rows)]
        last = next(archive.images(10, 11)), next(archive.images(rows - 1, rows))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == first.tolist()
    assert [image[0, 0, 0] for image in last] == [first[10], first[-1]]
    assert peak < 6_000_000
