"""Kill -9 of whatever writes, at any file operation; a sample of the hundred."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (3, ["generate", "export --overwrite", "import"]),
        pytest.param(
            *(
                5,
                [
                    "generate to a URL",
                    "render",
                    "export to a URL",
                    "publish",
                    "generate --overwrite",
                ],
            ),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_kills(count, names):
    """In a process of its own, which forks: see `python -m tests.faults --kills 100`."""
    command = [sys.executable, "-m", "tests.faults", "--kills", str(count), "--seed", "7"]
    command += [word for name in names for word in ("--scenario", name)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{count} kills, 0 with a wrong end" in run.stdout
