"""A small convolutional network without any bias for pairs: what a plain network makes of a set."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Two-logit classifier: four strided convolutions, the mean over places, a linear layer.

    It sees the image whole and compares nothing by construction, so it is the counterpart of the
    models that do: where it succeeds without them, look for a shortcut.

    Args:
        width: channels of the first layer; the last has four times as many.
        channels: channels of the images.
    """

    def __init__(self, *, width: int = 16, channels: int = 3) -> None:
        """Make the layers."""
        super().__init__()
        wide = [channels, width, 2 * width, 4 * width, 4 * width]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(wide):
            stride = 2 if layers else 4
            layers += [nn.Conv2d(before, after, 5, stride, 2), nn.GroupNorm(8, after), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.read = nn.Linear(wide[-1], 2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 2) of (n, channels, height, width) uint8 images."""
        dtype = torch.get_default_dtype()
        features = self.features(1 - images.to(dtype) / 255)  # a white ground is zero
        logits: Tensor = self.read(features.mean(dim=(2, 3)))
        return logits
