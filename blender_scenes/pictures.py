"""Pictures made in numpy: woods with real planks, and the colours of a room, from hashed noise.

Random values come from integer hashes; the rest is elementwise + - * / and sqrt, so a picture has
the same bytes on every machine. Pictures are periodic along their rows: the left edge meets the
right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.blender_scenes.data import Picture
from samediff_stimuli.rng import below, mix, stream_key

Field = NDArray[np.float32]
Rgb = tuple[int, int, int]

TABLE_SIZE = (15.0, 9.5)  # of the table's top, in units of 10 cm; a table's picture covers it once
FLOOR_SIZE = (18.0, 12.0)  # what a floor's picture covers before it repeats
TILE = 64  # side of a tile of a room's picture in pixels
TILES = 8  # tiles along the side of a room's picture
_PIXELS = 120  # of a table's picture a unit: one of a 512 px photograph is no smaller
_FLOOR_PIXELS = 40
_LATE = 0.82  # share of a year's ring before it turns sharply back to early wood


def noise(name: str, shape: tuple[int, int], high: float, wide: float) -> Field:
    """Smooth value noise; each row of cells is shifted by an offset of its own.

    Args:
        name: what the noise is for; another name gives other noise.
        shape: height and width of the picture.
        high: pixels from one row of cells to the next, about.
        wide: pixels from one cell of a row to the next, about.

    Returns:
        (height, width) float32 in [0, 1], periodic along the rows.
    """
    height, width = shape
    key = stream_key("pictures", name)
    lines, cells = max(1, round(height / high)), max(1, round(width / wide))
    numbers = np.arange(lines + 2, dtype=np.int64)
    offset = below(mix(key, numbers, -1), width)
    cell, part = np.divmod((np.arange(width, dtype=np.int64) + offset[:, None]) * cells, width)
    first = _unit(mix(key, numbers[:, None], cell % cells))
    second = _unit(mix(key, numbers[:, None], (cell + 1) % cells))
    along = first + (second - first) * _eased(part, width)
    line, part = np.divmod(np.arange(height, dtype=np.int64) * lines, height)
    above: Field = along[line]
    joined: Field = above + (along[line + 1] - above) * _eased(part, height)[:, None]
    return joined


def _unit(words: NDArray[np.uint64]) -> Field:
    """Hashes as float32 in [0, 1)."""
    high: Field = (words >> np.uint64(40)).astype(np.float32)
    unit: Field = high / np.float32(1 << 24)
    return unit


def _eased(part: NDArray[np.int64], whole: int) -> Field:
    """3t^2 - 2t^3 of t = part / whole."""
    t: Field = part.astype(np.float32) / np.float32(whole)
    return t * t * (np.float32(3) - np.float32(2) * t)


def clouds(name: str, shape: tuple[int, int], high: float, wide: float, octaves: int = 3) -> Field:
    """Noise of several sizes, each half as large and half as strong as the one before.

    Args:
        name: what the noise is for.
        shape: height and width of the picture.
        high: height of the largest cells in pixels.
        wide: their width.
        octaves: number of sizes.

    Returns:
        (height, width) float32 in [0, 1].
    """
    total = np.zeros(shape, dtype=np.float32)
    for octave in range(octaves):
        share = np.float32(0.5**octave / (2 - 0.5 ** (octaves - 1)))
        total += share * noise(f"{name} {octave}", shape, high / 2**octave, wide / 2**octave)
    return total


def shaded(value: Field, *stops: Rgb) -> Field:
    """Colours between equally spaced stops.

    Args:
        value: (...) float32; below 0 and above 1 are the first and the last stop.
        stops: two or more sRGB colours.

    Returns:
        (..., 3) float32 in [0, 255].
    """
    place = np.clip(value, 0, 1) * np.float32(len(stops) - 1)
    index = np.minimum(place.astype(np.int64), len(stops) - 2)
    table = np.array(stops, dtype=np.float32)
    below_it: Field = table[index]
    share = (place - index.astype(np.float32))[..., None]
    return np.asarray(below_it + (table[index + 1] - below_it) * share)


def bytes_of(values: Field) -> Picture:
    """Values in [0, 255] as uint8, rounded and clipped."""
    return (np.clip(values, 0, 255) + np.float32(0.5)).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Wood:
    """A kind of wood and how it was sawn and laid.

    Attributes:
        name: e.g. "oak"; it seeds the noise.
        dark: sRGB of late wood.
        mid: between.
        light: of early wood.
        planks: number across the picture.
        rings: years a unit, about.
        contrast: of late against early wood, 0 to 1.
        pores: share of open pores, 0 to 1.
        tones: how much planks differ in lightness, 0 to 1.
        roughness: of its varnish.
        joints: whether planks end within the picture, as in a floor.
    """

    name: str
    dark: Rgb
    mid: Rgb
    light: Rgb
    planks: int
    rings: float
    contrast: float
    pores: float
    tones: float
    roughness: float
    joints: bool = False


TABLES = (
    Wood(
        name="oak", dark=(112, 74, 40), mid=(163, 117, 70), light=(196, 153, 104),
        planks=7, rings=6.5, contrast=0.75, pores=0.8, tones=0.5, roughness=0.42,
    ),
    Wood(
        name="walnut", dark=(52, 33, 22), mid=(92, 60, 39), light=(128, 89, 60),
        planks=6, rings=5.5, contrast=0.8, pores=0.6, tones=0.5, roughness=0.36,
    ),
    Wood(
        name="cherry", dark=(104, 58, 38), mid=(144, 88, 58), light=(176, 120, 86),
        planks=8, rings=7.5, contrast=0.55, pores=0.25, tones=0.45, roughness=0.34,
    ),
    Wood(
        name="pine", dark=(168, 108, 56), mid=(205, 156, 98), light=(224, 186, 132),
        planks=6, rings=5.0, contrast=0.9, pores=0.1, tones=0.35, roughness=0.48,
    ),
    Wood(
        name="ash", dark=(122, 106, 88), mid=(166, 150, 128), light=(196, 182, 160),
        planks=9, rings=6.0, contrast=0.8, pores=0.7, tones=0.4, roughness=0.5,
    ),
    Wood(
        name="teak", dark=(82, 50, 28), mid=(128, 84, 50), light=(162, 114, 74),
        planks=10, rings=8.5, contrast=0.65, pores=0.5, tones=0.7, roughness=0.4,
    ),
    Wood(
        name="beech", dark=(166, 120, 84), mid=(194, 150, 112), light=(212, 172, 136),
        planks=8, rings=7.0, contrast=0.4, pores=0.35, tones=0.35, roughness=0.4,
    ),
    Wood(
        name="smoked oak", dark=(66, 52, 40), mid=(104, 84, 66), light=(136, 114, 92),
        planks=6, rings=6.5, contrast=0.75, pores=0.9, tones=0.5, roughness=0.46,
    ),
)  # fmt: skip
FLOORS = (
    Wood(
        name="floor oak", dark=(98, 66, 40), mid=(142, 102, 66), light=(176, 136, 94),
        planks=10, rings=5.0, contrast=0.6, pores=0.5, tones=0.8, roughness=0.45, joints=True,
    ),
    Wood(
        name="floor dark", dark=(48, 32, 22), mid=(82, 57, 40), light=(112, 82, 60),
        planks=8, rings=5.0, contrast=0.6, pores=0.5, tones=0.8, roughness=0.4, joints=True,
    ),
)  # fmt: skip


def table_picture(number: int, pixels: int = _PIXELS) -> Picture:
    """The top of a table of kind `TABLES[number]`, planks along the rows.

    Args:
        number: which of `TABLES`.
        pixels: a unit.

    Returns:
        (height, width, 4) uint8: sRGB, then relief, 0 deep in a gap to 255.
    """
    return wood_picture(TABLES[number], TABLE_SIZE, pixels)


def floor_picture(number: int, pixels: int = _FLOOR_PIXELS) -> Picture:
    """A floor of kind `FLOORS[number]`; see `table_picture`."""
    return wood_picture(FLOORS[number], FLOOR_SIZE, pixels)


def wood_picture(wood: Wood, size: tuple[float, float], pixels: int) -> Picture:
    """Planks side by side, each sawn from a log of its own.

    A plank's rings are distances to the axis of its log, which wanders and tilts along the plank.

    Args:
        wood: its kind.
        size: width and height in units.
        pixels: a unit.

    Returns:
        (height, width, 4) uint8: sRGB, then relief.
    """
    width, height = round(size[0] * pixels), round(size[1] * pixels)
    shape, scale = (height, width), pixels / _PIXELS
    fine = {
        "fibre": _spread(wood, "fibre", shape, max(1.0, 1.6 * scale), 70 * scale),
        "strand": _spread(wood, "strand", shape, 4 * scale, 190 * scale),
        "grain": _spread(wood, "grain", shape, max(1.0, 1.2 * scale), 16 * scale),
        "pore": _spread(wood, "pore", shape, max(1.0, 1.3 * scale), 15 * scale),
        "mottle": _spread(wood, "mottle", shape, 22 * scale, 110 * scale),
        "wear": _spread(wood, "wear", shape, 150 * scale, 260 * scale),
    }
    color = np.empty((*shape, 3), dtype=np.float32)
    relief = np.empty(shape, dtype=np.float32)
    edges = [height * k // wood.planks for k in range(wood.planks + 1)]
    for plank, (top, end) in enumerate(pairwise(edges)):
        parts = {name: field[top:end] for name, field in fine.items()}
        color[top:end], relief[top:end] = _plank(wood, plank, parts, pixels)
    return bytes_of(np.concatenate([color, relief[..., None]], axis=-1))


def _spread(wood: Wood, name: str, shape: tuple[int, int], high: float, wide: float) -> Field:
    """Noise in [-1, 1] of one kind of wood."""
    return noise(f"{wood.name} {name}", shape, high, wide) * np.float32(2) - np.float32(1)


def _plank(wood: Wood, plank: int, fine: dict[str, Field], pixels: int) -> tuple[Field, Field]:
    """Colour in [0, 255] and relief in [0, 255] of one plank."""
    height, width = fine["fibre"].shape
    ring = _ring(wood, plank, fine, pixels)
    chance = _unit(mix(stream_key("pictures", wood.name, "tone"), plank, np.arange(4))).tolist()
    value = 0.68 - 0.52 * wood.contrast * ring + (chance[0] - 0.5) * 0.3 * wood.tones
    value = value + 0.13 * fine["fibre"] + 0.08 * fine["strand"] + 0.05 * fine["grain"]
    value = value + 0.06 * fine["mottle"]
    lightness = 1 + 0.16 * wood.tones * (chance[0] - 0.5)
    spread = zip(chance[1:], (0.10, 0.05, 0.12), strict=True)
    tint = [lightness * (1 + share * (part - 0.5)) for part, share in spread]
    color = shaded(value, wood.dark, wood.mid, wood.light) * np.array(tint, dtype=np.float32)
    pore = np.clip((fine["pore"] - 0.45) * 2.2, 0, 1) * (0.35 + 0.65 * ring) * wood.pores
    across = np.minimum(np.arange(height), np.arange(height)[::-1]) / pixels
    gap = np.clip((0.020 - across[:, None]) / 0.014, 0, 1) + np.zeros((1, width))
    if wood.joints:
        ends = below(mix(stream_key("pictures", wood.name, "ends"), plank, np.arange(2)), width)
        away = np.abs(np.arange(width)[:, None] - ends).min(axis=1) / pixels
        gap = np.maximum(gap, np.clip((0.04 - away) / 0.02, 0, 1))
    dark = (1 - 0.42 * pore) * (1 - 0.82 * gap)
    relief = 0.72 + 0.06 * fine["fibre"] + 0.05 * fine["wear"] - 0.22 * pore - 0.06 * ring
    relief = np.maximum(relief - 0.7 * gap, 0)
    return color * dark[..., None].astype(np.float32), (255 * relief).astype(np.float32)


def _ring(wood: Wood, plank: int, fine: dict[str, Field], pixels: int) -> Field:
    """How far each point is through its year, 0 early to 1 late wood."""
    height, width = fine["fibre"].shape
    chance = _unit(mix(stream_key("pictures", wood.name, "log"), plank, np.arange(4))).tolist()
    name = f"{wood.name} {plank}"
    tilt = noise(f"{name} tilt", (1, width), 1, width / 3) - np.float32(0.5)
    wander = noise(f"{name} wander", (1, width), 1, width / 7) - np.float32(0.5)
    side = (np.arange(height, dtype=np.float32)[:, None] - height / 2) / pixels
    side = side + (chance[0] - 0.5) * 2.4 + 0.35 * wander
    depth = 0.15 + 1.5 * chance[1] + 1.1 * tilt + 0.10 * fine["mottle"]
    away = np.sqrt(side * side + depth * depth)
    away = away + 0.014 * fine["fibre"] + 0.016 * fine["strand"]
    years = noise(f"{name} years", (1, 2048), 1, 55)[0]  # good years and lean ones
    lean = years[np.minimum((away * 200).astype(np.int64), 2047)]
    phase = away * (wood.rings * (0.75 + 0.5 * chance[2])) + 1.6 * lean
    phase = (phase - np.floor(phase)).astype(np.float32)
    early = phase / _LATE
    late = (1 - phase) / (1 - _LATE)
    return np.asarray(np.where(phase < _LATE, early * (0.25 + 0.75 * early), late))


def plain(name: str, color: Rgb, strength: float, high: float = 20, wide: float = 20) -> Field:
    """A tile of one colour with soft mottles: paint, cloth, a leaf.

    Args:
        name: seeds the noise.
        color: its mean sRGB.
        strength: of the mottles, as a share.
        high: of the largest mottles in pixels.
        wide: likewise.

    Returns:
        (TILE, TILE, 3) float32 in [0, 255].
    """
    soft = clouds(name, (TILE, TILE), high, wide) - np.float32(0.5)
    return np.asarray(
        np.array(color, np.float32) * (1 + np.float32(2 * strength) * soft)[..., None]
    )


def spine(name: str, color: Rgb, trim: Rgb) -> Field:
    """A book's back: cloth, two bands and a label; see `plain`."""
    tile = plain(name, color, 0.12, 3, 64)
    rows = np.arange(TILE)
    kind = int(below(mix(stream_key("pictures", name, "spine"), np.arange(1)), 3)[0])
    bands = ((rows > 6) & (rows < 10)) | ((rows > 53) & (rows < 57))
    label = (rows > 14) & (rows < 30) if kind else (rows > 30) & (rows < 34)
    tile[bands | (label & (kind < 2))] = np.array(trim, dtype=np.float32)
    if kind == 1:
        lines = (rows > 14) & (rows < 30) & (rows % 4 < 2)
        tile[lines, 16:48] = np.array(color, dtype=np.float32)
    return tile


