"""The photorealistic set as a task: options, columns, rows from scenes and scenes from rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import rng
from samediff_stimuli.blender_scenes import masks, objects, pairing, scenes, session
from samediff_stimuli.blender_scenes.data import Camera, Light, Mesh, Pose, Room, Scene
from samediff_stimuli.blender_scenes.pairing import GROUP, Row
from samediff_stimuli.blender_scenes.photoreal_options import (
    SAMPLES,
    PhotorealOptions,
    columns,
    options_of,
)
from samediff_stimuli.blender_scenes.process import RendererProcess
from samediff_stimuli.recipe import Recipe, tags
from samediff_stimuli.table import Table, typed
from samediff_stimuli.tasks import Split, Task

SHARD_ROWS = 128  # a configuration of the paper's set: enough work for a worker


def configurations(recipe: Recipe) -> dict[str, int]:
    """How many configurations each split has."""
    chosen = options_of(recipe)
    found = {
        "train": chosen.train_configurations,
        "validation": chosen.validation_configurations,
        "test": chosen.configurations,
        "ood": chosen.configurations if chosen.held_out_objects else 0,
    }
    return {split: count for split, count in found.items() if count}


def names_of(recipe: Recipe, split: str) -> list[str]:
    """The objects of a split."""
    known = list(objects.registry())
    seen, held_out = pairing.divided(recipe.seed, known, options_of(recipe).held_out_objects)
    return held_out if split == "ood" else seen


def splits(recipe: Recipe) -> tuple[Split, ...]:
    """Test, and what was asked for besides."""
    made = []
    for name, count in configurations(recipe).items():
        n = len(names_of(recipe, name))
        each = "1 configuration" if count == 1 else f"{count} configurations"
        about = f"{n} same and {n} different pairs of {n} objects, {each} each"
        out = name == "ood"
        about += ", none of which another split shows" if out else ""
        rows = pairing.rows_of(n, count, options_of(recipe).turned)
        made.append(Split(name=name, rows=rows, about=about, held_out=out))
    return tuple(made)


@lru_cache(maxsize=8)
def _meshes(names: tuple[str, ...]) -> Mapping[str, Mesh]:
    return MappingProxyType({name: objects.mesh_of(name) for name in names})


def place_of(recipe: Recipe, split: str, index: int) -> Row:
    """Which scene a row is; the order of same and different in a matched group is random."""
    turned = options_of(recipe).turned
    group = index // GROUP
    base = group // 2 if turned else group  # a turned twin comes in its base's order
    coin = rng.mix(recipe.key(split, "order"), np.array([base]))[0] & np.uint64(1)
    return pairing.config_of(index ^ int(coin), len(names_of(recipe, split)), turned)


def design(recipe: Recipe, split: str, start: int, stop: int) -> Table:
    """Rows [start, stop): each its scene, and what the meshes tell of the image."""
    rows = [_row(recipe, split, index) for index in range(start, stop)]
    values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return typed(values, columns(recipe))


def _row(recipe: Recipe, split: str, index: int) -> dict[str, Any]:
    """The columns of one row."""
    names, known = names_of(recipe, split), list(objects.registry())
    meshes, place = _meshes(tuple(names)), place_of(recipe, split, index)
    scene = scenes.scene(recipe.seed, split, place, options_of(recipe).scene(), meshes)
    found = masks.annotate(scene, meshes)
    k, _, world_to_camera = masks.camera_matrices(scene.camera, scene.size)
    camera, light, room = scene.camera, scene.light, scene.room
    return {
        "index": index,
        "label": place.pair % GROUP == 0,
        "pair_id": index // GROUP,
        "configuration": place.configuration,
        "view": place.view,
        "object": [known.index(pose.model) for pose in scene.objects],
        "position": [(pose.x, pose.y) for pose in scene.objects],
        "turn": [pose.turn for pose in scene.objects],
        "box": found.full_boxes,
        "visible_box": found.visible_boxes,
        "full_pixels": found.full_pixels,
        "visible_pixels": found.visible_pixels,
        "visibility": found.visibility,
        "camera_position": camera.position,
        "camera_target": camera.target,
        "lens": camera.lens,
        "f_stop": camera.f_stop,
        "focus": camera.focus,
        "intrinsics": k,
        "world_to_camera": world_to_camera,
        "sun_azimuth": light.azimuth,
        "sun_elevation": light.elevation,
        "sun_strength": light.sun,
        "sky_strength": light.sky,
        "table": room.table,
        "wall": room.wall,
        "table_shift": room.shift,
        "render_seed": scene.seed,
        "base_index": index - GROUP * place.turned,
    }


def scene_of(recipe: Recipe, row: Mapping[str, Any]) -> Scene:
    """The scene that a row describes.

    Args:
        recipe: gives the image's size and the rays a pixel.
        row: of the set's columns, as plain values; class indices as numbers.
    """
    names, chosen = list(objects.registry()), options_of(recipe)
    poses = zip(row["object"], row["position"], row["turn"], strict=True)
    return Scene(
        objects=tuple(Pose(model=names[o], x=x, y=y, turn=turn) for o, (x, y), turn in poses),
        camera=Camera(
            position=tuple(row["camera_position"]),
            target=tuple(row["camera_target"]),
            lens=row["lens"],
            f_stop=row["f_stop"],
            focus=row["focus"],
        ),
        light=Light(
            azimuth=row["sun_azimuth"],
            elevation=row["sun_elevation"],
            sun=row["sun_strength"],
            sky=row["sky_strength"],
        ),
        room=Room(table=row["table"], wall=row["wall"], shift=row["table_shift"]),
        size=chosen.image_size,
        samples=SAMPLES[chosen.quality],
        seed=row["render_seed"],
    )


def annotation(recipe: Recipe, row: Mapping[str, Any]) -> masks.Annotation:
    """Instance map, whole masks and depth of a row's image, from the meshes.

    Args:
        recipe: of the set.
        row: as for `scene_of`.
    """
    return masks.annotate(scene_of(recipe, row), _meshes(tuple(objects.registry())))


def paint(recipe: Recipe, split: str, table: Table) -> Iterator[NDArray[np.uint8]]:
    """Each image in turn, rendered in another process, which all calls share.

    Raises:
        InputError: if bpy or the device is not there.
        RenderingError: if the renderer fails or crashes again and again.
    """
    for number in range(table.n_rows):
        yield _renderer(recipe).render(scene_of(recipe, table.row(number)))


def _renderer(recipe: Recipe) -> RendererProcess:
    chosen = options_of(recipe)
    return session.renderer(chosen.device or "auto", chosen.blender_python)


def instances(recipe: Recipe, split: str, table: Table) -> NDArray[np.uint8]:
    """(n, height, width) uint8 instance maps: 0 background, j for object j - 1."""
    rows = (table.row(number) for number in range(table.n_rows))
    return np.stack([annotation(recipe, row).instances for row in rows])


def maps(recipe: Recipe, split: str, table: Table) -> dict[str, NDArray[Any]]:
    """Depth and whole masks of each image, from the meshes.

    Returns:
        "depth": (n, height, width) float32 in dm along the camera's axis, inf where nothing is
        near; "full_masks": (n, k, height, width) bool, each object as if alone.
    """
    size, (n, k) = options_of(recipe).image_size, table["object"].shape
    depth = np.empty((n, size, size), dtype=np.float32)
    full = np.empty((n, k, size, size), dtype=np.bool_)
    for number in range(n):
        found = annotation(recipe, table.row(number))
        depth[number], full[number] = found.depth, found.full_masks
    return {"depth": depth, "full_masks": full}


def missing(recipe: Recipe) -> str | None:
    """Why images cannot be rendered: bpy is absent, and no other interpreter is named."""
    return None if options_of(recipe).blender_python else session.absent()


def made_with(recipe: Recipe) -> dict[str, str]:
    """Release of bpy, device, platform and settings: what decides the pixels besides the recipe."""
    return session.described(_renderer(recipe).about())


def oracle(recipe: Recipe, row: Mapping[str, Any]) -> int:
    """1 if the pair is twice one object."""
    return int(row["object"][0] == row["object"][1])


def contains(recipe: Recipe, split: str, row: Mapping[str, Any]) -> bool:
    """Whether the objects are the split's, turned as its are, in sight and inside the image."""
    names, allowed = list(objects.registry()), names_of(recipe, split)
    known = all(names[number] in allowed for number in row["object"])
    turns = {round(turn * 100) % len(scenes.SPLITS) for turn in row["turn"][:2]}
    own = turns == {scenes.SPLITS.index(split)}
    size = options_of(recipe).image_size
    margin = scenes.MARGIN * size // scenes.SIDE - 1
    inside = all(margin <= min(box) and max(box) <= size - margin for box in row["box"][:2])
    seen = min(row["visibility"][:2]) >= scenes.VISIBLE - _slack(size)
    return known and own and inside and seen


