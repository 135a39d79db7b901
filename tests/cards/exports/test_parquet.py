"""The mirror alone: the same bytes, copied or made, and `load_dataset` reads it."""

import shutil

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image

from samediff_stimuli import AlignedOptions, DamagedError, export, generate, make_recipe
from samediff_stimuli.cards.importing import import_folder
from samediff_stimuli.loaders import StimulusDataset


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The same set with and without a mirror; tests must not change them."""
    root = tmp_path_factory.mktemp("parquet")
    recipe = make_recipe("rmts", 0, AlignedOptions(train=16, validation=8, test=8, ood=4))
    for name, parquet in (("with", True), ("without", False)):
        generate(recipe, root / name, workers=1, parquet=parquet)
        export(root / name, root / f"{name}-out", "parquet")
    return root


def test_the_mirror_to_the_byte(sets):
    """A copied mirror and one that is made are those that generate writes."""
    files = {p.relative_to(sets / "with"): p.read_bytes() for p in sets.glob("with/data/*/*")}
    assert len(files) == 6
    for out in (sets / "with-out", sets / "without-out"):
        assert {p.relative_to(out): p.read_bytes() for p in out.glob("data/*/*")} == files


def test_it_loads_as_the_dataset_does(sets, tmp_path):
    """load_dataset(OUT) finds every split, its pixels, labels and class names."""
    found = load_dataset(str(sets / "without-out"), cache_dir=str(tmp_path))
    usual = load_dataset(str(sets / "with"), cache_dir=str(tmp_path))
    assert list(found) == list(usual)
    assert found["test"].features == usual["test"].features
    data = StimulusDataset(sets / "with", "test")
    for row, (image, label) in enumerate(data):
        assert found["test"][row]["label"] == label
        pixels = np.asarray(found["test"][row]["image"])
        assert np.array_equal(pixels, image.permute(1, 2, 0).numpy())
    streamed = load_dataset(str(sets / "without-out"), streaming=True, split="ood_shape")
    assert next(iter(streamed))["index"] == 0


def test_a_damaged_mirror_is_not_copied(sets, tmp_path):
    """A mirror that is not what the manifest says, or lacks a file, is named."""
    shutil.copytree(sets / "with", tmp_path / "set")
    victim = next((tmp_path / "set").glob("data/*/test-*"))
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(DamagedError, match="is damaged: its digest is not that of the manifest"):
        export(tmp_path / "set", tmp_path / "out", "parquet")
    victim.unlink()
    with pytest.raises(DamagedError, match="is missing"):
        export(tmp_path / "set", tmp_path / "out", "parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_the_licence_is_that_of_the_dataset(sets, tmp_path):
    """Of imported images the licence is the one that their own card states."""
    for name, color in (("cat", "red"), ("dog", "blue")):
        (tmp_path / "mine" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), color).save(tmp_path / "mine" / name / "0.png")
    import_folder(tmp_path / "mine", tmp_path / "set", workers=1, license="cc0-1.0")
    export(tmp_path / "set", tmp_path / "out", "parquet")
    assert "license: cc0-1.0\n" in (tmp_path / "out" / "README.md").read_text()
    assert "license: cc-by-4.0\n" in (sets / "with-out" / "README.md").read_text()
