"""Masks, boxes and depth reach people who do not use the package: files in the COCO format."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import AlignedOptions, InputError, export, generate, make_recipe, tasks
from samediff_stimuli.blender_scenes import objects as models
from samediff_stimuli.blender_scenes.photoreal_options import PhotorealOptions
from samediff_stimuli.cards.exports import coco
from samediff_stimuli.cards.exports.coco import Coco, box, depth_png, rle
from samediff_stimuli.cards.exports.folder import MARKER, check
from samediff_stimuli.cards.importing import import_folder
from samediff_stimuli.cli import main
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import load
from samediff_stimuli.tasks.naturalistic import NaturalisticOptions
from tests.factor_sets import use_tiny
from tests.stores import files_of


@pytest.fixture(scope="module")
def rmts(tmp_path_factory):
    """A small relational match-to-sample folder; tests must not change it."""
    out = tmp_path_factory.mktemp("coco") / "rmts"
    options = AlignedOptions(train=16, validation=0, test=20, ood=0)
    generate(make_recipe("rmts", 0, options), out, workers=1, parquet=False)
    return out


@pytest.fixture(scope="module")
def exported(rmts):
    """Its export; tests must not change it."""
    export(rmts, rmts.with_name("coco"), "coco")
    return rmts.with_name("coco")


@pytest.fixture(scope="module")
def photoreal(tmp_path_factory, without_blender):
    """A small photoreal folder, painted without Blender, and its export."""
    root = tmp_path_factory.mktemp("coco-photoreal")
    options = PhotorealOptions(image_size=48, configurations=1, quality="preview", distractors=1)
    generate(make_recipe("photoreal", 0, options), root / "set", workers=1, parquet=False)
    export(root / "set", root / "coco", "coco")
    return SimpleNamespace(
        data=StimulusDataset(root / "set", "test"),
        out=root / "coco",
        coco=json.loads((root / "coco" / "annotations" / "test.json").read_text()),
    )


def decoded(segmentation):
    """A mask from its runs, as COCO defines them."""
    (height, width), counts = segmentation["size"], segmentation["counts"]
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def test_runs_go_down_the_columns():
    """Runs are counted column by column from the top, the first of them of pixels that are off."""
    mask = np.array([[0, 1, 1], [0, 1, 0]], dtype=bool)
    assert rle(mask) == {"size": [2, 3], "counts": [2, 3, 1]}
    assert rle(~mask) == {"size": [2, 3], "counts": [0, 2, 3, 1]}
    assert rle(np.zeros((2, 3), dtype=bool)) == {"size": [2, 3], "counts": [6]}
    assert rle(np.ones((2, 3), dtype=bool)) == {"size": [2, 3], "counts": [0, 6]}
    dense = np.random.default_rng(0).random((13, 7)) < 0.5
    assert np.array_equal(decoded(rle(dense)), dense)
    assert json.loads(json.dumps(rle(dense))) == rle(dense)


def test_boxes_have_corner_and_size():
    """A box is x, y, width and height, and zeros for an empty mask."""
    mask = np.zeros((5, 9), dtype=bool)
    assert box(mask) == [0, 0, 0, 0]
    mask[1:4, 6] = mask[2, 3] = True
    assert box(mask) == [3, 1, 4, 3]


def test_depth_is_in_millimetres(tmp_path):
    """A depth map is a 16-bit PNG in mm; what is away or beyond its range is 0."""
    depth = np.array([[1.0, 12.344, np.inf], [655.35, 655.36, 0.006]], dtype=np.float32)
    (tmp_path / "depth.png").write_bytes(depth_png(depth))
    with Image.open(tmp_path / "depth.png") as opened:
        assert opened.mode == "I;16"
        found = np.asarray(opened).astype(np.int64)
    assert found.tolist() == [[100, 1234, 0], [65535, 0, 1]]


def test_masks_are_the_instance_maps(rmts, exported):
    """Every object of every image has its mask, box, area and classes; ids begin at 1."""
    for split, rows in {"train": 16, "test": 20}.items():
        data = StimulusDataset(rmts, split)
        maps = data.instances(range(rows)).numpy()
        made = json.loads((exported / "annotations" / f"{split}.json").read_text())
        names = {category["id"]: category["name"] for category in made["categories"]}
        columns = {column.name: column for column in tasks.get("rmts").columns(data.recipe)}
        assert tuple(names.values()) == columns["shape"].names
        assert [one["id"] for one in made["annotations"]] == list(range(1, 4 * rows + 1))
        for one in made["annotations"]:
            row, number = one["image_id"] - 1, one["number"]
            mask = maps[row] == number + 1
            assert np.array_equal(decoded(one["segmentation"]), mask)
            x, y, width, height = one["bbox"]
            assert mask[y : y + height, x : x + width].sum() == one["area"] == mask.sum() > 0
            assert mask[y].any()
            assert mask[y + height - 1].any()
            assert mask[:, x].any()
            assert mask[:, x + width - 1].any()
            assert one["iscrowd"] == 0
            for name in ("shape", "color", "role"):
                value = columns[name].names[data.table[name][row, number]]
                assert one["attributes"][name] == value
            assert names[one["category_id"]] == one["attributes"]["shape"]
        assert {one["number"] for one in made["annotations"]} == {0, 1, 2, 3}


def test_images_are_those_of_the_png_format(rmts, exported, tmp_path):
    """OUT/images is a PNG export, whose files the records name with size and label."""
    export(rmts, tmp_path / "png")
    plain = files_of(tmp_path / "png")
    del plain[MARKER]
    assert files_of(exported / "images") == plain
    made = json.loads((exported / "annotations" / "test.json").read_text())
    assert [one["id"] for one in made["images"]] == list(range(1, 21))
    labels = StimulusDataset(rmts, "test").labels.tolist()
    for one, label in zip(made["images"], labels, strict=True):
        with Image.open(exported / "images" / one["file_name"]) as opened:
            assert opened.size == (one["width"], one["height"])
        assert one["label"] == ("different", "same")[label]
        assert one["file_name"] == f"test/{one['label']}/{one['index']:07d}.png"
        assert "depth_file" not in one
    assert made["licenses"][0]["name"] == "cc-by-4.0"
    assert made["info"]["version"] == load(rmts).digest()
    assert not (exported / "depth").exists()
    assert "visibility" not in made["info"]["keys"]


def test_import_takes_the_images_back(exported, tmp_path):
    """The folder of images can be imported as it is."""
    made = import_folder(exported / "images", tmp_path / "back", workers=1, parquet=False)
    assert sum(shard.rows for shard in made.shards) == 36


def test_photoreal_has_every_annotation(photoreal):
    """Visibility, the mask as if alone and the camera are those of maps and columns."""
    data, made = photoreal.data, photoreal.coco
    names = [category["name"] for category in made["categories"]]
    assert names == list(models.registry())
    table, n = data.table, len(data)
    instances, full = data.instances(range(n)), data.maps(range(n))["full_masks"].numpy()
    seen = {(one["image_id"] - 1, one["number"]): one for one in made["annotations"]}
    for row in range(n):
        for number in range(3):
            mask = instances[row].numpy() == number + 1
            if not mask.any():
                assert (row, number) not in seen
                continue
            one = seen.pop((row, number))
            assert names[one["category_id"] - 1] == one["attributes"]["object"]
            assert one["category_id"] - 1 == table["object"][row, number]
            assert one["visibility"] == table["visibility"][row, number] / 1000
            assert one["area"] == table["visible_pixels"][row, number]
            assert np.array_equal(decoded(one["segmentation"]), mask)
            assert np.array_equal(decoded(one["amodal_segmentation"]), full[row, number])
            x0, y0, x1, y1 = table["box"][row, number].tolist()
            assert one["amodal_bbox"] == [x0, y0, x1 - x0, y1 - y0]
    assert not seen
    for row, image in enumerate(made["images"]):
        assert image["intrinsics"] == table["intrinsics"][row].tolist()
        assert image["world_to_camera"] == table["world_to_camera"][row].tolist()
    given = {key for one in made["images"] + made["annotations"] for key in one}
    usual = {"id", "height", "width", "license", "image_id", "category_id", "area", "iscrowd"}
    assert set(made["info"]["keys"]) == given - usual


def test_photoreal_has_depth(photoreal):
    """Each image has its depth, in mm within half a mm, and 0 where nothing is near."""
    depth = photoreal.data.maps(range(len(photoreal.data)))["depth"].numpy()
    assert len(files_of(photoreal.out / "depth")) == len(photoreal.data)
    for row, image in enumerate(photoreal.coco["images"]):
        with Image.open(photoreal.out / image["depth_file"]) as opened:
            found = np.asarray(opened).astype(np.float64)
        near = np.isfinite(depth[row])
        assert np.array_equal(found > 0, near)
        assert np.abs(found[near] - 100 * depth[row][near].astype(np.float64)).max() <= 0.5
    assert 0 < np.isfinite(depth).mean() < 1


def test_maps_of_a_dataset(photoreal, rmts):
    """A dataset gives maps of any rows, consistent with its instance maps; or says it has none."""
    data = photoreal.data
    maps = data.maps([5, 0, -1])
    assert {name: (tuple(m.shape), str(m.dtype)) for name, m in maps.items()} == {
        "depth": ((3, 48, 48), "torch.float32"),
        "full_masks": ((3, 3, 48, 48), "torch.bool"),
    }
    for place, row in enumerate((5, 0, len(data) - 1)):
        assert (maps["depth"][place] == data.maps([row])["depth"][0]).all()
        counts = maps["full_masks"][place].sum(dim=(1, 2)).tolist()
        assert counts == data.table["full_pixels"][row].tolist()
        instances = data.instances([row])[0]
        for number in range(3):
            assert maps["full_masks"][place, number][instances == number + 1].all()
    assert data.maps([])["depth"].shape == (0, 48, 48)
    with pytest.raises(IndexError):
        data.maps([len(data)])
    with pytest.raises(InputError, match="'rmts' has no maps but instance maps; leave them out"):
        StimulusDataset(rmts, "test").maps([0])


def test_objects_without_a_class(tmp_path):
    """Where no column says what an object is, all are of the category "object"."""
    options = tasks.get("alphanumerics").options(train=8, validation=4, test=4)
    generate(make_recipe("alphanumerics", 0, options), tmp_path / "set", workers=1, parquet=False)
    export(tmp_path / "set", tmp_path / "out", "coco", splits=["test"])
    assert sorted(p.name for p in (tmp_path / "out" / "annotations").iterdir()) == ["test.json"]
    made = json.loads((tmp_path / "out" / "annotations" / "test.json").read_text())
    assert made["categories"] == [{"id": 1, "name": "object", "supercategory": "object"}]
    assert {one["category_id"] for one in made["annotations"]} == {1}
    assert len(made["annotations"]) == 8
    assert all(len(one["attributes"]["character"]) == 3 for one in made["annotations"])


def test_pictures_must_be_at_hand(tmp_path):
    """A set of the user's pictures needs them once more for its masks, and says so."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for number in range(6):
        picture = np.zeros((24, 24, 4), dtype=np.uint8)
        picture[2 : 8 + 2 * number, 4:20] = 40 * number, 30, 200, 255
        Image.fromarray(picture).save(mine / f"{number}.png")
    few = {"train_objects": 2, "validation_objects": 2, "test_objects": 2}
    options = NaturalisticOptions(objects=str(mine), train=4, validation=4, test=4, **few)
    generate(make_recipe("naturalistic", 0, options), tmp_path / "set", workers=1, parquet=False)
    with pytest.raises(InputError, match="are not at hand; give their folder"):
        export(tmp_path / "set", tmp_path / "out", "coco", splits=["test"])
    assert not (tmp_path / "out").exists()
    export(tmp_path / "set", tmp_path / "out", Coco(objects=mine), splits=["test"])
    made = json.loads((tmp_path / "out" / "annotations" / "test.json").read_text())
    assert len(made["annotations"]) == 8
    assert made["licenses"] == [{"id": 1, "name": "unknown", "url": ""}]


