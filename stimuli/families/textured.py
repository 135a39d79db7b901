"""Textured shapes: silhouettes x procedural textures x colours, all of one luminance.

All silhouettes ink the same number of pixels, and every object deals out the same multiset of grey
levels over them, in the order of its texture's field; so histograms of luma are equal whatever the
shape and the texture. Sixteen hues are made such that the luma of each pixel is its grey level.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import fixed, palette, rng, silhouettes, strokes, textures
from samediff_stimuli.families import WHITE, Family, Sprite
from samediff_stimuli.fixed import FULL_SCALE, UNIT, Ints
from samediff_stimuli.recipe import InputError

N = 16
HUES = tuple(f"hue_{225 * h // 10:03d}" for h in range(N))  # degrees in the plane of Cb and Cr
SHAPES = tuple(shape.name for shape in silhouettes.SILHOUETTES[:N])

MIDDLE, CONTRAST = 128, 44  # grey levels: mean, largest departure
CHROMA = 46  # distance from grey in the plane of Cb and Cr; more would leave the RGB cube

# Kelly's twenty colours, as the authors' code for the dissociation sets lists them.
TINTS: dict[str, tuple[int, int, int]] = {
    "vivid_yellow": (255, 179, 0),
    "strong_purple": (128, 62, 117),
    "vivid_orange": (255, 104, 0),
    "light_blue": (166, 189, 215),
    "vivid_red": (193, 0, 32),
    "greyish_yellow": (206, 162, 98),
    "medium_grey": (129, 112, 102),
    "vivid_green": (0, 125, 52),
    "purplish_pink": (246, 118, 142),
    "strong_blue": (0, 83, 138),
    "yellowish_pink": (255, 122, 92),
    "strong_violet": (83, 55, 122),
    "orange_yellow": (255, 142, 0),
    "purplish_red": (179, 40, 81),
    "greenish_yellow": (244, 200, 0),
    "reddish_brown": (127, 24, 13),
    "yellowish_green": (147, 170, 0),
    "yellowish_brown": (89, 51, 21),
    "reddish_orange": (241, 58, 19),
    "olive_green": (35, 44, 22),
}
TINT_SHARE = 40  # per cent of colour in a tinted pixel, the rest is grey (authors' code)
_TINT_CONTRAST = 88  # before tinting

Appearance = Literal["full", "grayscale", "flat", "swatch", "mask", "texture", "color"]
APPEARANCES: dict[str, tuple[bool, bool, bool]] = {  # shows colour, texture, shape
    "full": (True, True, True),
    "grayscale": (False, True, True),
    "flat": (True, False, True),
    "swatch": (True, True, False),
    "mask": (False, False, True),
    "texture": (False, True, False),
    "color": (True, False, False),
}
assert tuple(APPEARANCES) == get_args(Appearance)


@dataclass(frozen=True)
class Textured:
    """16 silhouettes x 16 textures x 16 hues; see `samediff_stimuli.families.Family`.

    Attributes:
        appearance: which of colour, texture and shape the objects show.
    """

    appearance: Appearance = "full"
    count: int = N**3

    @property
    def looks(self) -> int | None:
        """16 for each of colour, texture and shape that is shown."""
        shown = sum(APPEARANCES[self.appearance])
        return None if shown == 3 else int(N**shown)

    def attributes(self, numbers: Ints) -> dict[str, Ints]:
        """Shape, texture and colour of each object."""
        return {"shape": numbers // N**2, "texture": numbers // N % N, "color": numbers % N}

    def ink(self, numbers: Ints) -> Ints:
        """The same for all."""
        return np.zeros_like(numbers)

    def draw(self, number: int, size: int, angle: int, scale: int) -> Sprite:
        """A square of the same area stands for the shape, mid-grey for texture, grey for colour."""
        shape, texture, color = number // N**2, number // N % N, number % N
        has_color, has_texture, has_shape = APPEARANCES[self.appearance]
        mask = silhouette(shape, size, angle, scale) if has_shape else _square(size, angle, scale)
        if self.appearance == "mask":
            return _filled(mask, np.zeros((int(mask.sum()), 3), dtype=np.uint8))
        level = np.full(int(mask.sum()), MIDDLE)
        if has_texture:
            level = levels(mask, texture, angle, scale, CONTRAST)
        rgb = hues()[color, level] if has_color else np.repeat(level[:, None], 3, axis=1)
        return _filled(mask, rgb)


@dataclass(frozen=True)
class Tinted:
    """16 silhouettes x 16 textures x Kelly's 20 tints; see `samediff_stimuli.families.Family`."""

    count: int = N * N * len(TINTS)
    looks: None = None

    def attributes(self, numbers: Ints) -> dict[str, Ints]:
        """Shape, texture and colour of each object."""
        n = len(TINTS)
        return {"shape": numbers // n // N, "texture": numbers // n % N, "color": numbers % n}

    def ink(self, numbers: Ints) -> Ints:
        """The same for all."""
        return np.zeros_like(numbers)

    def draw(self, number: int, size: int, angle: int, scale: int) -> Sprite:
        """Grey texture mixed with the tint."""
        shape, texture, color = (int(v) for v in self.attributes(np.array(number)).values())
        mask = silhouette(shape, size, angle, scale)
        level = levels(mask, texture, angle, scale, _TINT_CONTRAST)[:, None]
        tint = np.array(list(TINTS.values())[color])
        return _filled(mask, ((100 - TINT_SHARE) * level + TINT_SHARE * tint + 50) // 100)


def _filled(mask: NDArray[np.bool_], rgb: NDArray[np.integer]) -> Sprite:
    pixels = np.full((*mask.shape, 3), WHITE, dtype=np.uint8)
    pixels[mask] = rgb
    return Sprite(pixels, mask.copy())


def silhouette(shape: int, size: int, angle: int, scale: int) -> NDArray[np.bool_]:
    """A silhouette in pixels, turned and scaled; 4/9 of its own square's area, rounded.

    Returns:
        (size, size) bool.
    """
    if angle == 0 and scale == FULL_SCALE:
        return silhouettes.rasterise(shape, size)
    fine = fixed.source(size * strokes.FINE, textures.SIDE, angle, scale)
    return _most(strokes.coverage(_master(shape)[fine]), _ink(size, angle, scale))


def _square(size: int, angle: int, scale: int) -> NDArray[np.bool_]:
    """A square of the silhouettes' area in the middle of the object's square."""
    side = textures.SIDE
    across = np.abs(2 * np.arange(side) + 1 - side)
    closeness = np.append(2 * side - np.maximum(across[:, None], across[None, :]), 0)
    return _most(closeness[fixed.source(size, side, angle, scale)], _ink(size, angle, scale))


def _most(values: NDArray[np.integer], count: int) -> NDArray[np.bool_]:
    """The `count` pixels of the largest values; ties go to the first in reading order."""
    mask = np.zeros(values.shape, dtype=np.bool_)
    mask.reshape(-1)[np.argsort(-values.astype(np.int64), axis=None, kind="stable")[:count]] = True
    return mask


def _ink(size: int, angle: int, scale: int) -> int:
    """Pixels of a turned and scaled silhouette."""
    area = 4 * size**2 * scale**2 * UNIT**2
    whole = 9 * FULL_SCALE**2 * fixed.shrink(angle) ** 2
    return (2 * area + whole) // (2 * whole)


@lru_cache(maxsize=N)
def _master(shape: int) -> NDArray[np.bool_]:
    """The silhouette at the textures' resolution, flat; the last entry is blank."""
    return np.append(silhouettes.inside(shape, textures.SIDE), False)


def levels(
    mask: NDArray[np.bool_], texture: int, angle: int, scale: int, contrast: int
) -> NDArray[np.int64]:
    """Grey levels of a mask's pixels: one multiset for each number of pixels, whatever the texture.

    Args:
        mask: (size, size) bool.
        texture: which, in [0, 16).
        angle: degrees.
        scale: thousandths.
        contrast: largest departure from 128.

    Returns:
        (n,) int64 in [128 - contrast, 128 + contrast], in reading order of the mask's pixels; the
        quantiles of an arcsine distribution, so that both ends are common and textures look crisp.
    """
    field = textures.fields()[texture].reshape(-1)
    values = field[fixed.source(len(mask), textures.SIDE, angle, scale)[mask]]
    n = len(values)
    quantile = (2 * np.arange(n) + 1) * _STEPS // (2 * n)
    shades = MIDDLE - (2 * contrast * fixed.circle(2 * _STEPS)[quantile, 0] + UNIT) // (2 * UNIT)
    dealt = np.empty(n, dtype=np.int64)
    dealt[np.argsort(values, kind="stable")] = shades
    return dealt


_STEPS = 512


@lru_cache(maxsize=1)
def hues() -> NDArray[np.uint8]:
    """(16, 256, 3) uint8: RGB of each hue at each grey level, of exactly that luma.

    Luma is Rec. 601's as Pillow's mode "L" rounds it. Levels without such a colour are left grey.
    """
    table = np.repeat(np.arange(256)[:, None], 3, axis=1)[None].repeat(N, axis=0)
    near = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for hue, (cos, sin) in enumerate(fixed.circle(N).tolist()):
        # R = Y + 1.402 Cr, G = Y - 0.344136 Cb - 0.714136 Cr, B = Y + 1.772 Cb, in millionths
        blue, red = CHROMA * cos, CHROMA * sin
        shift = np.array([1402000 * red, -344136 * blue - 714136 * red, 1772000 * blue])
        for level in range(MIDDLE - CONTRAST, MIDDLE + CONTRAST + 1):
            wanted = level * UNIT * 10**6 + shift
            tries = wanted // (UNIT * 10**6) + near
            legal = (
                (palette.luma(tries) == level)
                & (tries >= 0).all(axis=1)
                & (tries < WHITE).all(axis=1)
            )
            off = ((tries * UNIT * 10**3 - wanted // 10**3) ** 2).sum(axis=1)
            table[hue, level] = tries[legal][np.argmin(off[legal])]
    table.flags.writeable = False
    return table.astype(np.uint8)


def all_differ(family: Family, members: Ints, key: int) -> Ints:
    """A round of pairs that differ in every attribute; see `samediff_stimuli.placed.chain`.

    Returns:
        (n, 2) members: column 0 is a permutation of all, and so is column 1.

    Raises:
        InputError: if no such round is found.
    """
    looks = np.stack(list(family.attributes(members).values()), axis=1)
    n = len(members)
    for attempt in range(_MAX_TRIES):
        order = rng.order(rng.mix(key, np.arange(n), attempt))
        if _mend(order, looks):
            return np.stack([members[order], members[np.roll(order, -1)]], axis=1)
    raise InputError(
        f"{n} objects cannot be paired so that all pairs differ in everything; ask for more objects"
    )


_MAX_TRIES = 64


def _mend(order: Ints, looks: Ints) -> bool:
    """Swap members of a ring until no neighbours share an attribute; whether that was possible."""
    n = len(order)

    def clash(i: int, j: int) -> bool:
        return bool((looks[order[i % n]] == looks[order[j % n]]).any())

    for i in range(n):
        if not clash(i, i + 1):
            continue
        here = (i + 1) % n
        for step in range(2, n - 1):
            there = (i + step) % n
            order[[here, there]] = order[[there, here]]
            around = (i, i + 1, i + step - 1, i + step)
            # Mended so far: the links before i, and the last one once the ring is closed.
            settled = [a for a in around if a % n <= i or a % n == n - 1]
            if not any(clash(a, a + 1) for a in settled):
                break
            order[[here, there]] = order[[there, here]]
        else:
            return False
    return not any(clash(i, i + 1) for i in range(n))
