"""Every guide is true: its Python and its commands run as they stand, in order."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from samediff_stimuli.cli import main
from samediff_stimuli.models.torchvision_shim import ensure_torchvision
from tests import hub

GUIDES = sorted((Path(__file__).resolve().parents[1] / "cards" / "guides").glob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
LANGUAGES = {"python", "sh", "text"}


def run_python(code, namespace, where):
    """Run a block; a traceback names the guide and its own line."""
    exec(compile(code, where, "exec"), namespace)


def run_sh(code):
    """Run each command of a block: ours in this process, others by bash."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["samediff-stimuli"]:
            done = CliRunner().invoke(main, words[1:])
            assert done.exit_code == 0, f"{line}\n{done.output}"
        elif words:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            command = ["bash", "-euo", "pipefail", "-c", line]
            subprocess.run(command, check=True, env={**os.environ, "PATH": path})


def test_there_are_guides():
    """The guides are found, and every block says what it is; `text` is not run."""
    assert GUIDES
    for guide in GUIDES:
        languages = {language for language, _ in BLOCK.findall(guide.read_text())}
        assert languages <= LANGUAGES, f"{guide.name}: {languages - LANGUAGES}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the Hub's library to httpx
@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_guide_runs(guide, tmp_path, monkeypatch):
    """All blocks of a guide run one after the other in an empty folder, with one namespace."""
    import datasets

    ensure_torchvision()  # transformers imports it, whatever build it is of
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with hub.running() as running:
        hub.use(monkeypatch, running.url, tmp_path / "home")
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", running.url)
        run_guide(guide)


def run_guide(guide):
    """Run the blocks of a guide."""
    namespace = {"__name__": "__main__"}
    text = guide.read_text()
    for block in BLOCK.finditer(text):
        language, code = block.groups()
        if language == "python":
            line = text[: block.start()].count("\n") + 1
            run_python("\n" * line + code, namespace, str(guide))
        elif language == "sh":
            run_sh(code)
