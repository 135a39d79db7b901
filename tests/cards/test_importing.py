"""Folders of images become datasets, or are refused in one line, whatever is in them."""

import csv
import hashlib
import io
import os
import re
import shutil

import datasets
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import (
    InputError,
    design,
    generate,
    import_factors,
    make_recipe,
    render,
    tasks,
)
from samediff_stimuli.cards.card import card, command
from samediff_stimuli.cards.exports.folder import export
from samediff_stimuli.cards.importing import COLUMNS, import_folder
from samediff_stimuli.cards.listing import scan
from samediff_stimuli.cli import main
from samediff_stimuli.engine import PARTIAL, plan
from samediff_stimuli.image_files import read
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import load
from samediff_stimuli.recipe import Recipe
from samediff_stimuli.tasks import imported
from samediff_stimuli.tasks.imported import ImportedOptions, order
from samediff_stimuli.verification import verify

SIDE = 12


def picture(number, side=SIDE):
    """A picture that differs for every number."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def fill(folder, names=("different", "same"), n=3, start=0):
    """Write n PNG files for each class; the folder."""
    for place, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            picture(start + 100 * place + i).save(folder / name / f"img{i}.png")
    return folder


@pytest.fixture
def images(tmp_path):
    """A folder of two classes, three images each."""
    return fill(tmp_path / "images")


@pytest.fixture
def made(images, tmp_path):
    """The dataset of that folder."""
    import_folder(images, tmp_path / "set", workers=1)
    return tmp_path / "set"


def table(folder):
    """The rows of provenance.csv."""
    with (folder / "provenance.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_is_its_file(images, made):
    """Pixels, label and hash of every row are those of the file that provenance.csv names."""
    data, rows = StimulusDataset(made, "test"), table(made)
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == len(data) == 6
    for row, (image, label) in zip(rows, data, strict=True):
        file = images / row["file"]
        with Image.open(file) as opened:
            assert np.array_equal(np.asarray(opened), image.permute(1, 2, 0).numpy())
        assert row["label"] == file.parent.name == ("different", "same")[label]
        assert row["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert int(row["bytes"]) == file.stat().st_size
        assert (row["mode"], row["width"], row["height"]) == ("RGB", "12", "12")


def test_load_dataset_reads_it(made, tmp_path, monkeypatch):
    """load_dataset(DIR) gives the same rows, and the classes by name."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(made))["test"]
    assert loaded.features["label"].names == ["different", "same"]
    for row, (image, label) in zip(loaded, StimulusDataset(made, "test"), strict=True):
        assert np.array_equal(np.asarray(row["image"]), image.permute(1, 2, 0).numpy())
        assert row["label"] == label


@pytest.mark.parametrize("names", [("different", "same"), ("Same", "different"), ("b", "A", "c")])
def test_round_trip(names, tmp_path):
    """import -> export -> import gives the same digest, whatever the classes are called."""
    first = import_folder(fill(tmp_path / "images", names), tmp_path / "one", workers=1)
    export(tmp_path / "one", tmp_path / "png")
    second = import_folder(tmp_path / "png", tmp_path / "two", workers=1)
    assert second.digest() == first.digest()
    assert second.recipe == first.recipe


def test_digest_is_of_pixels_labels_and_splits(images, tmp_path):
    """Other file names in the same order change nothing; another pixel, label or split does."""
    first = import_folder(images, tmp_path / "a", workers=1).digest()
    for path in images.glob("*/*"):
        with Image.open(path) as opened:
            opened.convert("RGBA").save(path.with_name(f"new-{path.name}"))
        path.unlink()
    assert import_folder(images, tmp_path / "b", workers=1).digest() == first
    assert import_folder(images, tmp_path / "c", workers=1, split="train").digest() != first
    os.rename(images / "same", images / "x")
    os.rename(images / "different", images / "same")
    os.rename(images / "x", images / "different")
    assert import_folder(images, tmp_path / "d", workers=1).digest() != first


