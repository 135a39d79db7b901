"""Rendering in another process: a crash costs a restart, and Blender's Python need not be ours."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Any

import numpy as np

from samediff_stimuli.blender_scenes.data import Picture, Scene
from samediff_stimuli.blender_scenes.sources import sources
from samediff_stimuli.blender_scenes.worker import PNG_START, receive
from samediff_stimuli.recipe import InputError

_MODULE = "samediff_stimuli.blender_scenes.worker"
_PATIENCE = 10  # seconds that a worker has to end by itself
_LONGEST_NOTE = 1 << 20  # bytes of its first answer
_HEAD = 8  # bytes of a PNG chunk before its data: length and name


class RenderingError(RuntimeError):
    """The renderer failed on a scene, or crashed more often than allowed: one line that says so."""


def pixels_of(png: bytes) -> Picture:
    """The pixels of a PNG file that `worker.png_of` wrote.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: if it is none.
    """
    if not png.startswith(PNG_START):
        raise ValueError("not a PNG file")
    place, data, shape = len(PNG_START), b"", (0, 0)
    while place < len(png):
        length = int.from_bytes(png[place : place + 4], "big")
        name, body = png[place + 4 : place + _HEAD], png[place + _HEAD : place + _HEAD + length]
        if name == b"IHDR":
            shape = (int.from_bytes(body[4:8], "big"), int.from_bytes(body[:4], "big"))
        data += body if name == b"IDAT" else b""
        place += _HEAD + length + 4
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape[0], 1 + 3 * shape[1])
    if rows[:, 0].any():
        raise ValueError("a PNG file of another writer")
    return np.ascontiguousarray(rows[:, 1:]).reshape(*shape, 3)


class RendererProcess:
    """A worker that renders, started again after a crash. Use it in a `with` statement."""

    def __init__(
        self,
        device: str = "auto",
        *,
        python: str | None = None,
        threads: int = 0,
        restarts: int = 3,
        tell: Callable[[str], None] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """Note what is wanted; the worker starts with `with`.

        Args:
            device: as for `render.Renderer`.
            python: the interpreter that has bpy and this package; None for the present one.
            threads: of the CPU; 0 for as many as there are cores.
            restarts: how often one scene may be tried again after a crash.
            tell: is told in one line each what was chosen, and of each crash.
            command: what to run in place of the worker.
        """
        self._python = sys.executable if python is None else python
        words = ["--device", device, "--threads", str(threads)]
        standard = [self._python, "-P", "-m", _MODULE, *words]  # -P: no module of this folder
        self._command = standard if command is None else list(command)
        self._restarts = restarts
        self._tell = tell or (lambda line: None)
        self._worker: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._about: dict[str, Any] = {}
        self._lock = threading.Lock()  # one question and its answer at a time

    def __enter__(self) -> RendererProcess:
        """Start the worker.

        Raises:
            InputError: if the interpreter does not exist or lacks bpy or this package, or the
                device is not there.
        """
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the worker; at once if an error is on its way."""
        self._end(patience=0 if error else _PATIENCE)

    def about(self) -> dict[str, Any]:
        """What `Renderer.about` says in the worker."""
        return dict(self._about)

    def render(self, scene: Scene) -> Picture:
        """Render a scene; after a crash, again in a new worker.

        Args:
            scene: its models are those of `objects.registry`.

        Returns:
            (size, size, 3) uint8 sRGB, rows from the top.

        Raises:
            InputError: if the scene names what does not exist.
            RenderingError: if rendering fails, or the worker crashes too often.
        """
        with self._lock:
            return self._render(scene)

    def _render(self, scene: Scene) -> Picture:
        line = json.dumps(scene.as_dict(), sort_keys=True).encode() + b"\n"
        for attempt in range(self._restarts + 1):
            if self._worker is None:
                self._start()
            try:
                answer = self._ask(line)
            except BaseException:  # the answer is still to come: it must not be the next one's
                self._end(patience=0)
                raise
            if answer is not None:
                return _picture(answer)
            why = self._post_mortem()
            if attempt < self._restarts:
                self._tell(f"the renderer {why}; starting it again")
        raise RenderingError(
            f"the renderer {why}, {self._restarts + 1} times on scene {scene.digest()[:12]}; "
            "free memory, or use a smaller size or another device"
        )

    def _ask(self, line: bytes) -> bytes | None:
        """The worker's answer to a line; None if it died."""
        worker = self._worker
        assert worker is not None
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            worker.stdin.write(line)
            worker.stdin.flush()
        except OSError:  # a broken pipe
            return None
        return receive(worker.stdout)

    def _start(self) -> None:
        """Start a worker and read what it is."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        try:
            self._worker = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
            )
        except OSError as error:
            self._end(patience=0)
            raise InputError(
                f"{self._command[0]} cannot be run ({error.strerror}); --blender-python names the "
                "Python interpreter that has bpy"
            ) from error
        assert self._worker.stdout is not None
        answer = receive(self._worker.stdout, _LONGEST_NOTE)
        if answer is None:
            why = self._post_mortem()
            if "samediff_stimuli" in why and "No module named" in why:
                raise InputError(
                    f"{self._python} lacks this package; run: {self._python} -m pip install "
                    "'samediff-stimuli[blender]'"
                )
            if "killed" not in why:
                raise InputError(
                    f"{self._python} does not render: the renderer {why}; --blender-python names "
                    "the Python interpreter that has bpy"
                )
            raise RenderingError(f"the renderer {why} while it started")
        try:
            note = _note(answer)
        except (InputError, RenderingError, ValueError):
            self._end(patience=_PATIENCE)
            raise
        if note.get("sources", sources()) != sources():
            self._end(patience=_PATIENCE)
            raise InputError(
                f"{self._python} has another version of this package, which gives other pixels; "
                "install the same one there"
            )
        if self._about and note["about"] != self._about:
            self._end(patience=_PATIENCE)
            raise RenderingError(
                f"the renderer came back as {note['tell']!r}, whose pixels are others"
            )
        self._about = note["about"]
        self._tell(note["tell"])

    def _post_mortem(self) -> str:
        """What became of a worker that gave no answer, as a verb with its object; forget it."""
        worker, errors = self._worker, self._errors
        assert worker is not None
        assert errors is not None
        try:
            code = worker.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            worker.kill()
            code = worker.wait()
        errors.seek(0)
        last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
        self._end(patience=0)
        if code < 0:
            name = signal.Signals(-code).name
            memory = ", perhaps for want of memory" if name == "SIGKILL" else ""
            return f"was killed by {name}{memory}"
        said = f": {last[0]}" if last else ""
        return f"ended with code {code}{said}"

    def _end(self, patience: float) -> None:
        """Close the worker's input and wait for it to end; kill it if it does not."""
        worker, errors = self._worker, self._errors
        self._worker = self._errors = None
        if errors is not None:
            errors.close()
        if worker is None:
            return
        for pipe in (worker.stdin, worker.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:  # what was left to write can no longer be
                pass
        if not patience:
            worker.kill()
        try:
            worker.wait(patience or None)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _picture(answer: bytes) -> Picture:
    """The pixels in an answer."""
    return pixels_of(answer) if answer.startswith(PNG_START) else _note(answer)["picture"]


def _note(answer: bytes) -> dict[str, Any]:
    """The note in an answer.

    Raises:
        InputError, RenderingError: if it tells of one.
    """
    note: dict[str, Any] = json.loads(answer)
    if "input_error" in note:
        raise InputError(note["input_error"])
    if "error" in note:
        raise RenderingError(f"rendering failed: {note['error']}")
    return note
