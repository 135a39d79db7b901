"""How soon a published dataset is there: `python -m tests.benchmarks.hub`.

Each set has one split of 6,400 images. It is published to a Hub on loopback, and loaded in
processes of their own, each with an empty cache; the clock starts when the libraries are imported.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import click

from samediff_stimuli import generate, make_recipe, tasks
from samediff_stimuli.engine import available_workers
from samediff_stimuli.manifest import Manifest
from tests import hub
from tests.benchmarks.page import show_page

ROWS, RUNS = 6400, 3
REPO = "org/bench"
SETS = ("discrimination", "rmts", "squiggles")
NONE = ("validation", "test", "ood")  # splits that are left out
FIRST = "next(iter(load_dataset({}, split='train', streaming=True)))"
LOADS = {
    "stream": FIRST.format("repo, name") + "['image'].load()",
    "prepare": "load_dataset(repo, name, split='train')",
    "from_hub": "from_hub(repo, name, 'train').batch(range(128))",
    "stream hdf5": FIRST.format("'hdf5', data_files=files"),
}
TIMED = """
import sys, time
import torch, pyarrow.parquet, h5py, PIL.PngImagePlugin
from datasets import load_dataset
import datasets.packaged_modules
from samediff_stimuli.loaders import from_hub
import huggingface_hub.hf_file_system, huggingface_hub.file_download
repo, name, files = sys.argv[1:]
wall, cpu = time.perf_counter(), time.process_time()
{load}
print("seconds", time.perf_counter() - wall, time.process_time() - cpu)
"""


def seconds(load: str, url: str, name: str, runs: int = RUNS) -> tuple[float, float]:
    """Wall and processor seconds of the fastest of some runs that load a config anew."""
    taken = []
    files = f"hf://datasets/{REPO}/hdf5/{name}/train-*.h5"
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as home:
            words = [sys.executable, "-c", TIMED.format(load=LOADS[load]), REPO, name, files]
            found = os.environ | hub.environment(url, home, token=None)
            done = subprocess.run(words, env=found, check=True, capture_output=True, text=True)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("seconds")]
        wall, cpu = map(float, line.split()[1:])
        taken.append((wall, cpu))
    return min(taken)


def publish(folder: Path, url: str, home: Path) -> None:
    """Publish a folder in a process of its own."""
    words = [sys.executable, "-m", "samediff_stimuli.cli", "publish", str(folder)]
    found = os.environ | hub.environment(url, home)
    words += ["--repo-id", REPO]
    subprocess.run(words, env=found, check=True, stdout=subprocess.DEVNULL)


def sizes(made: Manifest) -> tuple[int, int]:
    """Bytes of the HDF5 shards and of their mirrors."""
    mirrors = [shard.mirror.n_bytes for shard in made.shards if shard.mirror]
    return sum(shard.file.n_bytes for shard in made.shards), sum(mirrors)


def told(taken: tuple[float, float]) -> str:
    """Seconds of a run for the table."""
    return f"{taken[0]:.2f} s ({taken[1]:.2f} s of a processor)"


def measure(task: str, folder: Path, url: str) -> list[list[str]]:
    """Rows of the table for one set."""
    make = tasks.get(task).options
    rows = {"train": ROWS} | {name: 0 for name in NONE if name in make.names()}
    made = generate(make_recipe(task, 0, make(**rows)), folder / task)
    name, (hdf5, parquet) = made.name, sizes(made)
    publish(folder / task, url, folder / "home")
    stream, plain = seconds("stream", url, name), seconds("stream hdf5", url, name, 1)
    prepare = seconds("prepare", url, name)
    fetched = seconds("from_hub", url, name)
    return [
        [
            f"{name}: load_dataset, streaming, to the first image (bound 2 s)",
            told(stream),
            f"{told(plain)}: its HDF5 files",
            f"{plain[0] / stream[0]:.1f}",
        ],
        [
            f"{name}: load_dataset prepares {ROWS:,} images (bound 2 s)",
            told(prepare),
            "",
            "",
        ],
        [
            f"{name}: from_hub, fetched, hashed, to the first batch of 128",
            told(fetched),
            "",
            "",
        ],
        [
            f"{name}: Parquet, bytes an image (bound 1.5 times the HDF5's)",
            f"{parquet / ROWS:,.0f}",
            f"{hdf5 / ROWS:,.0f}: HDF5",
            f"{parquet / hdf5:.2f}",
        ],
    ]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the page there as well.")
@click.argument("names", nargs=-1)
def main(out: Path | None, names: tuple[str, ...]) -> None:
    """Print the table for some sets, or three."""
    table = []
    with tempfile.TemporaryDirectory() as temporary, hub.running() as served:
        for name in names or SETS:
            table += measure(name, Path(temporary), served.url)
    about = (
        f"`python -m tests.benchmarks.hub` on {platform.machine()}, {available_workers()} "
        f"processors, Python {platform.python_version()}, datasets {version('datasets')}, "
        f"huggingface_hub {version('huggingface_hub')}. The fastest of {RUNS} runs; the "
        "alternative of one. Ratio is the alternative's to ours; of sizes, Parquet's to HDF5's."
    )
    show_page("Benchmarks of the Hub", about, table, out)


if __name__ == "__main__":
    main()
