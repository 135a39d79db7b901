"""How soon a published dataset is there: `python -m tests.benchmarks.hub`.

Each set is made with one split of 6,400 images, published to a Hub on loopback, and loaded in
processes of their own with an empty cache; libraries are imported before the clock starts. The
alternative is the same pictures as PNG files of Pillow's in a folder of classes, or the set's HDF5
shards read by `load_dataset("hdf5", ...)`.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import click

from samediff_stimuli import generate, make_recipe, tasks
from samediff_stimuli.cards.publishing import plan
from samediff_stimuli.manifest import Manifest
from tests import hub
from tests.benchmarks.page import show_page

ROWS, RUNS = 6400, 3
REPO = "org/bench"
BOUNDS = {"stream": 2.0, "prepare": 2.0, "size": 1.5}  # seconds, seconds, Parquet to HDF5
SIZES = {
    "discrimination": {"train": ROWS, "validation": 0, "test": 0, "ood": 0},
    "rmts": {"train": ROWS, "validation": 0, "test": 0, "ood": 0},
    "squiggles": {"train": ROWS, "validation": 0, "test": 0},
    "alphanumerics": {"train": ROWS, "validation": 0, "test": 0},
    "shapes": {"train": ROWS, "validation": 0, "test": 0},
}
LOADS = {
    "stream": "next(iter(load_dataset(repo, name, split='train', streaming=True)))['image'].load()",
    "prepare": "load_dataset(repo, name, split='train')",
    "from_hub": "from_hub(repo, name, 'train').batch(range(128))",
    "hdf5": "next(iter(load_dataset('hdf5', data_files=files, split='train', streaming=True)))",
}
TIMED = """
import json, sys, time
import torch, pyarrow.parquet, h5py, PIL.PngImagePlugin
import datasets.packaged_modules.parquet.parquet
from datasets import load_dataset
from samediff_stimuli.loaders import from_hub
repo, name, files = sys.argv[1:]
began = time.perf_counter()
{load}
print("seconds", time.perf_counter() - began)
"""


def seconds(load: str, url: str, name: str, files: str, runs: int = RUNS) -> float:
    """The least seconds of some runs that load a config with an empty cache."""
    taken = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as home:
            words = [sys.executable, "-c", TIMED.format(load=LOADS[load]), REPO, name, files]
            found = os.environ | hub.environment(url, home, token=None)
            done = subprocess.run(words, env=found, check=True, capture_output=True, text=True)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("seconds")]
        taken.append(float(line.split()[1]))
    return min(taken)


def publish(folder: Path, url: str, home: Path) -> None:
    """Publish a folder in a process of its own."""
    words = [sys.executable, "-m", "samediff_stimuli.cli", "publish", str(folder)]
    found = os.environ | hub.environment(url, home)
    subprocess.run([*words, "--repo-id", REPO], env=found, check=True, stdout=subprocess.DEVNULL)


def sizes(made: Manifest) -> tuple[int, int]:
    """Bytes of the HDF5 shards and of their mirrors."""
    mirrors = [shard.mirror.n_bytes for shard in made.shards if shard.mirror]
    return sum(shard.file.n_bytes for shard in made.shards), sum(mirrors)
