"""What is kept of the released sets belongs together, and cards/VALIDATION.md tells it."""

import dataclasses
import json

import pytest

from samediff_stimuli import AlignedOptions, generate, make_recipe
from samediff_stimuli.cards import validated
from samediff_stimuli.cards.card import card
from samediff_stimuli.manifest import load
from samediff_stimuli.models import recipes
from samediff_stimuli.models.recipes import Gate, Run
from samediff_stimuli.models.train import TrainConfig
from tests import validation
from tests.test_release import DIGESTS, RELEASES

KEPT = sorted(path.parent.name for path in validation.KEPT.glob("*/manifest.json"))


def test_the_page_is_current():
    """cards/VALIDATION.md is what the reports in cards/releases give."""
    assert validation.PAGE.read_text() == validation.page(), (
        "cards/VALIDATION.md is stale; run python -m tests.validation --page"
    )


def test_every_released_set_is_on_the_page():
    """Each set with a pinned digest, and photoreal, has a line for every recipe planned."""
    sets = validation.released()
    pinned = {digest for digest, _ in RELEASES.values()} | {
        *json.loads(DIGESTS.read_text()).values()
    }
    assert pinned < {each.digest for each in sets.values()}
    text = validation.PAGE.read_text()
    for name, each in sets.items():
        for recipe in each.planned():
            assert f"| {name} | {recipe} |" in text or f"(releases/{name}) | {recipe} |" in text


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_belongs_together(name):
    """Card, manifest and report of a released set are of one content, the one that is pinned."""
    folder, each = validation.KEPT / name, validation.released()[name]
    manifest, report = load(folder), validated.stored(folder)
    assert manifest.name == name
    assert each.digest in (None, manifest.digest())
    assert report is None or report["digest"] == manifest.digest()
    assert card(manifest, None, report) == (folder / "README.md").read_text()
    images = [path for path in folder.iterdir() if path.suffix in (".h5", ".parquet")]
    assert images == []


def test_reports_name_recipes_that_there_are():
    """No report is of a recipe that is gone."""
    for name in KEPT:
        report = validated.stored(validation.KEPT / name)
        assert report is None or {*report["recipes"]} <= {*recipes.RECIPES}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """One released set, small, with a recipe of seconds; all is kept in the test's folder."""
    options = AlignedOptions(train=64, validation=32, test=32, ood=16)
    recipe = make_recipe("discrimination", 0, options)
    digest = generate(recipe, tmp_path / "pin", workers=1).digest()
    each = validation.Released(recipe=recipe, digest=digest, only=("quick", "checks"))
    for name, value in (("KEPT", tmp_path / "kept"), ("PAGE", tmp_path / "PAGE.md")):
        monkeypatch.setattr(validation, name, value)
    monkeypatch.setattr(validation, "released", lambda: {each.name: each})
    gate = Gate(split="test", low=0.0, why="a test")
    config = TrainConfig(epochs=1, batch_size=32, warmup=1)
    run = Run(name="small", config=config, gates=(gate,))
    quick = dataclasses.replace(recipes.RECIPES["quick"], runs=lambda dataset: (run,))
    monkeypatch.setitem(recipes.RECIPES, "quick", quick)
    return each


def call(tmp_path, *words):
    """The script's exit code."""
    return validation.main([*words, "--device", "cpu", "--scratch", str(tmp_path / "scratch")])


@pytest.mark.slow
def test_the_script(small, tmp_path, capsys):
    """It makes a set, validates it, keeps four files of it, and writes the page; with --resume it
    leaves out what is there; on another machine what was kept before is kept on."""
    name = small.name
    assert call(tmp_path) == 0
    kept = tmp_path / "kept" / name
    assert {path.name for path in kept.iterdir()} == {*validation.FILES}
    page = (tmp_path / "PAGE.md").read_text()
    assert f"| [{name}](releases/{name}) | quick | small | passed | train " in page
    capsys.readouterr()
    assert call(tmp_path, "--resume") == 0
    assert "validated already" in capsys.readouterr().err
    scratch = ["--scratch", str(tmp_path / "elsewhere")]
    assert validation.main(["--recipe", "checks", "--set", name, *scratch]) == 0
    report = validated.stored(kept)
    assert list(report["recipes"]) == ["quick", "checks"]
    assert card(load(kept), None, report) == (kept / "README.md").read_text()


def test_what_is_not_run_is_said(small, tmp_path):
    """The page has a line for a set without a report, and for a report of other data."""
    line = f"| {small.name} | quick | small | not run |"
    assert call(tmp_path, "--page") == 0
    assert line in (tmp_path / "PAGE.md").read_text()
    place = tmp_path / "kept" / small.name
    place.mkdir(parents=True)
    other = {"validation": 1, "digest": "0" * 64, "recipes": {}}
    (place / "validation.json").write_text(json.dumps(other))
    assert call(tmp_path, "--page") == 0
    assert line in (tmp_path / "PAGE.md").read_text()


def test_a_set_that_is_not_the_released_one(small, tmp_path, monkeypatch, capsys):
    """Data of another digest than the pinned one are not validated as the release."""
    other = dataclasses.replace(small, digest="0" * 64)
    monkeypatch.setattr(validation, "released", lambda: {other.name: other})
    assert call(tmp_path) == 1
    assert "released is 000000000000" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()


def test_a_recipe_that_does_not_suit(small, tmp_path, capsys):
    """A set asked for by name, and that the recipe is not for, is an error; others are left out."""
    assert call(tmp_path, "--recipe", "schott2021") == 0
    assert call(tmp_path, "--recipe", "schott2021", "--set", small.name) == 1
    assert "does not suit" in capsys.readouterr().err
