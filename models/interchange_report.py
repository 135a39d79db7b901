"""Interchange accuracy of a ViT by layer and property, with its controls."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samediff_stimuli import das_options
from samediff_stimuli.markdown import markdown_table
from samediff_stimuli.models import interchange_rows, metrics
from samediff_stimuli.models.classifier import Classifier
from samediff_stimuli.models.interchange import (
    Fit,
    InterchangeConfig,
    Sites,
    answers_after,
    fit_interchange,
    full_swap,
)
from samediff_stimuli.models.interchange_rows import Rows
from samediff_stimuli.models.metrics import Estimate
from samediff_stimuli.models.predictions import Floats, Ints
from samediff_stimuli.recipe import InputError

KINDS = {"das": "DAS", "full": "full swap", "wrong": "wrong tokens", "none": "none"}
TESTED = ("test", "test_iid")


@dataclass(frozen=True, kw_only=True)
class Share:
    """How often the target was answered, of one split, property, layer and kind of intervention.

    Attributes:
        split: of the set.
        factor: the property that was exchanged.
        layer: hidden state that was changed.
        kind: in `KINDS`.
        kept: of rows whose two images the model answers correctly.
        every: of all rows.
    """

    split: str
    factor: str
    layer: int
    kind: str
    kept: Estimate
    every: Estimate


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What DAS found at a layer: see `interchange.Fit`."""

    factor: str
    layer: int
    epoch: int
    validation: float
    dimensions: int


@dataclass(frozen=True, kw_only=True, eq=False)
class InterchangeReport:
    """Interchange accuracy of a ViT.

    Attributes:
        model: its name.
        about: what it is and how it was trained, for people.
        dataset: name of the counterfactual set.
        digest: its content digest, hex.
        width: dimensions of a hidden state.
        config: how interchanges were learned.
        rows: split -> property -> (rows whose two images are answered correctly, all rows).
        learned: of each property and layer.
        shares: of each split, property, layer and kind.
    """

    model: str
    about: str
    dataset: str
    digest: str
    width: int
    config: InterchangeConfig
    rows: dict[str, dict[str, tuple[int, int]]]
    learned: tuple[Learned, ...]
    shares: tuple[Share, ...]

    def of(self, split: str, factor: str, kind: str) -> list[Share]:
        """The shares of every layer, in order."""
        return [s for s in self.shares if (s.split, s.factor, s.kind) == (split, factor, kind)]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "model": self.model,
            "about": self.about,
            "dataset": self.dataset,
            "digest": self.digest,
            "width": self.width,
            "config": dataclasses.asdict(self.config),
            "confidence": metrics.CONFIDENCE,
            "draws": metrics.DRAWS,
            "rows": {
                split: {factor: {"kept": kept, "all": n} for factor, (kept, n) in each.items()}
                for split, each in self.rows.items()
            },
            "learned": [dataclasses.asdict(each) for each in self.learned],
            "shares": [dataclasses.asdict(each) for each in self.shares],
        }

    def csv(self) -> str:
        """A line for each split, property, layer and kind."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        heads = [f"{rows}{end}" for rows in ("kept", "all") for end in ("", "_low", "_high")]
        writer.writerow(["split", "factor", "layer", "kind", *heads])
        for s in self.shares:
            ends = [end for e in (s.kept, s.every) for end in (e.value, e.low, e.high)]
            values = ["" if end is None else f"{end:.6f}" for end in ends]
            writer.writerow([s.split, s.factor, s.layer, s.kind, *values])
        return text.getvalue()

    def table(self, split: str) -> str:
        """A Markdown table of a split's kept rows: layers by property and kind, in per cent."""
        return self._table(split, lambda share: metrics.percent(share.kept))

    def markdown(self) -> str:
        """A page: what was done, and a table of every split."""
        config, digest = self.config, self.digest[:16]
        layers = sorted({each.layer for each in self.learned})
        lines = [
            f"# Interchange interventions on {self.model}",
            "",
            *([self.about, ""] if self.about else []),
            "Made by `samediff-stimuli interchange RUN DIR --layers "
            f"{','.join(map(str, layers))} --epochs {config.epochs} --batch-size "
            f"{config.batch_size} --seed {config.seed}`; every number is in `interchange.json` and "
            "`interchange.csv`.",
            "",
            "![Share of target answers by layer](interchange.png)",
            "",
            f"Counterfactual pairs: `{self.dataset}`, content digest `{digest}`. A property of the "
            "source object in the counterfactual image is put into the edited object's tokens of "
            "the base image, in the hidden state that a layer gives (0 is what enters the first "
            "block). Interchange accuracy is the share of rows whose answer is then the target; "
            f"in per cent, with 95 % intervals of {metrics.DRAWS} draws of matched groups.",
            "",
            "- **DAS**: the states of a learned subspace are exchanged, in all tokens of the "
            f"object ({config.epochs} epochs on the train split, seed {config.seed}; Lepori et al. "
            "2024, section 4).",
            "- **full swap**: the states of the object's tokens are exchanged whole: how much "
            "those tokens decide. It is no test of one property, since the other goes along: a "
            "pair that should become the same then differs in the other, so that on discrimination "
            "a model that errs nowhere gets 50 %. More than that takes a property by itself.",
            "- **wrong tokens**: the learned subspace is exchanged between the two images at a "
            "place of the same size where neither has an object.",
            "- **none**: no intervention.",
        ]
        for split, each in self.rows.items():
            said = ", ".join(f"{kept:,} of {n:,} for {name}" for name, (kept, n) in each.items())
            lines += [
                "",
                f"## {split}",
                "",
                f"Rows whose two images the model answers correctly: {said}.",
                "",
                self.table(split),
                "",
                "All rows, those too that the model answers wrongly:",
                "",
                self._table(split, lambda share: f"{100 * share.every.value:.1f}"),
            ]
        lines += ["", "## What was learned", "", self._learned()]
        return "\n".join([*lines, ""])

    def _learned(self) -> str:
        """A table of the subspaces."""
        heads = ["layer", "property", f"dimensions of {self.width}", "best epoch", "validation"]
        rows = [
            [str(e.layer), e.factor, str(e.dimensions), str(e.epoch), f"{100 * e.validation:.1f}"]
            for e in sorted(self.learned, key=lambda each: each.layer)
        ]
        return markdown_table(heads, rows)

    def _table(self, split: str, cell: Callable[[Share], str]) -> str:
        columns = {
            f"{factor}, {name}": self.of(split, factor, kind)
            for factor in self.rows[split]
            for kind, name in KINDS.items()
        }
        layers = [share.layer for share in next(iter(columns.values()))]
        rows = [
            [str(layer), *(cell(shares[number]) for shares in columns.values())]
            for number, layer in enumerate(layers)
        ]
        return markdown_table(["layer", *columns], rows)


