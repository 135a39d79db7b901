"""The README is true: its Python runs, its commands parse, its table is generated.

`python -m tests.test_readme` writes the table of tasks and the pictures anew.
"""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw, ImageFont

from samediff_stimuli import AlignedOptions, generate, make_recipe, tasks
from samediff_stimuli.blender_scenes.photoreal_options import PhotorealOptions
from samediff_stimuli.cli import main
from samediff_stimuli.factor_preview import walk
from samediff_stimuli.families.contours import CONDITIONS
from samediff_stimuli.models import recipes
from samediff_stimuli.table import concatenate
from tests.cases import FACTOR_SETS, pictures
from tests.factor_sets import use_tiny, use_whole

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [
    line.split("  #")[0].strip()
    for language, code in BLOCKS
    if language == "sh"
    for line in code.splitlines()
    if line.startswith("samediff-stimuli")
]
TABLE = re.compile(r"(<!-- tasks.*?-->\n).*?(<!-- end -->)", flags=re.DOTALL)


def table():
    """The Markdown table of tasks."""
    lines = ["| task | question | splits |", "| --- | --- | --- |"]
    for task in tasks.registry().values():
        sizes = (
            f"those of the {'archive' if task.name == 'factors' else 'folder'}"
            if not task.source
            else "train 6,400, validation 6,400, test 6,400"
        )
        if task.name in FACTOR_SETS:
            space = task.space(make_recipe(task.name, 0))
            sizes = f"grid of {len(space):,}; four times train and test, 30 : 70"
        elif task.variants:
            found = task.splits(make_recipe(task.name, 0))
            tests = [split for split in found if split.name.startswith("test_")]
            shown = found if len(tests) < 3 else [s for s in found if s not in tests]
            sizes = ", ".join(f"{split.name} {split.rows:,}" for split in shown)
            if shown is not found:
                sizes += f", {len(tests)} tests of {tests[0].rows:,}"
        lines.append(f"| `{task.name}` | {task.summary} | {sizes} |")
    return "\n".join(lines) + "\n"


CELLS = [
    ("discrimination", "p32", "train", "discrimination"),
    ("rmts", "p32", "train", "relational match-to-sample"),
    ("squiggles", "N", "train", "squiggles"),
    ("squiggles", "RS", "train", "squiggles, turned and scaled"),
    ("alphanumerics", "N", "train", "alphanumerics"),
    ("shapes", "full", "train", "shapes"),
    ("shapes", "grayscale", "train", "shapes, grayscale"),
    ("shapes", "mask", "train", "shapes, mask"),
    ("naturalistic", "N", "train", "naturalistic"),
    ("naturalistic", "RS", "train", "naturalistic, turned and scaled"),
    ("dissociation", "N", "test", "dissociation: 000, 100, 010, 001"),
    ("quads", "p32", "train", "quads: base, shape, colour, both changed"),
    ("das", "p32", "train", "das: base and counterfactual, twice"),
    *(("transfer", "original", f"test_{name}", f"transfer: {name}") for name in CONDITIONS[1:]),
]


def cell(name, variant, split):
    """Four images of a set: two same and two different, four of the labels, or what belongs
    together in sets of counterfactuals."""
    task = tasks.get(name)
    options = task.variants.get(variant) or task.options(appearance=variant)
    recipe = make_recipe(name, 0, options)
    scenes = task.design(recipe, split, 0, 64)
    if name == "quads":
        return task.render(recipe, split, scenes.rows(range(4)))
    if name == "das":
        pair = scenes.rows([0, 1])
        images = [task.render(recipe, split, pair, view=view.name) for view in task.views]
        return [image for both in zip(*images, strict=True) for image in both]
    labels = [0, 4, 2, 1] if name == "dissociation" else [1, 1, 0, 0]
    rows, skip = [], 16
    for label in labels:
        rows.append(
            next(i for i in range(skip, 64) if scenes["label"][i] == label and i not in rows)
        )
    return task.render(recipe, split, scenes.rows(rows))


def gallery():
    """Some stimuli of every set, as `cell` has them."""
    side, gap, caption, columns = 104, 6, 20, 3
    wide, high = 4 * (side + gap) + 2 * gap, side + caption + 2 * gap
    rows = -(-len(CELLS) // columns)
    picture = Image.new("RGB", (columns * wide + gap, rows * high), (236, 236, 236))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for number, (*which, title) in enumerate(CELLS):
        left, top = gap + number % columns * wide, number // columns * high
        draw.text((left, top + 3), title, (40, 40, 40), font)
        for i, image in enumerate(cell(*which)):
            thumb = Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS)
            picture.paste(thumb, (left + i * (side + gap), top + caption))
    return picture


