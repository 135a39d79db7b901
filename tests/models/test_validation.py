"""A validation judges what it should, goes on where it stopped, and never mixes datasets."""

import dataclasses
import json
import shutil
import sys

import pytest

from samediff_stimuli import InputError, generate, make_recipe, tasks
from samediff_stimuli.cards import validated
from samediff_stimuli.cards.audit import Audit, Confound
from samediff_stimuli.cards.card import card
from samediff_stimuli.manifest import load
from samediff_stimuli.models import recipes, validation, validation_plot, validation_runs
from samediff_stimuli.models.factor_cnn import FactorTrainConfig
from samediff_stimuli.models.recipes import Gate, Run
from samediff_stimuli.models.train import TrainConfig
from samediff_stimuli.models.validation import validate
from samediff_stimuli.models.zoo import ModelSpec
from samediff_stimuli.verification import verify
from tests.factor_sets import use_tiny

TINY = TrainConfig(epochs=2, batch_size=32, warmup=1)


def use(monkeypatch, *runs, name="quick"):
    """Give a recipe these runs for the length of a test."""
    recipe = dataclasses.replace(recipes.RECIPES[name], runs=lambda dataset: runs)
    monkeypatch.setitem(recipes.RECIPES, name, recipe)


def tiny(low=0.0, high=None, name="small", config=TINY, expected=()):
    """A run of seconds, with a bound on test."""
    gate = Gate(split="test", low=low, high=high, why="a test")
    return Run(name=name, config=config, gates=(gate,), expected=dict(expected))


@pytest.fixture(scope="module")
def once(made, tmp_path_factory):
    """(dataset folder, run folder, validation, lines told) of one small validation."""
    root = tmp_path_factory.mktemp("validation")
    folder, lines = shutil.copytree(made["discrimination"], root / "set"), []
    with pytest.MonkeyPatch.context() as patch:
        use(patch, tiny(expected={"test": 0.8, "ood_shape": 0.7}))
        found = validate(folder, "quick", root / "out", device="cpu", tell=lines.append)
    return folder, root / "out", found, lines


@pytest.fixture
def again(once, tmp_path):
    """A copy of the validated folder and of its run folder."""
    folder = shutil.copytree(once[0], tmp_path / "set")
    return folder, shutil.copytree(once[1], tmp_path / "out")


@pytest.fixture
def counted(monkeypatch):
    """Counts of what is costly: trainings, and verifications."""
    counts = {"train": 0, "verify": 0}

    def wrapped(name, function):
        def call(*arguments, **given):
            counts[name] += 1
            return function(*arguments, **given)

        return call

    train = validation_runs.train.train
    monkeypatch.setattr(validation_runs.train, "train", wrapped("train", train))
    monkeypatch.setattr(validation.verification, "verify", wrapped("verify", verify))
    return counts


def test_the_report(once):
    """The report has checks, config, device, versions, gates, every split with its interval, every
    relation, and the learning curve; validation.json is it."""
    folder, _, found, _ = once
    report = json.loads((folder / "validation.json").read_text())
    assert report == found.report
    assert found.attached
    assert report["digest"] == load(folder).digest()
    assert report["format"] == 1
    assert {gate["gate"].split(":")[0] for gate in report["checks"]["gates"]} == {
        *("verify", "audit", "shortcuts")
    }
    run = report["recipes"]["quick"]["runs"]["small"]
    recipe = load(folder).recipe
    assert list(run["splits"]) == [s.name for s in tasks.get(recipe.task).splits(recipe)]
    for split in run["splits"].values():
        assert 0 <= split["low"] <= split["value"] <= split["high"] <= 1
        assert {"label", "relation"} <= {*split["by"]}
    assert run["config"]["batch_size"] == 32
    assert run["device"].startswith("cpu")
    assert {"python", "torch", "samediff-stimuli"} <= {*run["versions"]}
    assert [line["epoch"] for line in run["curve"]] == [0, 1]
    (gate,) = run["gates"]
    assert gate["value"] == run["splits"]["test"]["value"]
    assert gate["passed"]


def test_the_folder_stays_the_same_dataset(once, made):
    """The content digest stays, the folder verifies, and the manifest lists what was added."""
    folder = once[0]
    assert load(folder).digest() == load(made["discrimination"]).digest()
    assert verify(folder).problems == ()
    assert {"validation.json", "validation.png"} <= {f.path for f in load(folder).extras}
    assert not list(folder.glob(".*.tmp"))


