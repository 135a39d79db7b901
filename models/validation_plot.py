"""The picture of a validation: learning curves, and what was reached on every split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samediff_stimuli.models import figures

_GREY = "#8a8f98"
_LOWEST = -0.2  # of R2; what lies below is drawn there


def plot(report: Mapping[str, Any], path: Path) -> bool:
    """Write a PNG: a row for each recipe, with curves, and values with 95 % intervals by split.

    Args:
        report: what validation.json holds.
        path: ends in .png.

    Returns:
        Whether it was written: not without matplotlib, nor if nothing was trained.
    """
    trained = {name: each["runs"] for name, each in report["recipes"].items() if each["runs"]}
    if not trained or not figures.there():
        return False
    splits = max(len(_splits(runs)) for runs in trained.values())
    wide = 4.2 + max(4.0, 1.0 * splits)
    figure = figures.figure(wide, 3.7 * len(trained), dpi=110)
    ratios = [4.2, wide - 4.2]
    grid = figure.subplots(len(trained), 2, squeeze=False, width_ratios=ratios)
    for (left, right), (name, runs) in zip(grid, trained.items(), strict=True):
        _curves(left, runs)
        _values(right, runs)
        left.set_title(f"recipe {name}", loc="left", fontsize=10)
        for axes in (left, right):
            figures.plain(axes)
    figure.suptitle(report["dataset"], fontsize=11)
    figures.save(figure, path)
    return True


def _splits(runs: Mapping[str, Any]) -> list[str]:
    """Every split that some run was tested on."""
    return list(dict.fromkeys(split for run in runs.values() for split in run["splits"]))


def _curves(axes: Any, runs: Mapping[str, Any]) -> None:
    """Accuracy on train (thin) and validation by epoch; of factors, the loss by step."""
    by_loss = any("partition" in line for run in runs.values() for line in run["curve"])
    number = 0
    for name, run in runs.items():
        if by_loss:
            for partition in dict.fromkeys(line["partition"] for line in run["curve"]):
                lines = [line for line in run["curve"] if line["partition"] == partition]
                steps, losses = [x["step"] for x in lines], [x["loss"] for x in lines]
                colour = figures.COLOURS[number % len(figures.COLOURS)]
                axes.plot(steps, losses, color=colour, marker=".", label=partition)
                number += 1
            continue
        colour = figures.COLOURS[number % len(figures.COLOURS)]
        epochs = [line["epoch"] + 1 for line in run["curve"]]
        kwargs = {"color": colour, "marker": "." if len(epochs) < 40 else ""}
        axes.plot(epochs, [line["validation"] for line in run["curve"]], label=name, **kwargs)
        axes.plot(
            epochs, [line["train"] for line in run["curve"]], color=colour, linewidth=0.8, alpha=0.6
        )
        number += 1
    if by_loss:
        axes.set(xlabel="step", ylabel="loss", yscale="log")
    else:
        axes.axhline(0.5, color=_GREY, linestyle=":", linewidth=1)
        axes.set(xlabel="epoch (thin: train)", ylabel="accuracy on validation", ylim=(0.4, 1.02))
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8, loc="upper right" if by_loss else "lower right")


def _values(axes: Any, runs: Mapping[str, Any]) -> None:
    """A point with its interval for each run and split, the bounds, and what was reached before."""
    splits, measure = _splits(runs), next(iter(runs.values()))["measure"]
    is_r2 = measure != "accuracy"
    low = _LOWEST if is_r2 else 0.4
    step = min(0.3, 0.75 / max(1, len(runs)))
    shown = set()
    for number, (name, run) in enumerate(runs.items()):
        colour, offset = (
            figures.COLOURS[number % len(figures.COLOURS)],
            (number - (len(runs) - 1) / 2) * step,
        )
        for place, split in enumerate(splits):
            x = place + offset
            found, before = run["splits"].get(split), run["expected"].get(split)
            if before is not None:
                label = "" if "before" in shown else "reached before"
                shown.add("before")
                y = max(before, low)
                axes.plot(x, y, "D", mfc="none", mec=_GREY, markersize=7, label=label, zorder=2)
            if found is not None and found["value"] is not None:
                label = "" if name in shown else name
                shown.add(name)
                _point(axes, x, found, low, colour, label, numbered=len(runs) == 1)
        for gate in run["gates"]:
            split = gate["gate"].split(" ")[0]
            if split not in splits:
                continue
            for bound in (gate["low"], gate["high"]):
                if bound is not None:
                    label = "" if "bound" in shown else "bound"
                    shown.add("bound")
                    x = splits.index(split) + offset
                    ends = [x - 0.45 * step, x + 0.45 * step]
                    axes.plot(ends, [bound] * 2, color=colour, lw=2, label=label, zorder=4)
    chance = 0.0 if is_r2 else 0.5
    axes.axhline(chance, color=_GREY, linestyle=":", linewidth=1)
    words = [split.replace("_", "\n") for split in splits]
    axes.set_xticks(range(len(splits)), words, fontsize=8)
    axes.set(ylim=(low - 0.02, 1.04), xlim=(-0.6, len(splits) - 0.4))
    what = "R² (dotted: answering the mean)" if is_r2 else "accuracy (dotted: chance)"
    axes.set_ylabel(what, fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)


def _point(
    axes: Any,
    x: float,
    found: Mapping[str, Any],
    low: float,
    colour: str,
    label: str,
    *,
    numbered: bool,
) -> None:
    """A value and its interval; with its number, where there is room for it."""
    value = max(found["value"], low)
    if found["low"] is not None:
        ends = [[value - found["low"]], [found["high"] - value]]
        axes.errorbar(x, value, ends, color=colour, capsize=3, lw=1.2, zorder=3)
    axes.plot(x, value, "o", color=colour, markersize=5, label=label, zorder=3)
    if not numbered:
        return
    axes.annotate(
        f"{found['value']:.2f}".replace("-", "\N{MINUS SIGN}"),
        (x, value),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=7,
        color=colour,
    )
