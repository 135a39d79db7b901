"""Small dataset folders shared by the tests, made once per session."""

import shutil

import pytest

from samediff_stimuli import AlignedOptions, generate, make_recipe, tasks

SMALL = AlignedOptions(train=96, validation=48, test=48, ood=24)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Task name -> folder of a small finished dataset; tests must not change it."""
    root = tmp_path_factory.mktemp("datasets")
    for name in tasks.registry():
        generate(make_recipe(name, 0, SMALL), root / name, workers=1)
    return {name: root / name for name in tasks.registry()}


@pytest.fixture
def copied(made, tmp_path):
    """A copy of the small discrimination folder, for a test to damage."""
    return shutil.copytree(made["discrimination"], tmp_path / "copied")
