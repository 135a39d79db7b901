"""The hand-written package list is complete, and starting up is cheap."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_package_list_is_complete():
    """Every folder with an __init__.py is listed, so that the wheel holds it."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = set()
    for package, folder in config["package-dir"].items():
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join((package, *init.parent.relative_to(ROOT / folder).parts)))
    assert found == set(config["packages"])


@pytest.mark.parametrize(
    "statement",
    [
        "import samediff_stimuli",
        "from samediff_stimuli.cli import main; main(['--help'], standalone_mode=False)",
        "from samediff_stimuli.cli import main; main(['generate', '-h'], standalone_mode=False)",
    ],
)
def test_start_up_imports_nothing_heavy(statement):
    """Importing the package and asking for help load no torch, datasets, h5py, pyarrow or bpy."""
    heavy = "{'torch', 'datasets', 'h5py', 'pyarrow', 'bpy', 'pandas'}"
    code = f"import sys\n{statement}\nprint('heavy:', sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_oldest_versions_are_the_lower_bounds():
    """.ci/oldest.txt pins what pyproject.toml says is the oldest supported version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = dict(need.split(">=") for need in project["dependencies"])
    pins = dict(
        line.split("==")
        for line in (ROOT / ".ci" / "oldest.txt").read_text().split()
        if "==" in line
    )
    assert set(bounds) - set(pins) == {
        "torch",
        "datasets",
        "pyyaml",
        "lightning-fabric",
    }  # not needed to make a dataset
    for name, pin in pins.items():
        assert (pin + ".0").startswith(bounds[name] + "."), f"{name}: {pin} is not {bounds[name]}"
