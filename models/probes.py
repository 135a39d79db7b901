"""Linear readouts of frozen networks, fitted in closed form on some stimuli of a train split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from samediff_stimuli import rng, tasks
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import load
from samediff_stimuli.models.predictions import GROUP, Answerer, Ints, some_groups, some_rows
from samediff_stimuli.models.ridge import Readout, ladder
from samediff_stimuli.models.shortcut_views import Features
from samediff_stimuli.recipe import InputError

TRAIN = "train"
FEWEST = 16  # rows to fit on
_VALIDATION = "validation"
_LABEL = "label"
_LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeResult:
    """A frozen network that answers by a linear readout.

    Attributes:
        answer: (n, 3, height, width) uint8 -> (n, labels) float32 scores.
        labels: names of the labels.
        dataset: name of the set that the readout was fitted on.
        digest: content digest of that set, hex.
        strength: of the ridge.
        accuracy: mean recall on the stimuli that chose the strength.
        note: all that in a sentence.
    """

    answer: Answerer
    labels: tuple[str, ...]
    dataset: str
    digest: str
    strength: float
    accuracy: float
    note: str


@dataclass(frozen=True, eq=False)
class Probe:
    """A frozen network, and how it is asked for its features.

    Attributes:
        body: (n, 3, height, width) uint8 -> (n, p) features; in eval mode.
        device: where it is.
        batch_size: images in a batch.
        on_rows: told the number of images of each batch that is embedded.
    """

    body: nn.Module
    device: torch.device
    batch_size: int
    on_rows: Callable[[int], None]

    def fit(self, folder: Path, rows: int, seed: int) -> ProbeResult:
        """A ridge regression of the label on the features of some stimuli of train.

        Its strength is the one that is best on a quarter as many stimuli of validation, on a fifth
        of those of train where there is no validation; of equals the strongest.

        Args:
            folder: a dataset folder with a train split.
            rows: the most stimuli to fit on, in whole matched groups.
            seed: of their choice.

        Raises:
            InputError: no train split, too few rows, or one label alone.
        """
        manifest = load(folder)
        task = tasks.get(manifest.recipe.task)
        names = [split.name for split in task.splits(manifest.recipe)]
        if TRAIN not in names:
            raise InputError(
                f"a readout is fitted on train of the first folder, and {folder} has only "
                f"{', '.join(names)}; give a folder with a train split first"
            )
        train = StimulusDataset(folder, TRAIN)
        held = StimulusDataset(folder, _VALIDATION) if _VALIDATION in names else train
        chosen, others = _chosen(train, held, rows, seed)
        known, label = self._embedded(train, chosen)
        if len(np.unique(label)) < 2:
            raise InputError(f"all {len(label)} stimuli of {folder} to fit on have one label")
        asked, wanted = self._embedded(held, others)
        readout, strength, right = best(ladder(known, {_LABEL: label}), asked, wanted)
        labels = task.label_column(manifest.recipe).names

        def answer(images: Tensor) -> Tensor:
            scores = np.full((len(images), len(labels)), _LOWEST, dtype=np.float32)
            found = readout.scores(self.features(images))[_LABEL]
            scores[:, readout.classes[_LABEL]] = found  # a label that train lacks is never given
            return torch.from_numpy(scores)

        return ProbeResult(
            answer=answer,
            labels=labels,
            dataset=manifest.name,
            digest=manifest.digest(),
            strength=strength,
            accuracy=right,
            note=f"linear readout of {known.shape[1]:,} features, fitted on {len(chosen):,} of "
            f"{manifest.name}/{TRAIN}; ridge strength {strength:g}, the best on {len(others):,} of "
            f"{held.split} ({100 * right:.1f} % right)",
        )

    @torch.no_grad()
    def features(self, images: Tensor) -> Features:
        """(n, p) float32 of (n, 3, height, width) uint8 images on the network's device."""
        found: Features = self.body(images).float().cpu().numpy()
        return found

    def _embedded(self, dataset: StimulusDataset, rows: Ints) -> tuple[Features, Ints]:
        """(n, p) float32 features of some stimuli, and (n,) int64 their labels."""
        parts: list[Features] = []
        for first in range(0, len(rows), self.batch_size):
            batch = dataset.batch(rows[first : first + self.batch_size].tolist())
            images = batch["image"] if isinstance(batch, dict) else batch[0]
            parts.append(self.features(images.to(self.device)))
            self.on_rows(len(images))
        return np.concatenate(parts), dataset.labels.numpy()[rows]


def best(
    readouts: dict[float, Readout], features: Features, label: Ints
) -> tuple[Readout, float, float]:
    """The readout that answers best, its strength, and its mean recall; of equals the strongest.

    Args:
        readouts: by strength, of a column "label".
        features: (n, p) float32.
        label: (n,) int64.
    """

    def recall(readout: Readout) -> float:
        right = readout.answers(features)[_LABEL] == label
        return float(np.mean([right[label == k].mean() for k in np.unique(label)]))

    right, strength = max((recall(readout), strength) for strength, readout in readouts.items())
    return readouts[strength], strength, right


def _chosen(
    train: StimulusDataset, held: StimulusDataset, rows: int, seed: int
) -> tuple[Ints, Ints]:
    """Rows of train to fit on, and rows of what is held out, or of train, to choose by.

    Raises:
        InputError: if there are too few.
    """
    chosen = some_rows(train, rows, rng.stream_key("readout", seed, TRAIN))
    key = rng.stream_key("readout", seed, _VALIDATION)
    if held is train:
        group = train.table[GROUP][chosen] if GROUP in train.table else chosen
        apart = some_groups(group.astype(np.int64), len(chosen) // 5, key)
        chosen, others = np.delete(chosen, apart), chosen[apart]
    else:
        others = some_rows(held, max(rows // 4, FEWEST), key)
    if len(chosen) < FEWEST or not len(others):
        raise InputError(
            f"fit_rows {rows} gives {len(chosen)} stimuli of {train.split} to fit on and "
            f"{len(others)} of {held.split} to choose by, in whole matched groups; legal: "
            f"{FEWEST} or more to fit on"
        )
    return chosen, others
