"""Stroke letters of our own drawing: 0-9 and A-Z, each as polylines in integers.

No font file is used or traced. The canvas of a glyph is WIDTH x HEIGHT (origin top-left, x right,
y down). The centre lines of each touch all four sides, so that no bounding box tells one from
another; a pen reaches half its width beyond. Drawn 20 x 40 px with a 3 px pen, any two differ by
at least 0.15 of their joint ink, also when one is turned by 180 degrees or mirrored;
and none looks like itself turned by 180 degrees, so that no string reads as another upside down.
"""

from __future__ import annotations

from typing import TypeAlias

WIDTH = 100
HEIGHT = 200

Point: TypeAlias = tuple[int, int]
Stroke: TypeAlias = tuple[Point, ...]

# 1000 cos(15 degrees k) for k in [0, 24), rounded: arcs need no floating point.
_QUARTER = (1000, 966, 866, 707, 500, 259)
_COS = (*_QUARTER, 0, *(-c for c in _QUARTER[:0:-1]), *(-c for c in _QUARTER), 0, *_QUARTER[:0:-1])


def _arc(cx: int, cy: int, rx: int, ry: int, start: int, stop: int) -> list[Point]:
    """Points of an ellipse every 15 degrees, both ends included.

    `start` and `stop` are hours on a 24-hour dial: 0 top, 6 right, 12 bottom, 18 or -6 left. The
    arc runs clockwise where stop > start, else anticlockwise.
    """
    step = 1 if stop > start else -1
    return [
        (cx + (rx * _COS[(h - 6) % 24] + 500) // 1000, cy - (ry * _COS[h % 24] + 500) // 1000)
        for h in range(start, stop + step, step)
    ]


def _stroke(path: str) -> Stroke:
    """The polyline along "x,y" points and "cx,cy,rx,ry,start,stop" arcs, joined by straight lines.

    Where one piece begins at the point at which another ended, the point is kept once.
    """
    points: list[Point] = []
    for piece in path.split():
        numbers = [int(number) for number in piece.split(",")]
        if len(numbers) == 2:
            more = [(numbers[0], numbers[1])]
        else:
            cx, cy, rx, ry, start, stop = numbers
            more = _arc(cx, cy, rx, ry, start, stop)
        points += more[1:] if points[-1:] == more[:1] else more
    return tuple(points)


_PATHS: dict[str, tuple[str, ...]] = {
    "0": ("50,100,50,100,0,24", "86,30 36,132"),
    "1": ("0,62 50,0 50,200", "0,200 100,200"),
    "2": ("50,50,50,50,-6,8 0,200 100,200",),
    "3": ("50,47,43,47,-5,12 50,147,50,53,0,18", "25,94 50,94"),
    "4": ("72,200 72,0 0,140 100,140",),
    "5": ("92,0 8,0 8,80 50,80 50,140,50,60,0,18",),
    "6": ("50,55,50,55,5,-6 0,140 50,140,50,60,-6,18",),
    "7": ("0,0 100,0 30,200",),
    "8": ("50,47,43,47,0,24", "50,147,50,53,0,24"),
    "9": ("93,90 50,60,50,60,8,32 40,200",),
    "A": ("0,200 50,44,32,44,-5,5 100,200", "9,128 91,128"),
    "B": ("0,94 0,0 52,0 52,47,40,47,0,12 0,94 0,200 48,200 48,147,52,53,12,0",),
    "C": ("50,55,50,55,6,-6 50,145,50,55,18,6",),
    "D": ("0,0 45,0 45,60,55,60,0,6 45,140,55,60,6,12 0,200 0,0",),
    "E": ("100,0 0,0 0,200 100,200", "0,95 80,95"),
    "F": ("100,0 0,0 0,200", "0,95 80,95"),
    "G": ("50,55,50,55,6,-6 50,145,50,55,18,6 100,105 55,105",),
    "H": ("0,0 0,200", "100,0 100,200", "0,95 100,95"),
    "I": ("9,0 91,0", "50,0 50,200", "0,200 100,200"),
    "J": ("100,0 100,145 50,145,50,55,6,18",),
    "K": ("0,0 0,200", "100,0 0,125", "36,80 100,200"),
    "L": ("0,0 0,200 100,200",),
    "M": ("0,200 0,0 50,110 100,0 100,200",),
    "N": ("0,200 0,0 100,146", "100,0 100,200"),
    "O": ("50,84,50,84,0,6 50,162,50,38,6,18 50,84,50,84,18,24",),
    "P": ("0,200 0,0 50,0 50,53,50,53,0,12 0,106",),
    "Q": ("50,55,50,55,0,6 50,145,50,55,6,18 50,55,50,55,18,24", "48,118 100,200"),
    "R": ("0,200 0,0 50,0 50,53,50,53,0,12 0,106", "48,106 100,200"),
    "S": ("50,48,48,48,6,-12 50,148,50,52,0,18",),
    "T": ("0,0 100,0", "50,0 50,200"),
    "U": ("0,0 0,145 50,145,50,55,18,6 100,0",),
    "V": ("0,0 50,200 100,0",),
    "W": ("0,0 22,200 50,84 78,200 100,0",),
    "X": ("20,0 100,200", "80,0 0,200"),
    "Y": ("0,0 50,95 100,0", "50,95 50,200"),
    "Z": ("28,0 100,0 0,200 100,200",),
}

GLYPHS: dict[str, tuple[Stroke, ...]] = {
    character: tuple(_stroke(path) for path in paths) for character, paths in _PATHS.items()
}
