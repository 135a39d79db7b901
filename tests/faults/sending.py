"""A command that sends to a Hub, killed at a request of one's choice.

Between two requests it changes nothing elsewhere. It is killed before the Hub takes the request
in, or, if the kill is "torn", when the Hub has done what it asks for but not answered yet.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.faults import crash
from tests.hub import Hub


class _Kill:
    """What a Hub does at each request of a client, and at each answer.

    Args:
        at: the number of the request at which the client is killed, from 0; None for never.
        torn: kill it only at the answer.
    """

    def __init__(self, at: int | None, torn: bool) -> None:
        self.count = 0
        self._at, self._torn = at, torn
        self._lock, self._known = threading.Lock(), threading.Event()
        self._doomed: int | None = None  # the thread that is to answer the request

    def begin(self, pid: int) -> None:
        """Say who is killed."""
        self._pid = pid
        self._known.set()

    def on_request(self) -> None:
        with self._lock:
            number, self.count = self.count, self.count + 1
        if number == self._at and self._torn:
            self._doomed = threading.get_ident()
        elif self._at is not None and number >= self._at:
            self._strike()

    def on_answer(self) -> None:
        if self._doomed == threading.get_ident():
            self._strike()

    def _strike(self) -> None:
        self._known.wait()
        os.kill(self._pid, signal.SIGKILL)  # it is not waited for before, so it is still its own
        raise ConnectionAbortedError


def run(
    command: Sequence[str], root: Path, hub: Hub, at: int | None = None, torn: bool = False
) -> crash.Ended:
    """As `crash.run`, but requests to a Hub are counted instead of file operations."""
    kill = _Kill(at, torn)
    hub.on_request, hub.on_answer = kill.on_request, kill.on_answer
    ended = crash.run(command, root, forked=kill.begin)
    hub.on_request = hub.on_answer = lambda: None
    return ended if ended.code is None else replace(ended, operations=kill.count)


def contents(hub: Hub) -> dict[str, str]:
    """All that a Hub holds: files, the commit and the tags of each repository, large files."""
    found = {f"large file {oid}": oid for oid in hub.large}
    for repo_id, repo in hub.repos.items():
        for path, data in repo.files.items():
            found[f"{repo_id}/{path}"] = hashlib.sha256(data).hexdigest()
        found |= {f"tag {tag} of {repo_id}": commit for tag, commit in repo.tags.items()}
        found[f"the commit of {repo_id}"] = repo.head
    return found
