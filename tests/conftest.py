"""Small dataset folders shared by the tests, made once per session."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest

from samediff_stimuli import generate, make_recipe, tasks
from tests import stand_in
from tests.cases import FACTOR_SETS, few

# Cut-outs are kept from one run of the tests to the next, by whichever process makes them first.
CACHE = f"samediff-stimuli-tests-{np.__version__}"  # each NumPy draws its own
os.environ["SAMEDIFF_STIMULI_CACHE"] = str(Path(tempfile.gettempdir()) / CACHE)

# A shell lets what it starts in the background ignore Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SIZES = {"train": 96, "validation": 48, "test": 48, "ood": 24}
SMALL = {
    "photoreal": {"image_size": 48, "configurations": 1, "held_out_objects": 4, "distractors": 1}
}


@pytest.fixture(scope="session", autouse=True)
def without_blender():
    """Photoreal images are painted, not rendered."""
    with pytest.MonkeyPatch.context() as patch:
        stand_in.use(patch)
        yield


def small(name):
    """A task's options with few images in each split."""
    options = tasks.get(name).options
    sizes = {size: rows for size, rows in SIZES.items() if size in options.names()}
    return few(options(**sizes, **SMALL.get(name, {})))


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Task name -> folder of a small finished dataset; tests must not change it."""
    root = tmp_path_factory.mktemp("datasets")
    registry = tasks.registry().items()
    names = [name for name, task in registry if task.variants and name not in FACTOR_SETS]
    for name in names:
        generate(make_recipe(name, 0, small(name)), root / name, workers=1)
    return {name: root / name for name in names}


@pytest.fixture
def copied(made, tmp_path):
    """A copy of the small discrimination folder, for a test to damage."""
    return shutil.copytree(made["discrimination"], tmp_path / "copied")
