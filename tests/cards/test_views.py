"""Rows of several images: every image is stored, mirrored, checked, loaded, shown and exported."""

import csv
import json
import shutil

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import DasOptions, InputError, cli, export, generate, make_recipe, render
from samediff_stimuli.loaders import StimulusDataset, StimulusStream, make_loader
from samediff_stimuli.manifest import load
from samediff_stimuli.preview import THUMB
from samediff_stimuli.verification import verify

RECIPE = make_recipe("das", 0, DasOptions(base="rmts", train=32, validation=8, test=8))
VIEWS = ("image", "counterfactual")
COLUMNS = ["counterfactual", "label", "target", "edited_tokens", "source_tokens"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small set of counterfactual pairs; tests must not change it."""
    out = tmp_path_factory.mktemp("views") / "das"
    generate(RECIPE, out, workers=1)
    return out


def test_both_images_are_in_shard_manifest_and_mirror(folder):
    """HDF5 has a dataset for each image, the manifest its digest, Parquet an Image column."""
    from datasets import load_dataset

    made = load(folder)
    assert json.loads((folder / "manifest.json").read_text())["views"] == list(VIEWS)
    with h5py.File(folder / made.shards[0].file.path) as file:
        for view in VIEWS:
            assert file[view].chunks == (1, 224, 224, 3)
            assert np.array_equal(file[view][:4], render(RECIPE, "train", range(4), view))
            assert view in made.shards[0].arrays
    row = load_dataset(str(folder), split="test_iid")[3]
    for view in VIEWS:
        assert np.array_equal(np.asarray(row[view]), render(RECIPE, "test_iid", [3], view)[0])
    card = (folder / "README.md").read_text()
    assert "| `counterfactual` | uint8 (224, 224, 3) | the image that a property" in card


@pytest.mark.parametrize("view", VIEWS)
def test_verify_looks_at_every_image(folder, tmp_path, view):
    """A changed pixel of either image is found, by its digest and by the row made anew."""
    copy = shutil.copytree(folder, tmp_path / "das")
    assert verify(copy, everything=True).problems == ()
    path = copy / load(copy).shards[0].file.path
    with h5py.File(path, "r+") as file:
        image = file[view][5]
        image[0, 0] ^= 1
        file[view][5] = image
    problems = "\n".join(verify(copy, everything=True).problems)
    assert f"column {view!r} does not have the digest" in problems
    assert f"{view} of row 5 is not what the recipe gives (1 such rows)" in problems


def test_loaders_give_every_image_that_is_asked_for(folder):
    """A further image is a column: in items, in batches, from a loader and from a stream."""
    data = StimulusDataset(folder, "train", columns=COLUMNS)
    batch = data.batch([4, 1])
    assert set(batch) == {"image", *COLUMNS}
    for view in VIEWS:
        expected = torch.from_numpy(render(RECIPE, "train", [4, 1], view)).permute(0, 3, 1, 2)
        assert torch.equal(batch[view], expected)
        assert torch.equal(data[4][view], expected[0])
    whole = next(iter(make_loader(data, 16, shuffle=True)))
    assert whole["counterfactual"].shape == (16, 3, 224, 224)
    streamed = StimulusStream(RECIPE, batch_size=5, columns=COLUMNS).batch(0)
    assert torch.equal(streamed["counterfactual"], data.batch(range(5))["counterfactual"])
    flipped = StimulusDataset(folder, "train", columns=COLUMNS, transform=lambda x: 255 - x)
    assert torch.equal(flipped.batch([4])["counterfactual"], 255 - batch["counterfactual"][:1])
    images, labels = StimulusDataset(folder, "train").batch([4, 1])
    assert torch.equal(images, batch["image"])
    assert torch.equal(labels, batch["label"])
    maps = data.instances([4], view="counterfactual")
    assert torch.equal((batch["counterfactual"][:1] < 255).any(dim=1), maps > 0)
    with pytest.raises(InputError, match=r"unknown column 'source_image'; known: .*counterfactual"):
        StimulusDataset(folder, "train", columns=["source_image"])
    with pytest.raises(InputError, match="unknown view 'x'; the images of a row of 'das': image"):
        data.instances([4], view="x")


def test_show_writes_every_image(tmp_path):
    """`show` writes a file for each image of a row, and says where."""
    which = ["--task", "das", "--base", "rmts", "--seed", "0", "--split", "test", "--index", "3"]
    done = CliRunner().invoke(cli.main, ["show", *which, "--png", str(tmp_path / "a.png")])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["counterfactual"] == str(tmp_path / "a-counterfactual.png")
    recipe = make_recipe("das", 0, DasOptions(base="rmts"))
    for view, name in zip(VIEWS, ("png", "counterfactual"), strict=True):
        picture = np.asarray(Image.open(said[name]))
        assert np.array_equal(picture, render(recipe, "test", [3], view)[0])


def test_export_writes_every_image(folder, tmp_path):
    """Further images go to folders of their own, by their own labels; the tables name both."""
    export(folder, tmp_path / "png", splits=["test"])
    with (tmp_path / "png" / "test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    for number, row in enumerate(rows):
        assert row["file"].split("/")[:2] == ["test", row["label"]]
        folders = row["counterfactual_file"].split("/")[:2]
        assert folders == ["test_counterfactual", row["counterfactual_label"]]
        other = np.asarray(Image.open(tmp_path / "png" / row["counterfactual_file"]))
        assert np.array_equal(other, render(RECIPE, "test", [number], "counterfactual")[0])
    export(folder, tmp_path / "png", splits=["test"], overwrite=True)  # all of it is ours


def test_the_preview_shows_counterfactuals_under_bases(folder):
    """A band of the contact sheet is as high as two thumbnails and has both images."""
    with Image.open(folder / "preview.png") as picture:
        assert picture.height > 4 * 2 * THUMB
