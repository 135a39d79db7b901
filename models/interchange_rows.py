"""The rows of a counterfactual set that interchanges are measured on, and their states in a ViT."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samediff_stimuli import das_options, rng, tasks
from samediff_stimuli.das_options import FACTORS, VIEW, DasOptions
from samediff_stimuli.grid import Grid
from samediff_stimuli.loaders import StimulusDataset, intervention_batch
from samediff_stimuli.manifest import Manifest, load
from samediff_stimuli.models.classifier import Classifier, require_tokens
from samediff_stimuli.models.interchange import Sites
from samediff_stimuli.models.predictions import Ints
from samediff_stimuli.recipe import InputError

_BATCH = 256
_COLUMNS = (VIEW, "label", "target", f"{VIEW}_label", "edited_tokens", "source_tokens")


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """A split of a counterfactual set, as a model answers it without any intervention.

    Attributes:
        dataset: the split.
        factor: (n,) int64, which property each row exchanges, an index of FACTORS.
        group: (n,) int64 numbers of matched groups.
        target: (n,) int64 answers after an interchange.
        answer: (n,) int64, what the model answers to base images.
        kept: (n,) bool, whether it answers base and counterfactual correctly.
    """

    dataset: StimulusDataset
    factor: Ints
    group: Ints
    target: Ints
    answer: Ints
    kept: NDArray[np.bool_]

    def of(self, factor: str) -> Ints:
        """(m,) int64 numbers of the rows that exchange a property."""
        return np.flatnonzero(self.factor == FACTORS.index(factor))


def check(vit: Classifier, folder: Path | str) -> Manifest:
    """The manifest of a set, if it has what interchanges in a model are learned and tested on.

    Raises:
        InputError: no set of counterfactual pairs or a split too few, a model that shows no tokens
            or takes other images.
    """
    manifest = load(Path(folder))
    options = manifest.recipe.options
    if not isinstance(options, DasOptions):
        raise InputError(
            f"{manifest.name} is no set of counterfactual pairs; make one: "
            "samediff-stimuli generate --task das"
        )
    require_tokens(vit, "interchanges")
    side = tasks.get(manifest.recipe.task).image_shape(manifest.recipe)[0]
    if (side, options.patch_size) != (vit.image_size, vit.patch_size):
        raise InputError(
            f"{manifest.name} has images of {side} pixels and patches of {options.patch_size}; "
            f"this model takes {vit.image_size} and {vit.patch_size}: make the set with "
            f"--image-size {vit.image_size} --patch-size {vit.patch_size}"
        )
    known = [split.name for split in das_options.splits(manifest.recipe)]
    for name in ("train", "validation", "test"):
        if name not in known:
            raise InputError(
                f"{manifest.name} has no split {name}, and interchanges need it; make the set with "
                f"--{name} 2000"
            )
    return manifest


@torch.no_grad()
def answered(
    vit: Classifier,
    dataset: StimulusDataset,
    device: torch.device | str = "cpu",
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Rows:
    """Ask a model about both images of every row of a split.

    Args:
        vit: a model that `check` lets through, in eval mode, on the device.
        dataset: the split, opened as `open_split` does.
        device: where to run.
        on_rows: told the number of rows of each batch.
    """
    base, kept = list[Tensor](), list[Tensor]()
    for _, batch in _read(dataset, np.arange(len(dataset))):
        mine, other = (vit(batch[name].to(device)).argmax(dim=1).cpu() for name in ("image", VIEW))
        base.append(mine)
        kept.append((mine == batch["label"]) & (other == batch[f"{VIEW}_label"]))
        on_rows(len(mine))
    table = dataset.table
    return Rows(
        dataset=dataset,
        factor=table["factor"].astype(np.int64),
        group=table["pair_id"].astype(np.int64),
        target=table["target"].astype(np.int64),
        answer=torch.cat(base).numpy(),
        kept=torch.cat(kept).numpy(),
    )


def open_split(folder: Path | str, split: str) -> StimulusDataset:
    """A split of a counterfactual set, with the images and columns that interchanges need.

    Raises:
        InputError: no such split, or no set of counterfactual pairs.
    """
    return StimulusDataset(folder, split, columns=_COLUMNS)


@torch.no_grad()
def sites_at(
    vit: Classifier,
    dataset: StimulusDataset,
    rows: Ints,
    layer: int,
    device: torch.device | str = "cpu",
) -> Sites:
    """What a layer of a model holds for some rows.

    Args:
        vit: a model that `check` lets through, in eval mode, on the device.
        dataset: the split, opened as `open_split` does.
        rows: (n,) int64 row numbers, at least one.
        layer: hidden state, 0 .. n_layers.
        device: where to run.
    """
    wrong = torch.from_numpy(background_places(dataset, rows)) + vit.n_prefix_tokens
    found: list[Sites] = []
    for at, batch in _read(dataset, rows):
        pair = intervention_batch(
            batch["image"],
            batch[VIEW],
            batch["edited_tokens"],
            batch["source_tokens"],
            n_prefix_tokens=vit.n_prefix_tokens,
            labels={"target": batch["target"]},
        ).to(device)
        base, source = (
            vit.forward_parts(images, hidden=[layer]).hidden[layer]
            for images in (pair.base, pair.source)
        )
        place = wrong[at].to(device)
        found.append(
            Sites(
                base=base,
                source=_taken(source, pair.source_tokens),
                edited=pair.base_tokens,
                elsewhere=_taken(source, place),
                wrong=place,
                target=pair.labels["target"],
            )
        )
    names = [field.name for field in dataclasses.fields(Sites)]
    return Sites(**{name: torch.cat([getattr(part, name) for part in found]) for name in names})


def _taken(states: Tensor, tokens: Tensor) -> Tensor:
    """(n, t, d) states of some tokens (n, t)."""
    return states.gather(1, tokens[..., None].expand(*tokens.shape, states.shape[-1]))


def background_places(dataset: StimulusDataset, rows: Ints) -> Ints:
    """(n, t) int64: patches of a box's place that touches no object in either image of each row.

    The place is drawn among those that are free, by the row's number and split alone.

    Args:
        dataset: a split of a counterfactual set.
        rows: (n,) int64 row numbers.

    Raises:
        InputError: if a row has no such place.
    """
    recipe = dataset.recipe
    grid = das_options.grid_of(recipe)
    both = [dataset.table[name][rows] for name in ("patch", f"{VIEW}_patch")]
    free = free_places(grid, np.concatenate(both, axis=1).astype(np.int64))
    count = free.sum(axis=1)
    if not count.all():
        raise InputError(
            f"a row of {dataset.manifest.name} has no free place for the wrong-token control; "
            "make the set with a larger --image-size"
        )
    words = rng.mix(rng.stream_key("wrong_tokens", dataset.split), rows)
    nth = (words % count.astype(np.uint64)).astype(np.int64)
    at = (free.cumsum(axis=1) > nth[:, None]).argmax(axis=1)
    return grid.tokens(grid.positions()[at])


def free_places(grid: Grid, patch: Ints) -> NDArray[np.bool_]:
    """(n, positions) bool: whether a box at each of the grid's positions touches no object.

    Args:
        grid: of the set.
        patch: (n, k) int64 positions of each row's objects.
    """
    taken = np.zeros((len(patch), grid.side**2), dtype=bool)
    np.put_along_axis(taken, grid.tokens(patch).reshape(len(patch), -1), True, axis=1)
    return np.asarray(~taken[:, grid.tokens(grid.positions())].any(axis=-1))


def _read(dataset: StimulusDataset, rows: Ints) -> Iterator[tuple[slice, dict[str, Tensor]]]:
    """Rows in batches, and where each batch stands among them."""
    for first in range(0, len(rows), _BATCH):
        batch = dataset.batch(rows[first : first + _BATCH].tolist())
        assert isinstance(batch, dict)  # it was opened with columns
        yield slice(first, first + _BATCH), batch
