"""The attention patterns of a ViT on some images of a dataset, by layer and head."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samediff_stimuli import rng, tasks
from samediff_stimuli.aligned_options import AlignedOptions
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.loaders.labels import token_labels
from samediff_stimuli.models import zoo
from samediff_stimuli.models.attention import PatternScores, Roles, pattern_scores
from samediff_stimuli.models.classifier import Classifier, attention_weights, require_tokens
from samediff_stimuli.models.predictions import Floats, Ints
from samediff_stimuli.recipe import InputError

SCORES = tuple(field.name for field in dataclasses.fields(PatternScores))
BETWEEN = "between_pair"
IMAGES = 250  # of each label: Lepori et al. 2024, analyze_attention.py


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionReport:
    """Attention patterns of a ViT, the mean over images.

    Attributes:
        model: name of the model.
        dataset: name of the set.
        digest: its content digest, hex.
        split: of the set.
        images: label -> number of images.
        seed: of their choice.
        form: "paper" or "code"; see `attention.pattern_scores`.
        means: name in `SCORES` -> (layers, heads) float64; without between-pair where there is one
            pair.
        errors: the same names -> (layers, heads) standard errors of the means.
        by_label: label -> means of its images.
    """

    model: str
    dataset: str
    digest: str
    split: str
    images: dict[str, int]
    seed: int
    form: str
    means: dict[str, Floats]
    errors: dict[str, Floats]
    by_label: dict[str, dict[str, Floats]]

    def by_layer(self) -> dict[str, Floats]:
        """(layers,) float64 by score: the maximum over heads, as the paper draws it."""
        return {name: values.max(axis=1) for name, values in self.means.items()}

    def as_dict(self) -> dict[str, Any]:
        """Plain data; layers are counted from 1, heads from 0."""
        layers, heads = next(iter(self.means.values())).shape
        plain: dict[str, Any] = dataclasses.asdict(self)
        for name in ("means", "errors"):
            plain[name] = _plain(getattr(self, name))
        plain["by_label"] = {label: _plain(each) for label, each in self.by_label.items()}
        plain["largest_of_each_layer"] = _plain(self.by_layer())
        return {**plain, "layers": list(range(1, layers + 1)), "heads": list(range(heads))}

    def csv(self) -> str:
        """A line for each layer and head: means and their standard errors."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = list(self.means)
        writer.writerow(["layer", "head", *names, *(f"{name}_error" for name in names)])
        for layer, head in np.ndindex(*self.means[names[0]].shape):
            values = [group[n][layer, head] for group in (self.means, self.errors) for n in names]
            writer.writerow([layer + 1, head, *(f"{value:.6f}" for value in values)])
        return text.getvalue()


def attention_report(
    vit: Classifier,
    dataset: StimulusDataset,
    *,
    model: str,
    images: int = IMAGES,
    form: str = "paper",
    seed: int = 0,
    batch_size: int = 16,
    device: torch.device | str = "cpu",
    on_rows: Callable[[int], None] = lambda rows: None,
) -> AttentionReport:
    """How the heads of a ViT attend to objects, partners, other pairs and background.

    Tokens of objects on a patch grid are those of their boxes, as in the paper; else those that the
    objects' pixels touch. One layer's attention is in memory at a time.

    Args:
        vit: a model that shows its tokens, in eval mode.
        dataset: a split of pairs of objects; it must have been opened with no transform.
        model: the name that the report is to give it.
        images: of each label, drawn without replacement; the paper's 250.
        form: "paper" or "code"; see `attention.pattern_scores`.
        seed: of the choice of images.
        batch_size: images at a time.
        device: where to run.
        on_rows: told the number of images of each batch.

    Raises:
        InputError: a model without tokens or of other images or patches, a set without pairs, or
            fewer images than asked for.
    """
    check(vit, dataset)
    rows, numbers = chosen(dataset, images, seed)
    vit = vit.to(device).eval()
    found = []
    for first in range(0, len(rows), batch_size):
        some = rows[first : first + batch_size].tolist()
        found.append(_scores(vit, dataset, some, form, device))
        on_rows(len(some))
    scores = {name: np.concatenate([part[name] for part in found]) for name in SCORES}
    if n_objects(dataset) == 2:
        del scores[BETWEEN]
    labels = {name: numbers == n for n, name in enumerate(zoo.label_names(dataset.recipe))}
    labels = {name: which for name, which in labels.items() if which.any()}
    return AttentionReport(
        model=model,
        dataset=dataset.manifest.name,
        digest=dataset.manifest.digest(),
        split=dataset.split,
        images={name: int(which.sum()) for name, which in labels.items()},
        seed=seed,
        form=form,
        means={name: values.mean(axis=0) for name, values in scores.items()},
        errors={name: _error(values) for name, values in scores.items()},
        by_label={
            name: {score: values[which].mean(axis=0) for score, values in scores.items()}
            for name, which in labels.items()
        },
    )