def test_sets_without_maps_are_refused(exported, tmp_path, monkeypatch):
    """Grids of factors and imported images are one clear line; nothing is written."""
    use_tiny(monkeypatch, "dsprites")
    generate(make_recipe("dsprites", 0), tmp_path / "grid", workers=1, parquet=False)
    import_folder(exported / "images", tmp_path / "mine", workers=1, parquet=False)
    for name in ("grid", "mine"):
        with pytest.raises(InputError, match=r"is for sets with instance maps; .* has none; give"):
            export(tmp_path / name, tmp_path / "out", "coco")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grid", "mine"]


def test_same_dataset_same_bytes_and_overwriting(rmts, exported, tmp_path):
    """Exports of one dataset are equal, byte for byte; only ours is replaced."""
    out = tmp_path / "out"
    export(rmts, out, "coco")
    assert files_of(out) == files_of(exported)
    (out / "annotations" / "test.json").write_text("changed")
    with pytest.raises(InputError, match="holds an export; give another folder, or --overwrite"):
        export(rmts, out, "coco")
    export(rmts, out, "coco", overwrite=True)
    assert files_of(out) == files_of(exported)
    (out / "annotations" / "notes.txt").touch()
    with pytest.raises(InputError, match=r"it also holds 'annotations/notes.txt'"):
        export(rmts, out, "coco", overwrite=True)


