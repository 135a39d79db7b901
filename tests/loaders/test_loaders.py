"""Loaders give what is on disk, in every process model, and streams give what would be."""

import functools
import json
import multiprocessing
import operator
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from samediff_stimuli import AlignedOptions, InputError, generate, make_recipe, render, tasks
from samediff_stimuli.loaders import (
    ShuffledBatches,
    StimulusDataset,
    StimulusStream,
    background_token_mask,
    make_loader,
    object_token_mask,
    patch_coverage,
)
from samediff_stimuli.loaders.ahead import ahead
from samediff_stimuli.manifest import load
from samediff_stimuli.tokens import background_tokens, object_tokens
from samediff_stimuli.tokens import patch_coverage as numpy_coverage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A set whose train split spans two shards."""
    out = tmp_path_factory.mktemp("loaders") / "set"
    options = AlignedOptions(train=1800, validation=48, test=0, ood=0)
    generate(make_recipe("rmts", 2, options), out)
    return out


def all_images(folder, split):
    """(n, 3, h, w) uint8 images and labels of a split, rendered anew."""
    recipe = load(folder).recipe
    rows = slice(0, tasks.split_of(recipe, split).rows)
    images = torch.from_numpy(render(recipe, split, rows)).permute(0, 3, 1, 2)
    labels = tasks.get("rmts").design(recipe, split, rows.start, rows.stop)["label"]
    return images, torch.from_numpy(labels.astype(np.int64))


def test_items(folder):
    """An item is (image, label): uint8, channels first in channels-last memory."""
    data = StimulusDataset(folder, "train")
    images, labels = all_images(folder, "train")
    assert len(data) == 1800
    for index in (0, 1599, 1600, 1799, -1):
        image, label = data[index]
        assert image.dtype == torch.uint8
        assert image.shape == (3, 224, 224)
        assert torch.equal(image, images[index])
        assert label == labels[index]
        assert isinstance(label, int)
    assert data.batch([0, 1])[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(data.labels, labels)
    with pytest.raises(IndexError, match=r"0 \.\. 1799"):
        data[1800]


def test_indices_must_be_integers(folder):
    """Masks, floats and strings are refused, not taken for row numbers; no rows are no images."""
    data = StimulusDataset(folder, "validation")
    for wrong in ([True, False], [1.5], ["3"], [[1, 2]], [2**63]):
        with pytest.raises(IndexError):
            data.batch(wrong)
    with pytest.raises(IndexError, match="list of integers"):
        data.batch(data.labels == 1)
    assert data.batch([])[0].shape == (0, 3, 224, 224)
    assert torch.equal(data.batch(torch.tensor([3, 1]))[0], data.batch([3, 1])[0])
    with pytest.raises(ValueError, match="read-only"):
        data.table["label"][0] = 7


def test_batch_memory_is_never_reused_while_in_use(folder):
    """Whatever still refers to a batch keeps it: a row, an array, a slice, a list of items."""
    data = StimulusDataset(folder, "train")
    truth = all_images(folder, "train")[0]
    kept = []
    for number in range(40):
        rows = range(number * 8, number * 8 + 8)
        batch = data.batch(rows)[0]
        kept.append((rows[3], [batch[3], batch.numpy()[3], batch[2:5, :, ::2][1]][number % 3]))
        del batch
    for number, (row, part) in enumerate(kept):
        wanted = truth[row] if number % 3 < 2 else truth[row][:, ::2]
        assert torch.equal(torch.as_tensor(part), wanted)
    assert len(data._buffers._arrays) <= 8


def test_columns_and_transform(folder):
    """With columns an item is a dict; a transform sees every image."""
    columns = ["label", "shape", "box"]
    data = StimulusDataset(
        folder, "validation", columns=columns, transform=lambda image: image.float() / 255
    )
    item = data[5]
    assert set(item) == {"image", *columns}
    assert item["image"].dtype == torch.float32
    assert item["box"].shape == (4, 4)
    batch = next(iter(make_loader(data, 16)))
    assert batch["image"].shape == (16, 3, 224, 224)
    assert torch.equal(batch["box"][5], item["box"])
    with pytest.raises(InputError, match="unknown column 'colour'; known: index, label"):
        StimulusDataset(folder, "train", columns=["colour"])
    with pytest.raises(InputError, match="unknown split 'dev'"):
        StimulusDataset(folder, "dev")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_is_a_tuple_and_is_pinned_only_where_there_is_a_gpu(folder, workers, monkeypatch):
    """Threads and worker processes hand out the same; without a GPU a warning says what is not."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    data = StimulusDataset(folder, "validation")
    with pytest.warns(UserWarning, match="pin_memory"):
        batch = next(iter(make_loader(data, 8, num_workers=workers, pin_memory=True)))
    assert type(batch) is tuple
    assert not batch[0].is_pinned()


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_loader_in_worker_processes(folder, context):
    """Two workers give every image once, in the same order as none, under each start method."""
    data = StimulusDataset(folder, "train")
    data.batch([0, 1700])  # files are open, and threads alive, before any fork
    expected = [labels for _, labels in make_loader(data, 100, shuffle=True, seed=1)]
    loader = make_loader(
        data, 100, shuffle=True, seed=1, num_workers=2, multiprocessing_context=context
    )
    batches = list(loader)
    order = next(iter([list(ShuffledBatches(1800, 100, True, 1, False))]))
    images, _ = all_images(folder, "train")
    for (found, labels), rows, wanted in zip(batches, order, expected, strict=True):
        assert torch.equal(labels, wanted)
        assert torch.equal(found, images[rows])


