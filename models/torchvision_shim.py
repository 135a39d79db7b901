"""timm and torchvision, imported late: most commands of the package need neither."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from samediff_stimuli.recipe import InputError

_WAY_OUT = "pip install 'samediff-stimuli[train]'"
_DECLARED: list[Any] = []  # a torch.library.Library lives as long as someone refers to it


def ensure_torchvision() -> ModuleType:
    """The torchvision module, also where a CPU build of torch meets a CUDA build of torchvision.

    There the compiled half of torchvision does not load, and its import fails because two
    operators that it describes, `nms` and `qnms`, were never declared. Declaring their signatures
    is enough for whatever does not call them: transforms, models and timm. Where the import
    succeeds by itself, nothing is declared.

    Raises:
        InputError: if torchvision is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        raise _missing(error, "torchvision") from None
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left behind
    _declare()
    return importlib.import_module("torchvision")


def load_timm() -> Any:
    """The timm module, with `timm.models` loaded.

    Raises:
        InputError: if timm or torchvision is not installed.
    """
    if "timm" not in sys.modules:
        ensure_torchvision()
    try:
        timm = importlib.import_module("timm")
        importlib.import_module("timm.models")
    except ModuleNotFoundError as error:
        raise _missing(error, "timm") from None
    return timm


def _declare() -> None:
    """Declare the operators that torchvision's Python half describes, once."""
    if _DECLARED:
        return
    library = importlib.import_module("torch.library").Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _DECLARED.append(library)


def _missing(error: ModuleNotFoundError, wanted: str) -> Exception:
    """What to raise when a module is missing: advice if it is ours to ask for, else the error."""
    if (error.name or "").split(".")[0] not in {wanted, "safetensors", "huggingface_hub", "yaml"}:
        return error
    return InputError(f"this needs {error.name}, which is not installed; {_WAY_OUT}")
