"""Images with a table of factors become a grid like dSprites, or are refused in one line."""

import csv
import itertools
import os
import shlex
import zipfile

import h5py
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import InputError, generate, import_factors, make_recipe, render, tasks
from samediff_stimuli.cards.card import command
from samediff_stimuli.cards.exports.folder import export
from samediff_stimuli.cli import main
from samediff_stimuli.engine import PARTIAL
from samediff_stimuli.loaders import FactorDataset, StimulusDataset, changed_pairs, make_loader
from samediff_stimuli.manifest import load
from samediff_stimuli.models.factors import evaluate
from samediff_stimuli.tasks.factors import ImportedFactorOptions, pack
from samediff_stimuli.verification import verify

NAMES = ("shape", "size", "x", "hue")
VALUES = ((0, 1, 2), (0.5, 1, 1.5, 2), (-20, -10, 0, 9, 10), (0, 1))
LEVELS = np.array(list(itertools.product(*(range(len(values)) for values in VALUES))))
LABELS = np.array(list(itertools.product(*VALUES)))
N = len(LEVELS)
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 6, 8, 3), dtype=np.uint8)
ORDER = np.random.default_rng(1).permutation(N)
KINDS = ("stored", "deflated", "h5", "folder")


def write(folder, kind, rows=ORDER, images=IMAGES, labels=LABELS, keys=("images", "labels")):
    """Images and labels in some order, as an archive or a folder; what to import, and its table."""
    folder.mkdir(exist_ok=True)
    if kind == "folder":
        lines = [["hue", "file", *NAMES[:3]]]
        for number, row in enumerate(rows):
            file = f"{number % 3}/{number:03d}.png"
            (folder / "pictures" / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[row]).save(folder / "pictures" / file)
            lines.append([labels[row, 3], file, *labels[row, :3]])
        with (folder / "table.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)
        return folder / "pictures", folder / "table.csv"
    arrays_of = dict(zip(keys, (images[rows], labels[rows]), strict=True))
    if kind == "h5":
        with h5py.File(folder / "a.h5", "w") as file:
            for key, values in arrays_of.items():
                file.create_dataset(key, data=values, compression="gzip")
        return folder / "a.h5", None
    save = np.savez if kind == "stored" else np.savez_compressed
    save(folder / "a.npz", **arrays_of)
    return folder / "a.npz", None


def brought(source, out, table=None, **given):
    """Import without a mirror, in this process."""
    names = None if table else NAMES
    given = {"names": names, "workers": 1, "parquet": False} | given
    return import_factors(source, out, table=table, **given)


@pytest.fixture(scope="module")
def partial(tmp_path_factory):
    """Seventy of the grid's images, shuffled: the folder of the set; tests must not change it."""
    root = tmp_path_factory.mktemp("partial")
    path, _ = write(root, "deflated", ORDER[:70])
    import_factors(path, root / "set", names=NAMES, workers=1)
    return root / "set"


def test_the_same_images_and_numbers_give_the_same_set(tmp_path):
    """Stored, deflated, HDF5, files with a table: one digest; pixels are in the grid's order."""
    made = {}
    for kind in KINDS:
        source, table = write(tmp_path / kind, kind)
        names = ("hue", *NAMES[:3]) if table else None
        made[kind] = import_factors(
            *(source, tmp_path / kind / "set"),
            table=table,
            names=names or NAMES,
            label="shape",
            workers=1,
            parquet=False,
        )
        data = StimulusDataset(tmp_path / kind / "set", "grid", columns=["row"])
        found = data.batch(range(N))
        if not table:  # whose columns, and so its grid, are in another order
            assert np.array_equal(found["image"].permute(0, 2, 3, 1), IMAGES)
            assert found["row"].tolist() == list(range(N))
        rows = data.table.rows(slice(None))
        where = np.ravel_multi_index(
            tuple(rows[name].astype(int) for name in NAMES), tuple(map(len, VALUES))
        )
        assert np.array_equal(found["image"].permute(0, 2, 3, 1), IMAGES[where])
    assert len({made[kind].digest() for kind in KINDS[:3]}) == 1
    source, table = write(tmp_path / "again", "folder")
    table.write_text(
        "\n".join(
            ",".join((cells := line.split(","))[1:] + cells[:1])
            for line in table.read_text().split("\n")
            if line
        )
    )
    again = brought(source, tmp_path / "again" / "set", table, label="shape")
    assert again.digest() == made["h5"].digest()
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("rows", [np.arange(N), ORDER], ids=["in order", "shuffled"])
def test_any_number_of_workers(rows, tmp_path, monkeypatch):
    """One worker and two write the same bytes, whether an archive is streamed or unpacked."""
    from samediff_stimuli import factor_task

    monkeypatch.setattr(factor_task, "_SHARD_ROWS", 50)
    source, _ = write(tmp_path, "deflated", rows)
    for workers in (1, 2):
        made = brought(source, tmp_path / str(workers), workers=workers)
        assert [shard.rows for shard in made.shards] == [50, 50, 20]
    for path in (tmp_path / "1").rglob("*"):
        if path.is_file():
            same = tmp_path / "2" / path.relative_to(tmp_path / "1")
            assert same.read_bytes() == path.read_bytes()


def test_splits_of_a_grid_with_gaps(partial):
    """Every split lists images that are there, with their levels; train and test are all."""
    rows = np.sort(ORDER[:70])
    task, recipe = tasks.get("factors"), load(partial).recipe
    space = task.space(recipe)
    assert space.sizes == tuple(map(len, VALUES))
    assert [f.held for f in space.factors] == [False, True, True, True]
    for partition in ("random", "composition", "interpolation", "extrapolation"):
        parts = []
        for part in ("train", "test"):
            data = FactorDataset(partial, f"{partition}_{part}")
            parts.append(data.grid)
            images, targets = data.batch(range(len(data)))
            assert np.array_equal(images.permute(0, 2, 3, 1), IMAGES[data.grid])
            assert np.array_equal(data.levels, LEVELS[data.grid])
            assert np.allclose(targets, LEVELS[data.grid] / (np.array(space.sizes) - 1))
            assert np.array_equal(data.rows_of(data.grid), np.arange(len(data)))
            assert np.array_equal(data.labels, data.levels[:, 0])
            assert tasks.split_of(recipe, f"{partition}_{part}").rows == len(data)
            row = task.design(recipe, f"{partition}_{part}", 3, 4).row(0)
            assert task.contains(recipe, f"{partition}_{part}", row)
            assert task.oracle(recipe, row) == row[task.label] == row["shape"]
        assert np.array_equal(np.sort(np.concatenate(parts)), rows)
    absent = np.setdiff1d(np.arange(N), rows)
    grid = FactorDataset(partial, "grid")
    assert (grid.rows_of(absent) == -1).all()
    assert np.array_equal(grid.grid, rows)
    levels = dict(zip(NAMES, LEVELS[absent[0]].tolist(), strict=True))
    assert not task.contains(recipe, "grid", {**levels, "row": int(absent[0])})
    seen = sum(len(targets) for _, targets in make_loader(grid, 16, shuffle=True, seed=0))
    assert seen == 70
    pairs = changed_pairs(space, grid.grid, 50, k=1, seed=0)
    assert ((grid.levels[pairs.first] != grid.levels[pairs.second]).sum(axis=1) == 1).all()


@pytest.mark.parametrize("text", ["x>=3", "shape==2 & size<2"])
def test_hold_out_at_load_time_is_the_split_that_import_makes(partial, tmp_path, text):
    """FactorDataset(hold_out=...) over a grid with gaps lists the rows of import --hold-out."""
    source, _ = write(tmp_path, "stored", ORDER[:70])
    brought(source, tmp_path / "set", hold_out=text)
    for part in ("train", "test"):
        own = FactorDataset(tmp_path / "set", part)
        view = FactorDataset(partial, part, hold_out=text)
        assert np.array_equal(own.grid, view.grid)
        assert (own.batch([0, 5])[0] == view.batch([0, 5])[0]).all()


@pytest.mark.parametrize("split", ["extrapolation_test", "grid"])
def test_a_perfect_model_scores_one(partial, split):
    """Whoever knows every image has R2 of 1 in every factor."""
    data = FactorDataset(partial, split)
    known = {bytes(image.tobytes()): LEVELS[row] for row, image in enumerate(IMAGES)}

    def model(batch):
        pictures = batch.permute(0, 2, 3, 1).numpy()
        return data.space.normalised(np.array([known[image.tobytes()] for image in pictures]))

    assert evaluate(model, data).scores.r2 == (1.0,) * 4


def test_the_benchmarks_files(partial, tmp_path):
    """export benchmark-npz writes uint8 N x C x H x W and levels of the images that are there."""
    export(partial, tmp_path / "out", "benchmark-npz")
    assert len(list((tmp_path / "out").glob("*.npz"))) == 16
    images = np.load(tmp_path / "out" / "factors_composition_test_images.npz")["arr_0"]
    levels = np.load(tmp_path / "out" / "factors_composition_test_labels.npz")["arr_0"]
    rows = np.ravel_multi_index(tuple(levels.T), tuple(map(len, VALUES)))
    assert np.array_equal(images, IMAGES[rows].transpose(0, 3, 1, 2))
    assert np.array_equal(rows, FactorDataset(partial, "composition_test").grid)


def test_verify(partial):
    """verify finds nothing wrong, makes no image anew and says why."""
    report = verify(partial, True)
    assert (report.problems, report.decoded, report.remade) == ((), 70, 0)
    assert "not at hand" in report.unmade
    done = CliRunner().invoke(main, ["verify", str(partial)])
    assert done.exit_code == 0, done.output
    with pytest.raises(InputError, match="import them again"):
        render(load(partial).recipe, "grid", [0])
    with pytest.raises(InputError, match="cannot be made"):
        generate(load(partial).recipe, partial.parent / "again")


def test_the_card(partial):
    """The card names archive, factors, values and gaps, and what makes the set again."""
    text = (partial / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "unknown"
    assert "synthetic" not in text
    assert "@inproceedings" not in text
    archive = partial.parent / "a.npz"
    for said in (
        f"Archive `a.npz`: {archive.stat().st_size:,} bytes, SHA-256 `",
        "read with `--images-key images --labels-key labels --names shape,size,x,hue`",
        "70 images, 58.3 % of the 120 combinations",
        "`size`: 0.5, 1, 1.5, 2; `x`: -20, -10, 0, 9, 10",
        "| `shape` | 3 | 0, 1 .. 2 | a number of the table | no |",
        "## What the splits hold out",
        "import SOURCE --out DIR --label shape\n",
    ):
        assert said in text, said
    assert text.count("\n## Limits") == 1
    columns = [column.name for column in tasks.get("factors").columns(load(partial).recipe)]
    assert columns == ["index", "row", *NAMES, "label"]


def test_a_long_recipe_is_left_to_the_manifest(partial, monkeypatch):
    """The card of a grid with very many gaps says where its recipe is."""
    from samediff_stimuli.cards import card

    whole = f"Recipe:\n\n```json\n{load(partial).recipe.canonical_json()}\n```"
    assert whole in card.card(load(partial))
    monkeypatch.setattr(card, "_LONG", 100)
    assert "Recipe: see `manifest.json`." in card.card(load(partial))


@pytest.mark.parametrize("dtype", ["bool", "uint64", ">i2", "float16"])
def test_labels_of_any_type_of_number(dtype, tmp_path):
    """Labels may be any numbers; whole ones are whole, whatever their type."""
    labels = (LEVELS[:16, -2:] % 2).astype(dtype)
    rows = [0, 1, 2, 3]
    source, _ = write(tmp_path, "deflated", rows, IMAGES, labels)
    made = brought(source, tmp_path / "set", names=None, variant="random")
    assert made.recipe.options.values == (0, 1, 0, 1)
    assert {type(value) for value in made.recipe.options.values} == {int}
    assert FactorDataset(tmp_path / "set", "grid").levels.tolist() == labels[rows].tolist()


def test_the_command_of_the_card_gives_the_set_again(tmp_path):
    """What the card says to type makes the same recipe, archive and names put in."""
    source, _ = write(tmp_path, "stored")
    made = brought(source, tmp_path / "set", label="x", variant="random", train_percent=60)
    words = shlex.split(command(made.recipe))[1:]
    for blank, value in {"SOURCE": source, "DIR": tmp_path / "again"}.items():
        words[words.index(blank)] = str(value)
    words += ["--names", ",".join(NAMES), "--no-parquet", "--workers", "1"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert load(tmp_path / "again").digest() == made.digest()
    assert "random" in made.name
    assert [s.name for s in tasks.get("factors").splits(made.recipe)] == ["train", "test", "grid"]


TABLE = """\ufefffile, who,age ,smile
"b/1.png",zoë,10,no
b/2.png,zoë,9,no
b/3.png,zoë,9,yes
b/4.png,Anna,9,no

b/5.png,Anna,9.0,yes
b/6.png,Anna,10,yes
"""


def test_a_table_of_words_and_numbers(tmp_path):
    """Words are classes in byte order, numbers are sorted as such; provenance names each file."""
    (tmp_path / "b").mkdir()
    for number in range(1, 7):
        Image.fromarray(IMAGES[number]).save(tmp_path / "b" / f"{number}.png")
    (tmp_path / "t.csv").write_text(TABLE)
    made = brought(tmp_path, tmp_path.parent / "set", tmp_path / "t.csv", variant="random")
    out = tmp_path.parent / "set"
    space = tasks.get("factors").space(made.recipe)
    assert [factor.values for factor in space.factors] == [("Anna", "zoë"), (9, 10), ("no", "yes")]
    assert not space.factor("who").held
    data = FactorDataset(out, "grid")
    files = [4, 5, 6, 2, 3, 1]
    assert np.array_equal(data.batch(range(6))[0].permute(0, 2, 3, 1), IMAGES[files])
    with (out / "provenance.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"b/{number}.png" for number in files]
    assert [row["label"] for row in rows] == ["Anna"] * 3 + ["zoë"] * 3
    text = (out / "README.md").read_text()
    assert "Table `t.csv`" in text
    assert "6 files: PNG 6; colour modes RGB 6." in text
    assert verify(out).problems == ()
    export(out, tmp_path.parent / "png", splits=["grid"])
    assert {path.name for path in (tmp_path.parent / "png" / "grid").iterdir()} == {"Anna", "zoë"}


def test_grey_images_and_constant_columns(tmp_path):
    """Grey images stay grey; a column that never changes is no factor, and the card says so."""
    labels = np.column_stack([np.full(N, 7.0), LABELS]).astype(np.float32)
    grey = IMAGES[..., 0] // 128
    source, _ = write(tmp_path, "h5", ORDER, grey, labels, ("imgs", "latents_classes"))
    made = brought(source, tmp_path / "set", names=("colour", *NAMES), label="size")
    assert tasks.get("factors").space(made.recipe).names == NAMES
    data = FactorDataset(tmp_path / "set", "random_test")
    assert np.array_equal(data.batch(range(len(data)))[0][:, 0], grey[data.grid])
    assert np.array_equal(data.labels, data.levels[:, 1])
    names = tasks.get("factors").label_column(made.recipe).names
    assert names == ("0.5", "1", "1.5", "2")
    text = (tmp_path / "set" / "README.md").read_text()
    assert "`colour` is 7 for every image, and so no factor." in text
    assert "No pixel is above 1" in text
    assert "size" not in tasks.split_of(made.recipe, "extrapolation_test").about


def test_materialized_sets_load_as_the_hub_shows_them(tmp_path, monkeypatch):
    """--materialize stores train and test of a grid with gaps; load_dataset gives both."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    source, _ = write(tmp_path, "stored", ORDER[:70])
    out = tmp_path / "set"
    import_factors(source, out, names=NAMES, variant="extrapolation", materialize=True, workers=1)
    data = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["test"]
    read = FactorDataset(out, "test")
    assert len(data) == len(read)
    assert np.array_equal(np.asarray(data[3]["image"]), IMAGES[read.grid[3]])
    assert data[3]["row"] == read.grid[3]
    assert data.features["label"].names == ["0", "1", "2"]
    assert verify(out).problems == ()


def test_variants_that_cannot_be_are_left_out_of_all(tmp_path):
    """Binary factors have no interior levels: "all" is the other ways; one by name is refused."""
    rows = np.flatnonzero((LEVELS < 2).all(axis=1))
    source, _ = write(tmp_path, "stored", rows[::-1])
    made = brought(source, tmp_path / "set")
    partitions = {split.partition for split in tasks.get("factors").splits(made.recipe)}
    assert partitions == {"random", "composition", "extrapolation", "grid"}
    with pytest.raises(InputError, match="variant 'interpolation' is not possible"):
        brought(source, tmp_path / "no", variant="interpolation")


def test_a_factor_called_label_is_the_label(tmp_path):
    """A column "label" is the class, once; as any other factor it is refused."""
    source, _ = write(tmp_path, "stored")
    names = ("shape", "label", "x", "hue")
    made = brought(source, tmp_path / "set", names=names)
    columns = [column.name for column in tasks.get("factors").columns(made.recipe)]
    assert columns == ["index", "row", *names]
    assert tasks.get("factors").label_column(made.recipe).names == ("0.5", "1", "1.5", "2")
    assert FactorDataset(tmp_path / "set", "grid").labels.tolist() == LEVELS[:, 1].tolist()
    with pytest.raises(InputError, match="factor 'label' is not the label 'x'"):
        brought(source, tmp_path / "no", names=names, label="x")


def _archive(**changed):
    """A maker of an archive that differs from a good one; what to type after `import`."""

    def make(folder):
        arrays_of = {"images": IMAGES, "labels": LABELS} | changed
        np.savez(folder / "a.npz", **{k: v for k, v in arrays_of.items() if v is not None})
        return [folder / "a.npz"]

    return make


def _cut(folder):
    path, _ = write(folder, "deflated")
    path.write_bytes(path.read_bytes()[:-200])
    return [path]


def _cut_h5(folder):
    path, _ = write(folder, "h5")
    path.write_bytes(path.read_bytes()[:-200])
    return [path]


def _flipped(folder):
    path, _ = write(folder, "deflated")
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("images.npy").header_offset + 9000
    data = bytearray(path.read_bytes())
    data[at] ^= 255
    path.write_bytes(data)
    return [path]


def _text(folder):
    (folder / "a.npz").write_text("nothing")
    return [folder / "a.npz"]


def _h5(**datasets_of):
    def make(folder):
        with h5py.File(folder / "a.h5", "w") as file:
            for key, values in datasets_of.items():
                file[key] = values
        return [folder / "a.h5"]

    return make


def _typed(*words):
    def make(folder):
        path, _ = write(folder, "stored")
        return [path, *words]

    return make


def _table(change, *words):
    def make(folder):
        source, table = write(folder, "folder", ORDER[:9])
        lines = change(table.read_text().splitlines(), source)
        table.write_text("\n".join(lines))
        return [source, "--table", table, *words]

    return make


def _edit(line, old, new):
    def change(lines, source):
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new)
        return lines

    return change


def _larger(lines, source):
    Image.new("RGB", (9, 9)).save(source / "1" / "004.png")
    return lines


def _gone(lines, source):
    (source / "1" / "004.png").unlink()
    return lines


def _same(lines, source):
    return lines


def _classes(folder):
    for name in ("a", "b"):
        (folder / "pictures" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(folder / "pictures" / name / "x.png")
    return [folder / "pictures", "--variant", "random"]


def _repeat(folder):
    labels = LABELS.copy()
    labels[60] = labels[3]
    return _archive(labels=labels)(folder)


NAN = np.where(LABELS == 9, np.nan, LABELS)
MANY = np.random.default_rng(0).random((N, 6))
BAD = {
    "has no array 'images', but labels, pics; give --images-key NAME": _archive(
        images=None, pics=IMAGES
    ),
    "has no array 'labels', but images; give --labels-key NAME": _archive(labels=None),
    "has no array 'nope', but images, labels": _typed("--images-key", "nope"),
    "has no array 'images', but x": _h5(x=[1]),
    "has float32 in 'images'; images must be uint8": _archive(images=IMAGES.astype("f4")),
    "Python objects in 'labels', which are never": _archive(labels=np.array([[{}]] * N)),
    "Python objects in 'images', which are never": _archive(images=np.array([{}] * N)),
    "Python objects in 'labels'": _h5(images=IMAGES, labels=["a"] * N),
    "has shape (120, 3, 6, 8) in 'images'": _archive(images=IMAGES.transpose(0, 3, 1, 2)),
    "has shape (0, 6, 8, 3) in 'images'": _archive(images=IMAGES[:0], labels=LABELS[:0]),
    "has shape (120, 8) in 'images'": _archive(images=IMAGES[:, 0, :, 0]),
    "in Fortran order, not image by image": _archive(images=np.asfortranarray(IMAGES)),
    "has float64 (120,) in 'labels'; labels must be": _archive(labels=LABELS[:, 0]),
    "in 'labels'; labels must be numbers": _archive(labels=LABELS.astype(str)),
    "has 120 images in 'images', but 119 rows in 'labels'": _archive(labels=LABELS[1:]),
    "row 3 and row 60 of": _repeat,
    "has nan for 'factor_2' in row 6": _archive(labels=NAN),
    "has no factor: each of its columns is the same": _archive(labels=np.ones((N, 2))),
    "combinations (factor_0 120, factor_1 120,": _archive(labels=MANY),
    "names a,b are 2, but": _typed("--names", "a,b"),
    "factor name 'a b' is not legal": _typed("--names", "a b,c,d,e"),
    "factor name 'if' is not legal": _typed("--names", "if,c,d,e"),
    "factor name 'row' is another column's": _typed("--names", "row,c,d,e"),
    "names of factors must differ": _typed("--names", "a,a,c,d"),
    "unknown label 'size'; the factors are factor_0, factor_1": _typed("--label", "size"),
    "label 'a' is 7.5 for all images": lambda folder: [
        *_archive(labels=np.column_stack([np.full(N, 7.5), LABELS]))(folder),
        *("--names", "a,b,c,d,e", "--label", "a"),
    ],
    "a.npz is cut off": _cut,
    "a.h5 is cut off": _cut_h5,
    "is broken: ": _flipped,
    "a.npz is neither .npz nor HDF5": _text,
    "nowhere.npz cannot be read: No such file": lambda folder: [folder / "nowhere.npz"],
    "--split x is for a folder of classes": _typed("--split", "x"),
    "image_size 4 is for a folder with a table": _typed("--image-size", "4"),
    "variant 'extra' is not legal; legal: all, random": _typed("--variant", "extra"),
    "train_percent 0 is out of range": _typed("--train-percent", "0"),
    "'size' is no factor; there are factor_0": _typed("--hold-out", "size>1"),
    "leaves no image for train": _typed("--hold-out", "factor_1>=0"),
    "materialize takes one variant": _typed("--materialize"),
    "license 'My Own' is not legal": _typed("--license", "My Own"),
    "must have one column 'file'": _table(_edit(0, "file", "path")),
    "line 3 of": _table(_edit(2, "png,", "png,,")),
    "has no value for 'hue'": _table(lambda lines, source: [*lines, ",a.png,1,1,1"]),
    "has 'NaN' for 'hue'; labels must be finite numbers, or words": _table(
        lambda lines, source: [*lines, "NaN,a.png,1,1,1"]
    ),
    "1/004.png cannot be read: No such file": _table(_gone),
    "images differ in size": _table(_larger),
    "name the same file, '0/000.png'": _table(_edit(2, "1/001.png", "0/000.png")),
    "'../x.png' is no path within": _table(_edit(2, "1/001.png", "../x.png")),
    "factor name 'index' is another column's": _table(_edit(0, "size", "index")),
    "has no lines of values": _table(lambda lines, source: lines[:1]),
    "is no CSV file in UTF-8": _table(lambda lines, source: [*lines, '1,"a.png']),
    "images_key 'a' is for an archive": _table(_same, "--images-key", "a"),
    "level 'a/b' of 'hue' is not legal": _table(
        lambda lines, source: [*lines[:2], lines[2].replace(lines[2].split(",")[0], "a/b", 1)]
    ),
    "is not a folder; give the one that": lambda folder: [
        *write(folder, "stored")[:1],
        *("--table", folder / "t.csv"),
    ],
    "--variant random is for an .npz or HDF5 file": _classes,
}


@pytest.mark.parametrize("says", BAD)
def test_what_cannot_be_imported(says, tmp_path):
    """One line that says what is wrong, exit code 2, and nothing is written."""
    words = [str(word) for word in BAD[says](tmp_path)]
    before = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(main, ["import", *words, "--out", str(tmp_path / "deep" / "set")])
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert "\n" not in done.stderr.strip()
    assert "download" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_other_refusals(tmp_path):
    """A folder needs its table; the set must not lie in it; numbers of workers are checked."""
    source, table = write(tmp_path, "folder", ORDER[:9])
    with pytest.raises(InputError, match=r"is a folder; .* --table FILE.csv"):
        brought(source, tmp_path / "set")
    with pytest.raises(InputError, match="lies in the folder that is imported"):
        brought(source, source / "set", table)
    with pytest.raises(InputError, match="workers 0 is out of range"):
        brought(source, tmp_path / "set", table, workers=0)
    assert not (source / "set").exists()
    assert not (tmp_path / "set").exists()


def test_unequal_sizes_with_image_size(tmp_path):
    """--image-size brings files of a table to one size, as it does for folders of classes."""
    source, table = write(tmp_path, "folder", ORDER[:9])
    _larger([], source)
    made = brought(source, tmp_path / "set", table, size=16, variant="random")
    assert tasks.get("factors").image_shape(made.recipe) == (16, 16, 3)
    assert "padded with white" in (tmp_path / "set" / "README.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_import_goes_on(kind, tmp_path, monkeypatch):
    """An import that dies before the manifest leaves no dataset; the same call finishes it."""
    from samediff_stimuli import preview

    source, table = write(tmp_path, kind, ORDER[:40])
    whole = brought(source, tmp_path / "whole", table)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preview, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            brought(source, tmp_path / "set", table)
    assert (tmp_path / "set" / PARTIAL).exists()
    shard = next((tmp_path / "set" / "hdf5").rglob("*.h5"))
    before = shard.stat().st_mtime_ns
    again = brought(source, tmp_path / "set", table)
    assert shard.stat().st_mtime_ns == before
    assert again.as_dict() == whole.as_dict()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["stored", "deflated", "h5"])
def test_archives_that_change_meanwhile(kind, tmp_path, monkeypatch):
    """An archive that changes between check and writing is refused; then the import goes on."""
    from samediff_stimuli.cards import importing_factors

    source, _ = write(tmp_path, kind)
    data, describe = source.read_bytes(), importing_factors._origin_of_archive

    def meddle(*given):
        source.write_bytes(data + b"x")
        return describe(*given)

    with monkeypatch.context() as patch:
        patch.setattr(importing_factors, "_origin_of_archive", meddle)
        with pytest.raises(InputError, match="changed while it was imported; import it again"):
            brought(source, tmp_path / "set")
    assert not (tmp_path / "set" / "manifest.json").exists()
    source.write_bytes(data)
    brought(source, tmp_path / "set")
    assert verify(tmp_path / "set").problems == ()
    assert not list(tmp_path.glob(".*"))


def test_two_imports_do_not_share_what_they_unpack(tmp_path, monkeypatch):
    """Sets of one name in folders yet to be made each get their own pixels."""
    from samediff_stimuli.cards import dataset

    one, _ = write(tmp_path / "one", "deflated")
    two, _ = write(tmp_path / "two", "deflated", images=255 - IMAGES)
    generate = dataset.generate

    def meanwhile(*given, **more):
        monkeypatch.setattr(dataset, "generate", generate)
        brought(two, tmp_path / "b" / "set")
        return generate(*given, **more)

    monkeypatch.setattr(dataset, "generate", meanwhile)
    brought(one, tmp_path / "a" / "set")
    for name, images in (("a", IMAGES), ("b", 255 - IMAGES)):
        found = StimulusDataset(tmp_path / name / "set", "grid", columns=[]).batch(range(N))
        assert np.array_equal(found["image"].permute(0, 2, 3, 1), images)


def test_what_is_unpacked_may_not_change(tmp_path, monkeypatch):
    """Bytes that another process writes over the unpacked images do not become a dataset's."""
    from samediff_stimuli.cards import importing_factors

    source, _ = write(tmp_path, "deflated")
    describe = importing_factors._origin_of_archive

    def meddle(*given):
        (scratch,) = tmp_path.glob(".set.images*")
        with scratch.open("r+b") as file:
            file.write(b"12345678")
        os.utime(scratch, ns=(0, 0))
        return describe(*given)

    monkeypatch.setattr(importing_factors, "_origin_of_archive", meddle)
    with pytest.raises(InputError, match="changed while it was imported; import it again"):
        brought(source, tmp_path / "set")
    assert not list(tmp_path.glob(".*"))


GOOD = {
    "factors": ("shape", "size"),
    "sizes": (2, 3),
    "values": ("a", "b", 1, 2.5, 3),
    "label": "shape",
    "image_height": 8,
    "image_width": 8,
    "content": "0" * 64,
}


@pytest.mark.parametrize(
    "bad",
    [
        {"content": "../../../x"},
        {"image_width": 5000},
        {"channels": 2},
        {"factors": ("../a", "b")},
        {"factors": ("a",)},
        {"sizes": (2, 1 << 40)},
        {"sizes": (2, -3)},
        {"values": ("a", "b", 1, 2.5)},
        {"values": ("b", "a", 1, 2.5, 3)},
        {"values": ("a", "b", 1, 3, 2.5)},
        {"values": ("a", "b", 1, 2, float("nan"))},
        {"values": ("a", "b", 1, 2, 10**400)},
        {"values": ("a", "..", 1, 2, 3)},
        {"values": ("a", "b\n", 1, 2, 3)},
        {"values": ("a", 1, 1, 2, 3)},
        {"label": "x"},
        {"present": "x"},
        {"present": pack(np.arange(3), 9)},
        {"present": pack(np.arange(0), 6)},
        {"present": pack(np.arange(3), 1 << 20)},
    ],
    ids=str,
)
def test_recipes_of_others_are_checked(bad):
    """A manifest from elsewhere cannot name folders outside, nor grids that are none."""
    assert ImportedFactorOptions(**GOOD).space.sizes == (2, 3)
    with pytest.raises(InputError) as error:
        ImportedFactorOptions(**(GOOD | bad))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("n", [9, 64, 1000])
def test_which_rows_are_there_is_kept(n):
    """Any rows of a grid survive being packed; all of them are nothing."""
    from samediff_stimuli.tasks.factors import _unpack

    rng = np.random.default_rng(n)
    for share in (0.1, 0.5, 0.9):
        rows = np.flatnonzero(rng.random(n) < share)
        rows = rows if len(rows) else np.array([n - 1])
        assert np.array_equal(_unpack(pack(rows, n), n), rows)
    assert pack(np.arange(n), n) == ""


def test_only_import_makes_it():
    """generate and make_recipe say in one line which command to use."""
    says = "use 'samediff-stimuli import SOURCE --out DIR'"
    with pytest.raises(InputError, match=says):
        make_recipe("factors", 0)
    done = CliRunner().invoke(main, ["generate", "--task", "factors", "--seed", "0"])
    assert done.exit_code == 2
    assert says in done.stderr
