"""`evaluate` and `audit` as people meet them: tables, files, exit codes, one line a mistake."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import AlignedOptions, generate, make_recipe
from samediff_stimuli.cards.importing import import_folder
from samediff_stimuli.cli import main
from samediff_stimuli.cli_evaluation import aligned
from samediff_stimuli.manifest import load
from samediff_stimuli.models import checkpoints, zoo
from samediff_stimuli.models.trials import read_trial_table


def run(*arguments):
    """Run a command in this process; the result has stdout, stderr and exit_code."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two small sets of one name, and the run folder of a model of the first."""
    root = tmp_path_factory.mktemp("evaluation")
    options = AlignedOptions(image_size=96, train=72, validation=24, test=24, ood=0)
    for seed in (0, 1):
        generate(make_recipe("rmts", seed, options), root / f"s{seed}", workers=1, parquet=False)
    manifest = load(root / "s0")
    what = zoo.architecture(zoo.ModelSpec(), manifest)
    (root / "run").mkdir()
    weights = zoo.assemble(what).state_dict()
    checkpoints.save(root / "run" / "checkpoint.pt", weights, what, {}, manifest)
    (root / "own_model.py").write_text(
        "import torch\n"
        "def right(images):\n    return torch.ones(len(images), dtype=torch.int64)\n"
        "def words(images):\n    return 'same'\n"
        "def many(images):\n    return torch.zeros(len(images), 5)\n"
        "def nan(images):\n    return torch.full((len(images), 2), float('nan'))\n"
    )
    return root


@pytest.fixture
def here(place, monkeypatch):
    """The same, as the current folder."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield place
    sys.modules.pop("own_model", None)


def test_a_checkpoint_is_evaluated_and_kept(here, tmp_path):
    """Tables on stdout, progress on stderr, and with --out figures, page and every answer."""
    out = tmp_path / "new" / "told"
    done = run("evaluate", "run", "s0", "--device", "cpu", "--out", out)
    assert done.exit_code == 0, done.stderr
    for split, n in (("train", 72), ("validation", 24), ("test", 24)):
        assert re.search(rf"\| rmts-p32-i96 \| {split} +\| {n} +\| ", done.stdout)
        assert f"rmts-p32-i96/{split}, {n} images: accuracy " in done.stderr
    cases = ("same_same", "same_different", "different_same", "different_different")
    assert re.search(r"Accuracy by case:\n\n\|.*" + r" *\|.*".join(cases), done.stdout)
    assert "trained on rmts-p32-i96 of digest" in done.stderr
    assert "is tested on" not in done.stderr
    assert sorted(p.name for p in out.iterdir()) == [
        "evaluation.json",
        "evaluation.md",
        "trials.csv",
    ]
    figures = json.loads((out / "evaluation.json").read_text())
    assert figures["trained_on_digest"] == load(here / "s0").digest()
    assert [split["overall"]["n"] for split in figures["splits"]] == [72, 24, 24]
    assert aligned((out / "evaluation.md").read_text()) == done.stdout
    trials = read_trial_table(out / "trials.csv")
    assert len(trials) == 120
    assert {trial.participant for trial in trials} == {"run"}
    with (out / "trials.csv").open() as file:
        assert "case" in next(csv.reader(file))
    assert run("evaluate", "run", "s0", "--split", "test", "--out", out).exit_code == 0
    assert len(read_trial_table(out / "trials.csv")) == 24


def test_another_digest_is_said(here):
    """A set of the same name and other content is tested, and said to be another."""
    done = run("evaluate", "run/checkpoint.pt", "s1", "--split", "test")
    assert done.exit_code == 0, done.stderr
    digests = [load(here / name).digest()[:12] for name in ("s0", "s1")]
    assert f"of digest {digests[0]}, and is tested on one of digest {digests[1]}" in done.stderr


def test_several_sets_and_a_function(here):
    """A function answers every folder's split; class numbers give no ROC AUC worth showing."""
    done = run("evaluate", "own_model:right", "s0", "s1", "--split", "test", "--split", "train")
    assert done.exit_code == 0, done.stderr
    assert len(re.findall(r"\| rmts-p32-i96 \| test +\| 24 +\| 50\.0 \(", done.stdout)) == 2
    assert done.stderr.count("24 images: accuracy 0.5000") == 2


def test_timm_is_tested_on_all_but_what_it_was_fitted_on(here):
    """The first folder's train split is left out, the second's is not."""
    given = ["--untrained", "--fit-rows", 24, "--batch-size", 24, "--device", "cpu"]
    done = run("evaluate", "timm:test_resnet", "s0", "s1", *given)
    assert done.exit_code == 0, done.stderr
    assert len(re.findall(r"images: accuracy", done.stderr)) == 5
    assert done.stderr.count("/train, 72 images: accuracy") == 1
    assert "linear readout of 96 features, fitted on 24 of rmts" in done.stderr