def walks():
    """A walk along each factor of the grids, side by side."""
    side, gap, caption = 56, 3, 18
    blocks = []
    for name in FACTOR_SETS:
        recipe, task = make_recipe(name, 0), tasks.get(name)
        space = task.space(recipe)
        wide, high = 10 * (side + gap), side + gap + caption
        picture = Image.new("RGB", (wide, high * len(space.factors) + 6), (236, 236, 236))
        draw, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
        for row, factor in enumerate(space.names):
            _, levels = walk(space, factor, 10)
            table = concatenate(
                [task.design(recipe, "grid", r, r + 1) for r in space.rows(levels).tolist()]
            )
            draw.text((0, row * high + 3), f"{name}: {factor}", (40, 40, 40), font)
            for place, image in enumerate(task.render(recipe, "grid", table)):
                pixels = image[..., 0] if image.shape[-1] == 1 else image
                thumb = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
                picture.paste(thumb, (place * (side + gap), row * high + caption))
        blocks.append(picture)
    high, gutter = max(block.height for block in blocks), 16
    wide = sum(block.width + gutter for block in blocks) - gutter
    whole = Image.new("RGB", (wide + 12, high + 12), (236, 236, 236))
    left = 6
    for block in blocks:
        whole.paste(block, (left, 6))
        left += block.width + gutter
    return whole


@pytest.fixture(scope="module", autouse=True)
def small_grids():
    """The grids of factors have few levels while the README's commands run."""
    with pytest.MonkeyPatch.context() as patch:
        use_tiny(patch)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_grids):
    """A working folder that holds the README's datasets, smaller than the real ones."""
    root = tmp_path_factory.mktemp("readme")
    generate(make_recipe("dsprites", 0), root / "dsprites-procedural-seed0", workers=1)
    grid = np.stack(np.meshgrid(range(4), range(5), indexing="ij"), axis=-1).reshape(-1, 2)
    shown = np.arange(20 * 64 * 64 * 3, dtype=np.int64).reshape(20, 64, 64, 3) * 7919 % 251
    np.savez(root / "faces.npz", images=shown.astype(np.uint8), labels=grid)
    options = AlignedOptions(train=256, validation=64, test=64, ood=8)
    generate(make_recipe("rmts", 0, options), root / "rmts-p32-seed0", workers=1)
    for name in ("squiggles", "shapes"):
        options = tasks.get(name).options(train=64, validation=16, test=16)
        generate(make_recipe(name, 0, options), root / f"{name}-seed0", workers=1, parquet=False)
    shutil.copytree(pictures(), root / "pictures")
    options = PhotorealOptions(configurations=1, image_size=48)
    generate(make_recipe("photoreal", 0, options), root / "photoreal-seed0", parquet=False)
    return root


def test_table_of_tasks_is_current():
    """The table lists every task with its paper sizes."""
    with pytest.MonkeyPatch.context() as patch:
        use_whole(patch)
        assert table() in README


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_runs(code, folder, monkeypatch, capsys):
    """Every Python block runs as it stands."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    monkeypatch.chdir(folder)
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command, folder, monkeypatch):
    """Every samediff-stimuli command runs, at smaller sizes."""
    monkeypatch.chdir(folder)
    words = shlex.split(command)[1:]
    if "--out" in words:  # what another test left there
        shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
    if words[0] == "import" and not Path(words[1]).exists():
        first = next(
            c for c in COMMANDS if c.startswith("samediff-stimuli export") and words[1] in c
        )
        assert CliRunner().invoke(main, shlex.split(first)[1:]).exit_code == 0
    if words[0] == "evaluate" and not Path(words[1]).exists():
        train = ["train", words[1].removesuffix("-run"), "--epochs", "1"]
        assert CliRunner().invoke(main, train).exit_code == 0
    if words[0] == "generate" and "--train" not in words:
        task = tasks.get(words[words.index("--task") + 1])
        for size in {"train", "validation", "test", "ood"} & set(task.options.names()):
            least = 16 if size == "train" else 8
            words += [f"--{size}", str(-(-least // task.group) * task.group)]
    if "photoreal" in words and "--configurations" not in words:
        words += ["--configurations", "1", "--image-size", "48"]
        words += ["--out", "small"] if "--out" not in words else []
    if words[0] == "validate":  # no bound holds for so few images
        monkeypatch.setitem(recipes._QUICK, "rmts", recipes._Quick(epochs=1))
    if words[0] in ("train", "matrix"):
        words += ["--steps", "2"] if "dsprites" in words[1] else ["--epochs", "1"]
    if words[0] == "generate" and words[words.index("--task") + 1] in FACTOR_SETS:
        words += ["--workers", "1"]  # other processes do not know of the small grids
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output


def test_install_commands_are_those_of_ci():
    """The two headline commands use files that exist, and CI runs the second one."""
    assert "bash .ci/test\n" in README
    assert "bash .ci/test" in (ROOT / ".ci" / "run").read_text()
    assert (ROOT / ".ci" / "constraints.txt").is_file()


if __name__ == "__main__":
    gallery().save(ROOT / "cards" / "gallery.png", optimize=True)
    walks().save(ROOT / "cards" / "factors.png", optimize=True)
    (ROOT / "README.md").write_text(TABLE.sub(lambda m: m[1] + table() + m[2], README))
