"""A book that lies on the table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.blender_scenes.curves import Point, arc, curve
from samediff_stimuli.blender_scenes.data import Material, Mesh, Model, Picture, Vector
from samediff_stimuli.blender_scenes.meshes import box, join, moved, prism, projected, sweep, turned
from samediff_stimuli.blender_scenes.pictures import Field, bytes_of, clouds, noise, shaded

_COVER, _BACK, _PAPER, _SPINE, _RIBBON, _BAND = range(6)
_WIDE, _LONG, _THICK = 1.06, 1.44, 0.30  # along x, y and z
_BOARD = 0.036
_HINGE = -0.45  # where the boards begin, to the right of the spine
_PIXELS = 480  # of the cover's picture a unit


def _upright(outline: list[Point], long: float, bevel: float) -> Mesh:
    """An outline in x and z, drawn along y on both sides of y = 0."""
    return moved(turned(prism(outline, long, bevel), "x", 90), (0.0, long / 2, 0.0))


def _build() -> Mesh:
    """Two boards, a block of pages with a hollow fore-edge, a round spine, a ribbon."""
    half, middle = _WIDE / 2, _THICK / 2
    board = box((half - _HINGE, _LONG, _BOARD), 0.012, 2)
    board = projected(
        board, "xy", ((_HINGE - half) / 2, -_LONG / 2), ((half - _HINGE) / 2, _LONG / 2)
    )
    across = (half + _HINGE) / 2
    low, high = _BOARD - 0.002, _THICK - _BOARD + 0.002
    fore = arc((half + 0.19, middle), 0.27, 205, 155, 8)
    fore = [(x, min(max(z, low), high)) for x, z in fore]
    pages: list[Point] = [(_HINGE - 0.05, low), (fore[0][0] + 0.005, low)]
    pages += [*fore, (fore[0][0] + 0.005, high), (_HINGE - 0.05, high)]
    block = projected(_upright(pages, _LONG - 0.09, 0.0), "yz", (-0.7, low), (0.7, high))
    outer = _bow(0.155, middle)
    inner = [(x, z) for x, z in _bow(0.135, middle - 0.02)][::-1]
    spine = projected(
        _upright([*outer, *inner], _LONG, 0.006), "yz", (-_LONG / 2, 0.0), (_LONG / 2, _THICK)
    )
    head = _upright(
        [*_bow(0.125, middle - 0.045), (_HINGE - 0.02, _THICK - 0.045), (_HINGE - 0.02, 0.045)],
        _LONG - 0.06,
        0.006,
    )
    path: list[Vector] = [
        (0.16, 0.3, middle),
        (0.16, -0.66, middle),
        (0.16, -0.72, middle - 0.01),
        (0.165, -0.765, 0.07),
    ]
    path = curve([*path, (0.17, -0.80, 0.018), (0.19, -0.88, 0.010), (0.225, -0.97, 0.010)], 4)
    ribbon = sweep(path, 0.032, 8, up=(1.0, 0.0, 0.0), flat=(0.09, 1.0))
    return join([
        (moved(board, (across, 0.0, _THICK - _BOARD / 2)), _COVER),
        (moved(board, (across, 0.0, _BOARD / 2)), _BACK),
        (block, _PAPER),
        (spine, _SPINE),
        (head, _BAND),
        (ribbon, _RIBBON),
    ])  # fmt: skip


def _bow(deep: float, half: float) -> list[Point]:
    """The spine's outline from its top round to its bottom, its ends at the hinge."""
    middle, end = _THICK / 2, _HINGE + 0.01
    steps = [i / 12 for i in range(-12, 13)]
    return [(end - deep * (1 - t * t * t * t), middle - half * t) for t in steps]


