"""Small dataset folders shared by the tests, made once per session."""

import shutil

import pytest

from samediff_stimuli import generate, make_recipe, tasks
from tests.cases import FACTOR_SETS

SIZES = {"train": 96, "validation": 48, "test": 48, "ood": 24}


def small(name):
    """A task's options with few images in each split."""
    options = tasks.get(name).options
    return options(**{size: rows for size, rows in SIZES.items() if size in options.names()})


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
