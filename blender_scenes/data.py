"""What a rendered scene consists of, as plain data; nothing here knows of Blender.

Lengths are in units of 10 cm, angles in degrees, colours in linear RGB. The table's top is the
plane z = 0, z is up; an object stands on the origin of its own frame.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]
Color = tuple[float, float, float]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Picture = NDArray[np.uint8]

NO_CORNER = -1  # in the fourth place of a face that is a triangle


@dataclass(frozen=True, kw_only=True, eq=False)
class Mesh:
    """A surface of triangles and quadrangles, in canonical order (see `meshes.canonical`).

    Attributes:
        vertices: (n, 3) float64.
        faces: (m, 4) int64 corners, anticlockwise seen from outside; NO_CORNER last for a triangle.
        uv: (m, 4, 2) float64 in [0, 1]: each corner's place in its material's picture, v up.
        material: (m,) int64: which of its model's materials a face has.
        smooth: (m,) bool: whether light is interpolated over a face.
    """

    vertices: Floats
    faces: Ints
    uv: Floats
    material: Ints
    smooth: NDArray[np.bool_]

    def digest(self) -> str:
        """SHA-256 of all arrays, hex."""
        state = hashlib.sha256()
        for values in (self.vertices, self.faces, self.uv, self.material, self.smooth):
            plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
            state.update(f"{plain.dtype.str}{plain.shape}".encode() + plain.tobytes())
        return state.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Material:
    """How a surface looks.

    Attributes:
        name: e.g. "glaze".
        color: of the surface where it has no picture.
        roughness: 0 a mirror, 1 matte.
        metallic: 0 or 1.
        coat: weight of a clear coat, 0 to 1.
        subsurface: weight of scattering under the surface, 0 to 1.
        transmission: 0 opaque, 1 glass.
        ior: index of refraction.
        emission: strength of its own light.
        bump: height in units of the darkest to the brightest of the picture, as relief.
        picture: makes (height, width, 3) uint8 sRGB in place of the colour, rows from the top, or
            None.
    """

    name: str
    color: Color
    roughness: float = 0.5
    metallic: float = 0.0
    coat: float = 0.0
    subsurface: float = 0.0
    transmission: float = 0.0
    ior: float = 1.5
    emission: float = 0.0
    bump: float = 0.0
    picture: Callable[[], Picture] | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """An object that can stand on the table.

    Attributes:
        name: e.g. "teapot".
        about: what it is, in a few words.
        color: the word for its main colour.
        symmetric: whether turning it about z changes nothing, in form or in texture.
        materials: of its faces.
        build: makes its mesh.
    """

    name: str
    about: str
    color: str
    symmetric: bool
    materials: tuple[Material, ...]
    build: Callable[[], Mesh]


@dataclass(frozen=True, kw_only=True)
class Pose:
    """An object and where it stands.

    Attributes:
        model: name of its model.
        x: to the right.
        y: to the back.
        turn: about z, anticlockwise seen from above.
        scale: of its own size.
    """

    model: str
    x: float
    y: float
    turn: float
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole with a lens for depth of field.

    Attributes:
        position: of the pinhole.
        target: what is in the middle of the picture.
        lens: focal length in mm, for a sensor 36 mm wide.
        f_stop: of the lens.
        focus: distance that is sharp.
    """

    position: Vector
    target: Vector
    lens: float
    f_stop: float
    focus: float


@dataclass(frozen=True, kw_only=True)
class Light:
    """The sun through the window, and the sky.

    Attributes:
        azimuth: of the sun, from the middle of the window.
        elevation: of the sun above the horizon.
        sun: strength of the sun; the stage scales it.
        sky: strength of the sky; likewise.
    """

    azimuth: float
    elevation: float
    sun: float
    sky: float


@dataclass(frozen=True, kw_only=True)
class Room:
    """What the objects stand in and on.

    Attributes:
        table: number of the table's texture.
        wall: number of the background's colours and things.
        shift: of the table's texture along its planks.
    """

    table: int
    wall: int
    shift: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that decides a picture.

    Attributes:
        objects: the two of the pair first, then distractors.
        camera: what sees them.
        light: what lights them.
        room: what is around them.
        size: side of the picture in pixels.
        samples: rays a pixel.
        seed: of the renderer's sampling.
    """

    objects: tuple[Pose, ...]
    camera: Camera
    light: Light
    room: Room
    size: int
    samples: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hex."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def scene_from_dict(data: dict[str, Any]) -> Scene:
    """A scene back from `Scene.as_dict`."""
    return Scene(
        objects=tuple(Pose(**pose) for pose in data["objects"]),
        camera=Camera(
            **{**data["camera"], "position": tuple(data["camera"]["position"])}
            | {"target": tuple(data["camera"]["target"])}
        ),
        light=Light(**data["light"]),
        room=Room(**data["room"]),
        size=data["size"],
        samples=data["samples"],
        seed=data["seed"],
    )