def _slack(size: int) -> int:
    """Thousandths by which a pixel count at another size may differ from that at 224 pixels."""
    return 0 if size == scenes.SIDE else 20 + 2000 // size


def stimulus(recipe: Recipe, row: Mapping[str, Any]) -> tuple[object, ...]:
    """The identity of a scene: objects, places, turns and camera."""
    places = tuple(tuple(place) for place in row["position"])
    return (*row["object"], places, *row["turn"], *row["camera_position"], row["lens"])


def sections(recipe: Recipe) -> dict[str, str]:
    """The table of objects for the card."""
    held = names_of(recipe, "ood") if options_of(recipe).held_out_objects else []
    lines = ["| object | what it is | colour | turning changes it |", "| --- | --- | --- | --- |"]
    for model in objects.registry().values():
        turns = "no" if model.symmetric else "yes"
        out = " (held out)" if model.name in held else ""
        lines.append(f"| `{model.name}`{out} | {model.about} | {model.color} | {turns} |")
    return {"Objects": "\n".join(lines)}


DEPARTURES = (
    "Objects, room and materials are of our own making; the authors' are not public.",
    "The two pairs of a matched group share places, turns, cameras, light, room and the renderer's "
    "sampling, and differ in the second object's model alone; how the authors drew theirs is not "
    "known.",
    "Objects of a pair are at least 55 per cent in sight and wholly inside the image; both are "
    "turned about the vertical by any angle.",
)
LIMITS = (
    "The same bytes come back from the same release of bpy on a processor with the same vector "
    "instructions (AVX2, say); other processors differ by a level or two in some pixels, other "
    "releases and GPUs in more. Columns and instance maps are the same everywhere.",
    "Five of the 16 objects look the same from all sides: turning them, as --turned does, changes "
    "nothing.",
    "Train, validation and test show the same pairs of objects in other configurations; the split "
    "ood, asked for with --held-out-objects, shows objects and pairs that no other has.",
    "Stimuli are rendered; images are sRGB, 8 bits a channel.",
    "Instance maps, boxes and depth are those of a pinhole camera: depth of field does not enter.",
)

