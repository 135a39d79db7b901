"""A command in a fork of this process, killed at a file operation of one's choice.

Python tells an audit hook of every file that is opened, made, renamed or removed, before it is.
Between two of these nothing changes on the disk but the text of a temporary file, so that kills at
all of them leave every state that a kill can leave; "torn" kills also cut such a file in half.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; None if it was killed.
        operations: file operations that it came to, if it was not killed.
        said: stdout and stderr.
    """

    code: int | None
    operations: int
    said: str


def run(
    command: Sequence[str],
    root: Path,
    at: int | None = None,
    torn: bool = False,
    forked: Callable[[int], None] = lambda pid: None,
) -> Ended:
    """Run a command of samediff-stimuli in a fork of this process.

    Args:
        command: its words, without the name of the program.
        root: the folder whose changes are counted.
        at: the number of the operation before which it is killed, from 0; None for never.
        torn: cut the file in half that the operation would rename, if it is one that renames.
        forked: told the number of the process that runs it.
    """
    said, counted = root.parent / "said.txt", root.parent / "operations.txt"
    counted.unlink(missing_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _be(command, root, at, torn, said, counted)
    forked(child)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return Ended(
        code=None if killed else os.waitstatus_to_exitcode(status),
        operations=int(counted.read_text()) if counted.exists() else 0,
        said=said.read_text(errors="replace"),
    )


def _be(
    command: Sequence[str], root: Path, at: int | None, torn: bool, said: Path, counted: Path
) -> None:
    """Become the command; does not return."""
    code = 70
    try:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        count = _kill_at(root, at, torn)
        from samediff_stimuli.cli import main

        try:
            main(list(command))
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        number = count[0]
        counted.write_text(str(number))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _kill_at(root: Path, at: int | None, torn: bool) -> list[int]:
    """Count operations within a folder from here on, and be killed at one; returns the count."""
    count = [0]
    inside = f"{root}{os.sep}"

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            changes = isinstance(given[2], int) and given[2] & _WRITES
        else:
            changes = event in _CHANGES
        if not changes:
            return
        names = [os.fspath(name) for name in given if isinstance(name, str | os.PathLike)]
        within_open_folder = event != "open" and isinstance(given[-1], int) and given[-1] >= 0
        if not within_open_folder and not any(os.path.abspath(n).startswith(inside) for n in names):
            return
        if count[0] == at:
            if torn and event == "os.rename" and os.path.isfile(names[0]):
                os.truncate(names[0], os.path.getsize(names[0]) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        count[0] += 1

    sys.addaudithook(hook)
    return count
