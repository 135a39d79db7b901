"""Training recipes say what the papers did, suit the sets they are for, and refuse the others."""

import pytest

from samediff_stimuli import AlignedOptions, InputError, PlacedOptions, make_recipe, tasks
from samediff_stimuli.models import published, recipes
from samediff_stimuli.models.recipes import RECIPES, runs_of, suits
from tests.factor_sets import use_tiny

TRAINED = ["alphanumerics", "discrimination", "naturalistic", "rmts", "shapes", "squiggles"]
TRAINED += ["transfer"]


def aligned(task, patch_size=32, combinations=256):
    """A recipe of a patch-aligned set."""
    options = AlignedOptions(patch_size=patch_size, combinations=combinations)
    return make_recipe(task, 0, options)


def by_name(*arguments, **given):
    """Run name -> run."""
    return {run.name: run for run in runs_of(*arguments, **given)}


@pytest.mark.parametrize("name", RECIPES)
def test_each_says_where_it_comes_from(name):
    """Every recipe states what it trains, its source, its hours, what to expect, and for what."""
    recipe = RECIPES[name]
    assert recipe.name == name
    assert all([recipe.about, recipe.source, recipe.hours, recipe.expects, recipe.suits])


@pytest.mark.parametrize("task", TRAINED)
def test_quick_suits_every_set_of_pairs(task):
    """`quick` trains the small model on each set that can be trained on, with a bound."""
    (run,) = runs_of("quick", make_recipe(task, 0))
    assert run.config.model.name == "small"
    (gate,) = run.gates
    splits = [split.name for split in tasks.get(task).splits(make_recipe(task, 0))]
    assert gate.split in splits
    assert gate.low > 0.5


def test_bounds_of_the_issue():
    """The bounds asked for: 98 % on discrimination, 90 % on rmts."""
    for task, low in (("discrimination", 0.98), ("rmts", 0.90)):
        (run,) = runs_of("quick", make_recipe(task, 0))
        assert [(gate.split, gate.low) for gate in run.gates] == [("test", low)]


@pytest.mark.parametrize("task", ["dissociation", "photoreal", "dsprites"])
@pytest.mark.parametrize("name", ["quick", "lepori2024", "tartaglini2023"])
def test_what_cannot_be_trained_on_is_refused(name, task):
    """A set without training pairs is refused in one line that names what to do instead."""
    recipe = make_recipe(task, 0)
    with pytest.raises(InputError, match=f"'{name}' does not suit {task}.*'checks'") as error:
        runs_of(name, recipe)
    assert "\n" not in str(error.value)
    assert not suits(name, recipe)
    assert suits("checks", recipe)
    assert runs_of("checks", recipe) == ()


def test_quick_refuses_crowds():
    """The small model compares two objects: sets of more are refused before anything is done."""
    crowd = make_recipe("squiggles", 0, PlacedOptions(items=4, object_size=48))
    with pytest.raises(InputError, match="does not suit"):
        runs_of("quick", crowd)


@pytest.mark.parametrize(("patch_size", "model"), [(32, "vit_b32"), (16, "vit_b16")])
def test_lepori2024_is_what_the_paper_did(patch_size, model):
    """200 epochs of 128, AdamW at 1e-6, x 0.1 after 40 epochs without gain, no warm-up."""
    runs = by_name("lepori2024", aligned("discrimination", patch_size))
    assert {"scratch", "disentangled"} <= set(runs)
    for run in runs.values():
        config = run.config
        assert config.model.name == model
        assert config.model.pretrained is None
        assert (config.epochs, config.batch_size, config.lr) == (200, 128, 1e-6)
        assert (config.schedule, config.patience, config.warmup) == ("plateau", 40, 0)
        assert config.weight_decay == 0.01


def test_lepori2024_gates_are_the_log():
    """Bounds lie around the authors' log; rmts from scratch must be at chance."""
    (gate,) = by_name("lepori2024", aligned("discrimination"))["scratch"].gates
    assert (gate.split, gate.low, gate.high) == ("test", 0.8342, 0.9342)
    (gate,) = by_name("lepori2024", aligned("rmts"))["scratch"].gates
    assert (gate.low, gate.high) == (0.45, 0.55)
    few = by_name("lepori2024", aligned("discrimination", 32, 32))["scratch"]
    assert [gate.split for gate in few.gates] == ["test", "test_compositional"]