def test_plain_dataloader_works_too(folder):
    """torch's own DataLoader with its default collate function gives the same batches."""
    data = StimulusDataset(folder, "validation")
    images, labels = all_images(folder, "validation")
    found = list(DataLoader(data, batch_size=20, num_workers=2, multiprocessing_context="spawn"))
    assert torch.equal(torch.cat([batch[0] for batch in found]), images)
    assert torch.equal(torch.cat([batch[1] for batch in found]), labels)


def test_shuffle_depends_on_seed_and_epoch_alone(folder):
    """Each epoch has its own order, the same in every run; every row comes once."""
    batches = ShuffledBatches(101, 10, shuffle=True, seed=0, drop_last=False)
    first, second = list(batches), list(batches)
    assert sorted(functools.reduce(operator.iadd, first, [])) == list(range(101))
    assert first != second
    again = ShuffledBatches(101, 10, shuffle=True, seed=0, drop_last=False)
    again.set_epoch(1)
    assert list(again) == second
    assert len(list(ShuffledBatches(101, 10, True, 0, drop_last=True))) == 10
    assert list(ShuffledBatches(101, 10, True, 1, False)) != first
    with pytest.raises(InputError, match="batch_size 0"):
        make_loader(StimulusDataset(folder, "train"), 0)


def test_ranks_share_every_batch(folder):
    """Ranks read each batch between them, no row twice; a rank that there is not is refused."""
    whole = list(ShuffledBatches(101, 10, True, 3, False))
    parts = [list(ShuffledBatches(101, 10, True, 3, False, rank, 3)) for rank in range(3)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert sorted(row for share in shares for row in share) == sorted(batch)
    loader = make_loader(StimulusDataset(folder, "train"), 10, rank=2, world=3)
    assert len(next(iter(loader))[1]) == 3
    with pytest.raises(InputError, match=r"rank 3 is out of range; legal: 0 \.\. 2"):
        ShuffledBatches(101, 10, True, 3, False, 3, 3)
    with pytest.raises(
        InputError, match=r"batch_size 2 leaves some of 3 ranks .* legal: 3 or more"
    ):
        make_loader(StimulusDataset(folder, "train"), 2, rank=0, world=3)


def test_a_rank_that_rows_run_out_for_gets_a_batch_of_none(folder):
    """Each rank steps as often as the others; 48 rows by nines leave three for nine ranks."""
    data = StimulusDataset(folder, "validation")
    *_, last = make_loader(data, 9, rank=3, world=9)
    assert (last[0].shape, last[1].shape) == ((0, 3, 224, 224), (0,))
    assert len(list(make_loader(data, 9, rank=3, world=9, drop_last=True))) == 5


def places(loader, state=None):
    """The labels and first pixels of each batch of a loader's next pass."""
    if state is not None:
        loader.load_state_dict(state)
    return [(labels.tolist(), images[:, 0, 0, 0].tolist()) for images, labels in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_in_the_middle_of_an_epoch(folder, workers):
    """A state, through JSON, gives the batches that would have come next, and then whole epochs."""
    data = StimulusDataset(folder, "validation")

    def fresh(workers=workers, **more):
        return make_loader(data, 7, shuffle=True, seed=5, num_workers=workers, **more)

    epochs = fresh()
    whole = [places(epochs) for _ in range(3)]
    loader = fresh()
    assert loader.state_dict() == fresh().sampler.state_dict()
    places(loader)
    assert loader.state_dict()["epoch"] == 1
    for number, _ in enumerate(loader, 1):
        if number == 4:
            break
    state = json.loads(json.dumps(loader.state_dict()))
    assert (state["epoch"], state["done"]) == (1, 4)
    later = fresh(2 - workers)  # any number of workers goes on
    assert places(later, state) == whole[1][4:]
    assert places(later) == whole[2]
    loader.load_state_dict(state)  # into the loader itself
    loader.sampler.set_epoch(1)  # as training loops say at the start of every epoch
    assert places(loader) == whole[1][4:]
    shares = [fresh(rank=rank, world=2) for rank in range(2)]
    dealt = [places(share, state) for share in shares]
    assert [sorted(a[0] + b[0]) for a, b in zip(*dealt, strict=True)] == [
        sorted(labels) for labels, _ in whole[1][4:]
    ]


def test_a_state_of_other_batches_is_refused(folder):
    """What the order follows from must be the same; places must be numbers."""
    data = StimulusDataset(folder, "validation")
    state = make_loader(data, 7, shuffle=True).state_dict()
    with pytest.raises(InputError, match="state is of batches with batch_size 7, these have 8"):
        make_loader(data, 8, shuffle=True).load_state_dict(state)
    with pytest.raises(InputError, match="state is of batches with n None"):
        make_loader(data, 7).load_state_dict({})
    with pytest.raises(InputError, match="done 'x' of the state"):
        make_loader(data, 7, shuffle=True).load_state_dict(state | {"done": "x"})


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata's own call
@pytest.mark.parametrize("workers", [0, 2])
def test_torchdata_resumes_our_batches(folder, workers):
    """Inside torchdata's StatefulDataLoader our sampler resumes at the same place."""
    from torchdata.stateful_dataloader import StatefulDataLoader

    data = StimulusDataset(folder, "validation")

    def fresh():
        batches = ShuffledBatches(len(data), 7, True, 5, False)
        return StatefulDataLoader(data, batch_sampler=batches, num_workers=workers)

    loader = fresh()
    whole = [places(loader) for _ in range(3)]
    loader = fresh()
    places(loader)
    for number, _ in enumerate(loader, 1):
        if number == 4:
            break
    state = loader.state_dict()
    later = fresh()
    assert places(later, state) == whole[1][4:]
    assert places(later) == whole[2]


@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_cover_an_epoch_exactly(drop_last):
    """No row twice, none left out, as many batches on every rank, even where rows run out.

    Only then has a rank no row, and never where a last, smaller batch is left out.
    """
    for n, size, world in ((101, 10, 4), (101, 10, 10), (8, 3, 3), (2, 3, 3)):
        shares = [ShuffledBatches(n, size, True, 0, drop_last, r, world) for r in range(world)]
        dealt = [list(share) for share in shares]
        assert {len(batches) for batches in dealt} == {len(shares[0])}
        assert all(all(batches[: n // size]) for batches in dealt)
        rows = [row for batches in dealt for batch in batches for row in batch]
        assert len(set(rows)) == len(rows) == (n // size * size if drop_last else n)


def test_pickle(folder):
    """A used dataset pickles, small, and works on the other side."""
    data = StimulusDataset(folder, "train")
    _ = data[3], data.labels
    frozen = pickle.dumps(data)
    assert len(frozen) < 20_000
    assert torch.equal(pickle.loads(frozen)[3][0], data[3][0])


def _read_all(folder, queue):
    data = StimulusDataset(folder, "train")
    queue.put(int(sum(images.sum(dtype=torch.int64) for images, _ in make_loader(data, 64))))


def test_two_processes_read_at_once(folder):
    """Reading while another process reads the same shards gives the same images."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    readers = [context.Process(target=_read_all, args=(folder, queue)) for _ in range(2)]
    for reader in readers:
        reader.start()
    total = int(all_images(folder, "train")[0].sum(dtype=torch.int64))
    assert [queue.get(timeout=120) for _ in readers] == [total, total]
    for reader in readers:
        reader.join()


def test_stream_is_what_generate_writes(folder):
    """Batches of a stream are the rows on disk, and go on beyond them."""
    recipe = load(folder).recipe
    data = StimulusDataset(folder, "train", columns=["label", "pair_id", "box"])
    stream = StimulusStream(recipe, batch_size=100, columns=["label", "pair_id", "box"])
    for number, batch in zip(range(20), stream, strict=False):
        rows = range(number * 100, number * 100 + 100)
        if rows.stop <= len(data):
            wanted = data.batch(rows)
            assert all(torch.equal(batch[name], wanted[name]) for name in wanted)
    assert batch["pair_id"].min() == 1900 // 4
    tail = list(StimulusStream(recipe, "validation", batch_size=20))
    assert [len(images) for images, _ in tail] == [20, 20, 8]


def test_measures_of_a_stream_keep_their_fractions():
    """Columns of a stream are int64, and float64 for measures, as those of a dataset are."""
    recipe = make_recipe("photoreal", 0, tasks.get("photoreal").options(image_size=48))
    table = tasks.get("photoreal").design(recipe, "test", 0, 4)
    found = StimulusStream(recipe, "test", batch_size=4, columns=list(table)).batch(0)
    for name, values in table.items():
        wanted = torch.float64 if values.dtype.kind == "f" else torch.int64
        assert found[name].dtype == wanted
        assert np.array_equal(found[name], values)
    assert any(((values % 1) != 0).any() for values in table.values())


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_stream_over_workers_and_ranks(folder, context):
    """Ranks and workers share the batches out: together they give each batch once."""
    recipe = load(folder).recipe
    numbers = []
    for rank in range(2):
        stream = StimulusStream(
            recipe, "validation", batch_size=4, columns=["index"], rank=rank, world_size=2
        )
        loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context=context)
        numbers.append([int(batch["index"][0]) // 4 for batch in loader])
    assert sorted(functools.reduce(operator.iadd, numbers, [])) == list(range(12))
    assert all(number % 2 == rank for rank in range(2) for number in numbers[rank])


def test_stream_arguments(folder):
    """Wrong arguments of a stream are refused in one line."""
    recipe = load(folder).recipe
    with pytest.raises(InputError, match="rank 2 is out of range"):
        StimulusStream(recipe, rank=2, world_size=2)
    with pytest.raises(InputError, match="together"):
        StimulusStream(recipe, rank=2)
    with pytest.raises(InputError, match="unknown split"):
        StimulusStream(recipe, "ood")
    with pytest.raises(InputError, match="unknown column"):
        StimulusStream(recipe, columns=["nose"])
    with pytest.raises(InputError, match="batch_size 0 is out of range"):
        StimulusStream(recipe, "validation", batch_size=0)
    with pytest.raises(InputError, match="batch 12 is out of range"):
        StimulusStream(recipe, "validation", batch_size=4).batch(12)
    few = AlignedOptions(image_size=64, jitter=0, train=8, validation=0, test=0, ood=0)
    with pytest.raises(InputError, match="all unique stimuli are used up"):
        StimulusStream(make_recipe("discrimination", 0, few)).batch(1000)


@pytest.mark.parametrize("patch_size", [14, 16, 32, 8])
@pytest.mark.parametrize("n_prefix", [0, 1, 5])
def test_tokens_agree_between_numpy_and_torch(folder, patch_size, n_prefix):
    """Coverage, object tokens and background tokens are the same from both twins."""
    data = StimulusDataset(folder, "validation")
    maps = data.instances(range(20))
    coverage = patch_coverage(maps, patch_size, 4)
    assert np.array_equal(coverage.numpy(), numpy_coverage(maps.numpy(), patch_size, 4))
    mask = object_token_mask(coverage, n_prefix)
    ground = background_token_mask(coverage, n_prefix)
    assert mask.shape == (20, 4, n_prefix + (224 // patch_size) ** 2)
    tokens = object_tokens(coverage.numpy(), n_prefix)
    free = background_tokens(coverage.numpy(), n_prefix)
    for image in range(20):
        assert np.array_equal(np.flatnonzero(ground[image]), free[image])
        for number in range(4):
            assert np.array_equal(np.flatnonzero(mask[image, number]), tokens[image][number])
            pixels = np.argwhere(maps[image].numpy() == number + 1) // patch_size
            truth = np.unique(pixels @ [224 // patch_size, 1]) + n_prefix
            assert np.array_equal(tokens[image][number], truth)
    share = coverage.sum(dim=-1) * patch_size**2
    ink = torch.stack([(maps == j + 1).sum(dim=(1, 2)) for j in range(4)], dim=1)
    assert torch.allclose(share, ink.float())


def test_coverage_refuses_other_patch_sizes(folder):
    """A patch size that does not divide the image is refused by both twins."""
    maps = StimulusDataset(folder, "validation").instances([0])
    for function, argument in ((patch_coverage, maps), (numpy_coverage, maps.numpy())):
        with pytest.raises(InputError, match="patch size 15 does not divide"):
            function(argument, 15, 4)


def test_damaged_shards_raise_our_error_from_workers(folder, tmp_path):
    """A damaged image met by a worker process ends in an error that names the file."""
    import shutil

    copy = shutil.copytree(folder, tmp_path / "copy")
    victim = next((copy / "hdf5").rglob("validation-*.h5"))
    victim.write_bytes(victim.read_bytes()[:5000])
    loader = make_loader(StimulusDataset(copy, "validation"), 8, num_workers=1)
    with pytest.raises(Exception, match="is not a readable shard"):
        list(loader)


def test_loaders_do_not_import_torchvision():
    """Importing the loaders needs torch and nothing of torchvision or timm."""
    code = "import samediff_stimuli.loaders, sys; print({'torchvision', 'timm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_closing_waits_for_nothing():
    """An iteration that is left, or collected as garbage, ends at once though work goes on."""
    go = threading.Event()
    results = ahead(lambda item: item if item == 0 else go.wait(30), iter(range(9)), 2)
    assert next(results) == 0
    began = threading.Thread(target=results.close)
    began.start()
    began.join(10)
    ended = not began.is_alive()
    go.set()
    assert ended