def interchange_report(
    vit: Classifier,
    folder: Path | str,
    *,
    model: str,
    about: str = "",
    layers: Sequence[int] | None = None,
    config: InterchangeConfig | None = None,
    device: torch.device | str = "cpu",
    on_step: Callable[[int], None] = lambda epochs: None,
) -> InterchangeReport:
    """Learn an interchange for each property and layer, and measure it beside its controls.

    Learning, choice of the epoch and the first of the two numbers take rows whose base and
    counterfactual the model answers correctly: where it does not know them, there is nothing to
    exchange.

    Args:
        vit: a model that shows its tokens; it is frozen.
        folder: a counterfactual set with train, validation and test splits.
        model: the name that the report is to give it.
        about: what the report is to say of it.
        layers: hidden states, 0 .. n_layers - 1; all when None. The last one is no choice: no block
            reads it any more.
        config: how to learn; the paper's way when None.
        device: where to run.
        on_step: told of every epoch.

    Raises:
        InputError: what `check` and `layers_of` refuse, no such split, or a split without a row
            that the model answers correctly.
    """
    config = config or InterchangeConfig()
    manifest = interchange_rows.check(vit, folder)
    layers = layers_of(vit, layers)
    vit = vit.to(device).eval().requires_grad_(False)
    asked = {
        name: interchange_rows.answered(vit, interchange_rows.open_split(folder, name), device)
        for name in ("train", "validation", *TESTED)
    }
    factors = das_options.options_of(manifest.recipe).factors
    _check_kept(asked, factors, model)
    learned, shares = list[Learned](), list[Share]()
    for factor in factors:
        for layer in layers:
            fit = _learn(vit, layer, factor, asked, config, device, on_step)
            learned.append(
                Learned(
                    factor=factor,
                    layer=layer,
                    epoch=fit.epoch,
                    validation=fit.validation,
                    dimensions=fit.dimensions,
                )
            )
            for name in TESTED:
                shares += _shares(vit, layer, factor, asked[name], fit, device)
    return InterchangeReport(
        model=model,
        about=about,
        dataset=manifest.name,
        digest=manifest.digest(),
        width=int(vit.body.embed_dim),
        config=config,
        rows={name: {f: _counts(asked[name], f) for f in factors} for name in TESTED},
        learned=tuple(learned),
        shares=tuple(shares),
    )