def painting(name: str, paper: Rgb, first: Rgb, second: Rgb) -> Field:
    """An abstract picture: two overlapping shapes and a horizon on paper with a mount."""
    shape = (TILE, TILE)
    soft = clouds(f"{name} soft", shape, 24, 24)
    field = noise(f"{name} forms", shape, 21, 30) + np.float32(0.25) * (soft - np.float32(0.5))
    other = noise(f"{name} second", shape, 17, 40)
    tile = np.array(paper, dtype=np.float32) * (
        np.float32(0.92) + np.float32(0.1) * soft[..., None]
    )
    for mask, color in ((field > 0.58, first), (other > 0.62, second)):
        wash = np.array(color, dtype=np.float32) * (
            np.float32(0.8) + np.float32(0.4) * soft[..., None]
        )
        tile = np.where(mask[..., None], tile * np.float32(0.12) + wash * np.float32(0.88), tile)
    edge = np.minimum(np.arange(TILE), np.arange(TILE)[::-1])
    mount = np.minimum(edge[:, None], edge[None, :]) < 7
    return np.where(mount[..., None], np.float32(236), tile).astype(np.float32)


def atlas(tiles: list[Field]) -> Picture:
    """Tiles side by side, row by row from the top.

    Args:
        tiles: at most TILES x TILES of (TILE, TILE, 3) float32 in [0, 255].

    Returns:
        (TILES * TILE, TILES * TILE, 3) uint8.
    """
    picture = np.zeros((TILES * TILE, TILES * TILE, 3), dtype=np.uint8)
    for number, tile in enumerate(tiles):
        top, left = (TILE * part for part in divmod(number, TILES))
        picture[top : top + TILE, left : left + TILE] = bytes_of(tile)
    return picture
