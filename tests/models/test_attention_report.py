"""Attention reports of ViTs: chosen images, scores by hand, files, pictures, refusals."""

import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import AlignedOptions, ShapesOptions, generate, make_recipe
from samediff_stimuli.cli import main
from samediff_stimuli.loaders import StimulusDataset, token_labels
from samediff_stimuli.models import attention_report as reports
from samediff_stimuli.models import checkpoints, zoo
from samediff_stimuli.models.attention import Roles, pattern_scores
from samediff_stimuli.models.backbones import from_timm
from samediff_stimuli.recipe import InputError

TINY = "timm:test_vit"  # 160 px, patches of 16, 6 blocks of 2 heads
OPTIONS = AlignedOptions(image_size=160, patch_size=16, train=0, validation=0, test=48, ood=0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Small sets of both tasks, and a checkpoint of a ViT and one of a network without tokens."""
    root = tmp_path_factory.mktemp("attention")
    for task in ("rmts", "discrimination"):
        generate(make_recipe(task, 0, OPTIONS), root / task, workers=1, parquet=False)
    few = ShapesOptions(train=0, validation=0, test=16)
    generate(make_recipe("shapes", 0, few), root / "shapes", workers=1, parquet=False)
    manifest = StimulusDataset(root / "rmts", "test").manifest
    for name, kind, arguments in (
        ("vit", TINY, {"image_size": 160, "pretrained": None}),
        ("cnn", "cnn", {"channels": 3}),
    ):
        (root / name).mkdir()
        what = zoo.Architecture(kind=kind, arguments=arguments)
        weights = zoo.assemble(what).state_dict()
        checkpoints.save(root / name / checkpoints.NAME, weights, what, {}, manifest)
    return root


@pytest.fixture(scope="module")
def vit():
    """A small ViT with random weights that are large enough for heads to differ."""
    made = from_timm(TINY).eval()
    with torch.no_grad():
        for block in made.body.blocks:
            block.attn.qkv.weight.mul_(20)
    return made


@pytest.mark.parametrize("task", ["rmts", "discrimination"])
@pytest.mark.parametrize("form", ["paper", "code"])
def test_report_is_the_mean_over_images_of_scores(folders, vit, task, form):
    """Every layer and head is the mean of `pattern_scores` over the chosen images, any batches."""
    data = StimulusDataset(folders / task, "test")
    given = {"model": "vit", "images": 6, "form": form}
    found = reports.attention_report(vit, data, batch_size=5, **given)
    rows, numbers = reports.chosen(data, 6, 0)
    boxes = StimulusDataset(folders / task, "test", columns=["box"]).batch(rows.tolist())
    layers = range(1, vit.n_layers + 1)
    with torch.no_grad():
        parts = vit.forward_parts(boxes["image"], attention=layers)
    roles = Roles.of(token_labels(boxes, 16, vit.n_prefix_tokens))
    assert ("between_pair" in found.means) == (task == "rmts")
    for layer in layers:
        scores = pattern_scores(parts.attention[layer], roles, form)
        for name, values in found.means.items():
            each = getattr(scores, name).double().numpy()
            assert np.allclose(values[layer - 1], each.mean(axis=0), atol=1e-6), name
            spread = each.std(axis=0, ddof=1) / np.sqrt(12)
            assert np.allclose(found.errors[name][layer - 1], spread, atol=1e-6)
            same = each[numbers == 1].mean(axis=0)
            assert np.allclose(found.by_label["same"][name][layer - 1], same, atol=1e-6)
    assert found.images == {"different": 6, "same": 6}
    assert np.ptp(found.means["background"]) > 0.01  # heads differ, or the test says nothing
    whole = reports.attention_report(vit, data, batch_size=64, **given)
    assert np.allclose(whole.means["within_pair"], found.means["within_pair"], atol=1e-6)


def test_unaligned_sets_are_scored_by_their_pixels(folders):
    """Sets without a grid take tokens from instance maps."""
    data = StimulusDataset(folders / "shapes", "test")
    large = from_timm(TINY, image_size=224).eval()
    found = reports.attention_report(large, data, model="vit", images=2)
    shares = found.means["within_object"] + found.means["within_pair"] + found.means["background"]
    assert np.allclose(shares, 1)


def test_images_are_chosen_by_seed_and_label(folders):
    """Equally many of each label, none twice, the same for a seed, and not for another."""
    data = StimulusDataset(folders / "rmts", "test")
    rows, label = reports.chosen(data, 10, seed=0)
    assert len(set(rows.tolist())) == 20
    assert np.bincount(label).tolist() == [10, 10]
    assert np.array_equal(label, data.labels.numpy()[rows])
    assert np.array_equal(rows, reports.chosen(data, 10, seed=0)[0])
    assert not np.array_equal(rows, reports.chosen(data, 10, seed=1)[0])
    assert np.array_equal(reports.chosen(data, 24, seed=1)[0], np.arange(48))


@pytest.mark.parametrize("what", [TINY, "vit", f"vit/{checkpoints.NAME}"])
def test_command_writes_tables_and_pictures(folders, what, tmp_path, monkeypatch):
    """One command gives the scores of every layer and head, and two pictures, all of them whole."""
    monkeypatch.chdir(folders)
    out = tmp_path / "out"
    words = ["attention", what, "rmts", "--out", str(out), "--images", "4", "--batch-size", "3"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "| layer | within_object | within_pair | between_pair | background |" in done.output
    names = {"attention.json", "attention.csv", "attention_heads.png", "attention_layers.png"}
    assert {path.name for path in out.iterdir()} == names
    for name in ("attention_heads.png", "attention_layers.png"):
        with Image.open(out / name) as picture:
            picture.load()
            assert min(picture.size) > 200
    told = json.loads((out / "attention.json").read_text())
    assert told["model"] == (f"{TINY} (random weights)" if what == TINY else "vit")
    assert told["images"] == {"different": 4, "same": 4}
    lines = list(csv.DictReader((out / "attention.csv").read_text().splitlines()))
    assert len(lines) == len(told["layers"]) * len(told["heads"])
    first = told["means"]["background"][0]
    heads = [float(line["background"]) for line in lines if line["layer"] == "1"]
    assert heads == pytest.approx(first)
    assert told["largest_of_each_layer"]["background"][0] == pytest.approx(max(first))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert CliRunner().invoke(main, words).exit_code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            [TINY, "rmts", "--images", "25"],
            "images 25 of each label is out of range; legal: 1 .. 24",
        ),
        ([TINY, "rmts", "--split", "train"], "unknown split 'train'"),
        ([TINY, "nothing"], "nothing is not a dataset"),
        (["timm:vit_bas", "rmts", "--images", "2"], "unknown timm model 'vit_bas'"),
        (
            ["timm:resnet18", "rmts", "--images", "2"],
            "attention patterns need a ViT that shows its tokens, not ResNet; use vit_mini",
        ),
        (
            ["cnn", "rmts", "--images", "2"],
            "cnn is of cnn: looks inside it need a ViT that shows its tokens",
        ),
        (["rmts", "rmts", "--images", "2"], "rmts is a dataset; give what is to be"),
        (["absent", "rmts", "--images", "2"], "checkpoint absent does not exist"),
        (["vit", "rmts", "--images", "2", "--pretrained"], "pretrained is for timm:NAME, not vit"),
        ([TINY, "rmts", "--images", "2", "--weights", "w"], "weights file 'w' does not exist"),
        ([TINY, "rmts", "--images", "2", "--device", "tpu"], "unknown device 'tpu'"),
    ],
)
def test_command_refuses_in_a_line(folders, words, message, tmp_path, monkeypatch):
    """What cannot be asked for ends in one line and exit code 2, and nothing is written."""
    monkeypatch.chdir(folders)
    done = CliRunner().invoke(main, ["attention", *words, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_command_refuses_a_negative_seed(folders, tmp_path, monkeypatch):
    """Seeds of a choice of images are in the range of all seeds."""
    monkeypatch.chdir(folders)
    words = [TINY, "rmts", "--images", "2", "--seed", "-5", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["attention", *words])
    assert done.exit_code == 2, done.output
    assert "-5 is not in the range" in done.stderr
    assert not (tmp_path / "out").exists()


def test_command_refuses_an_out_that_holds_something_else(folders, monkeypatch):
    """A dataset, or a file, is not written into."""
    monkeypatch.chdir(folders)
    for out, message in (("rmts", "is a dataset"), ("vit/checkpoint.pt", "is a file")):
        done = CliRunner().invoke(main, ["attention", TINY, "rmts", "--out", out])
        assert done.exit_code == 2
        assert message in done.output


def test_a_model_of_other_images_is_refused(folders, vit):
    """A model for images of another size is refused, with the way out."""
    with pytest.raises(InputError, match="takes 160 x 160 x 3: make the set with --image-size 160"):
        reports.check(vit, StimulusDataset(folders / "shapes", "test"))
