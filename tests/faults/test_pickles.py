"""Nothing is unpickled from a file: not in the code, and not by any way in that a file has."""

import ast
import io
import os
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from samediff_stimuli import InputError, tasks
from samediff_stimuli.cards.factor_listing import list_archive
from samediff_stimuli.factors import label_files
from samediff_stimuli.factors.archives import identify
from samediff_stimuli.models import checkpoints, factor_cnn

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("stimuli", "blender_scenes", "loaders", "models", "cards")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
RUNNERS = {"eval", "exec", "compile"}


class Planted:
    """An object that, unpickled, makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def planted(tmp_path):
    """An object that leaves a mark if it is unpickled; that it did not is checked at the end."""
    mark = tmp_path / "ran"
    yield Planted(mark)
    assert not mark.exists(), "it was unpickled"
    pickle.loads(pickle.dumps(Planted(mark)))  # as it would have been
    assert mark.exists()


def calls(path):
    """(dotted name, call) of every call in a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call, name):
    """The constant that a call has for a keyword; None if it has none."""
    found = [k.value for k in call.keywords if k.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_unpickles_or_runs_what_it_reads(path):
    """np.load and torch.load say that they do not; nothing else that would is in the code."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").split(".")[0]}
        else:
            continue
        if path.name != "engines.py":  # joblib sends work to our own processes there
            assert not names & UNPICKLERS, f"{path} imports {names & UNPICKLERS}"
    for name, call in calls(path):
        last = name.rpartition(".")[2]
        if name in ("np.load", "numpy.load", "np.memmap.load"):
            assert keyword(call, "allow_pickle") is False, f"{path}:{call.lineno}"
        if name == "torch.load" or name.startswith("timm.models.load_state_dict"):
            assert keyword(call, "weights_only") is True, f"{path}:{call.lineno}"
        if last == "read_array" and "npy" in name:
            assert keyword(call, "allow_pickle") is False, f"{path}:{call.lineno}"
        assert name not in RUNNERS, f"{path}:{call.lineno} calls {name}"
        assert keyword(call, "trust_remote_code") in (None, False), f"{path}:{call.lineno}"
        assert keyword(call, "shell") in (None, False), f"{path}:{call.lineno}"
        assert name not in ("os.system", "os.popen", "yaml.load", "yaml.unsafe_load"), path


def objects(planted):
    """An array of Python objects, as bytes of an .npy file."""
    file = io.BytesIO()
    array = np.empty((3, 4), dtype=object)
    array[:] = planted
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def npz(path, **arrays):
    """An .npz file of such bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)
    return path


def plain(array):
    """An array of numbers, as bytes of an .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("where", ["images", "labels"])
def test_imported_archives(planted, tmp_path, where):
    """Objects among images or labels of an .npz file are refused."""
    arrays = {"images": plain(np.zeros((3, 4, 4), np.uint8)), "labels": plain(np.zeros((3, 2)))}
    path = npz(tmp_path / "a.npz", **(arrays | {where: objects(planted)}))
    with pytest.raises(InputError, match="never unpickled"):
        list_archive(path)


def test_published_archives(planted, tmp_path):
    """Objects in place of the images of a published archive, which has some of its own, are not."""
    space = tasks.get("dsprites").space(tasks.make_recipe("dsprites", 0))
    path = npz(tmp_path / "dsprites.npz", imgs=objects(planted), metadata=objects(planted))
    with pytest.raises(InputError):
        identify(path, space)


def test_label_files(planted, tmp_path):
    """Objects in the benchmark's label files are refused."""
    space = tasks.get("dsprites").space(tasks.make_recipe("dsprites", 0))
    with pytest.raises(InputError, match="no readable npz file"):
        label_files.space_rows(npz(tmp_path / "a.npz", arr_0=objects(planted)), space)


def test_hdf5_archives(planted, tmp_path):
    """Bytes of a pickle in an HDF5 file, and its object type, are bytes."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = np.zeros((3, 4, 4), np.uint8)
        file["labels"] = np.full((3, 2), np.void(pickle.dumps(planted)))
    with pytest.raises(InputError):
        list_archive(tmp_path / "a.h5")


@pytest.mark.parametrize("read", [checkpoints.load, factor_cnn.load_model])
@pytest.mark.parametrize("old", [False, True])
def test_checkpoints(planted, tmp_path, read, old):
    """Checkpoints load with weights only, in both of torch's formats, or as a bare pickle."""
    path = tmp_path / "checkpoint.pt"
    torch.save({"format": 1, "weights": planted}, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(InputError):
        read(path)
    path.write_bytes(pickle.dumps(planted))
    with pytest.raises(InputError):
        read(path)