MISTAKES = [
    (["run", "nowhere"], "is not a dataset"),
    (["run", "s0", "s0"], "are one dataset; give it once"),
    (["run", "s0", "--split", "tset"], "has no split tset; it has train, validation, test"),
    (["run", "s0", "--split", "test", "--split", "x"], "unknown split 'x'; known: train,"),
    (["run", "s0", "--out", "s0"], "--out s0 is a dataset; give another folder"),
    (["run", "s0", "--out", "own_model.py"], "--out own_model.py is a file"),
    (["run", "s0", "--device", "gpu"], "unknown device 'gpu'"),
    (["run", "s0", "--untrained"], "untrained is for timm:NAME, not run; leave it out"),
    (["s0", "s0"], "s0 is a dataset; give what is to be evaluated first"),
    (["none.pt", "s0"], "none.pt does not exist"),
    (["own_model:wrong", "s0"], "has no 'wrong'"),
    (["own_model:words", "s0"], "rmts-p32-i96/train: the model answers with str; legal:"),
    (["own_model:many", "s0"], "gives 5 scores an image; legal: 2"),
    (["own_model:nan", "s0"], "which are not finite"),
    (["timm:test_resnet", "s0", "--split", "train"], "was fitted on train of s0"),
    (["run"], "Missing argument 'DIR...'"),
]


@pytest.mark.parametrize(("arguments", "says"), MISTAKES, ids=lambda v: " ".join(v)[:50])
def test_mistakes_of_evaluate(arguments, says, here):
    """A mistake is one line on stderr and exit code 2; nothing is shown or written."""
    before = sorted(here.rglob("*.csv"))
    done = run("evaluate", *arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""
    assert len([line for line in done.stderr.splitlines() if line.startswith("Error")]) == 1
    assert sorted(here.rglob("*.csv")) == before


def test_audit_prints_shortcuts_with_ceilings(here, tmp_path):
    """The table has ceilings and bounds, --json every figure; --no-shortcuts leaves them out."""
    done = run("audit", "s0", "--rows", 48, "--json", tmp_path / "all.json")
    assert done.exit_code == 0, done.stderr
    assert re.search(r"\| colors +\| 7\d\.\d( to 7\d\.\d)? +\| \d+\.\d \(to \d+\.\d\)", done.stdout)
    assert "1/2: the stimuli of a matched group share all places." in done.stdout
    figures = json.loads((tmp_path / "all.json").read_text())
    assert figures["rows"] == 120
    assert figures["no_shortcuts"] is None
    assert {found["view"] for found in figures["shortcuts"]["found"]} >= {"pixels", "one_object"}
    done = run("audit", "s0", "--no-shortcuts", "--json", tmp_path / "few.json")
    assert done.exit_code == 0
    assert "observers" not in done.stdout
    assert json.loads((tmp_path / "few.json").read_text())["shortcuts"] is None


@pytest.mark.parametrize(
    ("target", "says"), [(".", "--json . is a folder"), ("no/x.json", "there is no folder no")]
)
def test_audit_looks_at_its_target_first(here, monkeypatch, target, says):
    """A place that no file can be written to is refused before any image is looked at."""
    monkeypatch.setattr("samediff_stimuli.cards.audit.audit", None)
    done = run("audit", "s0", "--json", target)
    assert done.exit_code == 2
    assert says in done.stderr


def imported_set(root, classes, n, side=24):
    """A set of pictures of noise; those of class k are brighter by 12 k at the top."""
    random = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (root / "in" / name).mkdir(parents=True)
        for i in range(n):
            pixels = random.integers(0, 200, (side, side, 3))
            pixels[:2] += 25 * number
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(root / "in" / name / f"{i}.png")
    import_folder(root / "in", root / "set", workers=1, parquet=False)
    return root / "set"


def test_a_broken_bound_is_exit_code_1(tmp_path):
    """A shortcut that no single statistic shows is a line of its own and exit code 1."""
    folder = imported_set(tmp_path, ("different", "same"), 100)
    done = run("audit", folder)
    assert done.exit_code == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert any(line.startswith("Error: test: pixels tells label: accuracy") for line in errors)
    done = run("audit", folder, "--no-shortcuts")
    assert "pixels tells" not in done.stderr


@pytest.mark.parametrize(
    ("classes", "n", "why"),
    [
        (("cat", "dog", "eel"), 8, "has 3 classes of label, cat .. eel"),
        (("different", "same"), 6, "12 stimuli of test to fit on are too few; legal: 16 or more"),
    ],
)
def test_why_shortcuts_were_not_run(tmp_path, classes, n, why):
    """A set that baselines cannot be fitted on is audited without them, and told why in a line."""
    done = run("audit", imported_set(tmp_path, classes, n))
    assert "Traceback" not in done.output
    assert done.exit_code in (0, 1), done.output
    (line,) = re.findall(r"^Shortcut baselines were not run: .*", done.stdout, flags=re.MULTILINE)
    assert re.search(why, line)


def test_tables_line_up():
    """Cells are padded to the widest of their column; other lines stay."""
    table = ["| a | long |", "| --- | --- |", "| bbbb | c |", "|  |  |"]
    wide = ["| a    | long |", "| ---- | ---- |", "| bbbb | c    |", "|      |      |"]
    shown = aligned("\n".join(["One.", "", *table, "", "Two | three.", ""]))
    assert shown == "\n".join(["One.", "", *wide, "", "Two | three.", ""])


def test_the_package_is_light():
    """`samediff_stimuli.models` gives evaluate on first use, and does not import torch before."""
    code = (
        "import sys; import samediff_stimuli.models as models\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'evaluate' in dir(models)\n"
        "from samediff_stimuli.models import evaluate\n"
        "assert evaluate.__module__ == 'samediff_stimuli.models.evaluation'\n"
        "assert all(getattr(models, name) for name in models.__all__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