def _cloth(name: str, shape: tuple[int, int]) -> Field:
    """Woven red cloth."""
    weave = noise(f"{name} warp", shape, 2, 30) + noise(f"{name} weft", shape, 30, 2)
    value = np.float32(0.3) * weave + np.float32(0.4) * clouds(f"{name} wear", shape, 90, 90)
    return shaded(value, (66, 4, 8), (92, 8, 14), (118, 14, 20))


def _gilded(cloth: Field, gilt: NDArray[np.bool_], name: str) -> Picture:
    """Cloth with gold where `gilt` is 1."""
    gold = shaded(clouds(f"{name} gold", cloth.shape[:2], 20, 30), (150, 98, 26), (206, 152, 58))
    share = gilt[..., None].astype(np.float32)
    return bytes_of(cloth * (1 - share) + gold * share)


def _front() -> Picture:
    """A double frame, a title of two bars near the top, and a ring with a star below."""
    wide, high = round((_WIDE / 2 - _HINGE) * _PIXELS), round(_LONG * _PIXELS)
    x = (np.arange(wide)[None, :] + 0.5) / _PIXELS
    y = (np.arange(high)[:, None] + 0.5) / _PIXELS  # from the top
    edge = np.minimum(np.minimum(x, wide / _PIXELS - x), np.minimum(y, high / _PIXELS - y))
    gilt = ((edge > 0.055) & (edge < 0.075)) | ((edge > 0.09) & (edge < 0.097))
    a, b = np.abs(x - wide / _PIXELS / 2), np.abs(y - 0.90)
    gilt |= (a < 0.29) & (np.abs(y - 0.30) < 0.038)
    gilt |= (a < 0.20) & (np.abs(y - 0.42) < 0.022)
    away = np.sqrt(a * a + b * b)
    gilt |= (np.abs(away - 0.215) < 0.013) | (np.abs(away - 0.18) < 0.005)
    gilt |= np.sqrt(a) + np.sqrt(b) < 0.40  # a star with four points
    return _gilded(_cloth("book front", (high, wide)), gilt, "book front")


def _back() -> Picture:
    """Plain cloth."""
    return bytes_of(_cloth("book back", (384, 256)))


def _spine() -> Picture:
    """Bands across the spine and a title between two of them; u runs along the spine."""
    shape = (144, 720)
    u = (np.arange(shape[1])[None, :] + 0.5) / shape[1]
    v = (np.arange(shape[0])[:, None] + 0.5) / shape[0]
    gilt = np.zeros(shape, dtype=bool)
    for place in (0.06, 0.22, 0.68, 0.86, 0.94):
        gilt |= np.abs(u - place) < 0.008
    gilt |= (np.abs(u - 0.77) < 0.05) & (np.abs(v - 0.5) < 0.16)
    return _gilded(_cloth("book spine", shape), gilt, "book spine")


def _pages() -> Picture:
    """Edges of leaves: fine lines of varied tone; v runs from the lower board to the upper one."""
    shape = (192, 256)
    leaf = noise("book leaves", (192, 1), 2.2, 1) + np.float32(0.25) * noise(
        "book edges", shape, 2, 60
    )
    return bytes_of(
        shaded(leaf * np.float32(0.8), (136, 112, 76), (198, 180, 140), (222, 208, 174))
    )


MODEL = Model(
    name="book",
    about="book bound in red cloth with gilt",
    color="red",
    symmetric=False,
    materials=(
        Material(name="front", color=(0.09, 0.004, 0.006), roughness=0.6, picture=_front),
        Material(name="back", color=(0.09, 0.004, 0.006), roughness=0.7, picture=_back),
        Material(name="paper", color=(0.5, 0.42, 0.28), roughness=0.9, picture=_pages),
        Material(name="spine", color=(0.09, 0.004, 0.006), roughness=0.6, picture=_spine),
        Material(name="ribbon", color=(0.45, 0.22, 0.02), roughness=0.45),
        Material(name="headband", color=(0.35, 0.28, 0.16), roughness=0.8),
    ),
    build=_build,
)
