"""Memory for batches of images, used again as soon as nothing refers to it.

Fresh memory comes as pages that the system has to map and clear, which costs about as much as
decoding into it. So a few arrays are kept; a tensor made by `torch.from_numpy` holds a reference to
its array for as long as it, or any view of it, lives, and an array that only this list refers to is
free.
"""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

_KEPT = 8  # arrays; more in use at a time than this are not used again
_LARGEST = 1 << 26  # bytes; larger arrays go back to the system at once


def _references(arrays: list[NDArray[np.uint8]], number: int) -> int:
    """References to one array of a list, as this very line sees them."""
    return sys.getrefcount(arrays[number])


_IDLE = _references([np.empty(0, dtype=np.uint8)], 0)  # when nothing but the list refers to it


def is_idle(arrays: list[NDArray[np.uint8]], number: int) -> bool:
    """Whether nothing but the list refers to one of its arrays."""
    return _references(arrays, number) == _IDLE


def shared(shape: tuple[int, ...]) -> Tensor:
    """Shared memory, uint8, any contents; torch's threads, which no fork has, are not asked.

    Raises:
        RuntimeError: if the system gives no more.
    """
    storage = torch.UntypedStorage._new_shared(math.prod(shape))  # type: ignore[no-untyped-call]  # as torch's own collate function does
    return torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)


class Buffers:
    """Batches of memory for images of one shape; may be asked from any thread.

    Args:
        image_shape: (height, width, 3).
    """

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        """Keep nothing yet."""
        self.image_shape = image_shape
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the shape and no memory."""
        return {"image_shape": self.image_shape}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without memory."""
        self.__dict__.update(state)
        self._arrays: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def take(self, n: int) -> Tensor:
        """(n, height, width, 3) uint8, any contents; in shared memory in a DataLoader worker."""
        if get_worker_info() is not None:
            return shared((n, *self.image_shape))
        with self._lock:
            for number in range(len(self._arrays)):
                if len(self._arrays[number]) >= n and is_idle(self._arrays, number):
                    return torch.from_numpy(self._arrays[number][:n])
            array = np.empty((n, *self.image_shape), dtype=np.uint8)
            if array.nbytes <= _LARGEST:
                self._arrays = [*self._arrays[-_KEPT + 1 :], array]
        return torch.from_numpy(array[:])
