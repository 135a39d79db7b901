"""The renderers that this process has open: one for each device and interpreter, until it ends."""

from __future__ import annotations

import atexit
import json
import logging
import multiprocessing
import os
import platform
import threading
from collections.abc import Mapping
from hashlib import sha256
from importlib.util import find_spec
from typing import Any

import numpy as np

from samediff_stimuli.blender_scenes.process import RendererProcess

TOLD = logging.getLogger("samediff_stimuli")  # at INFO: what renders, and crashes survived
_lock = threading.Lock()
_open: dict[tuple[int, str, str | None], RendererProcess] = {}


def renderer(device: str, python: str | None) -> RendererProcess:
    """The renderer of this process for a device and an interpreter, started at the first call.

    Args:
        device: one of `render.DEVICES`.
        python: the interpreter that has bpy; None for the present one.

    Raises:
        InputError: if bpy, the interpreter or the device is not there.
        RenderingError: if it crashes while it starts.
    """
    key = os.getpid(), device, python  # a forked child starts its own
    with _lock:
        if key not in _open:
            opened = RendererProcess(device, python=python, threads=_share(), tell=TOLD.info)
            _open[key] = opened.__enter__()
        return _open[key]


def _share() -> int:
    """Threads for this process: its part in a worker of a pool, which says so; else all, 0."""
    if multiprocessing.parent_process() is None:
        return 0
    part = os.environ.get("OMP_NUM_THREADS", "")
    return int(part) if part.isdigit() else 0


@atexit.register
def close() -> None:
    """End the renderers of this process."""
    for key in [key for key in _open if key[0] == os.getpid()]:
        _open.pop(key).__exit__(None, None, None)


def absent() -> str | None:
    """Why nothing can be rendered with the present interpreter; None if bpy is there."""
    if find_spec("bpy") is not None:
        return None
    return (
        "bpy is not installed; in Python 3.11 run: pip install 'samediff-stimuli[blender]', or "
        "give --blender-python PATH, an interpreter that has both"
    )


# Vector instructions -> what releases of NumPy call them, the widest first.
_VECTORS = {
    "avx512": ("AVX512", "X86_V4"),
    "avx2": ("AVX2", "X86_V3"),
    "sse4.2": ("SSE42", "X86_V2"),
}


def _instructions() -> str:
    """The widest vector instructions of the processor: Cycles has code, and bytes, for each."""
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {})
    there = [*simd.get("baseline", []), *simd.get("found", [])]
    found = (kind for kind, names in _VECTORS.items() if any(n.startswith(names) for n in there))
    return next(found, "other")


def described(about: Mapping[str, Any]) -> dict[str, str]:
    """What decides pixels besides the scene, as words for a manifest.

    Args:
        about: from `Renderer.about`.
    """
    settings = json.dumps(about["settings"], sort_keys=True)
    named = ", ".join(about["device_names"])
    return {
        "bpy": f"{about['bpy']} ({about['build']})",
        "device": f"{about['device']} ({named})" if named else about["device"],
        "platform": f"{platform.system()} {platform.machine()} {_instructions()}".strip().lower(),
        "settings": sha256(settings.encode()).hexdigest()[:16],
    }
