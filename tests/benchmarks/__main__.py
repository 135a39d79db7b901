"""Speed, size and memory, ours and a plain alternative in the same run: python -m tests.benchmarks.

Absolute figures depend on the machine and on what else it does; the ratios are what to look at.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import psutil
import torch
from torch.utils.data import DataLoader

from samediff_stimuli import AlignedOptions, Recipe, generate, make_recipe, tasks
from samediff_stimuli.engine import available_workers
from samediff_stimuli.loaders import StimulusDataset, StimulusStream, make_loader
from tests.benchmarks.page import show_page
from tests.benchmarks.plain import H5Dataset, generate_plainly, outlines_plainly
from tests.cases import FACTOR_SETS

ROUNDS = 3


def rate(images: int, work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Images per second: the median of some rounds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return images / statistics.median(taken)


class PeakMemory:
    """The largest sum of resident memory of a process and its children while it is open, in MB."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)

    def __enter__(self) -> PeakMemory:
        self.peak, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            total = 0
            for process in (self.process, *self._children()):
                with contextlib.suppress(psutil.Error):  # it may just have ended
                    total += process.memory_info().rss
            self.peak = max(self.peak, total / 1e6)

    def _children(self) -> list[psutil.Process]:
        try:
            return self.process.children(recursive=True)
        except psutil.Error:
            return []


def options(images: int) -> AlignedOptions:
    """All images in three splits, none out of distribution: 19,200 are the paper's 3 x 6,400."""
    part = images // 3 // 4 * 4
    return AlignedOptions(train=images - 2 * part, validation=part, test=part, ood=0)


def generation(table: list[list[str]], folder: Path, images: int) -> None:
    """Making datasets, against a plain loop of numpy, Pillow and h5py."""
    for task in ("discrimination", "rmts"):
        plain = rate(600, lambda task=task: generate_plainly(folder / "plain.h5", task, 600), 1)
        recipe = make_recipe(task, 0, options(images))
        for parquet in (False, True):
            target = folder / f"{task}-{parquet}"

            def once(recipe: Recipe = recipe, target: Path = target) -> None:
                shutil.rmtree(target, ignore_errors=True)
                generate(recipe, target, parquet=target.name.endswith("True"))

            ours = rate(images, once)
            what = f"generate {task}, HDF5" + (" and Parquet" if parquet else "")
            versus = f"{plain:,.0f} (numpy, Pillow, h5py gzip loop)"
            table.append([what, f"{ours:,.0f} images/s", versus, f"{ours / plain:.1f}"])
        made = folder / f"{task}-False"
        size = sum(path.stat().st_size for path in (made / "hdf5").rglob("*.h5")) / images
        plain_size = (folder / "plain.h5").stat().st_size / 600
        row = [f"size of a {task} image in HDF5", f"{size / 1e3:.2f} KB"]
        table.append([*row, f"{plain_size / 1e3:.2f} KB (h5py gzip 4)", f"{size / plain_size:.2f}"])


def every_set(table: list[list[str]], folder: Path) -> None:
    """Every set of the registry at paper size, HDF5 and Parquet, in seconds for 3 x 6,400."""
    (folder / "png").mkdir()
    plain = rate(600, lambda: outlines_plainly(folder / "png", 600), 1)
    for name, task in tasks.registry().items():
        if not task.variants or task.costly or name in FACTOR_SETS:
            continue  # the user's own images, or on a page of its own: rendering.py, grids.py
        for variant in SETS.get(name, [next(iter(task.variants))]):
            recipe = make_recipe(name, 0, task.variants[variant])
            rows = sum(split.rows for split in task.splits(recipe))
            target = folder / "set"
            ours = rate(rows, lambda recipe=recipe: generate(recipe, folder / "set"), 1)
            shutil.rmtree(target)
            what = f"generate {name} {variant}, {rows:,} images, HDF5 and Parquet"
            taken = f"{ours:,.0f} images/s: {19_200 / ours:.1f} s for 3 x 6,400"
            versus = f"{plain:,.0f} (numpy and Pillow: two outlines, PNG files)"
            table.append([what, taken, versus, f"{ours / plain:.1f}"])


SETS = {  # the variant that is slowest to draw, beside the plain one
    "squiggles": ["N", "RS"],
    "alphanumerics": ["N", "RS"],
    "shapes": ["full", "swatch-RS"],
}


