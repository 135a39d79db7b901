"""What was measured of models on factor sets: records, and tables and a picture of them."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samediff_stimuli.markdown import markdown_table
from samediff_stimuli.models import figures
from samediff_stimuli.recipe import InputError

Numbers = tuple[float | None, ...]  # None: no row to measure it on
Evaluations = Mapping[str, "Evaluation"]  # by split

_LOWEST = -1.0  # bars below are cut off there; their number says how long they are


@dataclass(frozen=True, kw_only=True)
class Scores:
    """R² and mean squared error of each factor.

    Attributes:
        names: of the factors.
        r2: 1 - mse / variance on the full grid, at most 1.
        mse: of the normalised targets, over the tested rows.
        n: rows tested.
    """

    names: tuple[str, ...]
    r2: tuple[float, ...]
    mse: tuple[float, ...]
    n: int

    @property
    def r2_mean(self) -> float:
        """The benchmark's score: the plain mean over all factors, held out or not."""
        return statistics.fmean(self.r2)

    @property
    def mse_mean(self) -> float:
        """The plain mean over all factors."""
        return statistics.fmean(self.mse)

    def as_dict(self) -> dict[str, Any]:
        """The numbers under keys formed like the benchmark's, from our factors' names; and n."""
        named = {"rsquared": self.r2_mean, "mse": self.mse_mean}
        for name, r2, mse in zip(self.names, self.r2, self.mse, strict=True):
            named |= {f"rsquared_{name}": r2, f"mse_{name}": mse}
        return {"names": list(self.names), "n": self.n, **named}


@dataclass(frozen=True, kw_only=True)
class Modularity:
    """Whether a factor at a level that training never showed spoils the other factors.

    "Out" is a level that no row trained on has; "in" is any other. After the modularity analysis of
    Schott et al. 2021. R² is over the rows named, by the variance on the full grid.

    Attributes:
        names: of the factors.
        n_alone: rows where this factor, and no other, is out.
        r2_alone: this factor's R² on those rows.
        r2_others: the mean R² of the other factors on those rows.
        n_out: rows where this factor is out.
        r2_out: its R² on them.
        n_in: rows where this factor is in and some other is out.
        r2_in: its R² on them.
    """

    names: tuple[str, ...]
    n_alone: tuple[int, ...]
    r2_alone: Numbers
    r2_others: Numbers
    n_out: tuple[int, ...]
    r2_out: Numbers
    n_in: tuple[int, ...]
    r2_in: Numbers

    @property
    def r2_out_mean(self) -> float:
        """The plain mean over the factors that are out somewhere."""
        return statistics.fmean(value for value in self.r2_out if value is not None)

    @property
    def r2_in_mean(self) -> float | None:
        """The plain mean over the factors that are in somewhere."""
        values = [value for value in self.r2_in if value is not None]
        return statistics.fmean(values) if values else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data: the two means, and every number by factor."""
        means = {"r2_out_mean": self.r2_out_mean, "r2_in_mean": self.r2_in_mean}
        return {**means, "factors": _by_factor(self)}


@dataclass(frozen=True, kw_only=True)
class TowardsMean:
    """How far answers stay back towards the training mean at levels that training never showed.

    The ratio is |answer - mean| / |truth - mean| (Schott et al. 2021): below 1, the answer is
    nearer the mean than the truth is.

    Attributes:
        names: of the factors.
        train_mean: mean of the normalised factor over the rows trained on.
        n: rows where the factor is out and is not the mean itself.
        left_out: rows where the factor is out and is the mean: they have no ratio.
        share: the share of the n rows whose ratio is in [0, 1].
        median: the median ratio.
    """

    names: tuple[str, ...]
    train_mean: tuple[float, ...]
    n: tuple[int, ...]
    left_out: tuple[int, ...]
    share: Numbers
    median: Numbers

    def as_dict(self) -> dict[str, Any]:
        """Plain data by factor."""
        return {"factors": _by_factor(self)}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured on one split.

    Attributes:
        scores: over all rows tested.
        modularity: None if what was trained on is not known, or no row tested has an unseen level.
        towards_mean: likewise.
    """

    scores: Scores
    modularity: Modularity | None
    towards_mean: TowardsMean | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "scores": self.scores.as_dict(),
            "modularity": self.modularity and self.modularity.as_dict(),
            "towards_mean": self.towards_mean and self.towards_mean.as_dict(),
        }


def evaluation_from_dict(data: Mapping[str, Any]) -> Evaluation:
    """An evaluation back from `Evaluation.as_dict`."""
    scores = data["scores"]
    names = tuple(scores["names"])
    modular, towards = data["modularity"], data["towards_mean"]
    return Evaluation(
        scores=Scores(
            names=names,
            r2=tuple(scores[f"rsquared_{name}"] for name in names),
            mse=tuple(scores[f"mse_{name}"] for name in names),
            n=scores["n"],
        ),
        modularity=modular and Modularity(**_columns(modular["factors"])),
        towards_mean=towards and TowardsMean(**_columns(towards["factors"])),
    )


