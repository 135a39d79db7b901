"""Loading, ours and other libraries' in the same run, on the same images: .ci/peers.

Each peer stores the images as its documentation advises for small uint8 images and reads them
shuffled, in batches of 64, with two worker processes. A peer runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader

from samediff_stimuli import AlignedOptions, generate, make_recipe
from samediff_stimuli.cards.parquet import png_bytes
from samediff_stimuli.loaders import StimulusDataset, make_loader
from samediff_stimuli.models.torchvision_shim import ensure_torchvision
from tests.benchmarks.__main__ import PeakMemory
from tests.benchmarks.page import machine, show_page
from tests.benchmarks.plain import H5Dataset

BATCH, WORKERS, ROUNDS = 64, 2, 3
OURS = "samediff-stimuli"
HEADS = (
    *("what", "written", "a stored image", "first batch", "memory", "read, shuffled"),
    "ours to it",
)


HOW: dict[str, Any] = {
    "batch_size": BATCH,
    "num_workers": WORKERS,
    "persistent_workers": True,
}


class Epochs:
    """Goes through a loader again and again, taking its images and labels from each batch."""

    def __init__(self, loader: Iterable[Any], taken: Callable[[Any], Any]) -> None:
        self.loader, self.taken = loader, taken

    def __iter__(self) -> Iterator[Any]:
        return map(self.taken, self.loader)


def images_of(source: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Every image (224, 224, 3) uint8 of the set, and its label."""
    data = StimulusDataset(source, "train")
    for first in range(0, len(data), BATCH):
        images, labels = data.batch(range(first, min(first + BATCH, len(data))))
        pictures = images.permute(0, 2, 3, 1).contiguous().numpy()
        yield from zip(pictures, labels.tolist(), strict=True)


class Ours:
    """This package: gzip HDF5 shards, `make_loader(num_workers=2)`."""

    workers = WORKERS

    def write(self, source: Path, folder: Path) -> None:
        """The set itself, made anew."""
        data = StimulusDataset(source, "train")
        generate(data.recipe, folder / "set", parquet=False)

    def loader(self, source: Path, folder: Path) -> Iterable[Any]:
        """Each batch is decoded into memory that the processes share."""
        data = StimulusDataset(folder / "set", "train")
        return make_loader(data, BATCH, shuffle=True, num_workers=self.workers)


class OurThreads(Ours):
    """This package: the same shards, `make_loader` as it is by default, with threads."""

    workers = 0


class H5py:
    """h5py: one gzip file, chunks of one image, a map-style dataset in a torch DataLoader."""

    def write(self, source: Path, folder: Path) -> None:
        """gzip level 4, h5py's default."""
        n = len(StimulusDataset(source, "train"))
        with h5py.File(folder / "all.h5", "w") as file:
            shape = (n, 224, 224, 3)
            images = file.create_dataset(
                "image", shape, "uint8", chunks=(1, *shape[1:]), compression="gzip"
            )
            labels = file.create_dataset("label", (n,), "uint8")
            for i, (image, label) in enumerate(images_of(source)):
                images[i], labels[i] = image, label

    def loader(self, source: Path, folder: Path) -> Iterable[Any]:
        """Opened in each worker."""
        data = H5Dataset(folder / "all.h5")
        return DataLoader(data, shuffle=True, **HOW)


class ParquetImages:
    """datasets: Parquet with an Image column, PIL images, `with_transform` and a DataLoader."""

    def write(self, source: Path, folder: Path) -> None:
        """PNG bytes, as `push_to_hub` stores them."""
        import datasets

        rows = list(images_of(source))
        data = datasets.Dataset.from_dict(
            {
                "image": [{"bytes": png_bytes(image), "path": None} for image, _ in rows],
                "label": [label for _, label in rows],
            },
            features=datasets.Features(
                {"image": datasets.Image(), "label": datasets.Value("int64")}
            ),
        )
        data.to_parquet(folder / "train.parquet")

    def loader(self, source: Path, folder: Path) -> Iterable[Any]:
        """Prepared in a cache first."""
        import datasets

        cache = tempfile.mkdtemp()  # nothing prepared is left from another round
        files = {"train": str(folder / "train.parquet")}
        data = datasets.load_dataset("parquet", data_files=files, cache_dir=cache)["train"]

        def decoded(rows: dict[str, Any]) -> dict[str, Any]:
            images = [torch.from_numpy(np.array(image)) for image in rows["image"]]
            return {"image": images, "label": rows["label"]}

        data = data.with_transform(decoded)
        return Epochs(DataLoader(data, shuffle=True, **HOW), itemgetter("image", "label"))


