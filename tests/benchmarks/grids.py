"""How fast grids of factors are made and read: `python -m tests.benchmarks.grids`.

Whole sets, as `samediff-stimuli generate --task NAME --seed 0` makes them, in a process of its own.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

from samediff_stimuli import make_recipe, tasks
from samediff_stimuli.engine import available_workers
from tests.benchmarks.__main__ import PeakMemory
from tests.benchmarks.page import show_page
from tests.cases import FACTOR_SETS

FEW = 2000  # images of the plain loop
READ = """
import sys, time
import numpy as np
began = time.perf_counter()
if sys.argv[1].endswith("npz"):
    with np.load(sys.argv[1]) as data:
        images = data["arr_0"]
    read = lambda rows: images[rows]
    n = len(images)
else:
    from samediff_stimuli.loaders import FactorDataset
    began = time.perf_counter()  # torch is there already where a set is read
    data = FactorDataset(sys.argv[1], "extrapolation_train")
    read, n = lambda rows: data.batch(rows.tolist()), len(data)
rows = np.random.default_rng(0).integers(0, n, 128)
read(rows)
print(time.perf_counter() - began)
"""


def pillow_rate(name: str, folder: Path) -> float:
    """Images a second of a plain loop that saves ready images as PNG files with Pillow."""
    recipe, task = make_recipe(name, 0), tasks.get(name)
    images = task.render(recipe, "grid", task.design(recipe, "grid", 0, FEW))
    began = time.perf_counter()
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(
            folder / f"{number}.png"
        )
    return FEW / (time.perf_counter() - began)


def seconds_to_a_batch(what: Path) -> float:
    """Seconds from opening a set to its first random batch, in a process of its own."""
    words = [sys.executable, "-c", READ, str(what)]
    runs = [subprocess.run(words, check=True, capture_output=True, text=True) for _ in range(3)]
    return min(float(run.stdout) for run in runs)


def measure(name: str, folder: Path, workers: int) -> list[list[str]]:
    """Rows of the table for one set."""
    plain = pillow_rate(name, folder)
    out = folder / name
    words = [sys.executable, "-m", "samediff_stimuli.cli", "generate", "--task", name]
    words += ["--seed", "0", "--out", str(out), "--workers", str(workers)]
    began = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, **quiet) as run, PeakMemory(run.pid) as peak:
        assert run.wait() == 0
    taken = time.perf_counter() - began
    rows = len(tasks.get(name).space(make_recipe(name, 0)))
    size = sum(path.stat().st_size for path in (out / "hdf5").rglob("*.h5")) / rows
    split = "extrapolation_train"
    words = [sys.executable, "-m", "samediff_stimuli.cli", "export", str(out), "--split", split]
    words += ["--split", "extrapolation_test"]
    words += ["--format", "benchmark-npz", "--out", str(folder / f"{name}-npz")]
    subprocess.run(words, check=True, **quiet)
    ours = seconds_to_a_batch(out)
    theirs = seconds_to_a_batch(folder / f"{name}-npz" / f"{name}_{split}_images.npz")
    rate = rows / taken
    return [
        [
            f"generate {name}, {rows:,} images, HDF5 and Parquet",
            f"{taken:.0f} s: {rate:,.0f} images/s",
            f"{plain:,.0f} images/s (Pillow saves ready images as PNG)",
            f"{rate / plain:.1f}",
        ],
        [f"{name}: peak memory, all processes", f"{peak.peak:,.0f} MB", "", ""],
        [f"{name}: size of an image in HDF5", f"{size:,.0f} bytes", "", ""],
        [
            f"{name}: open, read 128 random rows of {split}",
            f"{ours:.2f} s",
            f"{theirs:.2f} s (np.load of the split's npz)",
            f"{theirs / ours:.1f}",
        ],
    ]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the page there as well.")
@click.option("--workers", default=available_workers(), help="Processes.")
@click.argument("names", nargs=-1)
def main(out: Path | None, workers: int, names: tuple[str, ...]) -> None:
    """Print the table of benchmarks of some sets, or all."""
    table = []
    for name in names or FACTOR_SETS:
        with tempfile.TemporaryDirectory() as temporary:
            table += measure(name, Path(temporary), workers)
    about = (
        f"`python -m tests.benchmarks.grids` on {platform.machine()}, {workers} processors, Python "
        f"{platform.python_version()}, NumPy {np.__version__}. Ratio is ours to the alternative's."
    )
    show_page("Benchmarks of grids of factors", about, table, out)


if __name__ == "__main__":
    main()
