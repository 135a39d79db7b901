"""The scenes of the photorealistic set: which objects stand where, seen from where, in what light.

Nothing but the relation tells same from different. Objects are put on a cycle in an order that the
seed decides; *matched group* i is the same pair (o_i, o_i) and the different pair (o_i, o_i+1). All
that is drawn belongs to the group: places, turns, distractors, cameras, focus, light, room, and the
seed of the renderer's sampling. Its two pairs differ in the second object's model alone. Over the
groups each object stands first in one same and one different pair, and second in one same and one
different pair. A draw is kept only if all views of both pairs meet all constraints, so what is
refused is refused for both; distances keep clear of the larger radii of the group. The two objects
of a same pair are one model, each turned at random about z.

Scenes do not depend on the picture's size or samples (constraints are checked at 224 pixels), nor
on the number of configurations: a smaller set is the beginning of a larger one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from samediff_stimuli import rng
from samediff_stimuli.blender_scenes import decor, masks, pictures
from samediff_stimuli.blender_scenes.data import Camera, Light, Mesh, Pose, Room, Scene, Vector
from samediff_stimuli.blender_scenes.pairing import VIEWS, Row, pairs
from samediff_stimuli.recipe import FORMAT_VERSION, InputError

SPLITS = ("test", "train", "validation", "ood")
SIDE = 224  # constraints are checked in a picture of this side
MARGIN = 4  # pixels of it between an object of the pair and its edge
VISIBLE = 550  # thousandths of each object of the pair that are in sight
DISTRACTOR_VISIBLE = 250
FRAMED = 0.5  # of a distractor's box that lies in the picture
TABLES, WALLS = len(pictures.TABLES), len(decor.WALLS)
MAX_DISTRACTORS = 3
PLACEMENTS, CAMERAS = 1000, 12  # tries for a configuration; for each of its cameras in turn

# Ranges in thousandths of a unit, a degree, a mm ..., both ends included.
Range = tuple[int, int]
ELEVATION, LENS, F_STOP = (22_000, 42_000), (44_000, 54_000), (2_800, 5_600)
FOCUS = (300, 700)  # of the way from the first object to the second
TARGET_SHIFT, TARGET_HEIGHT = (-250, 250), 420  # of the aim from the middle of the pair
MIDDLE_X, MIDDLE_Y = (-800, 800), (-600, 600)  # of the pair, on the table
BEHIND_X, BEHIND_Y = (-1_800, 1_800), (700, 2_600)  # a distractor from the middle of the pair
SUN_AZIMUTH, SUN_ELEVATION = (-25_000, 25_000), (24_000, 40_000)  # beyond, the table is in shade
SUN, SKY = (4_000, 6_000), (1_000, 1_600)
SHIFT = (-2_000, 2_000)  # of the table's texture
_TURNS = 36_000  # hundredths of a degree
_LEAST = 750  # steps of 4 hundredths by which a turned twin differs at least
_BLOCKS = 8  # Philox blocks, of four words, that each draw owns


class Framing(NamedTuple):
    """How cameras stand round a pair, in thousandths."""

    azimuths: tuple[int, ...]  # from the front, to the right; beyond 60 they look past the table
    jitter: Range  # about them
    distance: Range  # from the aim
    gap: Range  # between the objects' circles on the table
    slant: Range  # of the line through both objects from the table's length


FREE = Framing(
    (-54_000, -18_000, 18_000, 54_000),
    jitter=(-8_000, 8_000),
    distance=(5_600, 6_800),
    gap=(40, 1_100),
    slant=(-90_000, 90_000),
)
# Objects keep to patches of their own in all views only side by side and from farther away.
ALIGNED = Framing(
    (-36_000, -12_000, 12_000, 36_000),
    jitter=(-6_000, 6_000),
    distance=(6_400, 8_400),
    gap=(200, 1_600),
    slant=(-25_000, 25_000),
)


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """What can be chosen about a scene.

    Attributes:
        image_size: side of the picture in pixels.
        samples: rays a pixel.
        distractors: objects behind the pair's middle, of models that are not in the group.
        patch_size: if given, no patch of this side in pixels touches the boxes of both objects.

    Raises:
        InputError: if a value is not legal.
    """

    image_size: int = 224
    samples: int = 16
    distractors: int = 0
    patch_size: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        legal = {"image_size": (32, 4096), "samples": (1, 65_536)}
        for name, (low, high) in {**legal, "distractors": (0, MAX_DISTRACTORS)}.items():
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not low <= value <= high:
                raise InputError(f"{name} {value!r} is out of range; legal: {low} .. {high}")
        size = self.image_size
        sides = [side for side in range(4, size // 6 + 1) if size % side == 0]
        if self.patch_size is not None and self.patch_size not in sides:
            raise InputError(
                f"patch_size {self.patch_size} is not legal for image_size {size}; legal: "
                f"{', '.join(map(str, sides)) or 'none'}; or change image_size"
            )


@dataclass(frozen=True, kw_only=True)
class Setting:
    """All that the pairs of a matched group share in one configuration.

    Attributes:
        places: x, y, turn of the first and of the second object.
        behind: the distractors.
        cameras: the four views.
        light: the same in all views.
        room: the same in all views.
        seeds: of the renderer's sampling, one a view.
    """

    places: tuple[Vector, Vector]
    behind: tuple[Pose, ...]
    cameras: tuple[Camera, ...]
    light: Light
    room: Room
    seeds: tuple[int, ...]


def scene(
    seed: int, split: str, row: Row, options: SceneOptions, meshes: Mapping[str, Mesh]
) -> Scene:
    """A scene of the set: a pure function of its arguments.

    Args:
        seed: of the set.
        split: one of SPLITS; no configuration of one is in another, because turns differ.
        row: from `pairing.config_of`.
        options: of the set.
        meshes: of the split's objects, in the order that `pairs` takes.

    Raises:
        InputError: if an argument is out of range, or no draw meets all constraints.
    """
    made = pairs(seed, tuple(meshes))
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    for name, value, stop in (("pair", row.pair, len(made)), ("view", row.view, VIEWS)):
        if not 0 <= value < stop:
            raise InputError(f"{name} {value} is out of range; legal: 0 .. {stop - 1}")
    if row.configuration < 0:
        raise InputError(f"configuration {row.configuration} is out of range; legal: from 0")
    if options.distractors > len(meshes) - 2:
        raise InputError(
            f"distractors {options.distractors} are more than the {len(meshes) - 2} models that "
            "are not in a pair; ask for fewer, or give more objects"
        )
    group = _Group(
        *(seed, split, made[row.pair | 1], row.configuration, options.distractors),
        options.image_size // options.patch_size if options.patch_size else 0,
        *(tuple(meshes), tuple(meshes.values())),
    )
    shared = _setting(group)
    places = _turned(group) if row.turned else shared.places
    return Scene(
        objects=(*_poses(made[row.pair], places), *shared.behind),
        camera=shared.cameras[row.view],
        light=shared.light,
        room=shared.room,
        size=options.image_size,
        samples=options.samples,
        seed=shared.seeds[row.view],
    )


class _Group(NamedTuple):
    """A matched group in one configuration: all that decides its draws."""

    seed: int
    split: str
    pair: tuple[str, str]  # the different one
    configuration: int
    distractors: int
    grid: int  # patches a side, 0 for free framing
    names: tuple[str, ...]
    meshes: tuple[Mesh, ...]  # compared by identity

    def key(self, *purpose: str | int) -> int:
        return rng.stream_key(
            FORMAT_VERSION, "photoreal", *self[:2], *self.pair, self.configuration, *purpose
        )

    def mesh(self, model: str) -> Mesh:
        return self.meshes[self.names.index(model)]

    def both(self, places: tuple[Vector, Vector]) -> tuple[tuple[Pose, Pose], tuple[Pose, Pose]]:
        return _poses((self.pair[0], self.pair[0]), places), _poses(self.pair, places)


@lru_cache(maxsize=64)
def _setting(group: _Group) -> Setting:
    """The first draw of which all views of both pairs fit."""
    for attempt in range(PLACEMENTS):
        places = _places(group, attempt)
        behind = _behind(group, attempt, places)
        if behind is None:
            continue
        cameras: list[Camera] = []
        for view in range(VIEWS):
            tries = (_camera(group, attempt, view, number, places) for number in range(CAMERAS))
            fitting = next((c for c in tries if _fits(group, c, places, behind)), None)
            if fitting is None:
                break
            cameras.append(fitting)
        else:
            ranges = (SUN_AZIMUTH, SUN_ELEVATION, SUN, SKY, SHIFT, (0, TABLES - 1), (0, WALLS - 1))
            *values, table, wall = _drawn(group.key("light"), 0, *ranges)
            azimuth, elevation, sun, sky, shift = (value / 1000 for value in values)
            words = rng.blocks(group.key("sampling"), 0, VIEWS)[:, 0]
            return Setting(
                places=places,
                behind=behind,
                cameras=tuple(cameras),
                light=Light(azimuth=azimuth, elevation=elevation, sun=sun, sky=sky),
                room=Room(table=table, wall=wall, shift=shift),
                seeds=tuple(rng.below(words, 2**31).tolist()),
            )
    raise InputError(
        f"no scene for {group.pair[0]!r} and {group.pair[1]!r} (seed {group.seed}, split "
        f"{group.split!r}, configuration {group.configuration}, distractors {group.distractors}, "
        f"patches a side {group.grid}) in {PLACEMENTS} tries: in all {VIEWS} views {MARGIN} of "
        f"{SIDE} pixels to the edge and {VISIBLE} thousandths in sight; use smaller objects, fewer "
        "distractors or smaller patches"
    )


@lru_cache(maxsize=64)
def _turned(group: _Group) -> tuple[Vector, Vector]:
    """A group's places, the second object turned by 30 to 330 degrees, so that all views fit."""
    shared = _setting(group)
    first, (x, y, turn) = shared.places
    for attempt in range(PLACEMENTS):
        (steps,) = _drawn(group.key("turned"), attempt, (_LEAST, _TURNS // len(SPLITS) - _LEAST))
        more = (round(turn * 100) + len(SPLITS) * steps) % _TURNS / 100
        places = first, (x, y, more)
        if all(_fits(group, camera, places, shared.behind) for camera in shared.cameras):
            return places
    raise InputError(
        f"no other turn of {group.pair[1]!r} beside {group.pair[0]!r} fits all views (seed "
        f"{group.seed}, split {group.split!r}, configuration {group.configuration}); use fewer "
        "distractors or smaller patches"
    )


def _poses(pair: tuple[str, str], places: tuple[Vector, Vector]) -> tuple[Pose, Pose]:
    """A pair of models on two places."""
    first, second = (
        Pose(model=model, x=x, y=y, turn=turn)
        for model, (x, y, turn) in zip(pair, places, strict=True)
    )
    return first, second


def _places(group: _Group, attempt: int) -> tuple[Vector, Vector]:
    """x, y, turn of both objects, clear of each other whichever pair of the group they are."""
    framing = ALIGNED if group.grid else FREE
    first, second = (masks.radius(group.mesh(model)) for model in group.pair)
    ranges = (MIDDLE_X, MIDDLE_Y, framing.gap, framing.slant, (0, 1))
    turns = (0, _TURNS // len(SPLITS) - 1)
    mid_x, mid_y, gap, slant, flipped, *turned = _drawn(
        group.key("places"), attempt, *ranges, turns, turns
    )
    cos, sin = masks.cos_sin((slant + 180_000 * flipped) / 1000)
    half = (math.ceil((first + max(first, second)) * 1000) + gap) / 2
    (xa, xb), (ya, yb) = (
        (round(middle - half * part) / 1000, round(middle + half * part) / 1000)
        for middle, part in ((mid_x, cos), (mid_y, sin))
    )
    split = SPLITS.index(group.split)  # turns of different splits are never equal
    ta, tb = ((len(SPLITS) * turn + split) / 100 for turn in turned)
    return (xa, ya, ta), (xb, yb, tb)


def _behind(group: _Group, attempt: int, places: tuple[Vector, Vector]) -> tuple[Pose, ...] | None:
    """Distractors of different models, on the table and clear of all else; None if they are not."""
    (a, b), (_, c) = group.both(places)
    wide, deep = pictures.TABLE_SIZE
    left = [name for name in group.names if name not in group.pair]
    found: list[Pose] = []
    for number in range(group.distractors):
        ranges = ((0, len(left) - 1), BEHIND_X, BEHIND_Y, (0, _TURNS - 1))
        drawn = attempt * MAX_DISTRACTORS + number
        which, dx, dy, turn = _drawn(group.key("distractors"), drawn, *ranges)
        x, y = round((a.x + b.x) / 2 + dx / 1000, 3), round((a.y + b.y) / 2 + dy / 1000, 3)
        pose = Pose(model=left.pop(which), x=x, y=y, turn=turn / 100)
        radius = masks.radius(group.mesh(pose.model))
        clear = max(abs(x) - wide / 2, abs(y) - deep / 2) + radius < 0
        for other in (a, b, c, *found):
            away = math.sqrt((x - other.x) * (x - other.x) + (y - other.y) * (y - other.y))
            clear &= away > radius + masks.radius(group.mesh(other.model))
        if not clear:
            return None
        found.append(pose)
    return tuple(found)


def _camera(
    group: _Group, attempt: int, view: int, number: int, places: tuple[Vector, Vector]
) -> Camera:
    """A camera near its view's azimuth, aimed about the pair's middle, sharp between the two."""
    framing = ALIGNED if group.grid else FREE
    ranges = (framing.jitter, ELEVATION, TARGET_SHIFT, TARGET_SHIFT, framing.distance, FOCUS)
    turn, rise, *values = _drawn(
        group.key("camera", view), attempt * CAMERAS + number, *ranges, LENS, F_STOP
    )
    dx, dy, away, share, lens, f_stop = (value / 1000 for value in values)
    (xa, ya, _), (xb, yb, _) = places
    target = (round((xa + xb) / 2 + dx, 3), round((ya + yb) / 2 + dy, 3), TARGET_HEIGHT / 1000)
    cos_a, sin_a = masks.cos_sin((framing.azimuths[view] + turn) / 1000)
    cos_e, sin_e = masks.cos_sin(rise / 1000)
    offset = (sin_a * cos_e, -cos_a * cos_e, sin_e)
    x, y, z = (round(t + away * o, 6) for t, o in zip(target, offset, strict=True))
    camera = Camera(position=(x, y, z), target=target, lens=lens, f_stop=f_stop, focus=away)
    sharp = np.array([[xa + (xb - xa) * share, ya + (yb - ya) * share, target[2]]])
    _, focus = masks.project(sharp, camera, SIDE)
    return dataclasses.replace(camera, focus=round(float(focus[0]), 6))


def _fits(
    group: _Group, camera: Camera, places: tuple[Vector, Vector], behind: tuple[Pose, ...]
) -> bool:
    """Whether a view shows both pairs of a group as it should."""
    both = group.both(places)
    boxes = {p: masks.bounds(group.mesh(p.model), p, camera) for pair in both for p in pair}
    edge = MARGIN / SIDE
    if any(min(box) < edge or max(box) > 1 - edge for box in boxes.values()):
        return False
    if any(_share(masks.bounds(group.mesh(p.model), p, camera)) < FRAMED for p in behind):
        return False
    apart = [masks.apart(boxes[a], boxes[b], group.grid or SIDE) for a, b in both]
    if group.grid and not all(apart):
        return False
    unsure = [pair for pair, clear in zip(both, apart, strict=True) if behind or not clear]
    poses = {pose for pair in unsure for pose in (*pair, *behind)}
    depths = {p: masks.depth_map(group.mesh(p.model), p, camera, SIDE) for p in poses}
    least = [VISIBLE] * 2 + [DISTRACTOR_VISIBLE] * len(behind)
    return all(
        (masks.visibility([depths[p] for p in (*pair, *behind)]) >= least).all() for pair in unsure
    )


def _share(box: tuple[float, float, float, float]) -> float:
    """How much of a box lies in the picture of side 1."""
    x0, y0, x1, y1 = box
    wide, high = min(x1, 1.0) - max(x0, 0.0), min(y1, 1.0) - max(y0, 0.0)
    return max(wide, 0.0) * max(high, 0.0) / ((x1 - x0) * (y1 - y0))


def _drawn(key: int, number: int, *ranges: Range) -> list[int]:
    """The `number`-th draw of a stream: one integer of each range."""
    words = rng.blocks(key, number * _BLOCKS, _BLOCKS).reshape(-1)
    picks = (rng.below(words[n : n + 1], high - low + 1) for n, (low, high) in enumerate(ranges))
    return [low + int(pick[0]) for pick, (low, _) in zip(picks, ranges, strict=True)]
