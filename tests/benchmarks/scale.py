"""Cost as sets grow, up to a million images: `python -m tests.benchmarks.scale`.

Every step runs in a process of its own; memory is the largest sum over the process and its workers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from samediff_stimuli.models.figures import save
from tests.benchmarks.__main__ import PeakMemory
from tests.benchmarks.page import machine, show_page

HEADS = (
    *("images", "generate", "memory", "size", "verify", "memory "),
    *("opened, one image", "read, shuffled", "memory  "),
)
READ = """
import json, sys, time
import torch
from samediff_stimuli.loaders import StimulusDataset, make_loader
torch.set_num_threads(1)
began = time.perf_counter()
data = StimulusDataset(sys.argv[1], "train")
data[len(data) // 2]
opened = time.perf_counter() - began
began = time.perf_counter()
seen = sum(len(images) for images, _ in make_loader(data, 64, shuffle=True))
assert seen == len(data)
print(json.dumps({"opened": opened, "read": time.perf_counter() - began}))
"""


def timed(words: list[str]) -> tuple[float, float, str]:
    """Seconds, MB and standard output of a command of Python's."""
    began = time.perf_counter()
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, *words], **pipes) as run, PeakMemory(run.pid) as peak:
        out, _ = run.communicate()
    assert run.returncode == 0, words
    return time.perf_counter() - began, peak.peak, out


def measure(n: int, folder: Path) -> dict[str, float]:
    """Seconds, MB and bytes of a set of n images."""
    command = ["-m", "samediff_stimuli.cli"]
    sizes = ["--train", str(n), "--validation", "0", "--test", "0", "--ood", "0"]
    make = ["generate", "--task", "discrimination", "--seed", "0", "--no-parquet"]
    made, made_mb, _ = timed([*command, *make, *sizes, "--out", str(folder)])
    verified, verified_mb, _ = timed([*command, "verify", str(folder)])
    n_bytes = sum(path.stat().st_size for path in folder.rglob("*.h5"))
    _, read_mb, out = timed(["-c", READ, str(folder)])
    found = {"n": n, "made": made, "made_mb": made_mb, "bytes": n_bytes, "read_mb": read_mb}
    return found | {"verified": verified, "verified_mb": verified_mb} | json.loads(out)


def draw(found: list[dict[str, float]], path: Path) -> None:
    """Seconds of each step against the number of images, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    sizes = [each["n"] for each in found]
    steps = {"made": "generate", "verified": "verify", "read": "read", "opened": "open"}
    for (name, label), marker in zip(steps.items(), "osD^", strict=True):
        axes.loglog(sizes, [each[name] for each in found], marker=marker, label=label)
    axes.set_xlabel("images")
    axes.set_ylabel("seconds")
    axes.set_title("discrimination, 224 x 224 pixels")
    axes.grid(which="major", alpha=0.3)
    axes.legend()
    save(figure, path)


def row(each: dict[str, float]) -> list[str]:
    """A line of the table."""
    n = each["n"]

    def step(name: str) -> str:
        return f"{each[name]:.1f} s, {n / each[name]:,.0f} images/s"

    def memory(name: str) -> str:
        return f"{each[name]:,.0f} MB"

    return [
        f"{n:,}",
        *(step("made"), memory("made_mb"), f"{each['bytes'] / 1e6:,.1f} MB"),
        *(step("verified"), memory("verified_mb")),
        *(f"{each['opened']:.3f} s", step("read"), memory("read_mb")),
    ]


@click.command()
@click.option("--largest", default=1_000_000, show_default=True, help="Images of the largest set.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page and a figure there.")
def main(largest: int, out: Path | None) -> None:
    """Print the table of costs."""
    found = []
    for power in range(3, -1, -1):
        with tempfile.TemporaryDirectory() as temporary:
            n = largest // 10**power // 2 * 2
            found.append(measure(n, Path(temporary) / "set"))
            shutil.rmtree(Path(temporary) / "set")
            click.echo(" | ".join(row(found[-1])), err=True)
    about = (
        f"`python -m tests.benchmarks.scale --largest {largest}` {machine()}. HDF5 alone; each "
        "step in a fresh process, whose start counts but for open and read; memory of all workers."
    )
    if out is not None:
        draw(found, out.with_suffix(".png"))
        about += f"\n\n![Seconds against images]({out.stem}.png)"
    show_page("Cost as sets grow", about, [row(each) for each in found], out, HEADS)


if __name__ == "__main__":
    main()
