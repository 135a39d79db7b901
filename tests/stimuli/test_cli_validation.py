"""`samediff-stimuli validate`: a table on stdout, progress on stderr, an exit code that decides."""

import dataclasses
import json
import shutil

import pytest
from click.testing import CliRunner

from samediff_stimuli.cli import main
from samediff_stimuli.models import recipes
from samediff_stimuli.models.recipes import Gate, Run
from samediff_stimuli.models.train import TrainConfig


def run(*arguments):
    """Run a command in this process; the result has stdout, stderr and exit_code."""
    return CliRunner().invoke(main, ["validate", *map(str, arguments)])


@pytest.fixture
def quick(monkeypatch):
    """Sets the least accuracy of a `quick` that takes a second."""

    def use(low):
        config = TrainConfig(epochs=1, batch_size=32, warmup=1)
        gate = Gate(split="test", low=low, why="a test")
        made = (Run(name="small", config=config, gates=(gate,)),)
        recipe = dataclasses.replace(recipes.RECIPES["quick"], runs=lambda dataset: made)
        monkeypatch.setitem(recipes.RECIPES, "quick", recipe)

    return use


def test_help():
    """The command explains itself, every recipe, and its exit code."""
    done = run("--help")
    assert done.exit_code == 0
    for name in recipes.RECIPES:
        assert name in done.output
    assert "Exit code 1" in done.output


def test_a_set_that_passes(copied, quick):
    """Exit code 0: gates and accuracies on stdout, progress on stderr, files beside the folder."""
    quick(0.0)
    done = run(copied, "--recipe", "quick", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "| `small` | test accuracy | at least 0.000 |" in done.stdout
    assert "| `ood_shape_color` |" in done.stdout
    assert "By class" not in done.stdout
    assert "epoch 1/1" in done.stderr
    assert "epoch 1/1" not in done.stdout
    assert json.loads((copied / "validation.json").read_text())["recipes"]["quick"]["runs"]
    assert (copied.parent / "copied-validation").is_dir()


def test_a_set_that_fails(copied, quick, tmp_path):
    """Exit code 1 and a line for each bound that is not kept; the report is written."""
    quick(1.01)
    done = run(copied, "--out", tmp_path / "out", "--device", "cpu")
    assert done.exit_code == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    assert errors[0].startswith("Error: small: test accuracy is 0.")
    assert errors[0].endswith("at least 1.010 (a test)")
    assert (copied / "validation.json").is_file()
    assert (tmp_path / "out").is_dir()


def test_a_damaged_set(copied, quick, tmp_path):
    """Exit code 1 and what is wrong, of a damaged shard and of a damaged manifest."""
    quick(0.0)
    shard = next(iter((copied / "hdf5").rglob("*.h5")))
    shard.write_bytes(shard.read_bytes()[:-1])
    done = run(copied, "--device", "cpu")
    assert done.exit_code == 1
    assert "verify: problems" in done.stderr
    assert shard.name in done.stderr
    assert not (copied / "validation.json").exists()
    manifest = copied / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"rows"', '"lines"'))
    done = run(copied, "--device", "cpu")
    assert done.exit_code == 1
    assert "is damaged" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--recipe", "quik"), "unknown recipe 'quik'; did you mean 'quick'?"),
        (("--recipe", "schott2021"), "does not suit discrimination-p32: it is for grids"),
        (("--run", "clip"), "unknown run 'clip' of quick"),
        (("--device", "abacus"), "unknown device 'abacus'"),
        (("--weights", "w.pt"), "weights w.pt are for one run"),
    ],
)
def test_wrong_options(arguments, says, made):
    """Each mistake is one line on stderr, and exit code 2."""
    done = run(made["discrimination"], *arguments)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert says in line


def test_what_is_no_dataset(tmp_path, made):
    """No dataset, and one that nothing is trained on, are told of in one line each."""
    done = run(tmp_path)
    assert done.exit_code == 2
    assert "is not a dataset" in done.stderr
    done = run(made["dissociation"])
    assert done.exit_code == 2
    assert "'checks', which trains nothing" in done.stderr


def test_checks_alone(made, tmp_path):
    """`--recipe checks` validates a set that nothing is trained on."""
    folder = shutil.copytree(made["dissociation"], tmp_path / "set")
    done = run(folder, "--recipe", "checks")
    assert done.exit_code == 0, done.output
    assert "| verify: problems | at most 0 | 0 | passed |" in done.stdout
