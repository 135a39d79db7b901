"""What observers that do not compare two objects see of an image, as numbers for a linear readout.

Each view is blind to something on purpose: to where things are, to what they are, or to all but
one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from samediff_stimuli import codec

Features = NDArray[np.float32]

GRID = 16  # side of the pixels that a linear readout sees of the image
CROP = 12  # and of one object
SHADES = 8  # of each colour channel in a histogram of the image
CROP_SHADES = 4  # and of one object
WHITE = 255


@dataclass(frozen=True, kw_only=True)
class View:
    """An observer.

    Attributes:
        name: e.g. "ink".
        sees: what it sees, in words.
        boxes: whether it must know where objects are.
    """

    name: str
    sees: str
    boxes: bool = False


PIXELS, COLORS, INK, POSITION, ONE_OBJECT, FILE_SIZE = (
    *("pixels", "colors", "ink", "position", "one_object", "file_size"),
)

VIEWS: tuple[View, ...] = (
    View(name=PIXELS, sees=f"a weighted sum of the image's pixels, averaged to {GRID} x {GRID}"),
    View(
        name=COLORS,
        sees=f"how many pixels have each of {SHADES}^3 colours (square roots), not where",
    ),
    View(name=INK, sees="how many pixels are not white"),
    View(
        name=POSITION, sees="where objects stand and how far apart, not what they are", boxes=True
    ),
    View(
        name=ONE_OBJECT,
        sees=f"one object, cut out: {CROP} x {CROP} pixels and its colours; the mean over objects",
        boxes=True,
    ),
    View(name=FILE_SIZE, sees="how many bytes the image takes when it is stored (deflated)"),
)


def look(images: Tensor, table: Mapping[str, Any], objects: int) -> dict[str, Features]:
    """What every view sees of some images.

    Args:
        images: (n, c, height, width) uint8, c 1 or 3.
        table: their columns; without "box" there is no position and no one object.
        objects: how many objects the label is about, the first ones of "box".

    Returns:
        View name -> (n, features) float32; one_object (n, objects, features).
    """
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    found: dict[str, Features] = {
        PIXELS: _shrunk(images, GRID),
        COLORS: np.stack([colors(image, SHADES) for image in pixels]),
        INK: _ink(pixels).astype(np.float32)[:, None],
        FILE_SIZE: np.array([[len(codec.deflate(image))] for image in pixels], dtype=np.float32),
    }
    if "box" in table:
        boxes = np.asarray(table["box"]).astype(np.int64)[:, :objects]
        found[POSITION] = positions(table, objects)
        found[ONE_OBJECT] = np.stack(
            [_alone(image, box) for image, box in zip(images, boxes.tolist(), strict=True)]
        )
    return found


def _ink(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n,) int64: how many pixels of (n, height, width, c) uint8 images are not white."""
    common = pixels[..., 0]
    for channel in range(1, pixels.shape[-1]):
        common = common & pixels[..., channel]
    return np.asarray((common != WHITE).sum(axis=(1, 2)))


def _shrunk(images: Tensor, side: int) -> Features:
    """(n, c * side * side) float32 in [0, 1]: the mean of each cell of (n, c, h, w) uint8 images.

    Cells overlap by a pixel where the sides are no multiples of theirs.
    """
    n, _, height, width = images.shape
    if height % side or width % side:
        small = functional.adaptive_avg_pool2d(images.float() / WHITE, side)
        flat: Features = small.flatten(1).numpy()
        return flat
    # In whole numbers, rows first: ten times as fast as floats of every pixel.
    tall, wide = height // side, width // side
    rows = images.numpy().reshape(-1, tall, width).sum(axis=1, dtype=np.uint32)
    cells = rows.reshape(n, -1, wide).sum(axis=2, dtype=np.uint32)
    return np.asarray(cells / (tall * wide * WHITE), dtype=np.float32)


def colors(image: NDArray[np.uint8], shades: int) -> Features:
    """(shades**c,) float32: square roots of the share of pixels of each colour.

    Roots let a weighted sum tell one colour twice from two colours once: sqrt(2) is less than 2.

    Args:
        image: (height, width, c) uint8, c 1 or 3.
        shades: of each channel.
    """
    step = (WHITE + 1) // shades
    coarse = image.reshape(-1, image.shape[-1]) // step
    code = coarse[:, 0].astype(np.int32)
    for channel in range(1, coarse.shape[1]):
        code = code * shades + coarse[:, channel]
    count = np.bincount(code, minlength=shades ** coarse.shape[1])
    return np.sqrt(count / max(1, len(code))).astype(np.float32)


def positions(table: Mapping[str, Any], objects: int) -> Features:
    """(n, features) float32: coordinates of each object, their products, and distances of pairs.

    Coordinates are those on the table where the set has them, since a rendered object's box also
    tells its size, which would be to see what it is; else the centres of boxes.
    """
    if "position" in table:
        spots = np.asarray(table["position"], dtype=np.float64)[:, :objects]
    else:
        boxes = np.asarray(table["box"], dtype=np.float64)[:, :objects]
        spots = (boxes[..., :2] + boxes[..., 2:]) / 2
    i, j = np.triu_indices(spots.shape[1], k=1)
    apart = np.sqrt(((spots[:, i] - spots[:, j]) ** 2).sum(axis=-1))
    flat = spots.reshape(len(spots), -1)
    a, b = np.triu_indices(flat.shape[1])
    scale = max(1.0, float(np.abs(flat).max(initial=0)))
    products = flat[:, a] * flat[:, b] / scale
    return np.concatenate([flat, products, apart], axis=1).astype(np.float32)


def _alone(image: Tensor, boxes: list[list[int]]) -> Features:
    """(objects, features) float32: each object's box, the others' boxes in it white."""
    height, width = image.shape[1:]
    rows = []
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        clear = image
        if any(_meet(boxes[number], box) for k, box in enumerate(boxes) if k != number):
            clear = image.clone()
            for k, (a, b, c, d) in enumerate(boxes):
                if k != number:
                    clear[:, b:d, a:c] = WHITE
        left, top = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
        crop = clear[:, top : max(y1, top + 1), left : max(x1, left + 1)]
        shades = colors(crop.permute(1, 2, 0).numpy(), CROP_SHADES)
        rows.append(np.concatenate([_shrunk(crop[None], CROP)[0], shades]))
    return np.stack(rows)


def _meet(one: list[int], other: list[int]) -> bool:
    """Whether two boxes overlap."""
    return (
        one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
    )  # x0 y0 x1 y1