def contents(folder):
    """Every file's bytes by relative path."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_any_number_of_workers(images, tmp_path, monkeypatch):
    """One worker and two write the same bytes."""
    monkeypatch.setattr(imported, "_SHARD_BYTES", 4 * SIDE * SIDE * 3)
    for workers in (1, 2):
        made = import_folder(images, tmp_path / str(workers), workers=workers)
        assert [shard.rows for shard in made.shards] == [4, 2]
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_large_images_come_in_smaller_shards():
    """A shard's images take 256 MB at most, and there are no more than the usual 1,600."""
    for side, rows in ((4096, 5), (512, 341), (64, 1600)):
        size = {"image_height": side, "image_width": side, "counts": (2000, 2000)}
        recipe = make_recipe("imported", 0, ImportedOptions(**(GOOD | size)))
        assert max(shard.rows for shard in plan(recipe)) == rows
        assert sum(shard.rows for shard in plan(recipe)) == 4000


GREY = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)
GREY_RGB = np.repeat(GREY[..., None], 3, axis=2)


def _modes():
    """Name -> (Pillow image, options of save, expected RGB)."""
    ramp = (np.arange(SIDE * SIDE).reshape(SIDE, SIDE) * 400).astype(np.uint16)
    deep = np.repeat((ramp // 257).astype(np.uint8)[..., None], 3, axis=2)
    half = np.dstack([GREY_RGB, np.full_like(GREY, 51)])  # 20 % opaque
    mixed = np.round((GREY_RGB.astype(float) * 51 + 255 * 204) / 255).astype(np.uint8)
    palette = Image.fromarray(GREY // 16 * 16).convert("P", palette=Image.Palette.ADAPTIVE)
    flat = np.zeros((SIDE, SIDE, 3), np.uint8)
    bits = np.repeat(((GREY > 70) * 255).astype(np.uint8)[..., None], 3, axis=2)
    return {
        "L": (Image.fromarray(GREY), {}, GREY_RGB),
        "1": (Image.fromarray(GREY > 70), {}, bits),
        "P": (palette, {}, np.asarray(palette.convert("RGB"))),
        "RGBA": (Image.fromarray(half), {}, mixed),
        "opaque": (Image.fromarray(GREY_RGB).convert("RGBA"), {}, GREY_RGB),
        "LA": (Image.fromarray(half).convert("LA"), {}, mixed),
        "16-bit": (Image.fromarray(ramp), {}, deep),
        "key": (Image.fromarray(flat), {"transparency": (0, 0, 0)}, flat + 255),
    }


@pytest.mark.parametrize("name", sorted(_modes()))
def test_colour_modes(name, tmp_path):
    """Greyscale, palette, bits, alpha and 16-bit PNGs become RGB; what is clear becomes white."""
    image, options, expected = _modes()[name]
    image.save(tmp_path / "x.png", **options)
    found, info = read(tmp_path / "x.png")
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)
    assert info.kind == "PNG"


def test_cmyk_jpeg(tmp_path):
    """A CMYK JPEG becomes RGB."""
    Image.new("CMYK", (SIDE, SIDE), (0, 255, 255, 0)).save(tmp_path / "x.jpg")
    found, info = read(tmp_path / "x.jpg")
    assert info.mode == "CMYK"
    assert (np.abs(found.astype(int) - [255, 0, 0]) < 6).all()


def test_orientation(tmp_path):
    """A JPEG file is turned as its EXIF orientation says, and provenance counts it."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, 12:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    Image.fromarray(pixels).save(tmp_path / "x.jpg", exif=exif)
    found, info = read(tmp_path / "x.jpg")
    assert found.shape == (24, 16, 3)
    assert found[2].max() < 50
    assert found[-2].min() > 200
    assert (info.turned, info.width, info.height) == (True, 16, 24)


def test_jpeg_under_any_suffix(images, tmp_path):
    """Files are known by their contents; upper-case suffixes count; the card names the decoder."""
    picture(1).save(images / "same" / "b.JPEG")
    picture(2).save(images / "same" / "c.png", format="JPEG")
    made = import_folder(images, tmp_path / "set", workers=1)
    text = (tmp_path / "set" / "README.md").read_text()
    assert "8 files: JPEG 2, PNG 6; colour modes RGB 8" in text
    assert f"Pillow {made.versions['pillow']} with libjpeg" in text


def test_unequal_sizes(images, tmp_path):
    """Unequal sizes are refused by name; --image-size pads with white, then resizes."""
    Image.new("RGB", (40, 20), (9, 9, 9)).save(images / "same" / "wide.png")
    with pytest.raises(InputError, match=r"12 x 12, same/wide.png is 40 x 20; give --image-size N"):
        import_folder(images, tmp_path / "set", workers=1)
    assert not (tmp_path / "set").exists()
    made = import_folder(images, tmp_path / "set", workers=1, size=20)
    row = next(i for i, row in enumerate(table(tmp_path / "set")) if "wide" in row["file"])
    image = StimulusDataset(tmp_path / "set", "test")[row][0].permute(1, 2, 0).numpy()
    assert image.shape == (20, 20, 3)
    assert (image[:3] > 250).all()
    assert (image[8:12] < 12).all()
    assert "7 images were padded" in (tmp_path / "set" / "README.md").read_text()
    export(tmp_path / "set", tmp_path / "png")
    assert import_folder(tmp_path / "png", tmp_path / "two", workers=1).digest() == made.digest()


def _broken(kind):
    """Bytes of a file that is no image, or only part of one."""
    memory = io.BytesIO()
    if kind == "animated":
        frames = [picture(i) for i in range(3)]
        frames[0].save(memory, format="PNG", save_all=True, append_images=frames[1:])
        return memory.getvalue()
    size = (4097, 2) if kind == "too large" else (64, 64)
    picture(0, 64).resize(size).save(memory, format="JPEG" if "JPEG" in kind else "PNG")
    data = memory.getvalue()
    cut = {"empty": 0, "head only": 20, "truncated JPEG": 900, "truncated PNG": len(data) // 2}
    return b"not an image" if kind == "text" else data[: cut.get(kind, len(data))]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "is empty; mend or remove it"),
        ("text", "no PNG or JPEG inside"),
        ("head only", "mend or remove it"),
        ("truncated JPEG", "is broken: image file is truncated"),
        ("truncated PNG", "is broken: "),
        ("animated", "holds 3 images; give one image a file"),
        ("too large", "too large, 4097 x 2; a side may have 4096 pixels"),
    ],
)
def test_bad_files(kind, says, images, tmp_path):
    """A broken, cut off, animated or too large file is refused by name; nothing is written."""
    (images / "same" / "bad.png").write_bytes(_broken(kind))
    with pytest.raises(InputError) as caught:
        import_folder(images, tmp_path / "set", workers=2)
    assert str(images / "same" / "bad.png") in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "set").exists()


def _no_class(folder):
    for path in (folder / "same", folder / "different"):
        shutil.rmtree(path)
    picture(0).save(folder / "a.png")


def _linked(folder):
    os.symlink(folder / "same", folder / "third")


def _mixed(folder):
    fill(folder / "train")


SPOILERS = {
    "holds no folders of classes": _no_class,
    "has only one class, same": lambda folder: shutil.rmtree(folder / "different"),
    "class empty of .* holds no PNG or JPEG": lambda folder: (folder / "empty").mkdir(),
    "mixes layouts: train holds folders, different holds images": _mixed,
    "third is a link to a folder": _linked,
    "same/b.png is no file, or a broken link": lambda folder: os.symlink(
        folder / "nowhere", folder / "same" / "b.png"
    ),
    "is a dataset of this package already": lambda folder: (folder / "manifest.json").touch(),
    "same holds 'a\\\\nb.png', a name that cannot be printed": lambda folder: picture(0).save(
        folder / "same" / "a\nb.png"
    ),
    r"class name 'a\\\\b' is not legal": lambda folder: fill(folder, ["a\\b"]),
}


@pytest.mark.parametrize("says", SPOILERS)
def test_bad_folders(says, images, tmp_path):
    """A folder of another layout is refused in one line that says what is wrong."""
    SPOILERS[says](images)
    with pytest.raises(InputError, match=says):
        import_folder(images, tmp_path / "set", workers=1)
    assert not (tmp_path / "set").exists()


def test_splits_of_classes(tmp_path):
    """FOLDER/SPLIT/CLASS gives every split; all must have every class, and none lie deeper."""
    folder = tmp_path / "images"
    fill(folder / "train", n=4)
    fill(folder / "val", n=2, start=1000)
    made = import_folder(folder, tmp_path / "set", workers=1)
    assert {s.name: s.rows for s in tasks.get("imported").splits(made.recipe)} == {
        "train": 8,
        "val": 4,
    }
    assert np.array_equal(render_back(tmp_path / "set", "val"), render_files(folder, made, "val"))
    with pytest.raises(InputError, match="--split x is for a folder of classes"):
        scan(folder, "x")
    (folder / "val" / "same" / "deep").mkdir()
    with pytest.raises(InputError, match="holds a folder, deep; too deep"):
        scan(folder)
    (folder / "val" / "same" / "deep").rmdir()
    shutil.rmtree(folder / "val" / "same")
    with pytest.raises(InputError, match=r"class val/same of .* holds no PNG or JPEG file"):
        scan(folder)
    (folder / "my val").mkdir()
    (folder / "my val" / "same").mkdir()
    with pytest.raises(InputError, match="split name 'my val' is not legal"):
        scan(folder)


def render_back(made, split):
    """All images of a split of a dataset folder."""
    data = StimulusDataset(made, split)
    return data.batch(range(len(data)))[0].permute(0, 2, 3, 1).numpy()


def render_files(folder, made, split):
    """All images of a split, from the files; the recipe knows where they lie."""
    assert folder.is_dir()
    rows = tasks.split_of(made.recipe, split).rows
    return render(made.recipe, split, range(rows))


def test_strays_are_left_out_and_named(images, tmp_path):
    """Hidden files, tables and other formats are left out; the command line names them."""
    (images / ".DS_Store").touch()
    (images / "labels.csv").touch()
    (images / "same" / "Thumbs.db").touch()
    (images / "same" / "x.bmp").touch()
    (images / "__MACOSX").mkdir()
    picture(0).save(images / "loose.png")
    listing = scan(images)
    assert len(listing) == 6
    assert set(listing.strays) == {
        *(".DS_Store", "labels.csv", "loose.png", "__MACOSX/", "same/Thumbs.db", "same/x.bmp")
    }
    done = CliRunner().invoke(main, ["import", str(images), "--out", str(tmp_path / "set")])
    assert done.exit_code == 0, done.output
    assert "Left out, no images of a class: 6: '.DS_Store'" in done.stderr
    assert "6 other files and folders" in (tmp_path / "set" / "README.md").read_text()


def test_rows_are_spread_by_class(tmp_path):
    """The order of rows is a permutation, keeps each class's files in order, and mixes classes."""
    counts = (7, 1, 20)
    found = order(counts)
    label = np.repeat(np.arange(3), counts)[found]
    assert sorted(found) == list(range(28))
    assert label[:3].tolist() == [0, 1, 2]
    for number in range(3):
        assert (np.diff(found[label == number]) > 0).all()
    assert set(label[14:21]) == {0, 2}


def test_verify(made):
    """verify decodes all, makes nothing anew and says why; a flipped byte anywhere is found."""
    report = verify(made)
    assert (report.problems, report.decoded, report.remade) == ((), 6, 0)
    assert "not at hand" in report.unmade
    done = CliRunner().invoke(main, ["verify", str(made)])
    assert done.exit_code == 0, done.output
    assert "images were not made anew: their files are not at hand" in done.stdout
    for name in ("provenance.csv", "preview.png", "hdf5/*/*.h5", "data/*/*.parquet"):
        victim = next(made.glob(name))
        data = victim.read_bytes()
        victim.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
        assert any(str(victim) in problem for problem in verify(made).problems), name
        victim.write_bytes(data)
    assert not verify(made).problems


def test_a_finished_dataset_cannot_be_painted(made, tmp_path):
    """Without the files rows keep their labels; images and instance maps are refused."""
    recipe = load(made).recipe
    assert design(recipe, "test", [1, 0])["label"].tolist() == [1, 0]
    with pytest.raises(InputError, match="import the folder again"):
        render(recipe, "test", [0])
    with pytest.raises(InputError, match="import the folder again"):
        generate(recipe, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    with pytest.raises(InputError, match="no instance maps"):
        StimulusDataset(made, "test").instances([0])
    with pytest.raises(InputError, match="there are no more images"):
        tasks.get("imported").design(recipe, "test", 0, 7)


def test_only_import_makes_it():
    """generate and make_recipe say in one line which command to use."""
    says = "use 'samediff-stimuli import FOLDER --out DIR'"
    with pytest.raises(InputError, match=says):
        make_recipe("imported", 0)
    done = CliRunner().invoke(main, ["generate", "--task", "imported", "--seed", "0"])
    assert done.exit_code == 2
    assert says in done.stderr
    for option in ("--content", "--counts", "--classes"):
        help_text = CliRunner().invoke(main, ["generate", "--help"]).stdout
        assert option not in help_text


GOOD = {
    "image_height": 8,
    "image_width": 8,
    "classes": ("a", "b"),
    "splits": ("test",),
    "counts": (1, 1),
    "content": "0" * 64,
}


@pytest.mark.parametrize(
    "bad",
    [
        {"classes": ("../a", "b")},
        {"classes": ("a", "a")},
        {"classes": ("..", "b")},
        {"classes": ("a",), "counts": (1,)},
        {"splits": ("../x",)},
        {"splits": ("all",)},
        {"content": "../../../x"},
        {"counts": (1, 0)},
        {"counts": (1,)},
        {"image_width": 5000},
    ],
    ids=str,
)
def test_recipes_of_others_are_checked(bad):
    """A manifest from elsewhere cannot name folders outside, nor numbers that no folder gives."""
    ImportedOptions(**GOOD)
    with pytest.raises(InputError):
        ImportedOptions(**(GOOD | bad))


def test_seed_is_always_zero():
    """Another seed is refused: nothing follows from it."""
    with pytest.raises(InputError, match="seed 1 is not legal"):
        tasks.get("imported").splits(
            Recipe(task="imported", seed=1, options=ImportedOptions(**GOOD))
        )


def test_names_of_classes_are_no_markup(tmp_path):
    """Names that Markdown or HTML would read as markup stand in the card as words."""
    names = ("<img src=x>", "[a](b)", "_c_ `d`")
    made = import_folder(fill(tmp_path / "images", names), tmp_path / "set", workers=1)
    body = card(made).split("---\n", 2)[2]
    told = re.sub(r"(`+)[^`].*?[^`]\1(?!`)", "", body, flags=re.DOTALL)  # code shows what it holds
    for name in names:
        assert name not in told
    assert "0 &lt;img src=x&gt;, 1 \\[a\\](b), 2 \\_c\\_ \\`d\\`" in body


def test_card_claims_nothing(made, images, tmp_path):
    """The card claims no licence, paper or oracle for other people's images."""
    text = (made / "README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["license"] == "unknown"
    for claim in ("cc-by", "CC-BY", "arXiv", "Deliberate departures", "synthetic", "generate"):
        assert claim not in text
    recipe = load(made).recipe
    assert command(recipe) in text
    assert hashlib.sha256((made / "provenance.csv").read_bytes()).hexdigest() in text
    assert "No two images have the same pixels." in text
    assert card(load(made)).startswith("---\nlicense: unknown")
    shutil.copy(images / "same" / "img0.png", images / "different" / "twin.png")
    import_folder(images, tmp_path / "two", workers=1, license="cc-by-4.0")
    text = (tmp_path / "two" / "README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["license"] == "cc-by-4.0"
    assert "1 images repeat the pixels of another" in text
    assert "1 under more than one label" in text


def test_a_finished_set_takes_a_new_licence_and_new_files(made, images):
    """Importing the same pixels again keeps the shards and writes card and provenance anew."""
    shard = next((made / "hdf5").rglob("*.h5"))
    before = shard.stat().st_mtime_ns
    os.rename(images / "same" / "img0.png", images / "same" / "img00.png")
    import_folder(images, made, workers=1, license="mit")
    assert shard.stat().st_mtime_ns == before
    assert "same/img00.png" in {row["file"] for row in table(made)}
    assert "license: mit" in (made / "README.md").read_text()
    assert not verify(made).problems
    assert not (made / PARTIAL).exists()


def test_out_is_checked_before_files(made, images, tmp_path):
    """Other datasets, other files and the folder itself are refused; --overwrite replaces ours."""
    other = fill(tmp_path / "other", ("a", "b"))
    digest = load(made).digest()
    with pytest.raises(InputError, match=r"a dataset of another recipe; .* --overwrite"):
        import_folder(other, made, workers=1)
    with pytest.raises(InputError, match="lies in the folder that is imported"):
        import_folder(other, other / "set", workers=1)
    with pytest.raises(InputError, match="is not empty and holds no dataset"):
        import_folder(other, images, workers=1)
    assert load(made).digest() == digest
    import_folder(other, made, workers=1, overwrite=True)
    assert load(made).digest() != digest
    assert not verify(made).problems


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(images, tmp_path):
    """A folder that may not be written, or a file that may not be read, is one line."""
    (images / "same" / "img0.png").chmod(0)
    with pytest.raises(InputError, match=r"img0.png cannot be read: Permission denied"):
        import_folder(images, tmp_path / "set", workers=1)
    (images / "same" / "img0.png").chmod(0o600)
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written: no permission"):
        import_folder(images, tmp_path / "locked" / "set", workers=1)


def test_a_url_is_no_folder(images, tmp_path, monkeypatch):
    """Nothing is imported to a URL, and no folder is named after one."""
    monkeypatch.chdir(tmp_path)
    for call in (import_folder, import_factors):
        with pytest.raises(InputError, match="--out s3://b/n is a URL; imports write folders"):
            call(images, "s3://b/n")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 0}, "image_size 0 is out of range"),
        ({"license": "My Own"}, "license 'My Own' is not legal"),
        ({"workers": 0}, "workers 0 is out of range"),
        ({"split": "a-b"}, "split name 'a-b' is not legal"),
    ],
)
def test_bad_options(options, says, images, tmp_path):
    """Every illegal option is refused before anything is written."""
    with pytest.raises(InputError, match=says):
        import_folder(images, tmp_path / "set", **options)
    assert not (tmp_path / "set").exists()


def test_files_that_change_meanwhile(images, tmp_path, monkeypatch):
    """A file that changes between check and writing is refused; mended, the run goes on."""
    from samediff_stimuli.cards import importing

    before = importing.recipe_of
    path = images / "same" / "img2.png"
    data = path.read_bytes()

    def meddle(*arguments):
        picture(77).save(path)
        return before(*arguments)

    monkeypatch.setattr(importing, "recipe_of", meddle)
    with pytest.raises(InputError, match=r"img2.png changed while it was imported"):
        import_folder(images, tmp_path / "set", workers=1)
    assert not (tmp_path / "set" / "manifest.json").exists()
    monkeypatch.undo()
    path.write_bytes(data)
    import_folder(images, tmp_path / "set", workers=1)
    assert not verify(tmp_path / "set").problems


def test_interrupted_import_goes_on(images, tmp_path, monkeypatch):
    """An import that dies before the manifest leaves no dataset; the same call finishes it."""
    from samediff_stimuli import preview

    import_folder(images, tmp_path / "whole", workers=1)

    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(preview, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        import_folder(images, tmp_path / "set", workers=1)
    with pytest.raises(InputError, match="unfinished"):
        load(tmp_path / "set")
    monkeypatch.undo()
    import_folder(images, tmp_path / "set", workers=1)
    whole, again = (tmp_path / name / "manifest.json" for name in ("whole", "set"))
    assert whole.read_bytes() == again.read_bytes()


def test_many_classes_and_odd_names(tmp_path):
    """Names with spaces, bars and accents, and 300 classes, work from folder to card."""
    names = ["a | b", "näher", "true", "0", *(f"class {i:03d}" for i in range(300))]
    for number, name in enumerate(names):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4), (number % 256, number // 256, 0)).save(
            tmp_path / "images" / name / "x.png"
        )
    made = import_folder(tmp_path / "images", tmp_path / "set", workers=1)
    assert StimulusDataset(tmp_path / "set", "test").labels.tolist() == list(range(304))
    text = (tmp_path / "set" / "README.md").read_text()
    names = yaml.safe_load(text.split("---\n")[1])["dataset_info"]["features"][2]["dtype"]
    assert tuple(names["class_label"]["names"].values()) == made.recipe.options.classes
    assert r"a \| b" in text
