"""Pictures of attention patterns: a heat map of layers and heads, and lines by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from samediff_stimuli.models import figures
from samediff_stimuli.models.attention_report import AttentionReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Each has a marker of its own.
_LINES = {
    "within_object": ("WO, within object", figures.BLUE, "o"),
    "within_pair": ("WP, within pair", figures.VERMILION, "s"),
    "between_pair": ("BP, between pairs", figures.PINK, "D"),
    "background": ("BG, background", figures.GREY, "^"),
}


def heat_map(report: AttentionReport, path: Path) -> None:
    """Write a PNG: the local-global score of every head, 0 local (dark) to 1 global (bright).

    Args:
        report: what is drawn.
        path: ends in .png.

    Raises:
        InputError: if matplotlib is not installed.
    """
    values = report.means["local_global"].T  # heads by layers
    heads, layers = values.shape
    figure = figures.figure(2.6 + 0.42 * max(layers, 9), 1.7 + 0.32 * heads)
    axes = figure.subplots()
    shown = axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower")
    axes.set(xlabel="layer", ylabel="head")
    axes.set_xticks(range(layers), [str(layer + 1) for layer in range(layers)])
    axes.set_yticks(range(heads), [str(head) for head in range(heads)])
    axes.set_xticks([at - 0.5 for at in range(1, layers)], minor=True)
    axes.set_yticks([at - 0.5 for at in range(1, heads)], minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(shown, ax=axes, extend="max" if values.max() > 1 else "neither", pad=0.02)
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0 local", ".25", ".5", ".75", "1 global"])
    bar.outline.set_visible(False)
    _title(figure, "How far each head looks: 0 within objects, 1 away from them", report)
    figures.save(figure, path)


def lines(report: AttentionReport, path: Path) -> None:
    """Write a PNG: the largest score of each layer's heads, a line for each kind of attention.

    Args:
        report: what is drawn.
        path: ends in .png.

    Raises:
        InputError: if matplotlib is not installed.
    """
    largest = report.by_layer()
    layers = len(largest["background"])
    figure = figures.figure(7.6, 4.0)
    axes = figure.subplots()
    at = range(1, layers + 1)
    for name, (label, colour, marker) in _LINES.items():
        if name in largest:
            axes.plot(
                at,
                largest[name],
                label=label,
                color=colour,
                marker=marker,
                markersize=5,
                linewidth=1.8,
            )
    drawn = [largest[name] for name in _LINES if name in largest]
    low = min(0.0, *(float(values.min()) for values in drawn))
    axes.set(xlabel="layer", ylabel="share of attention, largest of heads", ylim=(low - 0.02, 1.02))
    axes.set_xticks(at)
    figures.plain(axes, lines=True)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _title(figure, "Where objects' tokens look", report)
    figures.save(figure, path)


def _title(figure: Figure, what: str, report: AttentionReport) -> None:
    """What is shown, and below it of which model and images."""
    images = " + ".join(f"{count} {label}" for label, count in report.images.items())
    whose = f"{report.model} on {report.dataset}, {report.split}: {images} images"
    form = "" if report.form == "paper" else ", the authors' code's form"
    figure.suptitle(f"{what}{form}\n{whose}", fontsize=9.5)