def _columns(by_factor: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The fields of a record of tuples, back from `_by_factor`."""
    fields = next(iter(by_factor.values()))
    columns = {field: tuple(row[field] for row in by_factor.values()) for field in fields}
    return {"names": tuple(by_factor), **columns}


def _by_factor(record: Modularity | TowardsMean) -> dict[str, dict[str, Any]]:
    """The fields of a record of tuples, by factor."""
    columns = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    names = columns.pop("names")
    return {
        name: {field: values[j] for field, values in columns.items()}
        for j, name in enumerate(names)
    }


def markdown(evaluations: Evaluations) -> str:
    """A table of R², and tables of what happens at levels that training never showed.

    Raises:
        InputError: no evaluations, or of different factors.
    """
    names = _names(evaluations)
    rows: list[list[str]] = [
        [split, str(e.scores.n), *map(_number, (e.scores.r2_mean, *e.scores.r2))]
        for split, e in evaluations.items()
    ]
    parts = [
        "R² by factor: 1 is perfect, 0 is answering the mean of the full grid.\n\n"
        + markdown_table(["split", "images", "mean", *names], rows)
    ]
    for split, evaluation in evaluations.items():
        modular, towards = evaluation.modularity, evaluation.towards_mean
        if modular is not None:
            parts.append(_modularity(split, modular))
        if towards is not None:
            parts.append(_towards_mean(split, towards))
    return "\n\n".join(parts) + "\n"


def _modularity(split: str, found: Modularity) -> str:
    """The table of one split's modularity, without factors that are never out of range."""
    title = (
        f"{split}: R² of a factor at a level not seen in training (alone, or with others), of the "
        "other factors there, and of the factor at seen levels when others are unseen. Empty: no "
        "images.\n\n"
    )
    head = ["factor", "images, alone", "R², alone", "R² of others", "images", "R²"]
    alone = (found.n_alone, found.r2_alone, found.r2_others)
    columns = (*alone, found.n_out, found.r2_out, found.n_in, found.r2_in)
    rows = [[name, *map(_number, row)] for name, *row in zip(found.names, *columns, strict=True)]
    means = ["mean", "", "", "", "", _number(found.r2_out_mean), "", _number(found.r2_in_mean)]
    return title + markdown_table([*head, "images, seen", "R², seen"], [*rows, means])


def _towards_mean(split: str, found: TowardsMean) -> str:
    """The table of one split's pull towards the mean, of the factors that are out of range."""
    title = (
        f"{split}: |answer - mean| / |truth - mean| at levels not seen in training; mean is that "
        "of the training split.\n\n"
    )
    columns = (found.n, found.left_out, found.share, found.median)
    rows = [
        [name, *map(_number, row)]
        for name, *row in zip(found.names, *columns, strict=True)
        if any(row[:2])
    ]
    head = ["factor", "images", "left out (truth is mean)", "share in [0, 1]", "median"]
    return title + markdown_table(head, rows)


def _number(value: float | None) -> str:
    """What a table shows of a count, a number with three decimals, or nothing."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _names(evaluations: Evaluations) -> tuple[str, ...]:
    """The factors that all evaluations are of.

    Raises:
        InputError: none, or different factors.
    """
    found = {evaluation.scores.names for evaluation in evaluations.values()}
    if len(found) != 1:
        given = "; ".join(", ".join(names) for names in sorted(found)) or "nothing"
        raise InputError(f"evaluations must be of one set of factors, not {given}")
    return found.pop()


def plot(evaluations: Evaluations, path: Path | str, title: str = "") -> None:
    """Write a PNG: bars of R² for each factor and their mean, a colour for each split.

    Args:
        evaluations: by split.
        path: ends in .png.
        title: above the bars.

    Raises:
        InputError: another ending, more splits than colours, matplotlib not installed, or as
            `markdown`.
    """
    path, names = Path(path), _names(evaluations)
    if path.suffix != ".png":
        raise InputError(f"path {path} has another ending; legal: .png")
    if len(evaluations) > len(figures.COLOURS):
        raise InputError(f"{len(evaluations)} splits to plot; legal: 1 .. {len(figures.COLOURS)}")
    groups = (*names, "mean")
    inches = len(groups) * max(1.15, 0.32 * len(evaluations))  # a name's width, or its bars'
    figure = figures.figure(1 + inches, 4.2, dpi=120)
    axes = figure.add_subplot()
    _draw_bars(axes, evaluations, groups)
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=len(evaluations), frameon=False)
    figures.save(figure, path)


def _draw_bars(axes: Any, evaluations: Evaluations, groups: Sequence[str]) -> None:
    """Bars in groups, each with its number; those that go below the axis end there, hatched."""
    values = {s: (*e.scores.r2, e.scores.r2_mean) for s, e in evaluations.items()}
    low = max(_LOWEST, min(0.0, *(min(row) for row in values.values())))
    width = 0.84 / len(values)
    for k, (split, row) in enumerate(values.items()):
        places = [i + (k - (len(values) - 1) / 2) * width for i in range(len(row))]
        heights = [max(value, low) for value in row]
        bars = axes.bar(places, heights, width=0.94 * width, color=figures.COLOURS[k], label=split)
        for x, bar, height, value in zip(places, bars, heights, row, strict=True):
            if value < low:
                bar.set(hatch="///", edgecolor="white")
            axes.annotate(
                f"{value:.2f}".replace("-", "\N{MINUS SIGN}"),
                (x, max(height, 0.0)),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                rotation=90 if len(values) > 1 else 0,
                fontsize=8,
            )
    axes.axhline(0, color="black", linewidth=0.8)
    axes.axvline(len(groups) - 1.5, color="0.8", linewidth=0.8)
    axes.set_ylim(low * 1.04, 1.2)
    axes.set_yticks([tick / 4 for tick in range(math.ceil(4 * low), 5)])
    axes.set_xticks(range(len(groups)), groups)
    cut = any(value < low for row in values.values() for value in row)
    axes.set_ylabel(
        f"R² (hatched: below {low:.0f})".replace("-", "\N{MINUS SIGN}") if cut else "R²"
    )
    figures.plain(axes)
