"""The command line as people meet it: help, results on stdout, one line for each mistake."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import make_recipe, render, tasks
from samediff_stimuli.cli import main


def run(*arguments):
    """Run a command in this process; the result has output, stderr and exit_code."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_list_names_every_task():
    """`list` shows each registered task with its summary."""
    done = run("list")
    assert done.exit_code == 0
    for task in tasks.registry().values():
        assert task.name in done.stdout
        assert task.summary in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        *("", "list", "generate", "show", "verify", "preview", "train"),
        *("import", "export", "audit", "matrix", "evaluate"),
    ],
    ids=lambda c: c or "-",
)
def test_help(command):
    """Every command explains itself; options of tasks show their help and default."""
    done = run(*filter(None, [command]), "--help")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > 5
    if command in ("generate", "show"):
        text = " ".join(done.stdout.split())
        assert "--patch-size" in text
        assert "(default 10)" in text
        assert "--combinations" in text


def test_generate_verify_preview(tmp_path):
    """A small set is made, checked, drawn, and the summary says what to type next."""
    out = tmp_path / "set"
    sizes = ["--train", 16, "--validation", 8, "--test", 8, "--ood", 4]
    done = run("generate", "--task", "rmts", "--seed", 0, "--out", out, "--workers", 1, *sizes)
    assert done.exit_code == 0, done.output
    assert f"samediff-stimuli verify {out}" in done.stdout
    assert re.search(r"content digest [0-9a-f]{64}", done.stdout)
    done = run("verify", out, "--all")
    assert done.exit_code == 0
    assert "44 images decoded, 44 made anew, the card checked: no problems" in done.stdout
    done = run("preview", out)
    assert done.exit_code == 0
    with Image.open(done.stdout.strip()) as picture:
        assert picture.size[0] > 1000


def test_dry_run_writes_nothing(tmp_path):
    """--dry-run says files, bytes and seconds, and leaves no trace."""
    out = tmp_path / "set"
    done = run("generate", "--task", "rmts", "--seed", 0, "--out", out, "--dry-run")
    assert done.exit_code == 0
    assert re.search(r"38,400 images in 52 files, about [\d.]+ MB", done.stdout)
    assert re.search(r"about \d+ s with \d+ workers", done.stdout)
    assert list(tmp_path.iterdir()) == []


def test_show_makes_one_stimulus(tmp_path):
    """`show` writes the picture and prints the scene that the whole set has at that row."""
    png = tmp_path / "one.png"
    where = ["--task", "rmts", "--seed", 4, "--split", "test", "--index", 123]
    done = run("show", *where, "--png", png)
    assert done.exit_code == 0
    recipe = make_recipe("rmts", 4)
    with Image.open(png) as picture:
        assert np.array_equal(np.asarray(picture), render(recipe, "test", [123])[0])
    scene = json.loads(done.stdout)
    row = tasks.get("rmts").design(recipe, "test", 0, 200).row(123)
    assert scene["box"] == row["box"]
    assert scene["label"] == ("different", "same")[row["label"]]
    assert scene["recipe"] == recipe.as_dict()


GENERATE = ["generate", "--seed", "0", "--task", "discrimination"]
MISTAKES = [
    (["generate", "--seed", "0", "--task", "rtms"], "unknown task 'rtms'; did you mean 'rmts'?"),
    ([*GENERATE, "--patch-size", "30"], "patch_size 30 does not divide image_size 224"),
    ([*GENERATE, "--image-size", "64", "--train", "90000", "--jitter", "1"], "more unique stimuli"),
    ([*GENERATE, "--train", "7"], "train 7 is not a multiple of 2"),
    ([*GENERATE, "--combinations", "30"], "combinations 30 is not legal"),
    ([*GENERATE, "--out", "/proc/nowhere"], "cannot be written"),
    ([*GENERATE, "--workers", "0"], "'--workers': 0 is not in the range x>=1"),
    (["generate", "--task", "rmts", "--seed", "-1"], "'--seed': -1 is not in the range"),
    (["generate", "--task", "rmts"], "Missing option '--seed'"),
    (["generate", "--task", "rmts", "--seed", "0", "--pach-size", "3"], "'--patch-size'?"),
    (["verify", "/nowhere"], "is not a dataset"),
    (["preview", "/nowhere"], "is not a dataset"),
    (["train", "/nowhere"], "is not a dataset"),
    (["show", "--task", "rmts", "--seed", "0", "--split", "tset", "--index", "0"], "this dataset"),
    (
        ["show", "--task", "rmts", "--seed", "0", "--split", "test", "--index", "6400"],
        "index 6400 is out of range; test has rows 0 .. 6399",
    ),
]


