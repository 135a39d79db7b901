"""How fast and how large exports are: `python -m tests.benchmarks.exports`.

The alternatives are what one would write without this package: a loop over the images of the HDF5
shard that hands them to Pillow and to the format's own library.
"""

from __future__ import annotations

import io
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import h5py
import numpy as np
import webdataset
from datasets import ClassLabel, Dataset, Features, Image, Value, disable_progress_bars
from PIL import Image as Pictures

from samediff_stimuli import AlignedOptions, export, generate, make_recipe
from samediff_stimuli.cards import exports
from samediff_stimuli.engine import available_workers
from tests.benchmarks.page import show_page

ROWS = 6400  # a split of the paper's


def files(folder: Path) -> Iterator[h5py.File]:
    """The open shards of a dataset folder, in order."""
    for path in sorted(folder.glob("hdf5/*/*.h5")):
        with h5py.File(path) as file:
            yield file


def samples(folder: Path) -> Iterator[tuple[int, bytes, int]]:
    """Number, PNG file by Pillow and label of each row."""
    number = 0
    for file in files(folder):
        labels = file["label"][:].tolist()
        for row, label in enumerate(labels):
            buffer = io.BytesIO()
            Pictures.fromarray(file["image"][row]).save(buffer, "PNG")
            yield number, buffer.getvalue(), label
            number += 1


def png_plainly(folder: Path, out: Path) -> None:
    """Folders of classes by Pillow."""
    for label in (0, 1):
        (out / str(label)).mkdir(parents=True)
    for number, png, label in samples(folder):
        (out / str(label) / f"{number:07d}.png").write_bytes(png)


def tar_plainly(folder: Path, out: Path) -> None:
    """One tar file by webdataset's writer; only the label as JSON."""
    out.mkdir()
    with webdataset.TarWriter(str(out / "test-000000.tar")) as writer:
        for number, png, label in samples(folder):
            about = json.dumps({"index": number, "label": label})
            writer.write({"__key__": f"{number:07d}", "png": png, "json": about, "cls": label})


def parquet_plainly(folder: Path, out: Path) -> None:
    """One Parquet file by datasets; only the label as a column."""
    out.mkdir()
    names = ClassLabel(names=["different", "same"])
    features = Features({"image": Image(), "index": Value("int64"), "label": names})

    def rows() -> Iterator[dict[str, object]]:
        for number, png, label in samples(folder):
            yield {"image": {"bytes": png, "path": None}, "index": number, "label": label}

    made = Dataset.from_generator(rows, features=features, cache_dir=str(out / "cache"))
    made.to_parquet(str(out / "test.parquet"))


def npy_plainly(folder: Path, out: Path) -> None:
    """All images in memory, then one npy file."""
    out.mkdir()
    np.save(out / "images.npy", np.concatenate([file["image"][:] for file in files(folder)]))


PLAIN: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "png": ("Pillow, without tables", png_plainly),
    "parquet": ("Pillow and datasets, label alone", parquet_plainly),
    "webdataset": ("Pillow and webdataset.TarWriter, label alone", tar_plainly),
    "numpy": ("h5py and np.save, all in memory, without columns", npy_plainly),
}


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def size(folder: Path) -> float:
    """MB of the files in a folder, but those of a library's cache."""
    found = (p for p in folder.rglob("*") if p.is_file() and "cache" not in p.parts)
    return sum(path.stat().st_size for path in found) / 1e6


def measure(name: str, folder: Path, scratch: Path) -> list[str]:
    """A row of the table for one format."""
    out = scratch / name
    ours = seconds(lambda: export(folder, out, name))
    cell = f"{ours:.2f} s, {size(out):,.1f} MB"
    if name not in PLAIN:
        return [f"`{name}`", cell, "", ""]
    about, work = PLAIN[name]
    theirs = seconds(lambda: work(folder, scratch / f"{name}-plain"))
    plain = f"{theirs:.2f} s, {size(scratch / f'{name}-plain'):,.1f} MB ({about})"
    return [f"`{name}`", cell, plain, f"{theirs / ours:.1f}"]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the page there as well.")
def main(out: Path | None) -> None:
    """Print the table of benchmarks."""
    disable_progress_bars()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        options = AlignedOptions(train=0, validation=0, test=ROWS, ood=0)
        generate(make_recipe("rmts", 0, options), scratch / "set", parquet=False)
        names = [name for name in exports.MODULES if name != "benchmark-npz"]  # for grids alone
        table = [measure(name, scratch / "set", scratch) for name in names]
        stored = size(scratch / "set" / "hdf5")
    about = (
        f"`python -m tests.benchmarks.exports` on {platform.machine()}, {available_workers()} "
        f"processors, Python {platform.python_version()}: {ROWS:,} stimuli of `rmts`, "
        f"{stored:,.1f} MB in HDF5, without a mirror to copy; `trials` shows 96 of them. Ratio is "
        "the alternative's time to ours."
    )
    show_page("Benchmarks of exports", about, table, out)


if __name__ == "__main__":
    main()