def test_the_card_tells_it(once, made):
    """The card is what manifest and report give, and without the report what it was before."""
    folder = once[0]
    text, report = (folder / "README.md").read_text(), validated.stored(folder)
    assert card(load(folder), None, report) == text
    assert text.count("\n## Validation\n") == 1
    assert "| `small` | test accuracy | at least 0.000 |" in text
    before = (made["discrimination"] / "README.md").read_text()
    assert validated.with_section(text, None) == before
    assert validated.with_section(text, report) == text


def test_what_is_finished_is_kept(again, counted, monkeypatch):
    """A second call verifies and trains nothing, and gives the same report."""
    folder, out = again
    before = (folder / "validation.json").read_text()
    use(monkeypatch, tiny(expected={"test": 0.8, "ood_shape": 0.7}))
    validate(folder, "quick", out, device="cpu")
    assert counted == {"train": 0, "verify": 0}
    assert (folder / "validation.json").read_text() == before
    shard = next(iter((folder / "hdf5").rglob("*.h5")))
    shard.write_bytes(shard.read_bytes())  # another time: it may have changed
    validate(folder, "quick", out, device="cpu")
    assert counted == {"train": 0, "verify": 1}


def test_an_interrupted_validation_goes_on(made, tmp_path, counted, monkeypatch):
    """What is interrupted after the training does not train again."""
    folder = shutil.copytree(made["discrimination"], tmp_path / "set")
    use(monkeypatch, tiny())

    def stop(*arguments, **given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(validation_runs.evaluation, "evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            validate(folder, "quick", device="cpu")
    assert not (folder / "validation.json").exists()
    assert (tmp_path / "set-validation").is_dir()
    found = validate(folder, "quick", device="cpu")
    assert counted == {"train": 1, "verify": 1}
    assert found.problems() == []


def test_a_changed_config_is_trained_anew(again, counted, monkeypatch):
    """Another config never takes an earlier one's results; another bound does."""
    folder, out = again
    use(monkeypatch, tiny(low=1.01))
    assert validate(folder, "quick", out, device="cpu").problems()
    assert counted["train"] == 0
    lines = []
    use(monkeypatch, tiny(config=TrainConfig(epochs=1, batch_size=32)))
    validate(folder, "quick", out, device="cpu", tell=lines.append)
    assert counted["train"] == 1
    assert any("another config" in line for line in lines)


def test_failed_gates_are_named(again, monkeypatch):
    """A bound that is not kept is a line with value, bound and reason; the card says failed."""
    folder, out = again
    use(monkeypatch, tiny(low=1.01))
    found = validate(folder, "quick", out, device="cpu")
    (line,) = found.problems()
    value = found.report["recipes"]["quick"]["runs"]["small"]["splits"]["test"]["value"]
    assert line == f"small: test accuracy is {value:.3f}; at least 1.010 (a test)"
    assert "**failed**" in (folder / "README.md").read_text()
    assert "**failed**" in found.markdown()


def test_a_damaged_dataset_is_not_trained_on(made, tmp_path, counted, monkeypatch):
    """A shard that is not what the manifest says fails the gate, and nothing there is changed."""
    folder = shutil.copytree(made["discrimination"], tmp_path / "set")
    shard = next(iter(sorted((folder / "hdf5").rglob("train-*.h5"))))
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    shard.write_bytes(damaged)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    use(monkeypatch, tiny())
    found = validate(folder, "quick", device="cpu")
    assert not found.attached
    assert counted["train"] == 0
    assert found.problems()[0].startswith("verify: problems is ")
    assert any(shard.name in line for line in found.problems())
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_changed_card_is_not_taken_for_good(again, monkeypatch):
    """A card that somebody changed after the checks fails verification."""
    folder, out = again
    card_file = folder / "README.md"
    use(monkeypatch, tiny())
    validate(folder, "quick", out, device="cpu")
    card_file.write_text(card_file.read_text().replace("Validation", "validation", 1))
    found = validate(folder, "quick", out, device="cpu")
    assert any("README.md" in line for line in found.problems())


def test_reports_of_other_data_are_replaced(once, made, tmp_path, monkeypatch):
    """The report of another content is told of and replaced; its runs are not taken over."""
    folder = shutil.copytree(made["squiggles"], tmp_path / "set")
    shutil.copy(once[0] / "validation.json", folder)
    lines = []
    found = validate(folder, "checks", once[1], tell=lines.append)
    assert not any("matplotlib" in line for line in lines)  # there is nothing to draw
    assert any("the old report is replaced" in line for line in lines)
    assert list(found.report["recipes"]) == ["checks"]
    assert found.report["digest"] == load(folder).digest()
    assert len(list(once[1].iterdir())) == 2  # a folder for each content
    assert "## Validation" in (folder / "README.md").read_text()


def test_a_dataset_put_in_its_place_gets_no_report_of_another(once, made, tmp_path):
    """A report of other content than the folder has by now is refused before anything changes."""
    folder = shutil.copytree(made["squiggles"], tmp_path / "set")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="which was validated; validate it again"):
        validated.attach(folder, once[2].report, None)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_recipes_add_up(again, monkeypatch):
    """Reports of several recipes stand beside each other, in the card too."""
    folder, out = again
    found = validate(folder, "checks", out)
    assert list(found.report["recipes"]) == ["quick", "checks"]
    assert "no training" in found.markdown().lower()
    text = (folder / "README.md").read_text()
    assert "### Recipe `quick`" in text
    assert "### Recipe `checks`" in text
    assert "`small`" in text
    assert verify(folder).problems == ()


def test_lost_files_are_made_anew_with_the_report(again):
    """`generate` on a validated folder that lost a shard keeps the validation in card and manifest;
    of another seed, with overwrite, it drops it."""
    folder, _ = again
    recipe = load(folder).recipe
    text = (folder / "README.md").read_text()
    next(iter((folder / "hdf5").rglob("test-*.h5"))).unlink()
    generate(recipe, folder, workers=1)
    assert (folder / "README.md").read_text() == text
    assert verify(folder).problems == ()
    generate(make_recipe("discrimination", 1, recipe.options), folder, workers=1, overwrite=True)
    assert not (folder / "validation.json").exists()
    assert f"## Validation\n\n{validated.NOT_VALIDATED}" in (folder / "README.md").read_text()


def test_a_grid_of_factors(monkeypatch, tmp_path):
    """On a grid, R2 of every partition is reported and judged; nothing is audited."""
    use_tiny(monkeypatch, "dsprites")
    folder = tmp_path / "set"
    generate(make_recipe("dsprites", 0), folder, workers=1, parquet=False)
    config = FactorTrainConfig(steps=2, batch_size=8, test_images=16)
    gates = (
        Gate(split="random_test", high=1.0, why="R2 is at most 1"),
        Gate(split="extrapolation_test", high=("", "random_test"), why="harder"),
    )
    use(monkeypatch, Run(name="cnn", config=config, gates=gates), name="schott2021")
    found = validate(folder, "schott2021", device="cpu")
    run = found.report["recipes"]["schott2021"]["runs"]["cnn"]
    assert set(run["splits"]) == {
        f"{name}_test" for name in ("random", "composition", "interpolation", "extrapolation")
    }
    assert run["gates"][1]["high"] == run["splits"]["random_test"]["value"]
    assert "posX" in run["splits"]["random_test"]["by"]["factor"]
    assert "R2" in (folder / "README.md").read_text()
    assert verify(folder).problems == ()
    assert (folder / "validation.png").stat().st_size > 5000


@pytest.mark.slow
def test_a_vit_with_an_auxiliary_loss(made, tmp_path, monkeypatch):
    """Runs as lepori2024 has them, of a tiny ViT: plateau, with and without an auxiliary loss."""
    folder = shutil.copytree(made["discrimination"], tmp_path / "set")
    config = TrainConfig(
        model=ModelSpec(name="timm:test_vit"),
        epochs=1,
        batch_size=32,
        lr=1e-6,
        schedule="plateau",
        warmup=0,
        disentangle=2,
    )
    plain = tiny(name="scratch", config=dataclasses.replace(config, disentangle=None))
    over = Gate(split="test", low=("scratch", "test"), why="helps")
    both = Run(name="disentangled", config=config, gates=(over,))
    use(monkeypatch, plain, both, name="lepori2024")
    found = validate(folder, "lepori2024", device="cpu")
    runs = found.report["recipes"]["lepori2024"]["runs"]
    assert set(runs) == {"scratch", "disentangled"}
    assert runs["disentangled"]["gates"][0]["low"] == runs["scratch"]["splits"]["test"]["value"]
    assert "timm" in runs["scratch"]["versions"]


def judged(*gates, **values):
    """What becomes of the gates of run "a" when runs reached these values on test."""
    runs = {
        name: {"measure": "accuracy", "splits": {"test": {"value": value}}}
        for name, value in values.items()
    }
    return validation_runs.judge(Run(name="a", config=TINY, gates=gates), runs)


def test_gates():
    """A value passes at its bounds and fails beyond; another run's value can be the bound."""
    near = Gate(split="test", low=0.4, high=0.6, why="x")
    for value, passed in ((0.4, True), (0.6, True), (0.39, False), (0.61, False)):
        assert judged(near, a=value)[0]["passed"] is passed
    over = Gate(split="test", low=("b", "test"), why="helps")
    assert judged(over, a=0.7, b=0.6)[0]["passed"]
    failed = judged(over, a=0.7, b=0.8)[0]
    assert not failed["passed"]
    assert failed["low"] == 0.8
    assert failed["why"] == "helps: that of test of b"
    assert judged(over, a=0.7) == []
    assert judged(Gate(split="other", low=0.1, why="x"), a=0.7) == []


def test_what_tells_is_judged_but_for_pictures():
    """A statistic that tells the label fails the audit's gate; of naturalistic it is shown only."""
    bad = Confound(split="test", target="label", feature="ink", auc=0.6, spread=0.5, error=0.01)
    repeats = {("train", "test"): 3}
    found = Audit(name="x", digest="", rows=9, repeats=repeats, confounds=(bad,))
    for task, telling in (("shapes", 1), ("naturalistic", 0)):
        plain = validation._audited(found, task)
        assert len(plain["telling"]) == telling
        assert plain["repeated"] == 3
        assert plain["furthest"]["feature"] == "ink"
        checks = {"verify": {"problems": []}, "audit": plain, "shortcuts": {"problems": ["y"]}}
        passed = {gate["gate"]: gate["passed"] for gate in validation._gates(checks)}
        assert passed == {
            "verify: problems": True,
            "audit: images that occur again": False,
            "audit: statistics that tell the label": not telling,
            "shortcuts: readouts beyond their bound": False,
        }


def test_without_matplotlib_there_is_no_picture(again, monkeypatch):
    """Where matplotlib is missing the report is written all the same, and an old picture goes."""
    folder, out = again
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    use(monkeypatch, tiny())
    lines = []
    validate(folder, "quick", out, device="cpu", tell=lines.append)
    assert any("matplotlib is not installed" in line for line in lines)
    assert not (folder / "validation.png").exists()
    assert verify(folder).problems == ()


def test_the_picture_needs_something_trained(once, tmp_path):
    """Nothing is drawn when nothing was trained; what is drawn is a PNG."""
    report = {**once[2].report, "recipes": {"checks": {"runs": {}}}}
    assert not validation_plot.plot(report, tmp_path / "a.png")
    assert validation_plot.plot(once[2].report, tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_numbers_are_rounded_and_never_nan():
    """Six decimals, small rates kept, and what is no number becomes None."""
    data = {"a": [0.123456789, 1e-6, float("nan")], "b": 3, "c": (True, None)}
    assert validation_runs.rounded(data) == {"a": [0.123457, 1e-6, None], "b": 3, "c": [True, None]}


@pytest.mark.parametrize(
    ("recipe", "given", "says"),
    [
        ("quik", {}, "did you mean 'quick'"),
        ("schott2021", {}, "does not suit discrimination-p32"),
        ("quick", {"runs": ["clip"]}, "unknown run 'clip'"),
        ("quick", {"device": "abacus"}, "unknown device 'abacus'"),
        ("quick", {"weights": "w.pt"}, "weights w.pt"),
    ],
)
def test_mistakes_change_nothing(recipe, given, says, made, tmp_path):
    """What is wrong is said in one line before anything is read or written."""
    with pytest.raises(InputError, match=says) as error:
        validate(made["discrimination"], recipe, tmp_path / "out", **given)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    assert not (made["discrimination"] / "validation.json").exists()


def test_one_process(made, tmp_path, monkeypatch):
    """Several processes would write one report: they are refused."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="without torchrun"):
        validate(made["discrimination"], "quick", tmp_path / "out", device="cpu")


def test_the_dataset_is_no_run_folder(made):
    """--out must be another folder than the dataset."""
    folder = made["discrimination"]
    with pytest.raises(InputError, match="is the dataset; give another folder"):
        validate(folder, "quick", folder, device="cpu")
