"""What a training run shows of itself: a plot of its learning curve, and TensorBoard's events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from samediff_stimuli.models import figures
from samediff_stimuli.recipe import InputError

Line = Mapping[str, float]  # what the log says of an epoch

_ABSENT = "tensorboard is not installed; pip install 'samediff-stimuli[train]'"
_NOT_CURVES = ("epoch", "step", "seconds")


def plot(lines: Sequence[Line], path: Path, title: str = "") -> bool:
    """Write a PNG: accuracy and loss by epoch.

    Args:
        lines: of the log.
        path: ends in .png.
        title: above the plots.

    Returns:
        Whether it was written: not without matplotlib.
    """
    if not figures.there():
        return False
    figure = figures.figure(9, 3.6, dpi=120)
    left, right = figure.subplots(1, 2)
    epochs = [line["epoch"] + 1 for line in lines]
    for name, colour in (("train", "#8a8f98"), ("validation", "#0b6e99")):
        left.plot(epochs, [line[name] for line in lines], color=colour, label=name, marker=".")
    left.axhline(0.5, color="#b9bdc4", linestyle=":", linewidth=1)
    left.set(xlabel="epoch", ylabel="accuracy", ylim=(0.45, 1.01))
    left.legend(frameon=False, loc="lower right")
    auxiliary = [name for name in lines[0] if name.startswith("loss_")]
    colours = ("#b3541e", "#5b7f2b", "#6b4c9a", "#8a8f98")
    for name, colour in zip(("loss", *auxiliary), colours, strict=False):
        label = name.removeprefix("loss_").replace("loss", "all")
        right.plot(epochs, [line[name] for line in lines], color=colour, label=label, marker=".")
    right.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    if auxiliary:
        right.legend(frameon=False)
    for axes in (left, right):
        figures.plain(axes)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title)
    figures.save(figure, path)
    return True


def tensorboard() -> Callable[[str], Any]:
    """What opens a writer of TensorBoard's event files in a folder; a with statement closes it.

    Raises:
        InputError: if tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(_ABSENT) from None
    return SummaryWriter


def add(writer: Any, line: Line) -> None:
    """Give TensorBoard what the log says of an epoch."""
    for name, value in line.items():
        if name not in _NOT_CURVES:
            writer.add_scalar(name, value, int(line["epoch"]))
    writer.flush()
