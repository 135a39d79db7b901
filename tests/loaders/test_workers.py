"""Worker processes fill memory that is used again, and give what is read here."""

import pytest
import torch

from samediff_stimuli import AlignedOptions, generate, make_recipe, shards, tasks
from samediff_stimuli.loaders import FactorDataset, StimulusDataset, make_loader
from tests.factor_sets import use_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small set whose train split spans two shards."""
    out = tmp_path_factory.mktemp("workers") / "set"
    sizes = {"image_size": 32, "patch_size": 8, "train": 1700, "validation": 16}
    options = AlignedOptions(**sizes, test=0, ood=0)
    generate(make_recipe("discrimination", 2, options), out, parquet=False)
    return out


def assert_same(found, wanted):
    """Two batches are equal, tuples or dicts of tensors."""
    pairs = [(found[k], wanted[k]) for k in wanted] if isinstance(wanted, dict) else None
    for one, other in pairs or zip(found, wanted, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def assert_reads(data, batch_size, keep):
    """Two passes by two processes are those of this one; batches are kept, or only the last."""
    how = {"shuffle": True, "seed": 3}
    loader = make_loader(data, batch_size, num_workers=2, multiprocessing_context="fork", **how)
    plain = make_loader(data, batch_size, **how)
    for _ in range(2):
        found = list(loader) if keep else loader
        for one, wanted in zip(found, list(plain), strict=True):
            assert_same(one, wanted)
    return loader


@pytest.mark.parametrize("keep", [False, True])
def test_batches_are_those_of_one_process(folder, keep):
    """Whether the memory of a batch is free again at once, or never."""
    loader = assert_reads(StimulusDataset(folder, "train"), 64, keep)
    image = next(iter(loader))[0]
    assert image.is_contiguous(memory_format=torch.channels_last)


def test_a_pass_that_is_left(folder):
    """What processes had begun of it does not come in the next one; its last batch stays whole."""
    data = StimulusDataset(folder, "train", columns=["label", "index"])
    loader = make_loader(data, 50, num_workers=2)
    batches = iter(loader)
    batch = [next(batches) for _ in range(4)][-1]
    batches.close()
    kept = batch["image"].clone()
    for _ in range(2):
        rows = torch.cat([each["index"] for each in loader])
        assert rows.tolist() == list(range(1700))
    assert torch.equal(batch["image"], kept)


def test_rows_of_several_images(tmp_path):
    """Each image of a row has memory of its own."""
    sizes = {"train": 24, "validation": 8, "test": 8}
    options = tasks.get("das").options(**sizes)
    generate(make_recipe("das", 0, options), tmp_path / "das", parquet=False)
    columns = ["label", "counterfactual"]
    assert_reads(StimulusDataset(tmp_path / "das", "train", columns=columns), 8, keep=False)


def test_grids_of_factors(tmp_path, monkeypatch):
    """Targets are what a grid's batches have; held-out rows are read by their list."""
    use_tiny(monkeypatch)
    generate(make_recipe("dsprites", 0), tmp_path / "grid", parquet=False)
    assert_reads(FactorDataset(tmp_path / "grid", "random_train"), 16, keep=False)


def test_more_shards_than_descriptors(folder, monkeypatch):
    """Shards beyond half of the descriptors that a process may have are opened at each reading."""
    wanted = StimulusDataset(folder, "train").batch([1690, 0, 1650, 7])
    limit = 2 * (shards._kept_files + 1)
    monkeypatch.setattr(shards.resource, "getrlimit", lambda which: (limit, limit))
    data = StimulusDataset(folder, "train")
    assert_same(data.batch([1690, 0, 1650, 7]), wanted)
    assert sorted(data._reader._files >= 0) == [False, True]
    assert_same(StimulusDataset(folder, "train").batch([1690, 0, 1650, 7]), wanted)


def test_no_rows(folder):
    """A batch of no rows is one of the usual types, from a dataset that has read nothing yet."""
    images, labels = StimulusDataset(folder, "train").batch([])
    assert (images.shape, images.dtype) == ((0, 3, 32, 32), torch.uint8)
    assert (labels.shape, labels.dtype) == ((0,), torch.int64)
    halved = StimulusDataset(folder, "train", transform=lambda image: image[:, ::2])
    assert len(halved.batch([])[0]) == 0
