"""Trial lists: every stimulus with its parameters, balanced orders, answers as models give them."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import AlignedOptions, InputError, export, generate, make_recipe
from samediff_stimuli.cards.exports import trial_order
from samediff_stimuli.cards.exports.folder import source_of
from samediff_stimuli.cards.exports.trials import Trials
from samediff_stimuli.cards.exports.visual_angle import Screen
from samediff_stimuli.cards.importing import import_folder
from samediff_stimuli.cli import main
from samediff_stimuli.models.trials import FIRST, LAST
from samediff_stimuli.tasks.dissociation import DissociationOptions
from tests.factor_sets import use_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small set; tests must not change it."""
    out = tmp_path_factory.mktemp("trials") / "set"
    options = AlignedOptions(train=12, validation=0, test=120, ood=24)
    generate(make_recipe("discrimination", 0, options), out, workers=1, parquet=False)
    return out


@pytest.fixture(scope="module")
def exported(folder):
    """Three participants' lists of 24 trials; tests must not change them."""
    out = folder.with_name("trials")
    export(folder, out, Trials(trials=24, participants=3, order_seed=3))
    return out


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """A set of eight labels; tests must not change it."""
    out = tmp_path_factory.mktemp("eight") / "set"
    recipe = make_recipe("dissociation", 0, DissociationOptions(test=32))
    generate(recipe, out, workers=1, parquet=False)
    return out


