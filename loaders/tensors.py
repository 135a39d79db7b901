"""Arrays and images as the tensors that datasets and streams hand out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def column(values: NDArray[Any]) -> Tensor:
    """A column (n, ...) as int64, or float64 if it holds measures."""
    return torch.from_numpy(values.astype(np.result_type(values, np.int64)))


def transformed(images: Tensor, transform: Callable[[Tensor], Any]) -> Tensor:
    """What a transform makes of each image, as one batch.

    Args:
        images: (n, c, height, width) uint8; none of them give none of what a black one gives.
        transform: of one image (c, height, width).
    """
    some = images if len(images) else images.new_zeros((1, *images.shape[1:]))
    return torch.stack([torch.as_tensor(transform(image)) for image in some])[: len(images)]


def pinned(batch: Any) -> Any:
    """A batch, a tuple or a dict of tensors, in page-locked memory."""
    if isinstance(batch, dict):
        return {name: values.pin_memory() for name, values in batch.items()}
    return tuple(values.pin_memory() for values in batch)