class ArrowArrays:
    """datasets: Arrow with Array3D, `with_format("torch", dtype=uint8)` and a DataLoader."""

    def write(self, source: Path, folder: Path) -> None:
        """Uncompressed arrays on disk, read through a memory map."""
        import datasets

        features = datasets.Features(
            {
                "image": datasets.Array3D((224, 224, 3), "uint8"),
                "label": datasets.Value("int64"),
            }
        )

        def rows() -> Iterator[dict[str, Any]]:
            for image, label in images_of(source):
                yield {"image": image.copy(), "label": label}

        cache = folder / "cache"
        data = datasets.Dataset.from_generator(rows, features=features, cache_dir=str(cache))
        data.save_to_disk(folder / "arrow")
        for path in cache.rglob("*.arrow"):
            path.unlink()

    def loader(self, source: Path, folder: Path) -> Iterable[Any]:
        """Memory-mapped."""
        import datasets

        data = datasets.load_from_disk(folder / "arrow").with_format("torch", dtype=torch.uint8)
        return Epochs(DataLoader(data, shuffle=True, **HOW), itemgetter("image", "label"))


class WebDataset:
    """WebDataset: tar shards of PNG files, a shuffle buffer of 1,000, batched in the workers."""

    def write(self, source: Path, folder: Path) -> None:
        """Shards of 1,600 images."""
        import webdataset

        with webdataset.ShardWriter(str(folder / "%05d.tar"), maxcount=1600, verbose=0) as sink:
            for i, (image, label) in enumerate(images_of(source)):
                sink.write({"__key__": f"{i:07d}", "png": png_bytes(image), "cls": label})

    def loader(self, source: Path, folder: Path) -> Iterable[Any]:
        """WebLoader, decoded to uint8 arrays."""
        import webdataset

        tars = sorted(map(str, folder.glob("*.tar")))
        data = (
            webdataset.WebDataset(tars, shardshuffle=len(tars), seed=0)
            .shuffle(1000)
            .decode("rgb8")
            .to_tuple("png", "cls")
            .batched(BATCH)
        )
        return webdataset.WebLoader(data, **HOW | {"batch_size": None})


class LitData:
    """LitData: optimised chunks of 64 MB, StreamingDataset and StreamingDataLoader."""

    def write(self, source: Path, folder: Path) -> None:
        """Uint8 tensors; no compression, which slows its reading."""
        import litdata

        data = StimulusDataset(source, "train")
        litdata.optimize(
            fn=partial(_lit_sample, data),
            inputs=list(range(len(data))),
            output_dir=str(folder / "lit"),
            chunk_bytes="64MB",
            num_workers=WORKERS,
            verbose=False,
        )

    def loader(self, source: Path, folder: Path) -> Iterable[Any]:
        """Its own loader."""
        import litdata

        data = litdata.StreamingDataset(str(folder / "lit"), shuffle=True, seed=0)
        return litdata.StreamingDataLoader(data, **HOW)


def _lit_sample(data: StimulusDataset, index: int) -> tuple[torch.Tensor, int]:
    image, label = data[index]
    return image.clone(), label


