"""A small ViT that a CPU trains in minutes, with every part of a large one."""

from __future__ import annotations

from torch import Tensor, nn

from samediff_stimuli.models.classifier import Classifier
from samediff_stimuli.models.torchvision_shim import load_timm

_COARSE = 4  # pixels, side and stride of the stem's first convolution
_CHANNELS = (32, 64)  # of its two convolutions


class PatchStem(nn.Module):
    """Each patch by itself becomes a token: three convolutions, then a linear layer.

    Nothing crosses a patch's border, so that a token knows its own pixels alone before the first
    block, as in a plain ViT; convolutions bear with objects that are not in the middle.

    Args:
        patch_size: patch side in pixels.
        width: of tokens.
    """

    def __init__(self, patch_size: int, width: int) -> None:
        """Make the layers."""
        super().__init__()
        self.patch_size = patch_size
        side = -(-(patch_size // _COARSE) // 2)  # after the second convolution
        self.layers = nn.Sequential(
            nn.Conv2d(3, _CHANNELS[0], _COARSE, _COARSE),
            nn.GELU(),
            nn.Conv2d(*_CHANNELS, 3, 2, 1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(_CHANNELS[1] * side**2, width),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(n, width, rows, columns) tokens of (n, 3, height, width) images."""
        n, channels, height, width = images.shape
        p = self.patch_size
        tiles = images.reshape(n, channels, height // p, p, width // p, p).permute(0, 2, 4, 1, 3, 5)
        tokens: Tensor = self.layers(tiles.flatten(0, 2))
        return tokens.reshape(n, height // p, width // p, -1).permute(0, 3, 1, 2)


def vit_mini(
    *,
    image_size: int,
    patch_size: int,
    width: int = 128,
    depth: int = 6,
    heads: int = 4,
) -> Classifier:
    """A two-logit ViT of timm's blocks, behind a `PatchStem`.

    Args:
        image_size: image side in pixels, a multiple of the patch side.
        patch_size: patch side in pixels.
        width: of tokens.
        depth: number of blocks.
        heads: of each block.
    """
    body = load_timm().models.VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=2,
        num_classes=0,
    )
    body.patch_embed.proj = PatchStem(patch_size, width)
    white = (1.0, 1.0, 1.0)  # the ground is zero, as in `SmallCNN`
    return Classifier(
        body, nn.Linear(width, 2), mean=white, std=(0.5, 0.5, 0.5), image_size=image_size
    )
