"""Shortcut baselines pass sets of ours, catch planted shortcuts, and know their ceilings."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from samediff_stimuli import AlignedOptions, InputError, codec, design, generate, make_recipe, tasks
from samediff_stimuli.cards.importing import import_folder
from samediff_stimuli.manifest import load
from samediff_stimuli.models import shortcuts as module
from samediff_stimuli.models.predictions import some_groups
from samediff_stimuli.models.ridge import _STRENGTHS, fit
from samediff_stimuli.models.shortcut_ceilings import Ceiling, ceilings, ideal
from samediff_stimuli.models.shortcut_views import VIEWS, look
from samediff_stimuli.models.shortcuts import cross_validated, shortcuts
from tests.cases import FACTOR_SETS

SETS = [n for n, task in tasks.registry().items() if task.variants and n not in FACTOR_SETS]
ALL = {view.name for view in VIEWS}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The report on a small discrimination set."""
    folder = tmp_path_factory.mktemp("shortcuts") / "set"
    options = AlignedOptions(image_size=96, train=720, validation=0, test=240, ood=0)
    generate(make_recipe("discrimination", 0, options), folder, workers=1, parquet=False)
    done = []
    report = shortcuts(folder, on_done=done.append)
    assert done == ["test"]
    return report


def test_colours_alone_go_far_but_no_further(found):
    """Histograms see how many colours there are, and reach less than 5/6; others are at chance."""
    assert found.problems() == []
    by_view = {s.view: s for s in found.found}
    assert set(by_view) == ALL
    assert by_view["colors"].accuracy > 0.7
    assert by_view["colors"].ceiling.value == pytest.approx(5 / 6)
    assert by_view["position"].accuracy == 0.5  # matched groups share all places
    assert by_view["ink"].accuracy == 0.5
    half = [s.ceiling.value for s in found.found if s.view not in ("colors", "file_size")]
    assert half == [0.5] * 4
    error = np.sqrt(0.25 / 240)
    assert by_view["pixels"].bound == pytest.approx(0.5 + 4 * error)


def test_report(found):
    """The report is JSON, and its page says what each view sees and how far it can get."""
    plain = found.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["found"][0]["tells"] is False
    assert plain["fitted"] == "train"
    page = found.markdown()
    assert "| view | ceiling | test |" in page
    assert "| colors | 83.3 |" in page
    assert "- **position** sees where objects stand" in page
    assert "5/6 on discrimination" in page


@pytest.mark.parametrize("name", SETS)
def test_every_set_passes(made, name):
    """Every kind of set is looked at with every view, and none is at fault."""
    report = shortcuts(made[name], rows=48)
    assert report.problems() == []
    task = tasks.get(name)
    splits = [s.name for s in task.splits(load(made[name]).recipe)]
    keys = {(s.split, s.view, s.target) for s in report.found}
    targets = {s.target for s in report.found}
    scored = [s for s in splits if s != "train"]
    assert keys == {(s, v, t) for s in scored for v in ALL for t in targets}
    assert len(keys) == len(report.found)
    bits = {"same_color", "same_texture", "same_shape"}
    assert targets == (bits if name == "dissociation" else {"label"})
    assert report.fitted == ("train" if "train" in splits else splits[0])
    assert {s.accuracy for s in report.found if s.view == "position"} == {0.5}


