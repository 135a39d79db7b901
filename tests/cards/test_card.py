"""The card and the mirror say, and show, what the shards hold."""

import shlex

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard

from samediff_stimuli import AlignedOptions, cli, make_recipe, tasks
from samediff_stimuli.cards import validated
from samediff_stimuli.cards.card import card, command, size_category
from samediff_stimuli.cards.citations import CITATIONS
from samediff_stimuli.cards.parquet import features_of, png_bytes
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import load
from tests.cases import FACTOR_SETS

TASKS = sorted({name for name, task in tasks.registry().items() if task.variants} - {*FACTOR_SETS})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """load_dataset prepares its tables in the test's own folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.mark.parametrize("task", TASKS)
def test_load_dataset_gives_the_shards_rows(made, task, tmp_path, caplog):
    """load_dataset(DIR) gives every split, with the pixels and columns of the HDF5 shards."""
    datasets.logging.enable_propagation()
    loaded = datasets.load_dataset(str(made[task]), cache_dir=str(tmp_path))
    assert not caplog.records  # nothing in the card is ignored
    recipe = load(made[task]).recipe
    assert list(loaded) == [split.name for split in tasks.get(task).splits(recipe)]
    for split, rows in loaded.items():
        ours = StimulusDataset(made[task], split).table
        assert len(rows) == ours.n_rows
        for name in ours:
            assert np.array_equal(np.array(rows[name]), ours[name]), (split, name)
        images, _ = StimulusDataset(made[task], split).batch(range(ours.n_rows))
        for row, image in zip(rows, images.permute(0, 2, 3, 1).numpy(), strict=True):
            assert np.array_equal(np.asarray(row["image"]), image)


@pytest.mark.parametrize("task", TASKS)
def test_streaming_and_one_split(made, task, tmp_path):
    """split=... and streaming=True work too; labels carry their names."""
    recipe = load(made[task]).recipe
    last = tasks.get(task).splits(recipe)[-1].name
    test = datasets.load_dataset(str(made[task]), split=last, cache_dir=str(tmp_path))
    stream = datasets.load_dataset(str(made[task]), split=last, streaming=True)
    first = next(iter(stream))
    assert np.array_equal(np.asarray(first["image"]), np.asarray(test[0]["image"]))
    for column in tasks.get(task).columns(recipe):
        if column.names and len(column.shape) < 2:
            feature = test.features[column.name]
            assert tuple((feature.feature if column.shape else feature).names) == column.names


@pytest.mark.parametrize("task", TASKS)
def test_features_agree(made, task):
    """The features in the card and in the Parquet files are those of the declared columns."""
    declared = datasets.Features.from_dict(features_of(make_recipe(task, 0)))
    info = DatasetCard.load(made[task] / "README.md").data.to_dict()["dataset_info"]
    assert datasets.Features._from_yaml_list(info["features"]) == declared
    for path in (made[task] / "data").rglob("*.parquet"):
        assert datasets.Features.from_arrow_schema(pq.read_schema(path)) == declared


@pytest.mark.parametrize("task", TASKS)
def test_card_is_well_formed(made, task):
    """The YAML parses, its globs match files, its row counts are the manifest's."""
    text = (made[task] / "README.md").read_text()
    data = yaml.safe_load(text.split("---")[1])
    configs = MetadataConfigs.from_dataset_card_data(DatasetCard(text).data)
    manifest = load(made[task])
    assert list(configs) == [manifest.name]
    for entry in data["configs"][0]["data_files"]:
        assert list(made[task].glob(entry["path"])), entry
    counts = {split["name"]: split["num_examples"] for split in data["dataset_info"]["splits"]}
    rows = {}
    for shard in manifest.shards:
        rows[shard.split] = rows.get(shard.split, 0) + shard.rows
    assert counts == rows
    assert data["license"] == "cc-by-4.0"
    for phrase in (manifest.digest(), manifest.recipe.canonical_json(), command(manifest.recipe)):
        assert phrase in text
    for column in tasks.get(task).columns(make_recipe(task, 0)):
        assert f"| `{column.name}` |" in text