class Mosaic:
    """MosaicML Streaming: MDS shards of 64 MB with zstd, StreamingDataset and a DataLoader."""

    def write(self, source: Path, folder: Path) -> None:
        """Arrays of a declared shape."""
        from streaming import MDSWriter

        columns = {"image": "ndarray:uint8:224,224,3", "label": "int"}
        with MDSWriter(out=str(folder / "mds"), columns=columns, compression="zstd") as out:
            for image, label in images_of(source):
                out.write({"image": image, "label": label})

    def loader(self, source: Path, folder: Path) -> Iterable[Any]:
        """Its default shuffle; shards are unpacked beside the packed ones when first read."""
        from streaming import StreamingDataset
        from streaming.base.util import clean_stale_shared_memory

        clean_stale_shared_memory()
        data = StreamingDataset(
            local=str(folder / "mds"), shuffle=True, batch_size=BATCH, shuffle_seed=0
        )
        return Epochs(DataLoader(data, **HOW), itemgetter("image", "label"))


PEERS: dict[str, Callable[[], Any]] = {
    OURS: Ours,
    "samediff-stimuli, threads": OurThreads,
    "DataLoader over h5py": H5py,
    "datasets, Parquet": ParquetImages,
    "datasets, Arrow": ArrowArrays,
    "WebDataset": WebDataset,
    "LitData": LitData,
    "MosaicML Streaming": Mosaic,
}


def measure(name: str, source: Path) -> dict[str, float]:
    """Images a second written and read, bytes an image, seconds to the first batch, MB."""
    torch.set_num_threads(1)
    ensure_torchvision()  # some peers import it
    peer, n = PEERS[name](), len(StimulusDataset(source, "train"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        began = time.perf_counter()
        peer.write(source, folder)
        written = n / (time.perf_counter() - began)
        n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        began = time.perf_counter()
        loader = peer.loader(source, folder)
        next(iter(loader))
        first = time.perf_counter() - began
        passes = [_seconds(loader, n) for _ in range(1 + ROUNDS)][1:]
        with PeakMemory(os.getpid()) as peak:  # in a pass that is not timed
            _seconds(loader, n)
    read = n / statistics.median(passes)
    found = {"written": written, "bytes": n_bytes / n, "first": first, "read": read}
    return found | {"memory": peak.peak}


def _seconds(loader: Iterable[Any], n: int) -> float:
    """How long a pass takes; each of the n images has to come."""
    began, seen = time.perf_counter(), 0
    for images, _labels in loader:
        seen += len(images)
    assert seen == n, f"{seen} of {n} images"
    return time.perf_counter() - began


@click.command()
@click.option("--images", default=25_600, show_default=True, help="Images of the set.")
@click.option("--only", type=click.Choice(list(PEERS)), help="One peer; prints JSON.")
@click.option("--source", type=click.Path(path_type=Path), hidden=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the page there as well.")
def main(images: int, only: str | None, source: Path | None, out: Path | None) -> None:
    """Print the table of loading libraries."""
    if only and source:
        click.echo(json.dumps(measure(only, source)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "set"
        options = AlignedOptions(train=images, validation=0, test=0, ood=0)
        generate(make_recipe("discrimination", 0, options), source, parquet=False)
        found = {}
        for name in [only] if only else PEERS:
            words = ["-m", "tests.benchmarks.peers", "--only", name, "--source", str(source)]
            done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True)
            if done.returncode == 0:
                found[name] = json.loads(done.stdout.splitlines()[-1])
            else:
                click.echo(f"{name}: failed", err=True)
    ours = found[OURS]["read"]
    table = [
        [
            f"{name}: {(PEERS[name].__doc__ or '').split(': ', 1)[1].rstrip('.')}",
            f"{one['written']:,.0f} images/s",
            f"{one['bytes'] / 1e3:.1f} KB",
            f"{one['first']:.2f} s",
            f"{one['memory']:,.0f} MB",
            f"{one['read']:,.0f} images/s",
            f"{ours / one['read']:.1f}",
        ]
        for name, one in found.items()
    ]
    about = (
        f"`python -m tests.benchmarks.peers --images {images}` {machine()}: discrimination images, "
        f"224 x 224, shuffled, batches of {BATCH}; peers read with {WORKERS} worker processes. "
        f"Medians of {ROUNDS} passes, once each loader has started; memory is the largest sum over "
        "a loader's processes, what they share counted in each."
    )
    show_page("Loading, beside other libraries", about, table, out, HEADS)


if __name__ == "__main__":
    main()
