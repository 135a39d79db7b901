"""Renders scenes for another process: one JSON scene a line in, one framed answer a scene out.

    python -m samediff_stimuli.blender_scenes.worker --device auto --threads 0

A frame is the length of its payload in 4 bytes, the highest first, and the payload. The first one
is JSON: what the renderer is. Each further one is the PNG file of a scene, or JSON that says why
there is none. The worker ends when its input does. `process.RendererProcess` is the other side.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
import zlib
from collections.abc import Iterable, Mapping
from typing import IO, Any, Protocol

from samediff_stimuli.blender_scenes.data import Model, Picture, Scene, scene_from_dict
from samediff_stimuli.blender_scenes.sources import sources
from samediff_stimuli.recipe import InputError

PNG_START = b"\x89PNG\r\n\x1a\n"
_LENGTH = struct.Struct(">I")
_HEADER = struct.Struct(">IIBBBBB")


class Renders(Protocol):
    """What makes pixels of scenes."""

    def render(self, scene: Scene, models: Mapping[str, Model]) -> Picture:
        """(size, size, 3) uint8."""


def png_of(pixels: Picture) -> bytes:
    """A PNG file of (height, width, 3) uint8 pixels."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # filter 0: as they are
    header = _HEADER.pack(width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return PNG_START + b"".join(
        _LENGTH.pack(len(data)) + name + data + _LENGTH.pack(zlib.crc32(name + data))
        for name, data in chunks
    )


def send(out: IO[bytes], payload: bytes) -> None:
    """Write one frame."""
    out.write(_LENGTH.pack(len(payload)) + payload)
    out.flush()


def receive(stream: IO[bytes], longest: int = 1 << 30) -> bytes | None:
    """Read one frame; None if the stream ends before the frame does, or no worker wrote it."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > longest:
        return None
    payload = stream.read(length)
    return payload if len(payload) == length else None


def send_note(out: IO[bytes], **note: Any) -> None:
    """Write a frame of JSON."""
    send(out, json.dumps(note, sort_keys=True).encode())


def serve(
    lines: Iterable[bytes], out: IO[bytes], renderer: Renders, models: Mapping[str, Model]
) -> None:
    """Answer each line with a picture, or with a note that says what was wrong with it.

    Args:
        lines: a scene each, as JSON of `Scene.as_dict`.
        out: where frames go.
        renderer: makes the pixels.
        models: by name.
    """
    for line in lines:
        try:
            scene = scene_from_dict(json.loads(line))
            picture = png_of(renderer.render(scene, models))
        except InputError as error:
            send_note(out, input_error=str(error))
        except Exception as error:  # the other side decides what to do about it
            said = " ".join(str(error).split())  # Blender's errors end in a line break
            send_note(out, error=f"{type(error).__name__}: {said}")
        else:
            send(out, picture)


def main(arguments: list[str] | None = None) -> int:
    """Render until the input ends; 0, or 1 if the renderer could not start."""
    parser = argparse.ArgumentParser(prog="samediff_stimuli.blender_scenes.worker")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args(arguments)
    out = os.fdopen(os.dup(1), "wb")  # frames keep stdout for themselves
    os.dup2(2, 1)
    try:
        from samediff_stimuli.blender_scenes.objects import registry
        from samediff_stimuli.blender_scenes.render import Renderer

        chosen: list[str] = []
        with Renderer(given.device, threads=given.threads, tell=chosen.append) as renderer:
            send_note(out, about=renderer.about(), tell=chosen[0], sources=sources())
            serve(sys.stdin.buffer, out, renderer, registry())
    except InputError as error:
        send_note(out, input_error=str(error))
        return 1
    except BrokenPipeError:  # the other side is gone, and with it the need
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