def folder_of(root, splits, change):
    """Import pictures of noise, those of class 1 changed."""
    random = np.random.default_rng(0)
    for split, n in splits.items():
        for label, name in enumerate(("different", "same")):
            (root / "in" / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = random.integers(0, 200, (16, 16, 3))
                pixels = change(pixels) if label else pixels
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(root / "in" / split / name / f"{i}.png")
    import_folder(root / "in", root / "set", workers=1, parquet=False)
    return root / "set"


def repeated(pixels):
    """The upper half twice."""
    return np.concatenate([pixels[:8], pixels[:8]])


def inked(pixels):
    """Some pixels white."""
    return np.where(np.arange(16)[:, None, None] < 2, 255, pixels)


PLANTED = [
    ("brighter", lambda pixels: pixels + 20, {"pixels", "colors"}),
    ("a corner", lambda p: np.where(np.indices(p.shape)[:2].max(0) < 5, p // 4, p), {"pixels"}),
    ("smaller files", repeated, {"file_size"}),
    ("less ink", inked, {"ink", "pixels", "colors"}),
]


@pytest.mark.parametrize(("change", "views"), [p[1:] for p in PLANTED], ids=[p[0] for p in PLANTED])
def test_planted_shortcuts_are_caught(tmp_path, change, views):
    """Whatever tells the label in imported images is named, with its accuracy."""
    report = shortcuts(folder_of(tmp_path, {"train": 60, "test": 40}, change))
    told = {s.view for s in report.found if s.tells}
    assert views <= told
    assert {s.view for s in report.found} == ALL - {"position", "one_object"}  # no boxes
    assert len(report.problems()) == len(told)
    lines = [line for line in report.problems() if line.startswith(f"test: {min(views)} tells lab")]
    assert len(lines) == 1
    assert "chance and luck explain" in lines[0]


def test_nothing_planted_nothing_found(tmp_path):
    """Images of two classes that do not differ pass, also with a test split alone."""
    assert shortcuts(folder_of(tmp_path / "a", {"train": 60, "test": 40}, np.copy)).problems() == []
    alone = shortcuts(folder_of(tmp_path / "b", {"test": 50}, np.copy))
    assert alone.problems() == []
    assert {(s.split, s.fitted) for s in alone.found} == {("test", "test")}


def test_a_shortcut_is_caught_without_a_train_split(tmp_path):
    """Cross-validation finds what a readout fitted on train would."""
    report = shortcuts(folder_of(tmp_path, {"test": 60}, lambda pixels: pixels + 20))
    assert any(line.startswith("test: pixels tells label") for line in report.problems())


def test_ceilings_are_computed_from_the_design():
    """Colour or shape alone reach 5/6 on discrimination, 13/18 on rmts, and 1/2 where blind."""
    for name, groups, share in (("discrimination", 96, 5 / 6), ("rmts", 36, 13 / 18)):
        recipe = make_recipe(name, 0, AlignedOptions(train=groups * tasks.get(name).group))
        table = design(recipe, "train", slice(None))
        label = table["label"].astype(np.int64)
        objects = table["box"].shape[1]
        for attribute in ("color", "shape"):
            assert ideal(table, attribute, label, objects) == pytest.approx(share)
        found = ceilings(recipe, table, label, objects)
        assert set(found) == ALL
        assert found["colors"].value == pytest.approx(share)
    flat = tasks.get("shapes").variants
    for variant, share in (("full", 1.0), ("mask-S", 0.5)):
        recipe = make_recipe("shapes", 0, flat[variant])
        table = design(recipe, "train", slice(40))
        label = table["label"].astype(np.int64)
        assert ceilings(recipe, table, label, 2)["colors"].value == share


def test_shades_of_edges_tell_without_a_comparison():
    """Drawn lines have shades, so a histogram of them has no ceiling below 1; colours have 5/6."""
    for name in ("squiggles", "alphanumerics", "transfer"):
        recipe = make_recipe(name, 0)
        table = design(recipe, "train", slice(0, 32))
        found = ceilings(recipe, table, table["label"].astype(np.int64), 2)
        assert found["colors"].value == 1
        assert found["one_object"].value == 0.5


def images_and_boxes():
    """Two images of two noisy squares on white, the second object another in each."""
    random = np.random.default_rng(0)
    images = np.full((2, 40, 40, 3), 255, dtype=np.uint8)
    images[:, 4:12, 4:12] = random.integers(0, 200, (8, 8, 3))
    images[:, 20:28, 20:28] = random.integers(0, 200, (2, 8, 8, 3))
    boxes = np.tile([[4, 4, 12, 12], [20, 20, 28, 28]], (2, 1, 1))
    return images, boxes


def test_views_are_blind_to_what_they_should_be():
    """Each view sees what it says: ink, stored size, places, and one object without the other."""
    images, boxes = images_and_boxes()
    seen = look(torch.from_numpy(images).permute(0, 3, 1, 2), {"box": boxes}, 2)
    assert set(seen) == ALL
    assert seen["ink"].tolist() == [[128], [128]]
    assert seen["file_size"][0, 0] == len(codec.deflate(images[0]))
    assert (seen["position"][0] == seen["position"][1]).all()
    assert (seen["one_object"][0, 0] == seen["one_object"][1, 0]).all()
    assert (seen["one_object"][0, 1] != seen["one_object"][1, 1]).any()
    assert (seen["pixels"][0] != seen["pixels"][1]).any()
    moved = look(torch.from_numpy(images[:, ::-1].copy()).permute(0, 3, 1, 2), {}, 0)
    assert set(moved) == ALL - {"position", "one_object"}
    assert (moved["colors"] == seen["colors"]).all()  # not where
    near = np.tile([[4, 4, 24, 24], [20, 20, 28, 28]], (2, 1, 1))
    seen = look(torch.from_numpy(images).permute(0, 3, 1, 2), {"box": near}, 2)
    assert (seen["one_object"][0, 0] == seen["one_object"][1, 0]).all()  # the other is cut off


def test_a_readout_finds_what_is_linear():
    """Separable labels are told, rare ones as well as frequent ones, several columns at once."""
    random = np.random.default_rng(0)
    features = random.normal(size=(600, 30)).astype(np.float32) * 5 + 100
    features[:, 7] = 3.0  # does not vary
    rare = (features[:, 0] > 106.5).astype(np.int64)
    three = np.digitize(features[:, 1], [97, 103])
    readout = fit(features, {"rare": rare, "three": three})
    answers = readout.answers(features)
    assert rare.mean() < 0.15
    assert (answers["rare"][rare == 1] == 1).mean() > 0.9
    assert (answers["three"][three != 1] == three[three != 1]).mean() > 0.9
    constant = fit(features[:, 7:8], {"rare": rare}).answers(features[:, 7:8])["rare"]
    assert len(set(constant.tolist())) == 1


def test_more_features_than_rows():
    """With fewer rows than features the readout is that of the usual equations."""
    random = np.random.default_rng(0)
    features = random.normal(size=(40, 60)).astype(np.float32)
    label = (features[:, 0] > 0).astype(np.int64)
    weights = fit(features, {"label": label}).weights["label"][:, 1]
    z = (features - features.mean(0)) / features.std(0)
    wanted = label / label.mean() - 1
    solved = [
        np.linalg.solve(z.T @ z / 40 + s * np.eye(60), z.T @ wanted / 40) / features.std(0)
        for s in _STRENGTHS
    ]
    assert min(np.abs(weights - other).max() for other in solved) < 1e-4


def test_groups_stay_together():
    """Units are never on both sides of a fold, and rows are taken in whole groups."""
    random = np.random.default_rng(0)
    units = np.repeat(np.arange(60), 8)
    codes = random.normal(size=(60, 100))[units].astype(np.float32)  # name the unit, nothing else
    label = np.repeat(random.permutation(60) % 2, 8)
    seen = module._Seen(
        split="test", features={"x": codes}, labels={"label": label}, units=units, ceilings={}
    )
    within = cross_validated(seen, "x", 0)["label"]
    assert (within == label).mean() < 0.7
    alone = module._Seen(
        split="test", features={"x": codes}, labels={"label": label}, units=units * 0, ceilings={}
    )
    with pytest.raises(InputError, match="has one matched group"):
        cross_validated(alone, "x", 0)
    rows = some_groups(units, 83, 1)
    assert len(rows) == 80
    assert set(np.bincount(units[rows], minlength=60).tolist()) == {0, 8}
    assert (some_groups(units, 83, 2) != rows).any()


def test_what_cannot_be_looked_at(tmp_path):
    """No dataset, or too few rows, is one clear line."""
    with pytest.raises(InputError, match="is not a dataset"):
        shortcuts(tmp_path)
    with pytest.raises(InputError, match="rows 3 is out of range; legal: 16 or more"):
        shortcuts(tmp_path, rows=3)
    few = folder_of(tmp_path, {"train": 7, "test": 20}, np.copy)
    with pytest.raises(InputError, match="14 stimuli of train to fit on are too few; legal: 16"):
        shortcuts(few)


def test_one_label_alone_is_no_fit():
    """Rows of one label alone are refused in a line; of two they are not."""
    seen = {"split": "test", "features": {}, "units": np.arange(20), "ceilings": {}}
    module._check_fit(module._Seen(labels={"label": np.arange(20) % 2}, **seen))
    with pytest.raises(InputError, match="all stimuli of test have one label: nothing is to be"):
        module._check_fit(module._Seen(labels={"label": np.zeros(20, dtype=np.int64)}, **seen))


def test_batches_are_told(tmp_path):
    """on_rows is told every image that is looked at."""
    rows = []
    shortcuts(folder_of(tmp_path, {"train": 40, "test": 20}, np.copy), on_rows=rows.append)
    assert sum(rows) == 120


def scenes(n, change):
    """What views see of two grey squares on white, and labels; `change` plants what tells them."""
    random = np.random.default_rng(0)
    label = np.arange(n) % 2
    corners = np.stack([random.integers(0, 12, (n, 2)), random.integers(24, 32, (n, 2))], axis=1)
    grey = random.integers(20, 120, (n, 2))
    corners, grey = change(label, corners, grey)
    images = np.full((n, 40, 40, 3), 255, dtype=np.uint8)
    for image, spots, tones in zip(images, corners, grey, strict=True):
        for (x, y), tone in zip(spots, tones, strict=True):
            image[y : y + 8, x : x + 8] = tone
    boxes = np.concatenate([corners, corners + 8], axis=-1)
    return look(torch.from_numpy(images).permute(0, 3, 1, 2), {"box": boxes}, 2), label


@pytest.mark.parametrize("view", ["position", "one_object", None])
def test_places_and_single_objects_are_caught(view):
    """A place or one object that tells the label is caught by its view, and else by none."""

    def change(label, corners, grey):
        if view == "position":  # same objects stand closer together
            return corners - np.array([[0, 0], [12, 12]]) * label[:, None, None], grey
        if view == "one_object":  # and are darker
            return corners, grey // (1 + label[:, None])
        return corners, grey

    features, label = scenes(120, change)
    seen = module._Seen(
        split="test",
        features=features,
        labels={"label": label},
        units=np.arange(120),
        ceilings={"label": {name: Ceiling(value=0.5, why="") for name in features}},
    )
    told = set()
    for name in ("position", "one_object", "ink"):
        (score,) = module._scores(name, seen, "test", cross_validated(seen, name, 0))
        told |= {name} if score.tells else set()
    assert told == ({view} if view else set())
