"""Worker processes fill memory that is used again, and give what is read here."""

import copy
import multiprocessing
import pickle

import pytest
import torch

from samediff_stimuli import AlignedOptions, generate, make_recipe, shards, tasks
from samediff_stimuli.loaders import FactorDataset, StimulusDataset, make_loader, workers
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


def test_a_copy_has_memory_of_its_own(folder):
    """A loader that was used gives the same when it is copied, pickled, or used in a fork."""
    data = StimulusDataset(folder, "train")
    loader = make_loader(data, 64, num_workers=2, multiprocessing_context="fork")
    wanted = [int(images.numpy().sum()) for images, _ in loader]
    for again in (copy.deepcopy(loader), pickle.loads(pickle.dumps(loader))):
        again.sampler.set_epoch(0)
        assert [int(images.numpy().sum()) for images, _ in again] == wanted
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    forks = [context.Process(target=_sums, args=(loader, results)) for _ in range(2)]
    for fork in forks:
        fork.start()
    assert [results.get() for _ in forks] == [wanted, wanted]
    for fork in forks:
        fork.join(30)
        assert fork.exitcode == 0


def _sums(loader, results):
    results.put([int(images.numpy().sum()) for images, _ in loader])


def test_what_transforms_is_heeded(folder):
    """A transform that is set between passes, and a batch of one's own, show in every batch."""

    class Inverted(StimulusDataset):
        def batch(self, indices):
            images, labels = super().batch(indices)
            return 255 - images, labels

    plain = StimulusDataset(folder, "validation").batch(range(16))[0]
    for data in (Inverted(folder, "validation"), StimulusDataset(folder, "validation")):
        loader = make_loader(data, 2, num_workers=1, multiprocessing_context="fork")
        if type(data) is StimulusDataset:
            assert torch.equal(torch.cat([images for images, _ in loader]), plain)
            data.transform = lambda image: 255 - image
        found = list(loader)
        assert torch.equal(torch.cat([images for images, _ in found]), 255 - plain)
        assert all(isinstance(batch, tuple) for batch in found)


def test_memory_is_for_the_rows_there_are(folder, monkeypatch):
    """Not for a batch size beyond them; where shared memory is scarce, batches come without it."""
    data = StimulusDataset(folder, "validation")
    assert make_loader(data, 4096, num_workers=1).sampler.most == 16
    assert make_loader(data, 10, num_workers=1, rank=1, world=4).sampler.most == 3
    given = iter([True])

    def scarce(shape):
        if next(given, False):
            return torch.empty(shape)
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device")

    monkeypatch.setattr(workers, "shared", scarce)
    shape, found = (1, 4, 8, 8, 3), workers._shared((1, 4, 8, 8, 3), 6)
    assert [each.shape for each in found] == [torch.Size(shape)]
    monkeypatch.setattr(workers, "_shared", lambda shape, count: [])
    images = torch.cat([images for images, _ in make_loader(data, 5, num_workers=1)])
    assert torch.equal(images, data.batch(range(16))[0])


def test_one_pass_at_a_time(folder):
    """A pass that a later one has overtaken says so; it does not go on with the other's batches."""
    loader = make_loader(StimulusDataset(folder, "validation"), 4, num_workers=1)
    first = iter(loader)
    next(first)
    assert len(list(loader)) == 4
    with pytest.raises(RuntimeError, match="make a loader for each, or one with num_workers=0"):
        next(first)


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
    limit = 2 * (len(shards._KEPT) + 1)
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