MEASURES = (
    *("position", "turn", "visibility", "full_pixels", "visible_pixels"),
    *("camera_position", "camera_target", "lens", "f_stop", "focus"),
    *("sun_azimuth", "sun_elevation", "sun_strength", "sky_strength"),
    *("table", "wall", "table_shift"),
)

TASK = Task(
    name="photoreal",
    title="Photoreal: same or different objects on a table",
    summary="Two rendered objects on a table in a sunlit room: the same, or not?",
    source="lepori2024",
    options=PhotorealOptions,
    columns=columns,
    group=GROUP,
    variants={
        "standard": PhotorealOptions(),
        "crowded": PhotorealOptions(
            image_size=128,
            quality="preview",
            configurations=1,
            train_configurations=1,
            held_out_objects=4,
            distractors=2,
            turned=True,
        ),
        "p16": PhotorealOptions(quality="preview", configurations=1, patch_size=16),
    },
    name_of=lambda recipe: "-".join([recipe.task, *tags(recipe.options)]),
    image_shape=lambda recipe: (options_of(recipe).image_size, options_of(recipe).image_size, 3),
    splits=splits,
    design=design,
    paint=paint,
    instances=instances,
    oracle=oracle,
    contains=contains,
    stimulus=stimulus,
    departures=DEPARTURES,
    limits=LIMITS,
    missing=missing,
    shard_rows=lambda recipe: SHARD_ROWS,
    sections=sections,
    measures=MEASURES,
    costly=True,
    made_with=made_with,
    maps=maps,
)
