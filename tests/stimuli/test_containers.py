"""What is wrong with a file of arrays is said in a line, with advice if there is any."""

import h5py
import numpy as np
import pytest

from samediff_stimuli.factors.containers import READERS, UnreadableError, kind_of, readable
from samediff_stimuli.recipe import InputError


@pytest.fixture(params=["npz", "HDF5"])
def stored(request, tmp_path):
    """A file of either kind with an array `x`, and its kind."""
    path, values = tmp_path / "file", np.arange(24).reshape(6, 4)
    if request.param == "npz":
        with path.open("wb") as file:
            np.savez(file, x=values)
    else:
        with h5py.File(path, "w") as file:
            file["x"] = values
    return path, request.param


def test_files_are_known_by_their_start(stored):
    """The name says nothing; a file that starts like neither is neither, as an empty one is."""
    path, kind = stored
    assert kind_of(path) == kind
    for start in (path.read_bytes()[1:], b""):
        path.write_bytes(start)
        assert kind_of(path) is None


def test_rows_are_read(stored):
    """Readers of both kinds have the array's shape and type, and give its rows."""
    path, kind = stored
    reader = READERS[kind](path, "x")
    assert (reader.shape, reader.dtype) == ((6, 4), np.dtype(np.int64))
    assert reader.read(2, 3).tolist() == np.arange(8, 20).reshape(3, 4).tolist()
    reader.close()


@pytest.mark.parametrize("advice", ["", "; ask"])
def test_a_line_ends_in_the_advice(stored, advice):
    """A reader's own words, and what is said of a file cut off, end in the advice, once."""
    path, kind = stored
    with pytest.raises(UnreadableError) as words:
        READERS[kind](path, "y")
    with pytest.raises(InputError) as caught, readable(path, advice):
        READERS[kind](path, "y")
    assert (
        str(caught.value) == f"{words.value}{advice}" == f"{path} has no array 'y', but x{advice}"
    )
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError) as caught, readable(path, advice):
        READERS[kind](path, "x")
    assert str(caught.value) == f"{path} is cut off{advice}"


def test_what_is_not_the_files_fault_has_no_advice(tmp_path):
    """A file that is gone, and an error that has its own way out, are as they are."""
    path = tmp_path / "gone"
    with pytest.raises(InputError) as caught, readable(path, "; ask"):
        kind_of(path)
    assert str(caught.value) == f"{path} cannot be read: No such file or directory"
    with pytest.raises(InputError) as caught, readable(path, "; ask"):
        raise InputError("do that")
    assert str(caught.value) == "do that"
    with pytest.raises(MemoryError), readable(path, "; ask"):
        raise MemoryError
