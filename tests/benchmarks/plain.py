"""The plain way: one image at a time with numpy, Pillow and h5py, as a careful user writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.utils.data import Dataset

from samediff_stimuli import palette, silhouettes


def generate_plainly(path: Path, task: str, n: int) -> None:
    """Write n images of 224 x 224: 2 or 4 noisy objects on random patches, gzip level 4."""
    rng = np.random.default_rng(0)
    masks = [Image.fromarray(mask.astype(np.uint8) * 255) for mask in silhouettes.masks(24)[:16]]
    means = palette.means()
    count = 2 if task == "discrimination" else 4
    with h5py.File(path, "w") as file:
        images = file.create_dataset(
            "image", (n, 224, 224, 3), "uint8", chunks=(1, 224, 224, 3), compression="gzip"
        )
        labels = file.create_dataset("label", (n,), "uint8")
        for i in range(n):
            canvas = Image.new("RGB", (224, 224), (255, 255, 255))
            shapes, colors = rng.integers(16, size=count), rng.integers(16, size=count)
            if i % 2:
                shapes[1], colors[1] = shapes[0], colors[0]
            for shape, color, place in zip(
                shapes, colors, rng.choice(49, count, replace=False), strict=True
            ):
                noise = rng.normal(means[color], 10, (24, 24, 3))
                pixels = Image.fromarray(np.clip(noise, 0, 250).astype(np.uint8))
                x, y = place % 7 * 32 + rng.integers(9), place // 7 * 32 + rng.integers(9)
                canvas.paste(pixels, (int(x), int(y)), masks[shape])
            images[i] = np.asarray(canvas)
            labels[i] = i % 2


def outlines_plainly(folder: Path, n: int) -> None:
    """Write n PNG files of 224 x 224: two closed outlines at random places, drawn with Pillow."""
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 160)
    for i in range(n):
        canvas = Image.new("RGB", (224, 224), (255, 255, 255))
        draw = ImageDraw.Draw(canvas)
        corners = rng.integers(0, 161, (2, 2))
        while np.abs(corners[0] - corners[1]).max() <= 64:
            corners = rng.integers(0, 161, (2, 2))
        curves = []
        for _ in range(2):
            waves = [
                rng.normal(0, 0.15 / k) * np.cos(k * angles + rng.normal()) for k in range(2, 9)
            ]
            radius = 20 + 20 * np.sum(waves, axis=0)
            curves.append(np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None] + 32)
        if i % 2:
            curves[1] = curves[0]
        for curve, corner in zip(curves, corners, strict=True):
            draw.line([tuple(p) for p in curve + corner], fill=(0, 0, 0), width=2, joint="curve")
        canvas.save(folder / f"{i:06d}.png")


class H5Dataset(Dataset[Any]):
    """A map-style dataset over one HDF5 file, opened lazily in each worker."""

    def __init__(self, path: Path) -> None:
        """Take the length."""
        self.path, self.file = path, None
        with h5py.File(path) as file:
            self.n = len(file["image"])

    def __len__(self) -> int:
        """Number of images."""
        return self.n

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """One image, channels first, and its label."""
        if self.file is None:
            self.file = h5py.File(self.path)
        image = torch.from_numpy(self.file["image"][index]).permute(2, 0, 1)
        return image, int(self.file["label"][index])