def layers_of(vit: Classifier, layers: Sequence[int] | None) -> list[int]:
    """The layers to measure, in order; each once.

    Raises:
        InputError: none, or one that the model does not have.
    """
    if layers is None:
        return list(range(vit.n_layers))
    for layer in layers:
        if not 0 <= layer < vit.n_layers:
            raise InputError(
                f"layer {layer} is out of range; legal: 0 .. {vit.n_layers - 1}, hidden states "
                "that a block reads"
            )
    if not layers:
        raise InputError(f"no layer is given; legal: 0 .. {vit.n_layers - 1}")
    return sorted(set(layers))


def _counts(rows: Rows, factor: str) -> tuple[int, int]:
    """Rows of a property that are kept, and all of them."""
    numbers = rows.of(factor)
    return int(rows.kept[numbers].sum()), len(numbers)


def _check_kept(asked: dict[str, Rows], factors: Sequence[str], model: str) -> None:
    """Refuse a model that answers nothing correctly in a split."""
    for split, rows in asked.items():
        for factor in factors:
            if not _counts(rows, factor)[0]:
                raise InputError(
                    f"{model} answers no row of {split} for {factor} correctly, in base and "
                    "counterfactual; train it longer, or on a set like this one"
                )


def _learn(
    vit: Classifier,
    layer: int,
    factor: str,
    asked: dict[str, Rows],
    config: InterchangeConfig,
    device: torch.device | str,
    on_step: Callable[[int], None],
) -> Fit:
    """The interchange of a property at a layer."""

    def known(split: str) -> Sites:
        rows, numbers = asked[split], asked[split].of(factor)
        kept = numbers[rows.kept[numbers]]
        return interchange_rows.sites_at(vit, rows.dataset, kept, layer, device)

    train, validation = known("train"), known("validation")
    return fit_interchange(vit, layer, train, validation, config, lambda: on_step(1))


def _shares(
    vit: Classifier, layer: int, factor: str, rows: Rows, fit: Fit, device: torch.device | str
) -> list[Share]:
    """Every kind of intervention on a split's rows of a property."""
    numbers = rows.of(factor)
    sites = interchange_rows.sites_at(vit, rows.dataset, numbers, layer, device)
    learned = fit.interchange
    given = {
        "das": answers_after(vit, layer, sites, learned),
        "full": answers_after(vit, layer, sites, full_swap),
        "wrong": answers_after(vit, layer, sites, learned, wrong=True),
        "none": torch.from_numpy(rows.answer[numbers]),
    }
    group, kept = rows.group[numbers], rows.kept[numbers]
    made = []
    for kind, answers in given.items():
        hits = _numpy(answers) == rows.target[numbers]
        made.append(
            Share(
                split=rows.dataset.split,
                factor=factor,
                layer=layer,
                kind=kind,
                kept=share_of(hits[kept], group[kept]),
                every=share_of(hits, group),
            )
        )
    return made


def share_of(hits: Any, group: Ints) -> Estimate:
    """The share of hits, and its percentile interval over draws of whole matched groups.

    Args:
        hits: (n,) bool.
        group: (n,) int64 numbers of matched groups.
    """
    values = np.asarray(hits, dtype=np.float64)

    def mean(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray(weights @ values / weights.sum(axis=1))

    number = np.unique(group, return_inverse=True)[1]
    return metrics.bootstrap([mean], number, metrics.DRAWS, 0)[0]


def _numpy(answers: Tensor) -> Ints:
    """(n,) int64 on the CPU."""
    return np.asarray(answers.cpu().numpy(), dtype=np.int64)
