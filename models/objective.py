"""What is trained: a model's cross-entropy, and the auxiliary losses beside it.

Auxiliary losses are of Lepori, Tartaglini et al. 2024 (arXiv 2406.15955): each is added to the
task's loss with weight 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from samediff_stimuli import tasks
from samediff_stimuli.aligned_options import GridOptions
from samediff_stimuli.loaders.tokens import box_token_mask
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.models.attention import Roles
from samediff_stimuli.models.classifier import Classifier, require_tokens
from samediff_stimuli.models.losses import (
    PIPELINE,
    DisentanglementProbes,
    pipeline_loss,
    random_heads,
    stages_of,
)
from samediff_stimuli.recipe import InputError

SCENE = ("patch", "shape", "color")  # columns that auxiliary losses need


class Objective(nn.Module):
    """A model and its losses, as one module: what is compiled, wrapped and optimised.

    Args:
        model: (n, 3, height, width) uint8 -> (n, 2) logits.
    """

    def __init__(self, model: nn.Module) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, scene: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch, each () float, and its logits.

        Args:
            images: (n, 3, height, width) uint8.
            scene: "label" (n,) int64, and the columns `SCENE` where a loss needs them.

        Returns:
            "loss", the sum; "task" and the name of each auxiliary loss; "logits", (n, 2) float.
        """
        logits = self.model(images)
        task = nn.functional.cross_entropy(logits.float(), scene["label"])
        return {"loss": task, "task": task, "logits": logits}


class AuxiliaryObjective(Objective):
    """A ViT's cross-entropy with the disentanglement loss, the pipeline loss, or both.

    Args:
        model: a classifier whose patches tile the dataset's.
        manifest: of a dataset of patch-aligned objects.
        disentangle: layer whose hidden state is probed; None for no such loss.
        control: whether the probes ask for identity instead.
        heads: how many random heads of each layer the pipeline loss acts on; None for no such loss.
        form: of the pipeline loss, "paper" or "code".
        seed: of the probes' weights and the choice of heads.

    Raises:
        InputError: a model without tokens, a dataset without patches, patches that do not tile, or
            layers that the model does not have.
    """

    def __init__(
        self,
        model: nn.Module,
        manifest: Manifest,
        *,
        disentangle: int | None,
        control: bool,
        heads: int | None,
        form: str,
        seed: int,
    ) -> None:
        """Check that losses suit the model and the dataset; make the probes."""
        vit, options = _suited(model, manifest)
        super().__init__(vit)
        columns = {c.name: c for c in tasks.get(manifest.recipe.task).columns(manifest.recipe)}
        n_objects = columns["shape"].shape[0]
        self._pairs = tuple((first, first + 1) for first in range(0, n_objects, 2))
        patch = vit.patch_size or 1
        self._geometry = {  # of boxes, in the dataset's patches and the model's
            "side": options.image_size // patch,
            "scale": options.patch_size // patch,
            "span": options.box_size // patch,
            "columns": options.image_size // options.patch_size,
        }
        self._layer = disentangle
        self.probes: DisentanglementProbes | None = None
        if disentangle is not None:
            _check_layer("disentangle", disentangle, 0, vit.n_layers)
            self.probes = DisentanglementProbes(
                vit.head.in_features // (2 if vit.mean_too else 1),
                len(columns["shape"].names),
                len(columns["color"].names),
                control,
                seed=seed,
            )
        self._stages: dict[int, str] = {}
        self._heads: tuple[int, ...] = ()
        self._form = form
        if heads is not None:
            self._stages = stages_of(PIPELINE, len(self._pairs))
            _check_layer("pipeline", max(self._stages), 1, vit.n_layers)
            self._heads = random_heads(vit.n_heads, heads, seed)

    def forward(self, images: Tensor, scene: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Objective`; "disentangle" and "pipeline" are the auxiliary losses."""
        vit = cast(Classifier, self.model)
        asked = () if self._layer is None else (self._layer,)
        parts = vit.forward_parts(images, hidden=asked, attention=self._stages)
        found = {"task": nn.functional.cross_entropy(parts.logits.float(), scene["label"])}
        mask = self._tokens(scene["patch"], vit.n_prefix_tokens)
        if self.probes is not None and self._layer is not None:
            hidden = parts.hidden[self._layer].float()
            found["disentangle"] = self.probes(hidden, mask, scene["shape"], scene["color"])
        if self._stages:
            background = ~mask.any(dim=1)
            background[:, : vit.n_prefix_tokens] = False
            roles = Roles(objects=mask, background=background, pairs=self._pairs)
            maps = {layer: parts.attention[layer] for layer in self._stages}
            found["pipeline"] = pipeline_loss(maps, roles, heads=self._heads, form=self._form)
        loss = torch.stack(list(found.values())).sum()
        return {"loss": loss, **found, "logits": parts.logits}

    def _tokens(self, patch: Tensor, n_prefix_tokens: int) -> Tensor:
        """(n, k, tokens) bool: the tokens of each object's box."""
        at = self._geometry
        corner = torch.stack([patch // at["columns"], patch % at["columns"]], dim=-1) * at["scale"]
        return box_token_mask(corner, at["span"], at["side"], n_prefix_tokens)


def make_objective(
    model: nn.Module,
    manifest: Manifest,
    *,
    disentangle: int | None = None,
    control: bool = False,
    heads: int | None = None,
    form: str = "paper",
    seed: int = 0,
) -> Objective:
    """The objective of a model on a dataset; see `AuxiliaryObjective`.

    Raises:
        InputError: if an auxiliary loss does not suit the model or the dataset.
    """
    if disentangle is None and heads is None:
        return Objective(model)
    return AuxiliaryObjective(
        model,
        manifest,
        disentangle=disentangle,
        control=control,
        heads=heads,
        form=form,
        seed=seed,
    )


def _suited(model: nn.Module, manifest: Manifest) -> tuple[Classifier, GridOptions]:
    """The model and the options, if auxiliary losses make sense of both."""
    options = manifest.recipe.options
    vit = require_tokens(model, "auxiliary losses")
    assert vit.patch_size is not None  # as it has tokens
    if not isinstance(options, GridOptions):
        raise InputError(
            f"auxiliary losses need objects on a patch grid, and {manifest.name} has none; use "
            "discrimination or rmts"
        )
    if options.patch_size % vit.patch_size:
        raise InputError(
            f"patches of {vit.patch_size} pixels do not tile those of {manifest.name}, of "
            f"{options.patch_size}; auxiliary losses need a model whose patches do"
        )
    if vit.probe:
        raise InputError("auxiliary losses train the body, which probe freezes; leave one out")
    return vit, options


def _check_layer(name: str, layer: int, first: int, n_layers: int) -> None:
    if not first <= layer <= n_layers:
        raise InputError(f"{name} layer {layer} is out of range; legal: {first} .. {n_layers}")