def test_pretrained_runs_are_asked_for():
    """Runs from published weights are made when named; DINOv2 trains for 30 epochs on p14."""
    recipe = aligned("rmts", 16)
    assert "clip" not in by_name("lepori2024", recipe)
    (run,) = runs_of("lepori2024", recipe, ["clip"], weights="clip.pt", device="cpu")
    assert (run.config.model.pretrained, run.config.model.weights) == ("clip", "clip.pt")
    assert run.config.device == "cpu"
    (run,) = runs_of("lepori2024", aligned("rmts", 14))
    assert (run.name, run.config.model.name, run.config.epochs) == ("dinov2", "vit_b14", 30)


def test_auxiliary_losses_of_lepori2024():
    """The probed layer is the logged one; both losses must beat a plain B/16."""
    runs = by_name("lepori2024", aligned("discrimination", 16))
    assert runs["scratch"].config.disentangle is None
    assert runs["disentangled"].config.disentangle == 2
    both = runs["disentangled-pipeline"]
    assert (both.config.disentangle, both.config.pipeline_heads) == (3, 4)
    assert both.gates[0].low == ("scratch", "test")


@pytest.mark.parametrize("key", published.LOG, ids=lambda key: "-".join(map(str, key)))
def test_logged_splits_are_the_sets(key):
    """Every accuracy of the log is of a split that the set has, and in [0, 1]."""
    task, patch_size, combinations = key
    recipe = aligned(task, patch_size, combinations)
    splits = {split.name for split in tasks.get(task).splits(recipe)}
    for run in published.LOG[key].values():
        assert run.accuracy
        assert {*run.accuracy} <= splits
        assert all(0 <= value <= 1 for value in run.accuracy.values())
    assert suits("lepori2024", recipe)


def test_iid_numbers_of_the_wrong_loader_are_left_out():
    """Where the authors' test_iid was the test of unseen combinations, `test` has no number."""
    assert "test" not in published.LOG["discrimination", 32, 32]["clip"].accuracy
    assert published.LOG["discrimination", 32, 32]["scratch"].accuracy["test"] == 0.88


def test_tartaglini2023_is_what_the_paper_did():
    """70 epochs of 64 at 2e-6, patience a fifth of the epochs; two networks, three starts."""
    recipe = make_recipe("squiggles", 0)
    runs = by_name("tartaglini2023", recipe)
    assert set(runs) == {"vit_b16-scratch", "resnet50-scratch"}
    config = runs["resnet50-scratch"].config
    assert (config.epochs, config.batch_size, config.lr) == (70, 64, 2e-6)
    assert (config.schedule, config.patience) == ("plateau", 70 // 5)
    (run,) = runs_of("tartaglini2023", recipe, ["vit_b16-clip"])
    assert run.config.model.pretrained == "clip"


def test_schott2021_suits_grids(monkeypatch):
    """Grids of factors get the benchmark's network; extrapolation must be the harder one."""
    use_tiny(monkeypatch)
    (run,) = runs_of("schott2021", make_recipe("dsprites", 0), device="cpu")
    assert run.config.device == "cpu"
    assert [gate.split for gate in run.gates] == ["random_test", "extrapolation_test"]
    assert run.gates[1].high == ("", "random_test")
    with pytest.raises(InputError, match="does not suit rmts-p32: it is for grids of factors"):
        runs_of("schott2021", aligned("rmts"))


@pytest.mark.parametrize(
    ("arguments", "given", "says"),
    [
        (("quik", "rmts"), {}, "unknown recipe 'quik'; did you mean 'quick'\\? known: quick, "),
        (("zebra", "rmts"), {}, "unknown recipe 'zebra'; known: quick"),
        (("quick", "rmts", ["clip"]), {}, "unknown run 'clip' of quick; it has small"),
        (("checks", "rmts", ["clip"]), {}, "unknown run 'clip' of checks; it has none"),
        (("quick", "rmts"), {"weights": "w.pt"}, "weights w.pt .* this recipe has none"),
        (("lepori2024", "rmts"), {"weights": "w.pt"}, "choose it with --run: clip"),
    ],
)
def test_mistakes_are_named(arguments, given, says):
    """Wrong recipes, runs and weights give one line that says what is legal."""
    name, task, *chosen = arguments
    with pytest.raises(InputError, match=says) as error:
        runs_of(name, make_recipe(task, 0), *chosen, **given)
    assert "\n" not in str(error.value)


def test_other_geometries_have_no_log():
    """lepori2024 refuses patches and numbers of combinations that the authors did not train on."""
    for patch_size, combinations in ((28, 256), (32, 48)):
        with pytest.raises(InputError, match="does not suit"):
            runs_of("lepori2024", aligned("discrimination", patch_size, combinations))


def test_quick_has_numbers_for_every_set_of_pairs():
    """No set of pairs is trained without a bound of its own, and no bound is of no set."""
    assert {*recipes._QUICK} == {*TRAINED}
