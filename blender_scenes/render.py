"""Pixels of scenes, by Cycles: the same bytes for a scene within one release of bpy.

What was rendered before, the number of threads and the process make no difference; the device and
the release of bpy do, so `Renderer.about` names them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.blender_scenes.data import Model, Picture, Scene
from samediff_stimuli.blender_scenes.stage import Stage
from samediff_stimuli.recipe import InputError

DEVICES = ("auto", "cpu", "cuda", "optix", "hip", "metal")
TESTED = ("4.5.15", "5.0.1")
_RELEASES = ((4, 5), (5, 0))
_GPUS = ("OPTIX", "CUDA", "HIP", "METAL")  # in the order that "auto" tries
_MAX_SEED = 2**31
_HEADER = 18  # bytes before the pixels of a TGA file

CYCLES = {
    "use_adaptive_sampling": False,
    "use_denoising": True,
    "denoiser": "OPENIMAGEDENOISE",
    "denoising_input_passes": "RGB_ALBEDO_NORMAL",
    "denoising_prefilter": "ACCURATE",
    "denoising_quality": "HIGH",
    "denoising_use_gpu": False,
    "use_animated_seed": False,
    "use_light_tree": False,  # two lights; 13 % faster
    "max_bounces": 4,
    "diffuse_bounces": 4,
    "glossy_bounces": 4,
    "transmission_bounces": 4,
    "transparent_max_bounces": 4,
    "volume_bounces": 0,
    "caustics_reflective": False,
    "caustics_refractive": False,
    "sample_clamp_indirect": 8.0,
    "blur_glossy": 1.0,
    "use_auto_tile": False,
}
RENDER = {
    "resolution_percentage": 100,
    "use_persistent_data": False,  # it can corrupt memory in 4.5 and saves next to nothing
    "film_transparent": False,
    "use_compositing": False,
    "use_sequencer": False,
    "dither_intensity": 0.0,
    "use_file_extension": False,
    "use_stamp": False,
}
VIEW = {
    "view_transform": "AgX",
    "look": "AgX - Medium High Contrast",
    "exposure": 0.25,
    "gamma": 1.0,
}


class Renderer:
    """Blender with its room built, ready to render scene after scene; at most one a process.

    Use it in a `with` statement.
    """

    _in_use = False

    def __init__(
        self,
        device: str = "auto",
        *,
        threads: int = 0,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Note what is wanted; nothing is loaded before `with`.

        Args:
            device: one of DEVICES.
            threads: of the CPU; 0 for as many as there are cores.
            tell: is told in one line which device was chosen.

        Raises:
            InputError: if there is no such device.
        """
        if device not in DEVICES:
            raise InputError(f"unknown device {device!r}; known: {', '.join(DEVICES)}")
        self._wanted, self._threads = device, threads
        self._tell = tell or (lambda line: None)
        self._exit = ExitStack()
        self._kind, self._names = "CPU", list[str]()
        self._folder = Path()
        self._bpy: Any = None
        self._stage: Stage

    def __enter__(self) -> Renderer:
        """Load bpy, choose the device, build the room.

        Raises:
            InputError: if bpy is absent or of an untried release, or the device is not there.
            RuntimeError: if another renderer is open in this process.
        """
        if Renderer._in_use:
            raise RuntimeError("another Renderer is open in this process; close it first")
        with _silent():
            self._bpy = _load()
            self._stage = Stage()
            self._kind, self._names = _choose(self._bpy, self._wanted)
            self._settle()
        Renderer._in_use = True
        folder = tempfile.TemporaryDirectory(prefix="samediff-render-")
        self._folder = Path(self._exit.enter_context(folder))
        self._tell(self._line())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Forget the room and the models."""
        with _silent():
            self._bpy.ops.wm.read_factory_settings(use_empty=True)
        self._exit.close()
        Renderer._in_use = False

    def render(self, scene: Scene, models: Mapping[str, Model]) -> Picture:
        """Render a scene.

        Args:
            scene: what to render.
            models: by name, those of its objects at least.

        Returns:
            (size, size, 3) uint8 sRGB, rows from the top.

        Raises:
            InputError: if the scene names a model, table or background that does not exist.
            RuntimeError: if Blender fails, e.g. for want of memory.
        """
        path = self._folder / "picture.tga"
        settings = self._stage.scene
        with _silent():
            self._stage.show(scene, models)
            settings.render.resolution_x = settings.render.resolution_y = scene.size
            settings.cycles.samples = scene.samples
            settings.cycles.seed = scene.seed % _MAX_SEED
            settings.render.filepath = str(path)
            self._bpy.ops.render.render(write_still=True)
        if not path.exists():
            raise RuntimeError("Blender rendered nothing, perhaps for want of memory")
        data = path.read_bytes()
        path.unlink()
        return _pixels(data, scene.size)

    def about(self) -> dict[str, Any]:
        """What decides the pixels besides the scene, as plain data for a manifest."""
        return {
            "bpy": self._bpy.app.version_string.split()[0],
            "build": self._bpy.app.build_hash.decode(),
            "device": self._kind.lower(),
            "device_names": list(self._names),
            "settings": {"cycles": dict(CYCLES), "render": dict(RENDER), "view": dict(VIEW)},
        }

    def _settle(self) -> None:
        """Set all that scenes have in common; passes and denoiser never change after this."""
        scene = self._stage.scene
        for owner, values in ((scene.cycles, CYCLES), (scene.render, RENDER)):
            for key, value in values.items():
                setattr(owner, key, value)
        scene.display_settings.display_device = "sRGB"
        for key, value in VIEW.items():
            setattr(scene.view_settings, key, value)
        scene.render.threads_mode = "FIXED" if self._threads else "AUTO"
        if self._threads:
            scene.render.threads = self._threads
        scene.render.image_settings.file_format = "TARGA_RAW"  # bare bytes, quick to read back
        scene.render.image_settings.color_mode = "RGB"

    def _line(self) -> str:
        """What was chosen, in one line."""
        release = self.about()["bpy"]
        if self._kind != "CPU":
            return f"Cycles of bpy {release} renders with {self._kind} on {', '.join(self._names)}"
        threads = self._threads or os.cpu_count()
        why = "; no GPU that it can use was found" if self._wanted == "auto" else ""
        return f"Cycles of bpy {release} renders on the CPU with {threads} threads{why}"


def _load() -> Any:
    """The bpy module, of a release that was tried.

    Raises:
        InputError: if it is absent or of another release.
    """
    try:
        import bpy
    except ImportError as error:
        python = ".".join(map(str, sys.version_info[:2]))
        raise InputError(
            f"rendering needs bpy, which this Python {python} lacks ({error}); under Python 3.11: "
            "pip install 'samediff-stimuli[blender]', or give --blender-python PATH"
        ) from error
    if tuple(bpy.app.version[:2]) not in _RELEASES:
        release = ".".join(map(str, bpy.app.version))
        raise InputError(
            f"bpy {release} is not supported; tested: {' and '.join(TESTED)}; under Python 3.11: "
            "pip install 'samediff-stimuli[blender]'"
        )
    return bpy


def _choose(bpy: Any, wanted: str) -> tuple[str, list[str]]:
    """Switch Cycles to a device.

    Returns:
        Its kind, "CPU" or one of _GPUS, and the names of the devices in use.

    Raises:
        InputError: if a GPU was asked for and none is there.
    """
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    if "cycles" not in bpy.context.preferences.addons:
        bpy.ops.preferences.addon_enable(module="cycles")
    options = bpy.context.preferences.addons["cycles"].preferences
    kinds = {"auto": _GPUS, "cpu": ()}.get(wanted, (wanted.upper(),))
    for kind in kinds:
        names = _devices(options, kind)
        if names:
            for device in options.devices:
                device.use = device.type == kind
            scene.cycles.device = "GPU"
            return kind, names
    if wanted not in ("auto", "cpu"):
        found = [kind.lower() for kind in _GPUS if _devices(options, kind)]
        raise InputError(
            f"device {wanted!r} is not there; found: {', '.join([*found, 'cpu'])}; "
            "use one of these or 'auto'"
        )
    options.compute_device_type = "NONE"
    scene.cycles.device = "CPU"
    return "CPU", []


def _devices(options: Any, kind: str) -> list[str]:
    """The names of the GPUs of a kind, which becomes the kind in use; none if it is unsupported."""
    try:
        options.compute_device_type = kind
        return [d.name for d in options.get_devices_for_type(kind) if d.type == kind]
    except (TypeError, ValueError):  # not in this build
        return []


def _pixels(data: bytes, size: int) -> Picture:
    """The picture in an uncompressed 24-bit TGA file: blue, green, red, rows from the bottom."""
    count = size * size * 3
    if len(data) < _HEADER + count or data[2] != 2 or data[16] != 24:
        raise RuntimeError(f"Blender wrote a picture that is not {size} x {size} in 24-bit TGA")
    start = _HEADER + data[0]
    raw: NDArray[np.uint8] = np.frombuffer(data, np.uint8, count, start).reshape(size, size, 3)
    upward = not data[17] & 0x20
    return np.ascontiguousarray((raw[::-1] if upward else raw)[..., ::-1])


@contextmanager
def _silent() -> Iterator[None]:
    """Send stdout and stderr of the whole process, C code too, to nowhere."""
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(nowhere, number)
        yield
    finally:
        for stream in streams:
            stream.flush()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)
