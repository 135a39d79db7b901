"""Pictures for people: the objects from four sides, the set, masks over images.

`python -m tests.blender_scenes.sheets objects` renders every object (needs bpy);
`python -m tests.blender_scenes.sheets set DIR` reads a photoreal dataset folder, and keeps its
card, its manifest and a digest of each image.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from samediff_stimuli import tasks
from samediff_stimuli.blender_scenes import masks, objects
from samediff_stimuli.blender_scenes.data import Camera, Light, Pose, Room, Scene
from samediff_stimuli.blender_scenes.photoreal import annotation
from samediff_stimuli.blender_scenes.session import renderer
from samediff_stimuli.cards.audit import audit
from samediff_stimuli.manifest import load
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.shards import image_digest

CARDS = Path(__file__).resolve().parents[2] / "cards"
RELEASE = CARDS / "releases" / "photoreal"
SIDE, COLUMNS, CAPTION = 128, 8, 16
STEP = 389  # shares no factor with the rows of a configuration: every object comes up
TURNS = (20.0, 110.0, 200.0, 290.0)
COLORS = np.array([[0, 0, 0], [230, 30, 30], [30, 90, 240], [40, 180, 40], [240, 190, 30]])


def portrait(name, turn):
    """A scene of one object that fills most of the image."""
    mesh = objects.mesh_of(name)
    tall, wide = float(mesh.vertices[:, 2].max()), masks.radius(mesh)
    away = 3.3 * max(tall, 2 * wide)
    camera = Camera(
        position=(0.0, round(-0.94 * away, 3), round(tall / 2 + 0.36 * away, 3)),
        target=(0.0, 0.0, round(tall / 2, 3)),
        lens=80.0,
        f_stop=5.6,
        focus=round(away, 3),
    )
    return Scene(
        objects=(Pose(model=name, x=0.0, y=0.0, turn=turn),),
        camera=camera,
        light=Light(azimuth=5.0, elevation=32.0, sun=5.0, sky=1.4),
        room=Room(table=0, wall=0, shift=0.0),
        size=SIDE,
        samples=16,
        seed=1,
    )


def sheet(images, captions, columns=COLUMNS):
    """Images in rows, with a word under each."""
    side, high = images[0].shape[0], images[0].shape[0] + CAPTION
    lines = -(-len(images) // columns)
    picture = Image.new("RGB", (columns * side, lines * high), (255, 255, 255))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
        corner = place % columns * side, place // columns * high
        picture.paste(Image.fromarray(image), corner)
        draw.text((corner[0] + 2, corner[1] + side + 1), caption, (40, 40, 40), font)
    return picture


def objects_sheet():
    """Every object from four sides."""
    names = list(objects.registry())
    with_bpy = renderer("cpu", None)
    images = [with_bpy.render(portrait(name, turn)) for name in names for turn in TURNS]
    captions = [name if turn == TURNS[0] else "" for name in names for turn in TURNS]
    return sheet(images, captions)


def set_sheets(folder, count=32):
    """Images of a dataset, spread over it; and the same, each object's visible pixels tinted."""
    manifest = load(folder)
    recipe, task = manifest.recipe, tasks.get("photoreal")
    reader = SplitReader(folder, manifest, "test")
    rows = [place * STEP % len(reader) for place in range(count)]
    images, table = list(reader.images(rows)), reader.table.rows(rows)
    names = task.label_column(recipe).names
    captions = [
        f"{names[label]}, row {row}" for label, row in zip(table["label"], rows, strict=True)
    ]
    tinted = []
    for number, image in enumerate(images):
        found = annotation(recipe, table.row(number)).instances
        tint = COLORS[found]
        mixed = np.where(found[..., None] > 0, image * 0.5 + tint * 0.5, image)
        tinted.append(mixed.round().astype(np.uint8))
    return sheet(images, captions), sheet(tinted, captions)


def keep(folder):
    """Keep what says which images a dataset holds."""
    RELEASE.mkdir(parents=True, exist_ok=True)
    for name in ("manifest.json", "README.md"):
        shutil.copy(folder / name, RELEASE / name)
    reader = SplitReader(folder, load(folder), "test")
    digests = [image_digest(reader.images([row])[0]).hex() for row in range(len(reader))]
    head = "# Audit of the released images\n\n`samediff-stimuli audit` prints it.\n\n"
    (RELEASE / "AUDIT.md").write_text(f"{head}{audit(folder).markdown()}\n")
    (RELEASE / "images.json").write_text(json.dumps(digests, indent=0) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "objects":
        objects_sheet().save(CARDS / "photoreal_objects.png", optimize=True)
    else:
        keep(Path(sys.argv[2]))
        plain, tinted = set_sheets(Path(sys.argv[2]))
        plain.save(CARDS / "photoreal.jpg", quality=88)
        tinted.save(CARDS / "photoreal_masks.jpg", quality=88)
