"""Degrees of visual angle of what is shown on a flat screen, straight ahead of one eye."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from samediff_stimuli.recipe import InputError

Point = tuple[float, float]  # x to the right, y up, in pixels from the middle of the image

ABOUT = {
    "width_px, height_px": "in pixels of the image, each of which is one of the screen",
    "x_px, y_px": "the middle of an object's box, from the middle of the image: right and up",
    "width_deg, height_deg": "2 atan(size / (2 distance)): the angle if looked at straight",
    "x_deg, y_deg": "atan(x / distance), atan(y / distance): from the middle of the image",
    "eccentricity": "from the middle of the image, which is fixated, to that of the box: "
    "in degrees atan(length / distance)",
    "distance": "between the middles of two boxes: in degrees the angle between the two lines of "
    "sight",
}
_PLACES = 4  # decimals of what is written: beyond any screen, and short of any platform's maths


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A screen and who sits before it.

    Attributes:
        viewing_distance_cm: from the eye to the middle of the image, 1 .. 10000.
        pixels_per_cm: of the screen, 1 .. 1000.

    Raises:
        InputError: if a number is out of range.
    """

    viewing_distance_cm: float
    pixels_per_cm: float

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, most in (("viewing_distance_cm", 10_000), ("pixels_per_cm", 1_000)):
            value = getattr(self, name)
            if not 1 <= value <= most:  # nan neither
                raise InputError(f"{name} {value:g} is out of range; legal: 1 .. {most}")

    @property
    def distance(self) -> float:
        """From the eye to the middle of the image, in pixels."""
        return self.viewing_distance_cm * self.pixels_per_cm

    def extent(self, pixels: float) -> float:
        """Degrees of something `pixels` long whose middle is looked at."""
        return _degrees(2 * math.atan(pixels / (2 * self.distance)))

    def offset(self, pixels: float) -> float:
        """Degrees from the middle of the image to something `pixels` away from it."""
        return _degrees(math.atan(pixels / self.distance))

    def between(self, a: Point, b: Point) -> float:
        """Degrees between the lines of sight to two points."""
        (ax, ay), (bx, by), d = a, b, self.distance
        cross = math.hypot(d * (ay - by), d * (bx - ax), ax * by - ay * bx)
        return _degrees(math.atan2(cross, ax * bx + ay * by + d * d))


def scene(screen: Screen, size: tuple[int, int], boxes: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Where the objects of an image are, in pixels and in degrees; `ABOUT` says how.

    Args:
        screen: on which it is shown, a pixel of the image on one of the screen.
        size: (height, width) of the image in pixels.
        boxes: of each object x0, y0, x1, y1 in pixels from the top left, x1 and y1 exclusive.

    Returns:
        Size of the image; "objects", a mapping each; "distances", one for each two objects.
    """
    height, width = size
    middles = [((x0 + x1 - width) / 2, (height - y0 - y1) / 2) for x0, y0, x1, y1 in boxes]
    return {
        **_size(screen, width, height),
        "objects": [
            {
                "x_px": x,
                "y_px": y,
                **_size(screen, x1 - x0, y1 - y0),
                "x_deg": screen.offset(x),
                "y_deg": screen.offset(y),
                "eccentricity_px": round(math.hypot(x, y), _PLACES),
                "eccentricity_deg": screen.offset(math.hypot(x, y)),
            }
            for (x, y), (x0, y0, x1, y1) in zip(middles, boxes, strict=True)
        ],
        "distances": [
            {
                "objects": [i, j],
                "px": round(math.dist(middles[i], middles[j]), _PLACES),
                "deg": screen.between(middles[i], middles[j]),
            }
            for i, j in combinations(range(len(boxes)), 2)
        ],
    }


def flat(found: dict[str, Any]) -> dict[str, float]:
    """The numbers of `scene` by one name each, e.g. "object_0_x_deg" and "distance_0_1_deg"."""
    named = {name: value for name, value in found.items() if not isinstance(value, list)}
    for number, one in enumerate(found["objects"]):
        named |= {f"object_{number}_{name}": value for name, value in one.items()}
    for one in found["distances"]:
        i, j = one["objects"]
        named |= {f"distance_{i}_{j}_{unit}": one[unit] for unit in ("px", "deg")}
    return named


def _size(screen: Screen, width: int, height: int) -> dict[str, float]:
    return {
        "width_px": width,
        "height_px": height,
        "width_deg": screen.extent(width),
        "height_deg": screen.extent(height),
    }


def _degrees(radians: float) -> float:
    return round(math.degrees(radians), _PLACES)
