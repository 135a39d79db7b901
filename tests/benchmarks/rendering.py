"""What a rendered image costs and how good it is: `python -m tests.benchmarks.rendering`.

Needs bpy. Quality is the mean PSNR against the same scenes at 512 rays a pixel, not denoised; the
alternatives are Cycles without its denoiser, and a new Blender for every image.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np

from samediff_stimuli import make_recipe, tasks
from samediff_stimuli.blender_scenes import photoreal, render
from samediff_stimuli.blender_scenes.objects import registry
from samediff_stimuli.blender_scenes.photoreal_options import SAMPLES
from samediff_stimuli.engine import available_workers
from tests.benchmarks.page import show_page

REFERENCE = 512
ROWS = (389, 715)
RAW = (16, 128)
ANEW = """
import json, sys
from samediff_stimuli.blender_scenes.data import scene_from_dict
from samediff_stimuli.blender_scenes.objects import registry
from samediff_stimuli.blender_scenes.render import Renderer
with Renderer("cpu") as renderer:
    renderer.render(scene_from_dict(json.loads(sys.argv[1])), registry())
"""


def timed(renderer, scene):
    """Pixels, and seconds of wall and of all processors."""
    wall, cpu = time.perf_counter(), time.process_time()
    pixels = renderer.render(scene, registry())
    return pixels.astype(float), time.perf_counter() - wall, time.process_time() - cpu


def psnr(image, reference):
    """Peak signal to noise in dB."""
    return 10 * math.log10(255**2 / np.mean((image - reference) ** 2))


def measured(scenes, denoise, samples, references):
    """Mean seconds, processor seconds and PSNR of scenes at some rays a pixel."""
    render.CYCLES["use_denoising"] = denoise
    with render.Renderer("cpu") as renderer:
        renderer.render(dataclasses.replace(scenes[0], size=32, samples=1), registry())
        found = [timed(renderer, dataclasses.replace(s, samples=samples)) for s in scenes]
    render.CYCLES["use_denoising"] = True
    quality = [psnr(image, ref) for (image, _, _), ref in zip(found, references, strict=False)]
    pixels = [image for image, _, _ in found]
    means = [float(np.mean([f[which] for f in found])) for which in (1, 2)]
    return pixels, *means, float(np.mean(quality)) if quality else math.inf


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Markdown file to write as well.")
def main(out: Path | None) -> None:
    """Render a few scenes in many ways."""
    recipe = make_recipe("photoreal", 0)
    table = tasks.design(recipe, "test", list(ROWS))
    scenes = [photoreal.scene_of(recipe, table.row(n)) for n in range(len(ROWS))]
    references, wall, cpu, _ = measured(scenes, False, REFERENCE, [])
    say = "{:.1f} s, {:.1f} CPU s, {:.1f} dB".format
    lines = []
    raw = {samples: measured(scenes, False, samples, references)[1:] for samples in RAW}
    for quality, samples in SAMPLES.items():
        ours = measured(scenes, True, samples, references)[1:]
        for other, theirs in raw.items():
            ratio = f"{theirs[0] / ours[0]:.1f} times the time, {theirs[2] - ours[2]:+.1f} dB"
            what = f"{quality} ({samples} rays), Cycles without denoiser ({other})"
            lines.append([what, say(*ours), say(*theirs), ratio])
        if quality == "standard":
            began = time.perf_counter()
            for scene in scenes:
                words = [sys.executable, "-c", ANEW, json.dumps(scene.as_dict())]
                subprocess.run(words, check=True, capture_output=True)
            anew = (time.perf_counter() - began) / len(scenes)
            cost = f"{anew / ours[0]:.1f} times the time"
            lines.append([f"{quality}, a new Blender for each", say(*ours), f"{anew:.1f} s", cost])
    about = (
        f"Made by `python -m tests.benchmarks.rendering` with bpy on {available_workers()} "
        f"processors ({platform.machine()}), {len(ROWS)} scenes at 224 x 224; reference: "
        f"{REFERENCE} rays a pixel without denoiser ({wall:.0f} s, {cpu:.0f} CPU s an image). "
        "Times are of rendering one image when the room is built."
    )
    show_page("Rendering", about, lines, out)


if __name__ == "__main__":
    main()
