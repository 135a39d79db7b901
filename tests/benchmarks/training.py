"""What reading costs a training run: `python -m tests.benchmarks.training [--device cuda]`.

The trainer's own step is timed twice in turn: with batches read from a dataset folder, and with one
batch that lies on the device. The model's share of the device is its arithmetic (counted by torch,
forward and backward) over the time, as a part of what one large matrix product reaches in the same
run and precision.
"""

from __future__ import annotations

import dataclasses
import itertools
import platform
import statistics
import tempfile
import time
from pathlib import Path

import click
import torch
from torch.utils.flop_counter import FlopCounterMode

from samediff_stimuli import AlignedOptions, generate, make_recipe
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.models import fitting, zoo
from samediff_stimuli.models.objective import make_objective
from samediff_stimuli.models.train_config import TrainConfig, make_fabric
from samediff_stimuli.models.zoo import ModelSpec
from tests.benchmarks.page import show_page

MODELS = {"cpu": ("small", "cnn"), "cuda": ("small", "cnn", "vit_b32", "vit_b16", "resnet50")}
TURNS = 5


class _Resident:
    """A loader that gives one batch of the real one again and again, on the device."""

    def __init__(self, loader, device):
        self.batches, self.sampler = len(loader), loader.sampler
        self.batch = tuple(part.to(device) for part in next(iter(loader)))

    def __iter__(self):
        return iter([self.batch] * self.batches)


def peak(device, precision, seconds=2.0):
    """Operations a second of a large matrix product: the best of some."""
    side = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if precision == "bf16" and device.type == "cuda" else torch.float32
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        best = max(best, 2 * side**3 / _timed(lambda: one @ other, device))
    return best


def _timed(work, device):
    """Seconds until the work is done on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def measure(folder, config, fabric):
    """Images a second with reading and with a resident batch, and operations an image."""
    data = StimulusDataset(folder, "train")
    model = zoo.assemble(zoo.architecture(config.model, data.manifest), 0)
    objective = make_objective(model, data.manifest)
    images, labels = (part.to(fabric.device) for part in data.batch(range(8)))
    model.to(fabric.device)
    with FlopCounterMode(display=False) as counter:
        objective(images, {"label": labels})["loss"].backward()
    compiled = torch.compile(objective) if config.compile else objective
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=config.lr)
    wrapped, optimizer = fabric.setup(compiled, optimizer)
    epoch = fitting._Epoch(wrapped, optimizer, data, config, fabric, lambda images: None)
    reading, resident = epoch.loader, _Resident(epoch.loader, fabric.device)
    speeds = {"reading": [], "resident": []}
    for turn, (name, loader) in itertools.product(
        range(TURNS + 1), (("reading", reading), ("resident", resident))
    ):
        epoch.loader = loader
        line = epoch.run(turn, [])
        if turn:  # the first warms up, and compiles
            speeds[name].append(line["images_per_second"])
    return speeds, counter.get_total_flops() / 8


@click.command()
@click.option("--device", default="cpu", help="cpu or cuda.")
@click.option("--model", "models", multiple=True, help="Models; default: those of the device.")
@click.option("--images", default=2560, help="Images of an epoch.")
@click.option("--out", type=click.Path(path_type=Path), help="Page to write.")
def main(device, models, images, out):
    """Print the table, and write the page."""
    on_gpu = device != "cpu"
    config = TrainConfig(
        batch_size=128, device=device, precision="bf16" if on_gpu else "32", compile=on_gpu
    )
    fabric = make_fabric(config)
    best = peak(fabric.device, config.precision)
    table = []
    with tempfile.TemporaryDirectory() as folder:
        for patch in (32, 16):
            options = AlignedOptions(patch_size=patch, train=images, validation=0, test=0, ood=0)
            made = Path(folder) / str(patch)
            generate(make_recipe("discrimination", 0, options), made, parquet=False)
        for name in models or MODELS[fabric.device.type]:
            patch = 16 if name.endswith("16") else 32
            chosen = dataclasses.replace(config, model=ModelSpec(name=name))
            speeds, flops = measure(Path(folder) / str(patch), chosen, fabric)
            read, held = (statistics.median(speeds[way]) for way in ("reading", "resident"))
            share = read * flops / best
            what = f"{name}, {flops / 1e9:.2f} G operations an image"
            ours = f"{read:,.0f} images/s, {100 * share:.0f} % of the product's rate"
            table.append([what, ours, f"{held:,.0f} images/s", f"{read / held:.3f}"])
    where = torch.cuda.get_device_name() if on_gpu else f"{torch.get_num_threads()} threads"
    about = (
        f"Made by `python -m tests.benchmarks.training --device {device}` on {where} "
        f"({platform.machine()}), torch {torch.__version__.split('+')[0]}, batch 128, "
        f"{'bfloat16, compiled' if on_gpu else 'float32'}; medians of {TURNS} epochs of "
        f"{images:,} images each way, in turn. Ours: batches read from HDF5; the alternative: one "
        f"batch that lies on the device. One large matrix product reaches {best / 1e12:.2f} "
        "T operations/s here."
    )
    show_page("Training", about, table, out)


if __name__ == "__main__":
    main()
