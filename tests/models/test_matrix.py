"""The matrix: every cell there, honest numbers, finished models kept, clear mistakes."""

import dataclasses
import json

import pytest
from click.testing import CliRunner

from samediff_stimuli import InputError, generate, make_recipe
from samediff_stimuli.cli import main
from samediff_stimuli.manifest import load
from samediff_stimuli.models import checkpoints, zoo
from samediff_stimuli.models.cells import Cell, MatrixResult
from samediff_stimuli.models.fitting import accuracy
from samediff_stimuli.models.matrix import FirstRows, matrix
from samediff_stimuli.models.train import TrainConfig, train
from samediff_stimuli.models.train_config import make_fabric
from samediff_stimuli.placed_options import PlacedOptions
from samediff_stimuli.tasks.dissociation import DissociationOptions
from samediff_stimuli.tasks.shapes import ShapesOptions
from samediff_stimuli.tasks.transfer import TransferOptions

SIZES = {
    "train": 128,
    "validation": 32,
    "test": 64,
    "train_objects": 64,
    "validation_objects": 16,
    "test_objects": 16,
}
FEW = TrainConfig(epochs=1, batch_size=32, warmup=4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three sets of pairs, one with ten test splits and no validation, and a dissociation set."""
    root = tmp_path_factory.mktemp("sets")
    recipes = {
        "squiggles": make_recipe("squiggles", 0, PlacedOptions(**SIZES)),
        "shapes": make_recipe("shapes", 0, ShapesOptions(**SIZES)),
        "transfer": make_recipe("transfer", 0, TransferOptions(**SIZES | {"validation": 0})),
        "dissociation": make_recipe("dissociation", 0, DissociationOptions(test=64)),
        "large": make_recipe("squiggles", 0, PlacedOptions(**SIZES, image_size=256)),
        "odd": make_recipe("squiggles", 0, PlacedOptions(**SIZES, items=3, object_size=48)),
    }
    for name, recipe in recipes.items():
        generate(recipe, root / name, workers=1, parquet=False)
    return {name: root / name for name in recipes}


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory):
    """(used folders, run folder, result) of a matrix of two seeds."""
    out = tmp_path_factory.mktemp("run") / "matrix"
    used = [folders[name] for name in ("squiggles", "shapes", "transfer", "dissociation")]
    result = matrix(used, out, FEW, images=96, test_images=48, seeds=2, tell=lambda line: None)
    return used, out, result


def test_every_cell_is_there(run):
    """Each trained set meets each test split once; dissociation has a cell for each label."""
    cells = run[2].cells
    assert run[2].models_trained == 4
    assert {cell.trained for cell in cells} == {"squiggles", "shapes"}
    for trained in ("squiggles", "shapes"):
        row = [cell for cell in cells if cell.trained == trained]
        splits = [(cell.tested, cell.split) for cell in row if cell.label is None]
        assert splits[:2] == [("squiggles", "test"), ("shapes", "test")]
        assert len(splits) == 12
        assert len(set(splits)) == 12
        shares = [cell for cell in row if cell.label is not None]
        assert [cell.label for cell in shares] == [f"{label:03b}" for label in range(8)]
        assert all(cell.images == 6 for cell in shares)
    assert all(len(cell.by_seed) == 2 and 0 <= cell.median <= 1 for cell in cells)


def test_files(run):
    """matrix.json has config, digests, seeds and cells; matrix.md the tables."""
    used, out, result = run
    report = json.loads((out / "matrix.json").read_text())
    assert report["seeds"] == [0, 1]
    assert report["plan"]["images"] == 96
    assert report["plan"]["window"] == 108
    for folder in used:
        assert report["datasets"][folder.name]["digest"] == load(folder).digest()
    assert len(report["cells"]) == len(result.cells)
    text = (out / "matrix.md").read_text()
    assert text == result.markdown()
    assert "| trained on | squiggles | shapes | transfer/test_original |" in text
    assert "| trained on | 000 | 001 | 010 | 011 | 100 | 101 | 110 | 111 |" in text


def test_checkpoint_gives_the_reported_accuracy(run):
    """A saved model, loaded without pickled code, reaches its cell again."""
    used, out, result = run
    (path,) = (out / "models").glob("shapes-seed1-*.pt")
    found = checkpoints.load(path)
    assert found.digest == load(used[1]).digest()
    rows = FirstRows(used[0], "test", 48)
    (cell,) = (c for c in result.cells if (c.trained, c.tested) == ("shapes", "squiggles"))
    assert accuracy(found.model, rows, make_fabric(FEW)) == cell.by_seed[1]


def test_finished_models_are_kept(run, tmp_path):
    """Run again, nothing is trained and all is equal; a lost or new model alone is trained."""
    used, out, result = run
    again = {"images": 96, "test_images": 48, "seeds": 2, "tell": lambda line: None}
    before = (out / "matrix.json").read_bytes()
    second = matrix(used, out, FEW, **again)
    assert second.models_trained == 0
    assert second.cells == result.cells
    (report,) = (out / "models").glob("squiggles-seed1-*.json")
    report.unlink()  # as if interrupted before it was finished
    third = matrix(used, out, FEW, **again)
    assert third.models_trained == 1
    assert third.cells == result.cells
    assert (out / "matrix.json").read_bytes() == before
    fewer = matrix(used[:3], out, FEW, **again | {"seeds": 1})
    assert fewer.models_trained == 0
    assert len(fewer.cells) == 2 * 12


def test_median_and_interval():
    """The number is the median over seeds, its interval Wilson's over images."""
    cell = Cell(
        trained="a", tested="b", split="test", label=None, images=100, by_seed=(0.9, 0.5, 0.4)
    )
    assert cell.median == 0.5
    assert cell.half_width == pytest.approx(0.0962, abs=1e-4)
    sure = Cell(trained="a", tested="b", split="test", label=None, images=100, by_seed=(1.0,))
    assert 0.01 < sure.half_width < 0.02  # not nought: 100 images do not make a certainty


def test_cells_stand_in_their_columns():
    """A number stands under its own set, in whatever order sets were tested, or is left out."""
    cells = [
        ("a", "x", 0.1),
        ("a", "y|z", 0.2),
        ("b", "y|z", 0.4),
        ("c", "y|z", 0.6),
        ("c", "x", 0.5),
    ]
    given = {"split": "test", "label": None, "images": 4}
    made = [Cell(trained=a, tested=b, by_seed=(value,), **given) for a, b, value in cells]
    lines = MatrixResult(cells=tuple(made), models_trained=0).markdown().splitlines()
    assert lines[2] == "| trained on | x | y\\|z |"
    shown = [[cell.split(".")[0] for cell in line.split(" | ")[1:]] for line in lines[4:]]
    assert shown == [["10", "20"], ["", "40"], ["50", "60"]]


MISTAKES = [
    (["nowhere"], "is not a dataset"),
    (["squiggles", "squiggles"], "are one dataset; give it once"),
    (["dissociation"], "nothing to train on"),
    (["transfer"], "nothing to train on"),
    (["squiggles", "large"], "images differ in size"),
    (["squiggles", "odd"], "shows 3 objects; the baseline compares 2"),
    (["squiggles", "--batch-size", "500"], "batch_size 500 exceeds the 128 images of squiggles"),
    (["squiggles", "--device", "gpu"], "unknown device 'gpu'"),
    (["squiggles", "--lr", "nan"], "lr nan is out of range"),
    (["squiggles", "--seeds", "0"], "'--seeds': 0 is not in the range"),
    ([], "Missing argument 'DIR...'"),
]


@pytest.mark.parametrize(("words", "says"), MISTAKES, ids=lambda v: " ".join(v)[:40])
def test_mistakes(words, says, folders, tmp_path, monkeypatch):
    """A mistake is one clear line on stderr and exit code 2, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["matrix", *(str(folders.get(word, word)) for word in words)])
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""
    assert sum(line.startswith("Error") for line in done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_sizes_are_both_named(folders, tmp_path):
    """Folders of different image sizes are both named, with their sizes."""
    with pytest.raises(InputError, match=r"squiggles has 224 x 224, .*large has 256 x 256"):
        matrix([folders["squiggles"], folders["large"]], tmp_path / "x", FEW, tell=print)


def test_another_matrix_is_not_overwritten(run, folders):
    """A run folder of another configuration, or a dataset, is left alone."""
    used, out, _ = run
    with pytest.raises(InputError, match="holds a matrix of images 96, not 64"):
        matrix(used, out, FEW, images=64, test_images=48, tell=print)
    with pytest.raises(InputError, match="holds a matrix of window 108, not 72"):
        matrix(used[:2], out, FEW, images=96, test_images=48, tell=print)
    longer = dataclasses.replace(FEW, epochs=2)
    with pytest.raises(InputError, match="holds a matrix of epochs 1, not 2"):
        matrix(used, out, longer, images=96, test_images=48, tell=print)
    with pytest.raises(InputError, match="is a dataset; give another folder"):
        matrix(used, folders["odd"], FEW, tell=print)


def test_other_labels_are_not_trained_on(folders, tmp_path):
    """Dissociation's eight labels cannot be trained on; the message says what to do."""
    with pytest.raises(InputError, match=r"has labels 000 \.\. 111.*test on it with matrix"):
        zoo.architecture(zoo.ModelSpec(), load(folders["dissociation"]))
    with pytest.raises(InputError, match=r"has labels 000 \.\. 111"):
        train(folders["dissociation"], tmp_path / "x", FEW, print)
    assert not (tmp_path / "x").exists()


def test_command(folders, tmp_path):
    """The table goes to stdout, progress to stderr; run again, it comes at once."""
    words = ["matrix", str(folders["squiggles"]), "--out", str(tmp_path / "out")]
    words += ["--epochs", "1", "--images", "64", "--test-images", "32"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Accuracy in per cent")
    assert "| squiggles | " in done.stdout
    assert "squiggles, seed 0: epoch 1/1" in done.stderr
    again = CliRunner().invoke(main, words)
    assert again.stdout == done.stdout
    assert "finished before" in again.stderr
