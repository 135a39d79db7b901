"""A folder for what a run finds: what must not be in it."""

from __future__ import annotations

from pathlib import Path

from samediff_stimuli.manifest import NAME as MANIFEST
from samediff_stimuli.recipe import InputError

RESULT = "result.json"  # a run that has it is finished


def check_run_folder(out: Path) -> None:
    """Refuse a folder that is not for results.

    Raises:
        InputError: a file, or a dataset folder.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give a folder")
    if (out / MANIFEST).exists():
        raise InputError(f"--out {out} is a dataset; give another folder")


def finished(out: Path) -> InputError:
    """What is said of a folder that holds a run that is not to be replaced."""
    return InputError(f"--out {out} holds a finished run; give another folder, or --overwrite")