def test_an_export_with_depth_is_replaced(photoreal):
    """--overwrite knows depth maps as ours."""
    check(photoreal.data.path, photoreal.out, overwrite=True)
    with pytest.raises(InputError, match="holds an export"):
        check(photoreal.data.path, photoreal.out, overwrite=False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interrupted_export_leaves_nothing(error, rmts, tmp_path, monkeypatch):
    """An export that dies among the annotations leaves no folder."""
    calls = []

    def fail(mask):
        calls.append(1)
        if len(calls) == 30:
            raise error
        return [0, 0, 1, 1]

    monkeypatch.setattr(coco, "box", fail)
    with pytest.raises((KeyboardInterrupt, OSError)):
        export(rmts, tmp_path / "out", "coco")
    assert list(tmp_path.iterdir()) == []


def test_command(rmts, tmp_path, monkeypatch):
    """The command says what was made and what to type next; bad input is one line."""
    monkeypatch.chdir(tmp_path)
    command = ["export", str(rmts), "--format", "coco", "--out", "my coco"]
    done = CliRunner().invoke(main, [*command, "--split", "test"])
    assert done.exit_code == 0, done.output
    assert "  annotations/*.json\n  export.json\n  images/SPLIT/CLASS/*.png\n" in done.stdout
    assert "samediff-stimuli import 'my coco/images' --out 'my coco-again'" in done.stdout
    assert 'COCO("my coco/annotations/test.json")' in done.stdout
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert "--overwrite" in done.stderr
    done = CliRunner().invoke(main, [*command, "--overwrite", "--objects", "x"])
    assert done.exit_code == 2
    assert "'rmts' is made from none; leave it out" in done.stderr
    png = ["export", str(rmts), "--format", "png", "--out", "png", "--objects", "x"]
    done = CliRunner().invoke(main, png)
    assert done.exit_code == 2
    assert "--objects x is for --format coco; leave it out" in done.stderr


def test_progress_counts_images_twice(rmts, tmp_path):
    """Each image is told of when it is annotated and when it is written."""
    told = []
    export(rmts, tmp_path / "out", "coco", splits=["test"], on_rows=told.append)
    assert told == [8, 8, 4, 20]
