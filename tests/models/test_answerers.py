"""A word names what answers; what is wrong with it is one clear line."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from samediff_stimuli import AlignedOptions, InputError, generate, make_recipe
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import load
from samediff_stimuli.models import checkpoints, zoo
from samediff_stimuli.models.answerers import answerer, imported
from samediff_stimuli.models.evaluation import evaluate
from samediff_stimuli.models.predictions import predict
from samediff_stimuli.models.probes import Probe, best
from samediff_stimuli.models.ridge import ladder
from samediff_stimuli.models.zoo import ModelSpec
from samediff_stimuli.tasks.dissociation import DissociationOptions

CPU = torch.device("cpu")
MODULE = """
import torch
from torch import nn
def darker(images):
    return torch.stack([images.float().mean(dim=(1, 2, 3)), torch.zeros(len(images))], 1)
def broken(images):
    return images.no_such_thing
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)
    def forward(self, images):
        return self.drop(torch.ones(len(images), 2))
net = Net()
class Space:
    inner = net
number = 3
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Small folders by name: two of one name and other seeds, one without train."""
    root = tmp_path_factory.mktemp("sets")
    sizes = {"image_size": 96, "train": 60, "validation": 12, "test": 12, "ood": 0}
    for name, seed in (("first", 0), ("second", 1)):
        recipe = make_recipe("discrimination", seed, AlignedOptions(**sizes))
        generate(recipe, root / name, workers=1, parquet=False)
    alone = AlignedOptions(**{**sizes, "validation": 0})
    generate(make_recipe("rmts", 0, alone), root / "alone", workers=1, parquet=False)
    tests = DissociationOptions(image_size=96, object_size=32, test=16)
    generate(make_recipe("dissociation", 0, tests), root / "tests", workers=1, parquet=False)
    large = AlignedOptions(**{**sizes, "image_size": 128, "train": 4, "validation": 0, "test": 4})
    generate(make_recipe("rmts", 0, large), root / "large", workers=1, parquet=False)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory):
    """A run folder with the checkpoint of a model that nobody trained."""
    out = tmp_path_factory.mktemp("runs") / "my-run"
    out.mkdir()
    manifest = load(folders["first"])
    what = zoo.architecture(ModelSpec(), manifest)
    weights = zoo.assemble(what, seed=5).state_dict()
    checkpoints.save(out / "checkpoint.pt", weights, what, {}, manifest)
    return out


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of anybody's in the current folder."""
    (tmp_path / "anybody.py").write_text(MODULE)
    (tmp_path / "fails.py").write_text("raise OSError('no weights\\nhere')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield "anybody"
    for name in ("anybody", "fails"):
        sys.modules.pop(name, None)


def test_a_checkpoint_answers_as_the_model_that_was_saved(run, folders):
    """Folder and file mean the same model; its name is the folder's, and its set is known."""
    images = StimulusDataset(folders["first"], "test").batch(range(6))[0]
    manifest = load(folders["first"])
    model = zoo.assemble(zoo.architecture(ModelSpec(), manifest), seed=5).eval()
    for what in (run, run / "checkpoint.pt"):
        found = answerer(str(what), [folders["first"]], device="cpu")
        with torch.no_grad():
            assert torch.equal(found.answer(images), model(images))
        assert (found.name, found.dataset) == ("my-run", manifest.name)
        assert found.digest == manifest.digest()
        assert found.warnings([folders["first"], folders["tests"]]) == []
    (line,) = found.warnings([folders["first"], folders["second"]])
    digests = manifest.digest()[:12], load(folders["second"]).digest()[:12]
    assert digests[0] != digests[1]
    assert line.startswith(f"my-run was trained on {manifest.name} of digest {digests[0]}")
    assert line.endswith(digests[1])


def test_what_is_no_checkpoint(run, folders, tmp_path):
    """A missing or foreign file, a folder without one, a dataset, another image size: a line."""
    (tmp_path / "junk.pt").write_bytes(b"junk\n")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    first = [folders["first"]]
    for what, says in (
        (tmp_path / "none.pt", "none.pt does not exist"),
        (tmp_path / "junk.pt", "junk.pt cannot be read"),
        (tmp_path / "other.pt", "other.pt is not one that train wrote"),
        (tmp_path, "has no checkpoint.pt"),
        (folders["first"], "is a dataset; give what is to be evaluated first"),
        ("rubbish", "'rubbish' is nothing that answers; legal: a checkpoint.pt or its run folder"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            answerer(str(what), first)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"is for images of 96 x 96, and those of .* 128 x 128"):
        answerer(str(run), [folders["first"], folders["large"]])


def test_a_function_of_the_current_folder(module, folders):
    """It is imported and asked; modules do not drop out; nested names are found."""
    found = answerer(f"{module}:darker", [folders["first"]])
    report = evaluate(found.answer, [folders["first"]], ["test"], model=found.name, draws=9)
    assert report.model == "anybody:darker"
    assert report.splits[0].overall.said_same.value == 0
    images = torch.zeros(3, 3, 96, 96, dtype=torch.uint8)
    assert torch.equal(answerer(f"{module}:net", []).answer(images), torch.ones(3, 2))
    assert isinstance(imported(f"{module}:Space.inner"), nn.Module)
    with pytest.raises(
        InputError, match=r"device 'cuda' is not available|unknown device"
    ) as caught:
        answerer(f"{module}:darker", [], device="cuda" if not torch.cuda.is_available() else "x")
    assert "\n" not in str(caught.value)


def test_functions_that_are_none(module):
    """A missing module or name, one that fails, a class, a number: each is a line."""
    for what, says in (
        ("nowhere:answer", "there is no module 'nowhere'"),
        ("anybody.py:darker", "there is no module 'anybody.py'.* without .py"),
        ("anybody:darkr", "has no 'darkr'; did you mean 'darker'?"),
        ("anybody:Space.other", "has no 'Space.other'"),
        ("anybody:Net", "anybody:Net is a class; give a function"),
        ("anybody:number", "anybody:number is int; give a function"),
        ("anybody:", "is no package.module:function"),
        ("fails:x", r"'fails' fails when it is imported: OSError: no weights \(.*fails.py, line 1"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            answerer(what, [])
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"broken fails on images \(2, 3, 8, 8\) uint8: Attribute"):
        answerer("anybody:broken", []).answer(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(InputError, match="fit-rows is for timm:NAME, not anybody:darker"):
        answerer("anybody:darker", [], fit_rows=3)
    with pytest.raises(InputError, match="untrained is for timm:NAME"):
        answerer("anybody:darker", [], untrained=True)


def test_timm_is_read_out(folders):
    """A frozen network answers with the labels of train, alike each time, and knows its train."""
    first, rows = folders["first"], []
    given = {"untrained": True, "fit_rows": 24, "batch_size": 16, "device": "cpu"}
    found = answerer("timm:test_resnet", [first], on_rows=rows.append, **given)
    assert found.fitted == ((load(first).digest(), "train"),)
    assert found.answers == ("different", "same")
    assert found.name == "timm:test_resnet (untrained)"
    assert "fitted on 24 of discrimination-p32-i96/train" in found.note
    assert sum(rows) == 24 + 12
    images = StimulusDataset(first, "test").batch(range(12))[0]
    again = answerer("timm:test_resnet", [first], **given)
    assert torch.equal(found.answer(images), again.answer(images))
    assert found.answer(images).shape == (12, 2)
    tests = StimulusDataset(folders["tests"], "test")  # eight labels: no answer is right or wrong
    assert not predict(found.answer, tests, answers=found.answers).judged
    report = evaluate(found.answer, [first], answers=found.answers, skip=found.fitted, draws=9)
    assert [split.split for split in report.splits] == ["validation", "test"]
    with pytest.raises(InputError, match="the model was fitted on train of"):
        evaluate(found.answer, [first], ["train"], skip=found.fitted)


def test_timm_that_cannot_be_read_out(folders):
    """Unknown names, no train split first, images of two sizes, too few rows: each is a line."""
    first, tests, large = (folders[name] for name in ("first", "tests", "large"))
    for name, used, given, says in (
        ("vit_tin", [first], {}, "unknown timm model 'vit_tin'; did you mean"),
        ("test_resnet", [tests], {}, "has only test; give a folder with a train split first"),
        ("test_resnet", [first, large], {}, "square ones of 3 channels and one size, here 96"),
        ("test_resnet", [first], {"fit_rows": 7}, "fit_rows 7 gives 6 stimuli of train"),
        ("test_resnet", [first], {"weights": "w.pt"}, "untrained leaves weights 'w.pt' out"),
    ):
        with pytest.raises(InputError, match=says):
            answerer(f"timm:{name}", used, untrained=True, **given)
    with pytest.raises(InputError, match=r"weights file 'w.pt' does not exist"):
        answerer("timm:test_resnet", [first], weights="w.pt")


class Ink(nn.Module):
    """Features: the label's own evidence in the first, noise elsewhere."""

    def forward(self, images):
        """(n, 4) float32."""
        corner = images[:, :, ::8, ::8].float().flatten(1)
        return torch.stack([corner.mean(1), corner.std(1), corner.amin(1), corner[:, 0]], 1)


def test_a_readout_is_fitted_apart_from_what_chooses_it(folders, monkeypatch):
    """Rows that choose are of validation, or groups of train that are not fitted on."""
    asked = []
    plain = StimulusDataset.batch
    monkeypatch.setattr(
        StimulusDataset,
        "batch",
        lambda self, rows: asked.append((self.split, rows)) or plain(self, rows),
    )
    probe = Probe(Ink(), CPU, 100, lambda rows: None)
    probe.fit(folders["first"], 60, 0)
    assert [(split, len(rows)) for split, rows in asked] == [("train", 60), ("validation", 12)]
    asked.clear()
    found = probe.fit(folders["alone"], 60, 0)
    assert [split for split, _ in asked] == ["train", "train"]
    fitted, others = (set(rows) for _, rows in asked)
    assert not fitted & others
    assert len(fitted | others) == 60
    group = StimulusDataset(folders["alone"], "train").table["pair_id"]
    assert not set(group[sorted(fitted)].tolist()) & set(group[sorted(others)].tolist())
    assert found.labels == ("different", "same")


def test_the_best_strength_is_chosen_by_other_rows():
    """The strength is the one with most of the other rows right, the strongest of equals."""
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 50)).astype(np.float32)
    label = (features[:, :5].sum(axis=1) + random.normal(size=60) > 0).astype(np.int64)
    others = random.normal(size=(4000, 50)).astype(np.float32)
    wanted = (others[:, :5].sum(axis=1) > 0).astype(np.int64)
    rungs = ladder(features, {"label": label})
    assert list(rungs) == sorted(rungs)
    right = {
        s: np.mean([(r.answers(others)["label"] == wanted)[wanted == k].mean() for k in (0, 1)])
        for s, r in rungs.items()
    }
    assert len(set(right.values())) > 2
    chosen, strength, share = best(rungs, others, wanted)
    assert share == pytest.approx(max(right.values()))
    assert strength == max(s for s, value in right.items() if value == max(right.values()))
    assert chosen is rungs[strength]
    constant = np.zeros((10, 50), dtype=np.float32) + features.mean(axis=0)
    assert best(rungs, constant, np.arange(10) % 2)[1] == max(rungs)
