"""The README is true: its Python runs, its commands parse, its table is generated.

`python tests/test_readme.py` writes the table of tasks and the gallery picture anew.
"""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import AlignedOptions, generate, make_recipe, tasks
from samediff_stimuli.cli import main

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
        splits = task.splits(make_recipe(task.name, 0))
        sizes = ", ".join(f"{split.name} {split.rows:,}" for split in splits)
        lines.append(f"| `{task.name}` | {task.summary} | {sizes} |")
    return "\n".join(lines) + "\n"


def gallery():
    """Some stimuli of every task, side by side, a row for each label."""
    rows = []
    for task in tasks.registry().values():
        recipe = make_recipe(task.name, 0)
        scenes = task.design(recipe, "train", 0, 24)
        for label in (1, 0):
            images = task.render(recipe, "train", scenes.rows(scenes["label"] == label))[:6]
            rows.append([Image.fromarray(image) for image in images])
    gap, side = 8, 224
    size = (6 * (side + gap) + gap, len(rows) * (side + gap) + gap)
    picture = Image.new("RGB", size, (205, 205, 205))
    for y, images in enumerate(rows):
        for x, image in enumerate(images):
            picture.paste(image, (gap + x * (side + gap), gap + y * (side + gap)))
    return picture.resize((size[0] * 2 // 3, size[1] * 2 // 3), Image.Resampling.LANCZOS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder that holds rmts-p32-seed0, smaller than the real one."""
    root = tmp_path_factory.mktemp("readme")
    options = AlignedOptions(train=256, validation=64, test=64, ood=8)
    generate(make_recipe("rmts", 0, options), root / "rmts-p32-seed0", workers=1)
    return root


def test_table_of_tasks_is_current():
    """The table lists every task with its paper sizes."""
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
    if words[0] == "generate" and "--train" not in words:
        words += ["--train", "16", "--validation", "8", "--test", "8", "--ood", "4"]
    if words[0] == "train":
        words += ["--epochs", "1"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output


def test_install_commands_are_those_of_ci():
    """The two headline commands use files that exist, and CI runs the second one."""
    assert "bash .ci/test\n" in README
    assert "bash .ci/test" in (ROOT / ".ci" / "run").read_text()
    assert (ROOT / ".ci" / "constraints.txt").is_file()


if __name__ == "__main__":
    gallery().save(ROOT / "cards" / "gallery.png", optimize=True)
    (ROOT / "README.md").write_text(TABLE.sub(lambda m: m[1] + table() + m[2], README))
