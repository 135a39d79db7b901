"""Factor sets on disk: images once, splits as lists of rows, read, verified, exported, loaded."""

import json
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from samediff_stimuli import export, generate, make_recipe, tasks
from samediff_stimuli.cli import main
from samediff_stimuli.factors import archives
from samediff_stimuli.factors.archives import PUBLISHED
from samediff_stimuli.loaders import FactorDataset, StimulusDataset, changed_pairs, make_loader
from samediff_stimuli.manifest import load
from samediff_stimuli.recipe import InputError
from samediff_stimuli.verification import verify
from tests.factor_sets import LEVELS, tiny, use_tiny

SETS = sorted(LEVELS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Name -> folder of a small set with the four kinds of split; tests must not change it."""
    root = tmp_path_factory.mktemp("factor_sets")
    with pytest.MonkeyPatch.context() as patch:
        use_tiny(patch)
        for name in SETS:
            generate(make_recipe(name, 0), root / name, workers=1)
    return {name: root / name for name in SETS}


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    """The small sets are the registered ones."""
    use_tiny(monkeypatch)


def options_of(name, **given):
    """Options of a small set."""
    return tasks.get(name).options(**given)


@pytest.mark.parametrize("name", SETS)
def test_images_are_stored_once_and_splits_are_lists(made, name):
    """Shards hold the grid; every split's images, levels and targets are those of its rows."""
    folder = made[name]
    manifest = load(folder)
    space = tasks.get(name).space(manifest.recipe)
    assert {shard.split for shard in manifest.shards} == {"grid"}
    assert sum(shard.rows for shard in manifest.shards) == len(space)
    grid = StimulusDataset(folder, "grid", columns=["row", *space.names])
    whole = grid.batch(range(len(space)))
    assert whole["row"].tolist() == list(range(len(space)))
    for index in manifest.indices:
        with h5py.File(folder / index.file.path) as file:
            rows = file["row"][:]
        data = FactorDataset(folder, index.split)
        assert len(data) == index.rows == len(rows)
        images, targets = data.batch(range(len(data)))
        assert (images == whole["image"][rows.astype(np.int64)]).all()
        levels = np.stack([whole[factor] for factor in space.names], axis=1)[rows]
        assert np.array_equal(data.levels, levels)
        assert np.allclose(targets, levels / (np.array(space.sizes) - 1))
        assert targets.dtype.is_floating_point
        assert np.array_equal(data.table["index"], np.arange(len(data)))
        assert np.array_equal(data.table["row"], rows)
        assert np.array_equal(data.rows_of(rows), np.arange(len(rows)))
    assert verify(folder, True).problems == ()


@pytest.mark.parametrize("hold_out", [None, "scale>=1"])
def test_a_manifest_is_read_once(made, monkeypatch, hold_out):
    """A dataset of factors reads the manifest, which may be long, only once."""
    real, read = Path.read_text, []

    def note(path, *args, **kwargs):
        read.append(path.name)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", note)
    split = "random_train" if hold_out is None else "train"
    FactorDataset(made["dsprites"], split, hold_out=hold_out)
    assert read == ["manifest.json"]


def test_hold_out_at_load_time_is_the_split_that_generate_makes(made, tmp_path):
    """FactorDataset(hold_out=...) over any folder lists the rows of generate --hold-out."""
    text = "scale>=1 & shape=='heart'"
    recipe = make_recipe("dsprites", 0, options_of("dsprites", hold_out=text))
    generate(recipe, tmp_path / "own", workers=1, parquet=False)
    for part in ("train", "test"):
        own = FactorDataset(tmp_path / "own", part)
        view = FactorDataset(made["dsprites"], part, hold_out=text)
        assert np.array_equal(own.grid, view.grid)
        assert (own.batch([0, 5])[0] == view.batch([0, 5])[0]).all()
    shape, scale = view.levels[:, 0], view.levels[:, 1]
    assert ((shape == 2) & (scale >= 1)).all()


@pytest.mark.parametrize("split_as", ["train_percent", "split_labels"])
def test_hold_out_at_load_time_whatever_split_the_set_was_made_with(made, tmp_path, split_as):
    """A share for training, or label files, of a set without twins do not get in its way."""
    given = {"train_percent": 50, "variant": "random"}
    if split_as == "split_labels":
        export(made["shapes3d"], tmp_path / "labels", "benchmark-npz")
        given = {"split_labels": str(tmp_path / "labels")}
    options = options_of("shapes3d", **given)
    generate(make_recipe("shapes3d", 0, options), tmp_path / "set", workers=1, parquet=False)
    for part in ("train", "test"):
        wanted = FactorDataset(made["shapes3d"], part, hold_out="scale>=1")
        view = FactorDataset(tmp_path / "set", part, hold_out="scale>=1")
        assert np.array_equal(view.grid, wanted.grid)


def test_loader_and_samplers_stay_inside_the_split(made):
    """Batches cover a split once; pairs are members of it and differ in k factors."""
    data = FactorDataset(made["shapes3d"], "extrapolation_train")
    seen = np.concatenate(
        [targets.numpy() for _, targets in make_loader(data, 64, shuffle=True, seed=3)]
    )
    assert len(seen) == len(data)
    assert len(np.unique(seen, axis=0)) == len(data)
    pairs = changed_pairs(data.space, data.grid, 200, k=2, seed=0)
    first, second = data.batch(pairs.first)[1], data.batch(pairs.second)[1]
    assert ((first != second).sum(axis=1) == 2).all()


def test_no_items_are_a_batch_of_none(made):
    """So it is with a transform, whose shape and dtype an empty batch has, too."""
    data = FactorDataset(made["dsprites"], "grid", transform=lambda image: image[0].float() / 255)
    images, targets = data.batch([])
    assert (images.shape, images.dtype) == ((0, 64, 64), data[0][0].dtype)
    assert targets.shape == (0, 5)


@pytest.mark.parametrize("name", SETS)
def test_the_benchmarks_files(made, tmp_path, name):
    """Each part is an npz of uint8 N x C x H x W and integer levels under the key arr_0."""
    export(made[name], tmp_path / "out", "benchmark-npz")
    export(made[name], tmp_path / "again", "benchmark-npz")
    space = tasks.get(name).space(load(made[name]).recipe)
    for variant in ("random", "composition", "interpolation", "extrapolation"):
        for part in ("train", "test"):
            stem = f"{name}_{variant}_{part}"
            images = np.load(tmp_path / "out" / f"{stem}_images.npz")["arr_0"]
            labels = np.load(tmp_path / "out" / f"{stem}_labels.npz")["arr_0"]
            data = FactorDataset(made[name], f"{variant}_{part}")
            assert images.dtype == np.uint8
            assert images.shape == (len(data), 1 if name == "dsprites" else 3, 64, 64)
            assert np.array_equal(images, data.batch(range(len(data)))[0])
            assert labels.dtype.kind == "i"
            assert np.array_equal(labels, data.levels)
            assert labels.shape[1] == len(space.factors)
            same = (tmp_path / "again" / f"{stem}_images.npz").read_bytes()
            assert (tmp_path / "out" / f"{stem}_images.npz").read_bytes() == same


def test_published_label_files_give_their_splits(made, tmp_path):
    """--split-labels lists the rows of the files, in their order, twins and all."""
    export(made["dsprites"], tmp_path / "labels", "benchmark-npz")
    space = tasks.get("dsprites").space(load(made["dsprites"]).recipe)
    rng = np.random.default_rng(0)  # an order of somebody else's
    rows = rng.permutation(len(space))
    for part, some in (("train", rows[:700]), ("test", rows[700:])):
        name = f"dsprites_random_{part}_labels.npz"
        np.savez(tmp_path / "labels" / name, space.levels(some))
    given = options_of("dsprites", split_labels=str(tmp_path / "labels"), variant="random")
    recipe = make_recipe("dsprites", 0, given)
    generate(recipe, tmp_path / "set", workers=1, parquet=False)
    assert np.array_equal(FactorDataset(tmp_path / "set", "train").grid, rows[:700])
    assert np.array_equal(FactorDataset(tmp_path / "set", "test").grid, rows[700:])
    assert load(tmp_path / "set").repeats["random"] > 0  # twins are astride, and it is said
    assert verify(tmp_path / "set").problems == ()
    found = verify(tmp_path / "set", split_labels=tmp_path / "labels")
    assert found.problems == ()
    np.savez(tmp_path / "labels" / name, space.levels(rows[701:]))
    with pytest.raises(InputError, match="not those of the recipe"):
        verify(tmp_path / "set", split_labels=tmp_path / "labels")
    bad = {
        "key 'arr_0'": {"labels": np.zeros((3, 5), int)},
        "whole numbers": {"arr_0": np.full((3, 5), 0.5)},
        "out of range": {"arr_0": np.full((3, 5), 7)},
        "shape": {"arr_0": np.zeros((3, 4), int)},
        "no readable npz": {"arr_0": np.array([{}])},
    }
    for message, arrays in bad.items():
        np.savez(tmp_path / "labels" / name, **arrays)
        with pytest.raises(InputError, match=message) as error:
            options_of("dsprites", split_labels=str(tmp_path / "labels"))
        assert "\n" not in str(error.value)


def test_materialized_sets_load_as_the_hub_shows_them(tmp_path, monkeypatch):
    """--materialize stores train and test; load_dataset gives both, with images and classes."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    given = options_of("dsprites", variant="extrapolation", materialize=True)
    recipe = make_recipe("dsprites", 0, given)
    generate(recipe, tmp_path / "set", workers=1)
    data = datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in data.items()} == {
        split.name: split.rows for split in tasks.get("dsprites").splits(recipe)
    }
    row = data["test"][3]
    read = FactorDataset(tmp_path / "set", "test")
    assert row["image"].mode == "L"
    assert np.array_equal(np.asarray(row["image"]), read.batch([3])[0][0, 0])
    assert row["row"] == read.grid[3]
    assert data["test"].features["shape"].names == ["square", "ellipse", "heart"]
    with pytest.raises(InputError, match="without --materialize"):
        FactorDataset(tmp_path / "set", "test", hold_out="scale>1")
    assert verify(tmp_path / "set").problems == ()


def test_the_grid_loads_with_datasets(made, tmp_path):
    """load_dataset gives the grid; selecting the rows of an index file gives the split."""
    import datasets

    folder = made["dsprites"]
    grid = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))["grid"]
    index = load(folder).index_of("composition_test")
    with h5py.File(folder / index.file.path) as file:
        split = grid.select(file["row"][:])
    data = FactorDataset(folder, "composition_test")
    assert np.array_equal(np.asarray(split[7]["image"]), data.batch([7])[0][0, 0])
    assert split[7]["posY"] == data.levels[7, 4]


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    """What was finished is kept: the folder in the end is that of an uninterrupted run."""
    recipe = make_recipe("dsprites", 0)
    whole = generate(recipe, tmp_path / "whole", workers=1)
    from samediff_stimuli.cards import factors

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(factors, "write_indices", stop)
        with pytest.raises(KeyboardInterrupt):
            generate(recipe, tmp_path / "cut", workers=1)
    assert not (tmp_path / "cut" / "manifest.json").exists()
    for sidecar in (tmp_path / "cut" / ".partial").glob("*.xxh3"):
        sidecar.unlink()  # digests that are gone are taken from the images again
    assert generate(recipe, tmp_path / "cut", workers=1).as_dict() == whole.as_dict()
    for path in (tmp_path / "whole").rglob("*"):
        if path.is_file():
            same = tmp_path / "cut" / path.relative_to(tmp_path / "whole")
            assert same.read_bytes() == path.read_bytes(), path


@pytest.mark.parametrize("damage", ["flip", "other rows", "gone", "stray"])
def test_verify_sees_damage_to_a_list_of_rows(made, tmp_path, damage):
    """A list of rows that is not the recipe's is a problem that names the file."""
    folder = shutil.copytree(made["mpi3d"], tmp_path / "copy")
    path = folder / load(folder).indices[2].file.path
    if damage == "flip":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "other rows":
        shutil.copy(folder / load(folder).indices[3].file.path, path)
    elif damage == "gone":
        path.unlink()
    else:
        path = path.with_name("mine.h5")
        path.write_text("x")
    problems = verify(folder).problems
    assert problems
    assert all(str(path) in problem for problem in problems)


def test_cards_say_who_made_the_images_and_what_is_held_out(made):
    """The card names the source, the factors, every predicate with its shares, twins and leaks."""
    for name, folder in made.items():
        manifest = load(folder)
        text = (folder / "README.md").read_text()
        assert f"`{name}-procedural`" in text
        assert f"none is from the published {tasks.get(name).title}" in text
        for factor in tasks.get(name).space(manifest.recipe).names:
            assert f"| `{factor}` |" in text
        for variant in ("random", "composition", "interpolation", "extrapolation"):
            assert f"| `{variant}` | {manifest.repeats[variant]} |" in text
        assert manifest.repeats == dict.fromkeys(manifest.repeats, 0)
        assert ("## Twins" in text) == (name == "dsprites")


def official(name, folder):
    """A tiny archive in the published file's exact format, and what is published of it."""
    task = tiny(name)
    space = task.space(make_recipe(name, 0))
    recipe = make_recipe(name, 0)
    images = task.render(recipe, "grid", task.design(recipe, "grid", 0, len(space)))
    levels = space.levels(np.arange(len(space)))
    known = PUBLISHED[name][-1]
    path = folder / known.file
    if name == "dsprites":
        constant = np.zeros((len(space), 1), dtype=np.int64)
        np.savez_compressed(
            path,
            imgs=images[..., 0] // 255,
            latents_classes=np.hstack([constant, levels]),
            latents_values=np.hstack([constant + 1.0, levels]),
            metadata=np.array({"title": "dSprites"}, dtype=object),
        )
    elif name == "shapes3d":
        values = [np.array(f.values if not f.names else range(len(f))) for f in space.factors]
        labels = np.stack([v[levels[:, i]] for i, v in enumerate(values)], axis=1)
        with h5py.File(path, "w") as file:
            file.create_dataset("images", data=images, compression="gzip", chunks=(50, 64, 64, 3))
            file["labels"] = labels.astype(np.float64)
    else:
        np.savez(path, images=images)
    import dataclasses

    size = path.stat().st_size
    return path, dataclasses.replace(known, n_bytes=size, md5=archives.md5_of(path)), images


@pytest.mark.parametrize("name", SETS)
def test_an_official_archive_from_convert_to_evaluate(tmp_path, monkeypatch, name):
    """Archive -> shards -> splits -> loader -> R2, from the command line; named as official."""
    from samediff_stimuli.models.factors import evaluate

    path, known, images = official(name, tmp_path)
    monkeypatch.setitem(PUBLISHED, name, (known,))
    out = tmp_path / "set"
    words = ["generate", "--task", name, "--seed", "0", "--source", "official"]
    words += ["--archive", str(path), "--out", str(out), "--workers", "1"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    manifest = load(out)
    assert "official" in manifest.name
    assert tasks.get(name).license(manifest.recipe) == known.license
    grid = StimulusDataset(out, "grid", columns=["source"])
    assert np.array_equal(grid.batch(range(len(grid)))["image"].permute(0, 2, 3, 1), images)
    assert set(grid.table["source"].tolist()) == {1}
    text = (out / "README.md").read_text()
    assert known.md5 in text
    assert "drew none" in text
    assert verify(out).unmade
    assert verify(out, True, archive=path).remade == len(grid)
    data = FactorDataset(out, "extrapolation_test")
    pictures = (bytes(image.numpy()) for image in data.batch(range(len(data)))[0])
    perfect = dict(zip(pictures, data.levels, strict=True))

    def model(batch):
        return data.space.normalised(np.array([perfect[bytes(i.numpy())] for i in batch]))

    assert evaluate(model, data).scores.r2 == tuple([1.0] * len(data.space.factors))


def test_archives_that_are_not_what_they_should_be(tmp_path, monkeypatch):
    """Truncated, other key, other dtype, other bytes: one line each, exit code 2, nothing made."""
    path, known, images = official("mpi3d", tmp_path)
    monkeypatch.setitem(PUBLISHED, "mpi3d", (known,))
    whole = path.read_bytes()

    def other(**arrays):
        np.savez(path, **arrays)

    def cut():
        path.write_bytes(whole[: len(whole) // 2])

    def changed():
        data = bytearray(whole)
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    cases = {
        "cut": cut,
        "key": lambda: other(imgs=images),
        "dtype": lambda: other(images=images.astype(np.float32)),
        "hash": changed,
        "shape": lambda: other(images=images[:-1]),
    }
    for what, damage in cases.items():
        damage()
        words = ["generate", "--task", "mpi3d", "--seed", "0", "--source", "official"]
        done = CliRunner().invoke(
            main, [*words, "--archive", str(path), "--out", str(tmp_path / "out")]
        )
        assert done.exit_code == 2, what
        assert done.stderr.count("\n") == 1, done.stderr
        assert str(path) in done.stderr
        assert not (tmp_path / "out").exists()


def test_train_on_every_partition(made, tmp_path):
    """`train` learns every factor on each partition, and writes R2 of each to one report."""
    words = ["train", str(made["dsprites"]), "--out", str(tmp_path / "run"), "--steps", "3"]
    done = CliRunner().invoke(main, [*words, "--variant", "random", "--variant", "composition"])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert set(result["results"]) == {"random", "composition"}
    assert "rsquared_posX" in result["results"]["random"]["scores"]
    assert "| random |" in done.stdout
    for bad in (["--variant", "x"], ["--epochs", "2"]):
        done = CliRunner().invoke(main, [*words[:2], "--out", str(tmp_path / "no"), *bad])
        assert done.exit_code == 2
        assert not (tmp_path / "no").exists()


def test_other_commands_on_a_factor_set(made, tmp_path):
    """preview, show and export say what they do; audit and matrix refuse in one line."""
    folder = str(made["shapes3d"])
    run = CliRunner()
    assert run.invoke(main, ["preview", folder, "--out", str(tmp_path / "p.png")]).exit_code == 0
    words = ["show", "--task", "shapes3d", "--seed", "0", "--split", "random_test", "--index", "3"]
    done = run.invoke(main, [*words, "--png", str(tmp_path / "s.png")])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["source"] == "procedural"
    words = ["export", folder, "--format", "png", "--out", str(tmp_path / "png")]
    done = run.invoke(main, [*words, "--split", "composition_train"])
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "png" / "grid").exists()
    words = ["export", folder, "--format", "benchmark-npz", "--out", str(tmp_path / "npz")]
    done = run.invoke(main, [*words, "--split", "grid"])
    assert done.exit_code == 2
    for command in (["audit", folder], ["matrix", folder, "--out", str(tmp_path / "m")]):
        done = run.invoke(main, command)
        assert done.exit_code == 2, command
        assert "\n" not in done.stderr.strip()


def test_a_place_that_the_split_lacks_is_no_image(made):
    """-1, which says that a split does not hold an image, is refused, not the last image."""
    data = FactorDataset(made["dsprites"], "extrapolation_train")
    lacking = np.setdiff1d(np.arange(len(data.space)), data.grid)[:1]
    assert data.rows_of(lacking).tolist() == [-1]
    with pytest.raises(IndexError, match="does not hold"):
        data.batch(data.rows_of(lacking))


def test_verify_with_files_that_a_set_was_not_made_from(made, tmp_path):
    """Label files given to a set that was split otherwise are refused in one line."""
    export(made["dsprites"], tmp_path / "labels", "benchmark-npz")
    done = CliRunner().invoke(
        main, ["verify", str(made["dsprites"]), "--split-labels", str(tmp_path / "labels")]
    )
    assert done.exit_code == 2
    assert "was not made from it" in done.stderr


def test_a_materialized_set_of_label_files(made, tmp_path):
    """Without the label files, verify checks digests, and says that it made nothing anew."""
    export(made["dsprites"], tmp_path / "labels", "benchmark-npz")
    labels = {"split_labels": str(tmp_path / "labels"), "variant": "composition"}
    given = options_of("dsprites", materialize=True, **labels)
    out = tmp_path / "set"
    generate(make_recipe("dsprites", 0, given), out, workers=1, parquet=False)
    report = verify(out)
    assert report.problems == ()
    assert report.remade == 0
    assert "label files" in report.unmade
    assert verify(out, split_labels=tmp_path / "labels").remade > 0
    with pytest.raises(InputError, match="label files"):
        generate(load(out).recipe, tmp_path / "again", workers=1)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("fault", ["twice", "overlap", "cut", "scalar", "no zip"])
def test_label_files_that_are_no_split(made, tmp_path, fault):
    """Doubled or shared rows, and files that are broken, are refused in one line."""
    folder = tmp_path / "labels"
    export(made["dsprites"], folder, "benchmark-npz")
    train, test = (folder / f"dsprites_random_{part}_labels.npz" for part in ("train", "test"))
    labels = np.load(test)["arr_0"]
    if fault == "twice":
        np.savez(test, np.concatenate([labels, labels[:1]]))
    elif fault == "overlap":
        np.savez(test, np.load(train)["arr_0"][:5])
    elif fault == "cut":
        data = bytearray(test.read_bytes())
        data[len(data) // 3] ^= 255
        test.write_bytes(data)
    elif fault == "scalar":
        np.savez(test, np.int64(3))
    else:
        with test.open("wb") as file:
            np.save(file, labels)
    with pytest.raises(InputError, match="dsprites_random_test_labels") as error:
        options_of("dsprites", split_labels=str(folder), variant="random")
    assert "\n" not in str(error.value)


def test_an_archive_is_read_forwards_whatever_the_order_of_rows(tmp_path):
    """Rows in any order, some of them twice, come in that order."""
    from samediff_stimuli.factors import official as reading

    path, known, images = official("dsprites", tmp_path)
    space = tasks.get("dsprites").space(make_recipe("dsprites", 0))
    rows = np.array([900, 3, 4, 3, 4000, 0])
    found = [image.copy() for image in reading.images(str(path), known, space, rows)]
    assert np.array_equal(found, images[rows])


def test_training_goes_on_where_it_stopped(made, tmp_path, monkeypatch):
    """A run that was stopped between partitions keeps those that are done, and looks unfinished."""
    from samediff_stimuli.models import factor_runs
    from samediff_stimuli.models.factor_cnn import FactorTrainConfig

    config, trained = FactorTrainConfig(steps=2, test_images=50), []
    real = factor_runs.train_factors

    def spy(train, *rest, **more):
        trained.append(train.split)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(train, *rest, **more)

    monkeypatch.setattr(factor_runs, "train_factors", spy)
    names = ("random", "composition")
    with pytest.raises(KeyboardInterrupt):
        factor_runs.train_partitions(made["mpi3d"], tmp_path, config, lambda line: None, names)
    assert not (tmp_path / "result.json").exists()
    found = factor_runs.train_partitions(made["mpi3d"], tmp_path, config, lambda line: None, names)
    assert trained == ["random_train", "composition_train", "composition_train"]
    assert list(found) == list(names)
    text = (tmp_path / "result.md").read_text()
    assert "--variant random --variant composition" in text
    assert f"{found['random'].scores.r2_mean:.3f}" in text


def test_partitions_without_matplotlib(made, tmp_path, monkeypatch):
    """Without matplotlib the results over all partitions are kept, and a line says what is not."""
    from samediff_stimuli.models.factor_cnn import FactorTrainConfig
    from samediff_stimuli.models.factor_runs import train_partitions

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    config, told = FactorTrainConfig(steps=2, test_images=50), []
    train_partitions(made["mpi3d"], tmp_path, config, told.append, ("random",))
    assert "no picture: matplotlib is not installed" in told[-1]
    assert set(json.loads((tmp_path / "result.json").read_text())["results"]) == {"random"}
    assert not (tmp_path / "result.png").exists()


def test_finished_runs_and_datasets_are_not_written_over(made, tmp_path):
    """The same call takes what is finished; another, or one into a dataset, is refused."""
    from samediff_stimuli.models.factor_cnn import FactorTrainConfig
    from samediff_stimuli.models.factor_runs import train_partitions

    def train(out, steps=2, **more):
        config = FactorTrainConfig(steps=steps, test_images=50)
        return train_partitions(made["mpi3d"], out, config, told.append, ("random",), **more)

    told = []
    train(tmp_path)
    before = (tmp_path / "result.json").read_text()
    told.clear()
    train(tmp_path)
    assert told == []
    with pytest.raises(InputError, match="holds a finished run; give another folder"):
        train(tmp_path, steps=3)
    assert (tmp_path / "result.json").read_text() == before
    train(tmp_path, steps=3, overwrite=True)
    assert (tmp_path / "result.json").read_text() != before
    with pytest.raises(InputError, match="is a dataset; give another folder"):
        train(made["mpi3d"])