def rows_of(out):
    """The lines of trials.csv."""
    with (out / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_images_are_the_stimuli(folder, exported):
    """Each trial's file has the row's pixels, and a name that does not tell the label."""
    reader = source_of(folder).reader("test")
    rows = rows_of(exported)
    assert len(rows) == 72
    for row in rows:
        name, split, number = row["stimulus_id"].split("/")
        assert (name, split) == ("discrimination-p32", "test")
        with Image.open(exported / row["image"]) as image:
            assert np.array_equal(np.asarray(image), reader.images([int(number)])[0])
    assert len(list((exported / "images").iterdir())) == len({row["image"] for row in rows}) == 24
    assert not any("same" in row["image"] or "different" in row["image"] for row in rows)


def test_parameters_are_the_scene(folder, exported):
    """Every column is there; places and sizes are those of the boxes, in pixels and degrees."""
    table = source_of(folder).reader("test").table
    screen = Screen(viewing_distance_cm=57, pixels_per_cm=37.8)
    for row in rows_of(exported):
        number = int(row["index"])
        for k, (x0, y0, x1, y1) in enumerate(table["box"][number].tolist()):
            middle = (x0 + x1) / 2 - 112, 112 - (y0 + y1) / 2
            assert float(row[f"object_{k}_x_px"]) == middle[0]
            assert float(row[f"object_{k}_y_px"]) == middle[1]
            assert float(row[f"object_{k}_x_deg"]) == screen.offset(middle[0])
            assert float(row[f"object_{k}_width_deg"]) == screen.extent(x1 - x0)
            assert row[f"box_{k}_2"] == str(x1)
        assert float(row["width_deg"]) == screen.extent(224) == 5.9513
        assert float(row["distance_0_1_px"]) > 0
        names = ("different", "same")
        assert row["label"] == row["answer"] == names[table["label"][number]]
        assert row["pair_id"] == str(table["pair_id"][number])


def test_json_and_csv_agree(exported):
    """trials.json has the same trials, with nested values, and says how degrees are reckoned."""
    data = json.loads((exported / "trials.json").read_text())
    assert data["experiment"]["viewing_distance_cm"] == 57
    assert data["experiment"]["pixels_per_cm"] == 37.8
    assert "2 atan(size / (2 distance))" in data["geometry"]["width_deg, height_deg"]
    rows = iter(rows_of(exported))
    for person in data["participants"]:
        for trial in person["trials"]:
            row, stimulus = next(rows), data["stimuli"][trial["stimulus"]]
            assert row["participant"] == str(person["participant"])
            assert (row["block"], row["trial"]) == (str(trial["block"]), str(trial["trial"]))
            assert row["stimulus_id"] == stimulus["stimulus_id"]
            assert row["answer_key"] == person["keys"][stimulus["answer"]]
            first = stimulus["geometry"]["objects"][0]
            assert row["object_0_eccentricity_deg"] == str(first["eccentricity_deg"])
            assert row["shape_1"] == stimulus["columns"]["shape"][1]
    assert next(rows, None) is None


def test_page_has_what_it_needs(exported):
    """trials.js is one assignment of plain data: stimuli, lists, keys and columns."""
    text = (exported / "jspsych" / "trials.js").read_text()
    assert text.startswith("const EXPERIMENT = {")
    assert text.endswith("};\n")
    data = json.loads(text.removeprefix("const EXPERIMENT = ").removesuffix(";\n"))
    whole = json.loads((exported / "trials.json").read_text())
    assert data["participants"] == whole["participants"]
    assert data["experiment"] == whole["experiment"]
    for small, large in zip(data["stimuli"], whole["stimuli"], strict=True):
        assert small["width_px"] == large["geometry"]["width_px"]
        assert small["image"] == large["image"]
    wanted = json.loads((exported / "jspsych" / "package.json").read_text())["dependencies"]
    page = (exported / "jspsych" / "index.html").read_text()
    for name in wanted:
        assert f'src="node_modules/{name}/dist/index.browser.min.js"' in page
    assert "http" not in page


def test_answers_have_the_columns_of_models(exported):
    """Responses carry what trial_table writes, and block and trial besides."""
    columns = json.loads((exported / "trials.json").read_text())["experiment"]["response_columns"]
    assert columns == [*FIRST, "relation", "block", "trial", *LAST]


def test_blocks_are_balanced(exported):
    """A block has as many of each answer, no two of a matched group, and each kind alike."""
    for person in ("1", "2", "3"):
        own = [row for row in rows_of(exported) if row["participant"] == person]
        assert [row["trial"] for row in own] == [str(n) for n in range(1, 25)]
        for block in ("1", "2"):
            some = [row for row in own if row["block"] == block]
            assert Counter(row["answer"] for row in some) == {"same": 6, "different": 6}
            assert len({row["pair_id"] for row in some}) == 12
        kinds = Counter(row["relation"] for row in own)
        assert kinds == {
            "same": 12,
            "differs_in_both": 4,
            "differs_in_shape": 4,
            "differs_in_color": 4,
        }


def test_participants_are_counterbalanced(exported):
    """All see the same stimuli, in other orders and blocks, every second one with other keys."""
    one, two, three = ([r for r in rows_of(exported) if r["participant"] == p] for p in "123")
    orders = [[row["image"] for row in own] for own in (one, two, three)]
    assert len({frozenset(order) for order in orders}) == 1
    assert len({tuple(order) for order in orders}) == 3
    blocks = [{row["image"]: row["block"] for row in own} for own in (one, two, three)]
    assert blocks[0] == blocks[1]  # so that blocks are not bound to keys
    assert all(blocks[0][image] != blocks[2][image] for image in blocks[0])
    assert {(row["key_different"], row["key_same"]) for row in one + three} == {("f", "j")}
    assert {(row["key_different"], row["key_same"]) for row in two} == {("j", "f")}
    for row in one + two + three:
        assert row["answer_key"] == row[f"key_{row['answer']}"]


def test_order_seed_decides(folder, exported, tmp_path):
    """Another seed gives another choice and order; a list does not depend on how many there are."""
    export(folder, tmp_path / "other", Trials(trials=24, order_seed=4))
    export(folder, tmp_path / "one", Trials(trials=24, order_seed=3))
    order = [row["image"] for row in rows_of(tmp_path / "other")]
    first = [row["image"] for row in rows_of(exported)][:24]
    assert [row["image"] for row in rows_of(tmp_path / "one")] == first
    assert set(order) != set(first)


def test_order_is_frozen():
    """The order of a seed is part of what is published: it must not change."""
    groups = [
        trial_order.Group(split="test", rows=(2 * n, 2 * n + 1), kind=(n % 2,)) for n in range(8)
    ]
    chosen = trial_order.choose(groups, 4, ("trials", "digest", 0, "choice"))
    assert Counter(group.kind for group in chosen) == {(0,): 2, (1,): 2}
    order = trial_order.trials(chosen, 1, ("trials", "digest", 0, "order"))
    assert [trial.row for trial in order] == [7, 12, 9, 10, 13, 6, 11, 8]
    assert trial_order.alternated([5, 6, 7, 8], ["a", "a", "b", "b"]) == (5, 7, 6, 8)


def test_matched_groups_of_four(tmp_path):
    """Sets with larger groups have as many blocks, each balanced over answers and cases."""
    options = AlignedOptions(train=0, validation=0, test=96, ood=0)
    generate(make_recipe("rmts", 0, options), tmp_path / "set", workers=1, parquet=False)
    export(tmp_path / "set", tmp_path / "out", Trials(trials=48))
    rows = rows_of(tmp_path / "out")
    for block in "1234":
        some = [row for row in rows if row["block"] == block]
        assert set(Counter(row["answer"] for row in some).values()) == {6}
        assert set(Counter(row["case"] for row in some).values()) == {3}
        assert len({row["pair_id"] for row in some}) == 12


def test_eight_answers_have_eight_keys(eight, tmp_path):
    """A label of several classes has a digit for each; one of its questions has two keys."""
    export(eight, tmp_path / "labels", Trials(participants=2))
    for row in rows_of(tmp_path / "labels"):
        assert row["answer_key"] == str(int(row["label"], 2) + 1)
    export(eight, tmp_path / "shape", Trials(question="same_shape", key_same="k"))
    for row in rows_of(tmp_path / "shape"):
        assert row["answer"] == row["same_shape"] == ("different", "same")[row["label"][2] == "1"]
        assert row["answer_key"] == {"different": "f", "same": "k"}[row["answer"]]
    with pytest.raises(InputError, match="whose keys are 1 to 8; leave them out"):
        export(eight, tmp_path / "bad", Trials(key_same="k"))
    with pytest.raises(InputError, match=r"question 'shape' is no class .* legal: label, same_col"):
        export(eight, tmp_path / "bad", Trials(question="shape"))


def test_images_of_others(tmp_path):
    """Imported images have no boxes, but sizes, answers and orders all the same."""
    for number, name in enumerate(("cat", "dog", "owl")):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for k in range(4):
            path = tmp_path / "mine" / name / f"{k}.png"
            Image.new("RGB", (20, 10), (80 * number, 20 * k, 0)).save(path)
    import_folder(tmp_path / "mine", tmp_path / "set", workers=1, parquet=False)
    export(tmp_path / "set", tmp_path / "out", Trials(trials=6))
    rows = rows_of(tmp_path / "out")
    assert Counter(row["label"] for row in rows) == {"cat": 2, "dog": 2, "owl": 2}
    assert {(row["width_px"], row["height_px"]) for row in rows} == {("20", "10")}
    assert {row["answer_key"] for row in rows} == {"1", "2", "3"}


def test_usual_number_of_trials(folder, tmp_path):
    """Without --trials there are 96, or all if there are fewer."""
    export(folder, tmp_path / "out", "trials")
    assert len(rows_of(tmp_path / "out")) == 96
    export(folder, tmp_path / "few", "trials", splits=["ood_shape"])
    assert len(rows_of(tmp_path / "few")) == 24


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 7}, "trials 7 is not a multiple of 2, the size of a matched group; nearest: 6"),
        ({"trials": 122}, "trials 122 is out of range; legal: 2 .. 120"),
        ({"trials": 0}, "trials 0 is out of range; legal: 2 .. 120"),
        ({"participants": 0}, "participants 0 is out of range; legal: 1 .. 1000"),
        ({"order_seed": -1}, "order_seed -1 is out of range"),
        ({"key_same": "F"}, "key_same 'F' is not legal; legal: one of a .. z, 0 .. 9"),
        ({"key_same": "space"}, "key_same 'space' is not legal"),
        ({"key_same": "f"}, "key_different and key_same are both 'f'; give two"),
        ({"viewing_distance_cm": 0}, "viewing_distance_cm 0 is out of range"),
        (
            {"question": "colour"},
            "question 'colour' is no class of a whole image; legal: label, rel",
        ),
    ],
)
def test_bad_options(given, message, folder, tmp_path):
    """A wrong option is one line on the command line, exit code 2, and nothing is written."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    command = ["export", str(folder), "--format", "trials", "--out", str(tmp_path / "out"), *words]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_sets_that_ask_nothing(tmp_path, monkeypatch):
    """Grids of factors are one clear line, as is a set without the split test."""
    use_tiny(monkeypatch, "dsprites")
    generate(make_recipe("dsprites", 0), tmp_path / "grid", workers=1, parquet=False)
    with pytest.raises(InputError, match=r"is for sets with one answer .* is a grid of factors"):
        export(tmp_path / "grid", tmp_path / "out", "trials")
    options = AlignedOptions(train=12, validation=0, test=0, ood=12)
    generate(make_recipe("discrimination", 0, options), tmp_path / "set", workers=1, parquet=False)
    with pytest.raises(InputError, match=r"has no split 'test'; give --split: train, ood_shape"):
        export(tmp_path / "set", tmp_path / "out", "trials")
    assert not (tmp_path / "out").exists()


def test_answers_of_people_are_not_overwritten(folder, tmp_path):
    """--overwrite refuses a folder in which somebody's answers lie."""
    out = tmp_path / "out"
    export(folder, out, "trials")
    (out / "responses-S07.csv").touch()
    with pytest.raises(InputError, match="it also holds 'responses-S07"):
        export(folder, out, "trials", overwrite=True)
    assert (out / "responses-S07.csv").exists()