def drain(loader: object, limit: int = 10**9) -> int:
    """Go through a loader; the number of images seen."""
    seen = 0
    for images, _ in loader:  # type: ignore[attr-defined]
        seen += len(images)
        if seen >= limit:
            break
    return seen


def loading(table: list[list[str]], folder: Path) -> None:
    """Shuffled reading, against a DataLoader over h5py, on the same file."""
    for task in ("discrimination", "rmts"):
        made = folder / f"{task}-False"
        data = StimulusDataset(made, "train")
        file = next((made / "hdf5").rglob("train-00000*.h5"))
        plain = H5Dataset(file)
        loader = DataLoader(plain, batch_size=64, shuffle=True, num_workers=2)
        theirs = rate(len(plain), lambda loader=loader: drain(loader))
        versus = f"{theirs:,.0f} (DataLoader over h5py, 2 workers)"
        for workers in (0, 2):
            ours_loader = make_loader(data, 64, shuffle=True, num_workers=workers)
            drain(ours_loader)
            ours = rate(4 * len(data), lambda loader=ours_loader: [drain(loader) for _ in range(4)])
            by = f"{workers} worker processes" if workers else "threads"
            row = [f"load {task}, shuffled, batches of 64, {by}"]
            table.append([*row, f"{ours:,.0f} images/s", versus, f"{ours / theirs:.1f}"])
    batch = np.full((64, 224, 224, 3), 7, dtype=np.uint8)
    target = np.empty_like(batch)
    floor = rate(64 * 50, lambda: [np.copyto(target, batch) for _ in range(50)])
    table.append(["copy of decoded images in memory", f"{floor:,.0f} images/s", "", ""])


def streaming(table: list[list[str]]) -> None:
    """Rendering on the fly, once the workers have started."""
    for task in ("discrimination", "rmts"):
        stream = StimulusStream(make_recipe(task, 0), batch_size=64)
        for workers in (0, 2):
            batches = iter(DataLoader(stream, batch_size=None, num_workers=workers))

            def some(batches: Iterator[object] = batches) -> None:
                for _ in range(50):
                    next(batches)

            some()
            row = [f"stream {task}, {workers} worker processes"]
            table.append([*row, f"{rate(3200, some):,.0f} images/s", "", ""])
            del batches


def memory(table: list[list[str]], folder: Path) -> None:
    """Peak memory of `generate` with all its workers, at two sizes."""
    for images in (19_200, 200_000):
        sizes = options(images)
        command = [sys.executable, "-m", "samediff_stimuli.cli", "generate", "--seed", "0"]
        command += ["--task", "discrimination", "--out", str(folder / f"memory-{images}")]
        command += ["--train", str(sizes.train), "--validation", str(sizes.validation)]
        command += ["--test", str(sizes.test), "--ood", "0"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, **quiet) as run, PeakMemory(run.pid) as peak:
            assert run.wait() == 0
        what = f"peak memory, {images:,} images with Parquet"
        table.append([what, f"{peak.peak:,.0f} MB", "", ""])


def start_up(table: list[list[str]]) -> None:
    """Seconds until `--help` is printed."""
    command = [sys.executable, "-m", "samediff_stimuli.cli", "--help"]
    runs = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        runs.append(time.perf_counter() - began)
    bare = [sys.executable, "-c", "pass"]
    began = time.perf_counter()
    subprocess.run(bare, check=True)
    versus = f"{time.perf_counter() - began:.2f} s (bare Python)"
    table.append(["samediff-stimuli --help", f"{statistics.median(runs):.2f} s", versus, ""])


@click.command()
@click.option("--images", default=19_200, show_default=True, help="Images of each dataset.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page there as well.")
@click.option("--no-memory", is_flag=True, help="Leave out the run of 200,000 images.")
def main(images: int, out: Path | None, no_memory: bool) -> None:
    """Print the table of benchmarks."""
    table: list[list[str]] = []
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        generation(table, folder, images)
        every_set(table, folder)
        loading(table, folder)
        streaming(table)
        start_up(table)
        if not no_memory:
            memory(table, folder)
    about = (
        f"`python -m tests.benchmarks --images {images}` on {platform.machine()}, "
        f"{available_workers()} processors, Python {platform.python_version()}, "
        f"NumPy {np.__version__}. Medians of {ROUNDS} rounds; ratio is ours to the alternative's. "
        "[PEERS.md](PEERS.md) has other loading libraries, [SCALE.md](SCALE.md) cost as sets grow."
    )
    show_page("Benchmarks", about, table, out)


if __name__ == "__main__":
    main()
