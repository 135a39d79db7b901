"""A small patch-relation model: encode the inked windows, compare every two, read the relation.

It has the right bias for same-different tasks and trains in minutes on a CPU; it is here to show
that a dataset is learnable and that its labels are right, not as a model of vision.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PatchRelationNet(nn.Module):
    """Two-logit classifier over pairs of image windows.

    Windows are object boxes, one at each patch. The windows with most ink are encoded; each two
    encodings give relation features from their difference and product; a few heads choose pairs
    by position and content; an MLP reads the heads.

    Args:
        box: window side in pixels.
        patch: step between windows in pixels.
        image_size: image side in pixels.
        n_windows: windows kept, those with most ink.
        dim: width of encodings.
        heads: pair-choosing heads.
    """

    def __init__(
        self,
        *,
        box: int,
        patch: int,
        image_size: int,
        n_windows: int = 8,
        dim: int = 64,
        heads: int = 4,
    ) -> None:
        """Make the layers."""
        super().__init__()
        side = (image_size - box) // patch + 1
        self.box, self.patch, self.n_windows = box, patch, min(n_windows, side * side)
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, dim, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(dim, dim, 3, 1, 1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * dim, dim),
        )
        self.place = nn.Embedding(side * side, dim)
        self.relate = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.choose = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, heads))
        self.read = nn.Sequential(nn.Linear(heads * dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, 2))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 2) of (n, 3, height, width) uint8 images."""
        windows, places, inked = self._windows(images)
        n, k = places.shape
        codes = self.encoder(windows.flatten(0, 1)).view(n, k, -1)
        i, j = torch.triu_indices(k, k, 1, device=images.device)
        first, second = codes[:, i], codes[:, j]
        pairs = torch.cat([(first - second).abs(), first * second], dim=-1)
        where = self.place(places)
        scores = self.choose(where[:, i] + where[:, j])
        scores = scores.masked_fill(~(inked[:, i] & inked[:, j])[..., None], -1e4)
        weights = scores.softmax(dim=1)  # over pairs
        heads = torch.einsum("nph,npd->nhd", weights, self.relate(pairs))
        logits: Tensor = self.read(heads.flatten(1))
        return logits

    def _windows(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The windows with most ink (n, k, 3, box, box), their places and whether they have any."""
        ink = (images != 255).any(dim=1)
        views = ink.unfold(1, self.box, self.patch).unfold(2, self.box, self.patch)
        amount = views.flatten(3).sum(dim=-1).flatten(1)
        most, places = amount.topk(self.n_windows, dim=1)
        tiles = images.unfold(2, self.box, self.patch).unfold(3, self.box, self.patch)
        tiles = tiles.flatten(2, 3)  # (n, 3, places, box, box)
        rows = torch.arange(len(images), device=images.device)[:, None]
        chosen = tiles.permute(0, 2, 1, 3, 4)[rows, places]
        return 1 - chosen.float() / 255, places, most > 0
