"""A small patch-relation model: encode the inked windows, compare every two, read the relation.

It has the right bias for same-different tasks and trains in minutes on a CPU; it is here to show
that a dataset is learnable and that its labels are right, not as a model of vision.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PatchRelationNet(nn.Module):
    """Two-logit classifier over pairs of image windows.

    Windows are object boxes, one at each patch; those with most ink are encoded. Each head has a
    metric of its own: two encodings are as similar as exp(-squared distance), and the head's value
    is its similarity averaged over the pairs of windows that it chooses by their places. An MLP
    reads the heads' centred values and their products: whether two relations agree is a product.

    Args:
        box: window side in pixels.
        patch: step between windows in pixels.
        image_size: image side in pixels.
        n_windows: windows kept, those with most ink.
        dim: width of encodings.
        heads: number of heads.
    """

    def __init__(
        self,
        *,
        box: int,
        patch: int,
        image_size: int,
        n_windows: int = 8,
        dim: int = 64,
        heads: int = 8,
    ) -> None:
        """Make the layers."""
        super().__init__()
        side = (image_size - box) // patch + 1
        self.box, self.patch, self.n_windows = box, patch, min(n_windows, side * side)
        self.heads = heads
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, dim, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(dim, dim, 3, 1, 1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * dim, heads * _METRIC),
            nn.BatchNorm1d(heads * _METRIC),
        )
        self.place = nn.Embedding(side * side, dim)
        self.choose = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, heads))
        width = heads + heads * heads
        self.centre = nn.BatchNorm1d(heads)
        self.read = nn.Sequential(nn.Linear(width, dim), nn.ReLU(), nn.Linear(dim, 2))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 2) of (n, 3, height, width) uint8 images."""
        windows, places, inked = self._windows(images)
        n, k = places.shape
        codes = self.encoder(windows.flatten(0, 1)).view(n, k, self.heads, _METRIC)
        i, j = torch.triu_indices(k, k, 1, device=images.device)
        alike = torch.exp(-(codes[:, i] - codes[:, j]).square().mean(dim=-1))  # (n, pairs, heads)
        where = self.place(places)
        scores = self.choose(where[:, i] + where[:, j])
        scores = scores.masked_fill(~(inked[:, i] & inked[:, j])[..., None], -1e4)
        values = self.centre((scores.softmax(dim=1) * alike).sum(dim=1))
        products = values[:, :, None] * values[:, None, :]
        logits: Tensor = self.read(torch.cat([values, products.flatten(1)], dim=1))
        return logits

    def _windows(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The windows with most ink (n, k, 3, box, box), their places and whether they have any."""
        red, green, blue = (images != 255).unbind(dim=1)
        ink = red | green | blue
        views = ink.unfold(1, self.box, self.patch).unfold(2, self.box, self.patch)
        most, places = views.flatten(3).sum(dim=-1).flatten(1).topk(self.n_windows, dim=1)
        tiles = images.unfold(2, self.box, self.patch).unfold(3, self.box, self.patch)
        rows = torch.arange(len(images), device=images.device)[:, None]
        side = tiles.shape[3]
        chosen = tiles.permute(0, 2, 3, 1, 4, 5)[rows, places // side, places % side]
        return 1 - chosen.float() / 255, places, most > 0


_METRIC = 16  # dimensions of a head's metric
