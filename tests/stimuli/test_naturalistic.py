"""The naturalistic set of the built-in objects: no folder, no Blender, no paint for a recipe."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from samediff_stimuli import InputError, design, generate, make_recipe, render, tasks, verify
from samediff_stimuli.blender_scenes import cutout_files
from samediff_stimuli.blender_scenes.objects import registry
from samediff_stimuli.families.cutouts import prepared, squared
from samediff_stimuli.tasks import naturalistic
from samediff_stimuli.tasks.naturalistic import BUILT_IN, NaturalisticOptions
from tests.cases import FEW, few

TASK = tasks.get("naturalistic")


def test_the_default_is_built_in():
    """The default recipe needs nothing, names the objects' version, and has 1,600 of them."""
    recipe = make_recipe("naturalistic", 0)
    assert TASK.missing(recipe) is None
    assert TASK.license(recipe) == "cc-by-4.0"
    assert TASK.name_of(recipe) == "naturalistic"
    options = recipe.as_dict()["options"]
    assert options["content"] == BUILT_IN
    assert options["pictures"] is None
    assert "objects" not in options
    assert recipe.options.count == 1600
    assert tasks.recipe_from_dict(recipe.as_dict()) == recipe


def test_a_recipe_of_a_folder_keeps_its_name():
    """A recipe of the user's pictures reads back without them: not painted, of unknown licence."""
    options = NaturalisticOptions(pictures=1600, content="ab" * 32)
    recipe = make_recipe("naturalistic", 0, options)
    assert TASK.name_of(recipe) == "naturalistic-abababab"
    assert TASK.license(recipe) == "unknown"
    assert "give --objects DIR" in TASK.missing(recipe)
    assert "model" not in {column.name for column in TASK.columns(recipe)}
    with pytest.raises(InputError, match="not at hand"):
        render(recipe, "train", [0])


@pytest.mark.parametrize("content", ["built-in-0", "ab" * 32])
def test_other_contents_are_refused(content):
    """Objects of another release, or a digest without a number of pictures, are named."""
    with pytest.raises(InputError, match=f"content '{content}' is not legal; legal: '{BUILT_IN}'"):
        NaturalisticOptions(content=content)


def test_a_built_in_recipe_takes_no_folder(tmp_path):
    """Pictures given for a set of built-in objects are refused."""
    from PIL import Image

    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[10:30, 10:30] = 255, 0, 0, 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="are not the pictures of the recipe"):
        tasks.at_hand(make_recipe("naturalistic", 0), {"objects": str(tmp_path)})


def test_designs_need_no_pictures(monkeypatch):
    """Recipes, splits and scenes of the full set are made without making one object."""
    monkeypatch.setattr(cutout_files, "kept", lambda number: pytest.fail("made"))
    recipe = make_recipe("naturalistic", 0)
    assert [split.rows for split in TASK.splits(recipe)] == [6400] * 3
    table = design(recipe, "train", slice(None))
    assert np.array_equal(table["model"], table["object"] % 16)
    assert len(np.unique(table["object"])) == 1200


def test_models_are_named():
    """The column of models has the names of all models in their order."""
    (column,) = (c for c in TASK.columns(make_recipe("naturalistic", 0)) if c.name == "model")
    assert column.names == tuple(registry())
    assert column.shape == (2,)


def test_recipes_load_no_shader():
    """Making a recipe and listing its columns imports nothing that draws cut-outs."""
    code = (
        "import sys\nfrom samediff_stimuli import make_recipe, tasks\n"
        "tasks.get('naturalistic').columns(make_recipe('naturalistic', 0))\n"
        "print([name for name in sys.modules if 'cutout_files' in name or 'shading' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_objects_stand_in_the_image():
    """A stimulus shows the cut-outs of its two objects, and nothing else, on white."""
    recipe = make_recipe("naturalistic", 0, few(NaturalisticOptions()))
    table = design(recipe, "test", slice(0, 8))
    images = render(recipe, "test", slice(0, 8))
    maps = TASK.instances(recipe, "test", table)
    assert (images[maps == 0] == 255).all()
    for row, image in enumerate(images):
        same = table["label"][row] == 1
        parts = [image[y0:y1, x0:x1] for x0, y0, x1, y1 in table["box"][row]]
        assert np.array_equal(*parts) == same
        assert all((part < 255).any(axis=(1, 2)).sum() > 30 for part in parts)


def test_pictures_are_prepared_like_files():
    """A built-in object is squared as its file in a user's folder would be."""
    pixels = cutout_files.kept(6)
    place = cutout_files.folder() / "0006-teapot.png"
    ours = naturalistic.Rendered().picture(6)
    assert np.array_equal(ours, prepared(place.read_bytes(), place.name))
    assert np.array_equal(ours, squared(pixels, "it"))


def test_the_set_is_made_and_verified(tmp_path):
    """A small set is generated, its card says what the objects are, and rows are made anew."""
    rows = {"train": 32, "validation": 16, "test": 16}
    recipe = make_recipe("naturalistic", 0, NaturalisticOptions(**rows, **FEW))
    generate(recipe, tmp_path / "set", workers=1)
    report = verify(tmp_path / "set")
    assert not report.problems
    assert report.remade == 64
    card = (tmp_path / "set" / "README.md").read_text()
    assert "license: cc-by-4.0" in card
    assert "--objects" not in card
    assert "16 three-dimensional models" in card


def test_fewer_objects_are_the_same_objects():
    """Object n is the same picture whatever the number of objects is."""
    small = NaturalisticOptions(**FEW)
    large = dataclasses.replace(small, train_objects=41)
    assert (small.count, large.count) == (60, 61)
    families = [naturalistic.family(make_recipe("naturalistic", 0, o), "") for o in (small, large)]
    sprites = [family.draw(5, 64, 0, 1000) for family in families]
    assert np.array_equal(sprites[0].pixels, sprites[1].pixels)