HEADINGS = [
    *("Load it", "Make it again, to the byte", "Splits", "Balance", "Columns", "Uses"),
    *("Limits and known shortcuts", "Validation", "Files and digests", "Licence", "Citation"),
]


@pytest.mark.parametrize("task", TASKS)
def test_card_is_complete(made, task):
    """Every subject has its heading, in one order, and the set's own text."""
    manifest, text = load(made[task]), (made[task] / "README.md").read_text()
    places = [text.index(f"\n## {heading}\n") for heading in HEADINGS]
    assert places == sorted(places)
    assert validated.NOT_VALIDATED in text  # none of these was
    held = {s.name: s.held_out for s in tasks.get(task).splits(manifest.recipe)}
    for name, out in held.items() if any(held.values()) else ():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {'yes' if out else 'no'} |" in row
    for phrase in (CITATIONS[tasks.get(task).source], "@software{samediff_stimuli", "`mit`"):
        assert phrase in text
    name = f'"{manifest.name}"'
    for call in ("load_dataset(", "StimulusDataset(", f'from_hub("REPO", {name}', '"hdf5", data_'):
        assert call in text


def test_card_is_made_from_the_manifest_alone(made):
    """The card on disk is what its manifest gives."""
    manifest = load(made["rmts"])
    assert card(manifest) == (made["rmts"] / "README.md").read_text()


def test_counts_are_the_tables(made):
    """The manifest's class counts are those of the shards' columns."""
    manifest = load(made["rmts"])
    table = StimulusDataset(made["rmts"], "train").table
    for name, counts in manifest.counts("train").items():
        assert np.array_equal(np.bincount(table[name].ravel(), minlength=len(counts)), counts)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (AlignedOptions(), "--task rmts --seed 7"),
        (AlignedOptions(patch_size=16), "--task rmts --seed 7 --patch-size 16"),
        (AlignedOptions(patch_size=14, ood=0), "--task rmts --seed 7 --patch-size 14 --ood 0"),
        (AlignedOptions(object_size=20), "--task rmts --seed 7 --object-size 20"),
    ],
)
def test_command_makes_the_recipe(options, says):
    """The card's command names just the options that are needed."""
    assert command(make_recipe("rmts", 7, options)) == f"samediff-stimuli generate {says}"


VARIANTS = [(name, variant) for name, task in tasks.registry().items() for variant in task.variants]


@pytest.mark.parametrize(("name", "variant"), VARIANTS, ids=map("-".join, VARIANTS))
def test_command_of_every_variant(name, variant):
    """What the card says to type gives the recipe back, through the command line's own parser."""
    recipe = make_recipe(name, 11, tasks.get(name).variants[variant])
    words = shlex.split(command(recipe))[2:]
    given = cli.generate.make_context("generate", words).params
    own = {name: given[name] for name in recipe.options.names() if name in given}
    assert cli._recipe(given["task"], given["seed"], own) == recipe


@pytest.mark.parametrize(
    ("rows", "category"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (38_400, "10K<n<100K"), (10**6, "1M<n<10M")],
)
def test_size_categories(rows, category):
    """The Hub's size category of a row count."""
    assert size_category(rows) == category


def test_png_is_lossless():
    """Our PNG writer's files decode to the same pixels with Pillow."""
    import io

    from PIL import Image

    rng = np.random.default_rng(0)
    for shape in [(1, 1, 3), (5, 7, 3), (224, 224, 3)]:
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        with Image.open(io.BytesIO(png_bytes(image))) as opened:
            assert opened.mode == "RGB"
            assert np.array_equal(np.asarray(opened), image)


def test_hdf5_loads_without_the_package(made, tmp_path):
    """load_dataset("hdf5", data_files=...) reads the shards themselves, as the card says."""
    files = str(next((made["rmts"] / "hdf5").rglob("test-*.h5")))
    rows = datasets.load_dataset(
        "hdf5", data_files=files, split="train", cache_dir=str(tmp_path)
    ).with_format("numpy")
    ours = StimulusDataset(made["rmts"], "test")
    assert np.array_equal(rows[3]["image"], ours[3][0].permute(1, 2, 0).numpy())
    assert rows[3]["label"] == ours[3][1]