@pytest.mark.parametrize(("arguments", "says"), MISTAKES, ids=lambda v: " ".join(v)[:60])
def test_mistakes(arguments, says, tmp_path, monkeypatch):
    """A mistake is one clear line on stderr and exit code 2, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""
    error = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert len(error) == 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_from_inside_the_folder(copied, monkeypatch):
    """preview . and train . write beside the folder; a folder is no picture file."""
    monkeypatch.chdir(copied)
    done = run("preview", ".")
    assert done.exit_code == 0, done.stderr
    assert (copied.parent / "copied-preview.png").is_file()
    assert run("preview", ".", "--out", ".").exit_code == 2
    done = run("train", ".", "--lr", "nan")
    assert done.exit_code == 2
    assert "lr nan is out of range" in done.stderr
    assert not (copied.parent / "copied-run").exists()


def test_a_task_is_named_as_its_module():
    """So that one is found without importing the others."""
    for name, task in tasks.registry().items():
        assert task.name == name


@pytest.mark.parametrize("name", [n for n, t in tasks.registry().items() if t.variants])
def test_show_names_every_class(name, tmp_path):
    """show prints the scene of any task, classes by name, and writes its picture."""
    split = tasks.get(name).splits(make_recipe(name, 0))[-1].name
    words = ["--task", name, "--seed", 0, "--split", split, "--index", 3]
    done = run("show", *words, "--png", tmp_path / "a.png")
    assert done.exit_code == 0, done.stderr
    scene = json.loads(done.stdout)
    for column in tasks.get(name).columns(make_recipe(name, 0)):
        values = np.array(scene[column.name])
        assert values.shape == column.shape
        assert not column.names or set(values.reshape(-1).tolist()) <= set(column.names)
    with Image.open(tmp_path / "a.png") as picture:
        height, width, _ = tasks.get(name).image_shape(make_recipe(name, 0))
        assert picture.size == (width, height)


def test_next_commands_are_quoted(tmp_path, monkeypatch):
    """What generate says to type next works for awkward folder names."""
    import shlex

    monkeypatch.chdir(tmp_path)
    sizes = ["--train", 8, "--validation", 0, "--test", 0, "--ood", 0]
    out = "my 'odd' dir"
    done = run("generate", "--task", "rmts", "--seed", 0, "--workers", 1, f"--out={out}", *sizes)
    lines = done.stdout.split("Next:")[1].strip().splitlines()
    assert shlex.split(lines[0]) == ["samediff-stimuli", "verify", out]
    code = shlex.split(lines[3])[2]
    exec(compile(code, "next", "exec"), {})


def test_failed_verify_is_exit_code_1(copied):
    """verify names the damaged file and exits with 1."""
    victim = next((copied / "hdf5").rglob("train-*.h5"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    done = run("verify", copied)
    assert done.exit_code == 1
    assert f"{victim}: SHA-256" in done.stderr
    (copied / "manifest.json").write_text("{}")
    done = run("verify", copied)
    assert done.exit_code == 1
    assert "is damaged" in done.stderr


def test_damaged_shards_are_one_line_elsewhere(copied):
    """A command that meets a damaged shard says so in one line and exits with 2."""
    victim = next((copied / "hdf5").rglob("train-*.h5"))
    victim.write_bytes(victim.read_bytes()[:1000])
    done = run("preview", copied)
    assert done.exit_code == 2
    assert f"Error: {victim} is not a readable shard" in done.stderr
    assert "verify" in done.stderr


def test_help_is_quick():
    """The console entry prints help without importing NumPy or anything heavier."""
    code = (
        "import sys; from samediff_stimuli.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(sorted({'numpy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
