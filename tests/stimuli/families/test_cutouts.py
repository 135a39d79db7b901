"""Cut-outs: what pictures are taken, what is refused and how, and that the bytes are exact."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from samediff_stimuli import InputError, design, generate, make_recipe, render, tasks, verify
from samediff_stimuli.cli import main
from samediff_stimuli.families import cutouts
from samediff_stimuli.tasks.naturalistic import NaturalisticOptions


def picture(number, mode="RGBA", size=(90, 70)):
    """An ellipse and a box in colours of their own, on transparency or on white."""
    image = Image.new("RGBA", size, (0, 0, 0, 0) if mode == "RGBA" else (255, 255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.ellipse([8, 8, 30 + 3 * number % 40, 60], fill=(20 * number % 255, 90, 200, 255))
    draw.rectangle([30, 20, 70, 30 + number], fill=(200, 10 * number % 255, 40, 255))
    return image if mode == "RGBA" else image.convert(mode)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Thirty pictures of several kinds, and files that are none."""
    path = tmp_path_factory.mktemp("objects")
    for number in range(30):
        if number % 3:
            picture(number).save(path / f"a{number:02d}.png")
        else:
            picture(number, "RGB").save(path / f"a{number:02d}.jpg", quality=95)
    (path / ".hidden.png").write_bytes(b"no picture")
    (path / "notes.txt").write_text("no picture either")
    return path


def options(folder, **more):
    """Small options over that folder."""
    sizes = {"train_objects": 20, "validation_objects": 6, "test_objects": 4}
    rows = {"train": 120, "validation": 32, "test": 32}
    return NaturalisticOptions(objects=str(folder), **(sizes | rows | more))


@pytest.mark.parametrize("variant", ["N", "RS"])
def test_pixels_say_the_label(folder, variant):
    """Same objects are equal pixel for pixel; scenes are those of every other set."""
    recipe = make_recipe("naturalistic", 0, options(folder, variant=variant))
    task = tasks.get("naturalistic")
    for split in ("train", "validation", "test"):
        table = design(recipe, split, slice(None))
        images = render(recipe, split, slice(None))
        maps = task.instances(recipe, split, table)
        assert (images[maps == 0] == 255).all()
        assert (images[maps > 0] < 255).all()
        for i, image in enumerate(images):
            parts = [image[y0:y1, x0:x1] for x0, y0, x1, y1 in table["box"][i]]
            assert np.array_equal(*parts) == (table["label"][i] == 1)
            assert task.contains(recipe, split, table.row(i))


def test_goldens_of_a_picture():
    """Averaging and turning are exact: the digest of a picture drawn here never changes."""
    from xxhash import xxh3_64_hexdigest

    y, x = np.mgrid[:100, :131].astype(np.int64)
    rgba = np.stack(
        [x * y % 256, x * 2 % 256, y * 2 % 256, 255 * ((x - 60) ** 2 + (y - 50) ** 2 < 1600)], -1
    )
    small = cutouts.averaged(np.pad(rgba, ((15, 16), (0, 0), (0, 0))).astype(np.uint8), 64)
    assert xxh3_64_hexdigest(small.tobytes()) == GOLDEN


GOLDEN = "60eaba449b635407"


def test_averages_are_exact():
    """Averaging is the mean over what a pixel covers: equal to fractions worked out by hand."""
    pixels = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    got = cutouts.averaged(pixels, 2)
    left = np.array([2, 2, 1, 0, 0]) / 5
    weights = np.stack([left, left[::-1]])
    exact = np.einsum("iy,jx,yxc->ijc", weights, weights, pixels.astype(float))
    assert np.abs(got - exact).max() <= 0.5 + 1e-9
    assert np.array_equal(cutouts.averaged(pixels, 5), pixels)


def test_a_folder_becomes_a_dataset(folder, tmp_path):
    """The set is made, read back without the folder, verified without and with it."""
    recipe = make_recipe("naturalistic", 0, options(folder))
    made = generate(recipe, tmp_path / "set", workers=1)
    assert str(folder) not in (tmp_path / "set" / "manifest.json").read_text()
    assert str(folder) not in (tmp_path / "set" / "README.md").read_text()
    report = verify(tmp_path / "set")
    assert not report.problems
    assert report.remade == 0
    report = verify(tmp_path / "set", objects=folder)
    assert not report.problems
    assert report.remade > 100
    (tmp_path / "other").mkdir()
    picture(4).save(tmp_path / "other" / "a.png")
    with pytest.raises(InputError, match="are not the pictures of the recipe"):
        verify(tmp_path / "set", objects=tmp_path / "other")
    again = generate(recipe, tmp_path / "again", workers=2)
    assert again.digest() == made.digest()


def broken(path):
    (path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")


def opaque(path):
    Image.new("RGB", (50, 50), (90, 120, 30)).save(path / "b.png")


def blank(path):
    Image.new("RGBA", (50, 50), (0, 0, 0, 0)).save(path / "b.png")


def deep(path):
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(path / "b.png")


def twice(path):
    picture(3).save(path / "b.png")
    picture(3).save(path / "c.png")


def again(path):
    picture(3).save(path / "b.png")
    picture(3).save(path / "c.png", compress_level=1)


BAD = {
    "broken": (broken, "b.png cannot be read as a picture"),
    "opaque": (opaque, "b.png has neither transparency nor a white border"),
    "blank": (blank, "b.png is blank"),
    "deep": (deep, "b.png has mode I"),
    "twice": (twice, "c.png and b.png are the same file"),
    "again": (again, "c.png and b.png show the same"),
    "empty": (lambda path: None, "has no .png"),
}


@pytest.mark.parametrize("name", BAD)
def test_unfit_pictures_are_named(name, tmp_path):
    """Each unfit picture is refused in one line that names it, before anything is written."""
    spoil, says = BAD[name]
    spoil(tmp_path)
    with pytest.raises(InputError) as error:
        NaturalisticOptions(objects=str(tmp_path))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_missing_is_said():
    """A folder that is not there is named in one line; exit code 2."""
    done = CliRunner().invoke(
        main, ["generate", "--task", "naturalistic", "--seed", "0", "--objects", "/nowhere"]
    )
    assert done.exit_code == 2
    assert "'/nowhere' is not a folder" in done.output


def test_too_few_pictures(folder):
    """The default numbers of objects need 1,600 pictures; the error says how many there are."""
    with pytest.raises(InputError, match="more than the 30 objects there are"):
        make_recipe("naturalistic", 0, NaturalisticOptions(objects=str(folder)))