def check(vit: Classifier, dataset: StimulusDataset) -> None:
    """Refuse a model that shows no tokens, or images that it does not take.

    Raises:
        InputError: naming what would do.
    """
    require_tokens(vit, "attention patterns")
    shape = tasks.get(dataset.recipe.task).image_shape(dataset.recipe)
    side = vit.image_size
    if shape != (side, side, 3):
        raise InputError(
            f"{dataset.path} has images of {' x '.join(map(str, shape))}; this model takes "
            f"{side} x {side} x 3: make the set with --image-size {side}"
        )
    k = n_objects(dataset)
    if k < 2 or k % 2:
        raise InputError(
            f"{dataset.manifest.name} shows {k} objects; attention patterns are of pairs: choose "
            "discrimination, rmts or another set of pairs"
        )


def n_objects(dataset: StimulusDataset) -> int:
    """Objects in each image of a set; 0 where its columns do not tell."""
    columns = tasks.get(dataset.recipe.task).columns(dataset.recipe)
    return next((c.shape[0] for c in columns if c.name in ("box", "object") and c.shape), 0)


def chosen(dataset: StimulusDataset, images: int, seed: int) -> tuple[Ints, Ints]:
    """Rows in ascending order, equally many of each label, without replacement; and their labels.

    Args:
        dataset: a split.
        images: of each label.
        seed: the same seed chooses the same rows, everywhere.

    Raises:
        InputError: if a label has fewer.
    """
    label = dataset.table[dataset.label].astype(np.int64)
    picked = []
    for number in np.unique(label).tolist():
        rows = np.flatnonzero(label == number)
        if not 1 <= images <= len(rows):
            raise InputError(
                f"images {images} of each label is out of range; legal: 1 .. {len(rows)}, for "
                f"{dataset.split} of {dataset.path} has no more of "
                f"{zoo.label_names(dataset.recipe)[number]!r}"
            )
        key = rng.stream_key("attention", seed, dataset.split, number)
        picked.append(rows[rng.order(rng.blocks(key, 0, len(rows))[:, 0])[:images]])
    rows = np.sort(np.concatenate(picked))
    return rows, label[rows]


@torch.no_grad()
def _scores(
    vit: Classifier,
    dataset: StimulusDataset,
    rows: Sequence[int],
    form: str,
    device: torch.device | str,
) -> dict[str, Floats]:
    """Scores of some images by name: (n, layers, heads) float64."""
    boxes = isinstance(dataset.recipe.options, AlignedOptions)
    batch = dataset.batch(rows)
    images = (batch["image"] if isinstance(batch, dict) else batch[0]).to(device)
    places = {"image": images}
    if boxes:
        table = dataset.table["box"][list(rows)].astype(np.int64)
        places["box"] = torch.from_numpy(table).to(device)
    else:
        places["instances"] = dataset.instances(rows).to(device)
    roles = Roles.of(token_labels(places, vit.patch_size or 1, vit.n_prefix_tokens, columns=()))
    found: list[PatternScores] = []
    for layer in each_attention(vit, images):
        found.append(pattern_scores(layer, roles, form))
    return {
        name: torch.stack([getattr(each, name) for each in found], dim=1).double().cpu().numpy()
        for name in SCORES
    }


def each_attention(vit: Classifier, images: Tensor) -> Iterator[Tensor]:
    """(n, heads, tokens, tokens) attention of block 1, 2, ... of a model, one at a time.

    Args:
        vit: a model that shows its tokens.
        images: (n, 3, height, width) uint8.
    """
    for block, tokens in vit.walk(images):
        yield attention_weights(block, tokens)


def _error(values: Floats) -> Floats:
    """Standard error of the mean over rows, taken as independent."""
    error: Floats = values.std(axis=0, ddof=min(1, len(values) - 1)) / np.sqrt(len(values))
    return error


def _plain(values: dict[str, Floats]) -> dict[str, Any]:
    """Arrays as lists, to six places."""
    return {name: np.round(each, 6).tolist() for name, each in values.items()}
