"""What a model answers to every stimulus of a split, beside what the stimulus is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from samediff_stimuli import rng, tasks
from samediff_stimuli.loaders import StimulusDataset, make_loader
from samediff_stimuli.models.zoo import ANSWERS
from samediff_stimuli.recipe import InputError
from samediff_stimuli.table import Column

# (n, c, height, width) uint8 -> (n, k) scores or logits, or (n,) class numbers
Answerer = Callable[[Tensor], Tensor]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GROUP = "pair_id"  # the column of matched groups


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """A model's answers to the n stimuli of a split.

    Attributes:
        model: the model's name.
        dataset: the dataset's name.
        digest: its content digest, hex.
        split: split name.
        index: (n,) int64 row numbers in the split.
        label: (n,) int64 label numbers.
        labels: names of the labels.
        scores: (n, k) float32, one column for each answer, as the model gave them; one and zeros if
            it gave class numbers.
        answer: (n,) int64: the column of the largest score, the first of equals.
        answers: names of the k answers: the labels, or different and same.
        group: (n,) int64 numbers of matched groups, whose rows are not independent.
        conditions: class columns of the whole stimulus but the label -> (n,) int64 classes.
        classes: names of each condition's classes.
    """

    model: str
    dataset: str
    digest: str
    split: str
    index: Ints
    label: Ints
    labels: tuple[str, ...]
    scores: NDArray[np.float32]
    answer: Ints
    answers: tuple[str, ...]
    group: Ints
    conditions: dict[str, Ints]
    classes: dict[str, tuple[str, ...]]

    def __len__(self) -> int:
        """Number of stimuli."""
        return len(self.index)

    @property
    def judged(self) -> bool:
        """Whether answers are labels, and so right or wrong."""
        return self.answers == self.labels

    @property
    def score(self) -> Floats | None:
        """(n,) float64: same minus different, or second minus first of any two answers."""
        if len(self.answers) != 2:
            return None
        wide = self.scores.astype(np.float64)
        return np.asarray(wide[:, 1] - wide[:, 0])


def condition_columns(dataset: StimulusDataset) -> tuple[Column, ...]:
    """The class columns that say something of the whole stimulus, the label apart."""
    columns = tasks.get(dataset.recipe.task).columns(dataset.recipe)
    found = (column for column in columns if column.names and column.shape == ())
    return tuple(column for column in found if column.name != dataset.label)


def some_rows(dataset: StimulusDataset, rows: int, key: int) -> Ints:
    """(m,) int64 row numbers, in order, of random whole matched groups: as many as fit.

    Args:
        dataset: a split of a dataset folder.
        rows: the most that m may be.
        key: of `rng.stream_key`.
    """
    table = dataset.table
    group = table[GROUP] if GROUP in table else np.arange(table.n_rows)
    return some_groups(group.astype(np.int64), rows, key)


def some_groups(group: Ints, rows: int, key: int) -> Ints:
    """Row numbers, in order, of as many random whole groups as make no more than that many rows."""
    groups, number, sizes = np.unique(group, return_inverse=True, return_counts=True)
    order = rng.order(rng.mix(key, groups))
    fits = np.cumsum(sizes[order]) <= rows
    return np.flatnonzero(np.isin(number, order[fits]))


def predict(
    answerer: Answerer,
    dataset: StimulusDataset,
    batch_size: int = 256,
    *,
    device: torch.device | str = "cpu",
    answers: Sequence[str] | None = None,
    model: str = "model",
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Predictions:
    """A model's answers to a split.

    A module is set to evaluation for the time, and no gradients are kept.

    Args:
        answerer: gives scores (n, k), or class numbers (n,) of an integer type, for images
            (n, c, height, width) uint8.
        dataset: a split of a dataset folder.
        batch_size: images in a batch.
        device: where the images are put.
        answers: names of the k answers; when None they are the labels, or different and same if
            there are two scores and other labels.
        model: name that the answers go by.
        on_rows: told the number of images of each batch that is answered.

    Raises:
        InputError: an empty split, a grid of factors, or answers that are none.
    """
    name = f"{dataset.manifest.name}/{dataset.split}"
    task, n = tasks.get(dataset.recipe.task), len(dataset)
    if task.space(dataset.recipe) is not None:
        raise InputError(f"{name} is of a grid of factors; use 'samediff-stimuli train' on it")
    if n == 0:
        raise InputError(f"{name} is empty: there is nothing to answer; give a split with images")
    table, columns = dataset.table, condition_columns(dataset)
    labels = task.label_column(dataset.recipe).names
    given = []
    for part, m in _batches(answerer, dataset, batch_size, device):
        given.append(_checked(part, m, name))
        on_rows(m)
    names, scores = _scores(torch.cat(given), labels, answers, name)

    def column(column: str) -> Ints:
        return table[column][:n].astype(np.int64)

    return Predictions(
        model=model,
        dataset=dataset.manifest.name,
        digest=dataset.manifest.digest(),
        split=dataset.split,
        index=column("index"),
        label=column(dataset.label),
        labels=labels,
        scores=scores,
        answer=scores.argmax(axis=1),
        answers=names,
        group=column(GROUP) if GROUP in table else np.arange(n),
        conditions={c.name: column(c.name) for c in columns},
        classes={c.name: c.names for c in columns},
    )


def _batches(
    answerer: Answerer, dataset: StimulusDataset, batch_size: int, device: torch.device | str
) -> Iterator[tuple[Any, int]]:
    """What is answered to each batch, and how many images it has."""
    training = isinstance(answerer, nn.Module) and answerer.training
    if isinstance(answerer, nn.Module):
        answerer.eval()
    try:
        for batch in make_loader(dataset, batch_size):
            images = batch["image"] if isinstance(batch, dict) else batch[0]
            with torch.no_grad():  # not across the yield: what takes the batches may need gradients
                given = answerer(images.to(device))
            yield given, len(images)
    finally:
        if isinstance(answerer, nn.Module):
            answerer.train(training)


def _checked(given: Any, n: int, name: str) -> Tensor:
    """What was answered to n images, on the CPU.

    Raises:
        InputError: no tensor of n rows, or scores that are not finite.
    """
    legal = f"legal: ({n}, classes) scores, or ({n},) class numbers of an integer type"
    if not isinstance(given, Tensor):
        raise InputError(f"{name}: the model answers with {type(given).__name__}; {legal}")
    whole = not (given.is_floating_point() or given.is_complex())
    if given.ndim not in (1, 2) or len(given) != n or (given.ndim == 1) != whole:
        got = f"{given.dtype} of shape {tuple(given.shape)}".removeprefix("torch.")
        raise InputError(f"{name}: the model answers with {got}; {legal}")
    if whole:
        return given.cpu().long()
    scores = given.float().cpu()
    if not bool(torch.isfinite(scores).all()):
        row = int((~torch.isfinite(scores)).any(dim=1).nonzero()[0])
        raise InputError(
            f"{name}: the model's scores hold {scores[row].tolist()[:4]}, which are not finite; "
            "look for a diverged training run, or use bfloat16 in place of float16"
        )
    return scores


def _scores(
    given: Tensor, labels: tuple[str, ...], answers: Sequence[str] | None, name: str
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names of the answers, and (n, k) scores.

    Raises:
        InputError: a number of answers that fits neither the names nor the labels.
    """
    names = labels if answers is None else tuple(answers)
    if given.ndim == 1:
        low, high = int(given.min()), int(given.max())
        if low < 0 or high >= len(names):
            raise InputError(
                f"{name}: the model answers with class numbers {low} .. {high}; legal: 0 .. "
                f"{len(names) - 1}, for {names[0]} .. {names[-1]}"
            )
        return names, np.eye(len(names), dtype=np.float32)[given.numpy()]
    if answers is None and given.shape[1] == len(ANSWERS):
        names = labels if len(labels) == len(ANSWERS) else ANSWERS
    if given.shape[1] != len(names) or len(names) < 2:
        raise InputError(
            f"{name}: the model gives {given.shape[1]} scores an image; legal: {len(names)}, for "
            f"{names[0]} .. {names[-1]}, or 2, for different and same"
        )
    return names, given.numpy()
