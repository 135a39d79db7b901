"""Interchange accuracy by layer, as lines: a panel for each property."""

from __future__ import annotations

from pathlib import Path

from samediff_stimuli.models import figures
from samediff_stimuli.models.interchange_report import KINDS, InterchangeReport

# Each has a marker of its own.
_LOOKS = {
    "das": (figures.BLUE, "o", "-"),
    "full": (figures.ORANGE, "s", "--"),
    "wrong": (figures.PINK, "D", "-"),
    "none": (figures.GREY, "^", ":"),
}
_NAMES = {"shape": "shape", "color": "colour"}


def lines(report: InterchangeReport, path: Path) -> None:
    """Write a PNG of the first split's kept rows; bands are 95 % intervals.

    Args:
        report: what is drawn.
        path: ends in .png.

    Raises:
        InputError: if matplotlib is not installed.
    """
    split, factors = next(iter(report.rows.items()))
    figure = figures.figure(2.2 + 3.4 * len(factors), 3.6)
    panels = figure.subplots(1, len(factors), sharey=True, squeeze=False)[0]
    for axes, factor in zip(panels, factors, strict=True):
        for kind, (colour, marker, style) in _LOOKS.items():
            shares = report.of(split, factor, kind)
            at = [share.layer for share in shares]
            found = [share.kept for share in shares]
            axes.plot(
                at,
                [each.value for each in found],
                style,
                label=KINDS[kind],
                color=colour,
                marker=marker,
                markersize=5,
                linewidth=1.8,
                clip_on=False,
            )
            low = [each.value if each.low is None else each.low for each in found]
            high = [each.value if each.high is None else each.high for each in found]
            axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.set(xlabel="layer", title=_NAMES[factor], ylim=(0, 1))
        axes.set_xticks(at)
        figures.plain(axes, lines=True)
    panels[0].set_ylabel("answers that are the target")
    panels[-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(
        f"Interchange interventions by layer\n{report.model} on {report.dataset}, {split}",
        fontsize=9.5,
    )
    figures.save(figure, path)
