"""A dataset served to browsers of this machine: the gallery over all of it, rows as asked for.

It only reads, and listens on 127.0.0.1 alone. Requests whose Host is another name are refused, so
that no web page can reach it by a name of its own (DNS rebinding). An address holds numbers of
splits, rows and columns; no part of it is ever taken for a path.
"""

from __future__ import annotations

import errno
import json
import math
import re
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import tasks
from samediff_stimuli.cards import gallery, gallery_page
from samediff_stimuli.cards.gallery_packing import Stimuli, instances, runs
from samediff_stimuli.cards.parquet import png_bytes
from samediff_stimuli.manifest import Manifest, load
from samediff_stimuli.recipe import InputError
from samediff_stimuli.shards import DamagedError

HOST = "127.0.0.1"
MOST_ROWS = 500  # of an answer
_KEPT = 16  # queries whose rows are remembered
_SAFE = 2**53  # whole numbers from here on are no numbers of JavaScript
_NUMBER = re.compile(r"\d{1,15}")
_PICTURE = re.compile(r"/(image|mask)/(\d{1,9})/(\d{1,15})")
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
Rows = NDArray[np.int64]


class _NotThere(Exception):
    """The address names nothing that there is."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which stimuli are wanted.

    Attributes:
        split: number of the split, or None for all.
        classes: (number of a column, number of a class) that a row has, among its objects maybe.
        group: number of a matched group, or None for any.
    """

    split: int | None = None
    classes: tuple[tuple[int, int], ...] = ()
    group: int | None = None


class Shown:
    """The whole of a dataset folder, for any number of threads.

    Args:
        folder: the dataset folder.

    Raises:
        InputError: if the folder is no dataset.
        DamagedError: from here and from every method, if it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        """Read the manifest; rows and images are read when they are asked for."""
        self.made: Manifest = load(folder)
        self.task = tasks.get(self.made.recipe.task)
        self.columns = self.task.columns(self.made.recipe)
        self.splits = self.task.splits(self.made.recipe)
        everything = {split.name: np.arange(split.rows) for split in self.splits}
        self.stimuli = Stimuli(folder, self.made, everything)
        self.about = gallery.about(folder, self.made) | {"served": True}
        self.page = gallery_page.page(self.about).encode()
        self._found: OrderedDict[Query, list[tuple[int, Rows]]] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, query: Query, start: int, count: int) -> dict[str, Any]:
        """Some of the rows that match: how many there are, and number of split, row, all values."""
        with self._lock:
            found = self._matching(query)
        total = sum(len(rows) for _, rows in found)
        out: list[list[Any]] = []
        for split, rows in found:
            some = rows[max(start, 0) : start + count - len(out)] if start < len(rows) else rows[:0]
            start = max(0, start - len(rows))
            out += self._values(split, some)
            if len(out) == count:
                break
        return {"total": total, "rows": out}

    def image(self, split: int, row: int) -> bytes:
        """A stimulus as a PNG file."""
        name = self._checked(split, row)
        return png_bytes(self.stimuli.readers[name].images([row])[0])

    def mask(self, split: int, row: int) -> bytes:
        """Where its objects are; see `gallery_packing.runs`."""
        name = self._checked(split, row)
        if not self.about["masks"]:
            raise _NotThere("there are no masks")
        return runs(instances(self.stimuli, name, [row])[0])

    def _checked(self, split: int, row: int) -> str:
        if not (0 <= split < len(self.splits) and 0 <= row < self.splits[split].rows):
            raise _NotThere("there is no such stimulus")
        return self.splits[split].name

    def _matching(self, query: Query) -> list[tuple[int, Rows]]:
        """The rows of each split that match; the last few answers are remembered."""
        if query not in self._found:
            self._found[query] = [
                (number, self._of_split(number, query))
                for number in range(len(self.splits))
                if query.split in (None, number)
            ]
        self._found.move_to_end(query)
        if len(self._found) > _KEPT:
            self._found.popitem(last=False)
        return self._found[query]

    def _of_split(self, number: int, query: Query) -> Rows:
        name = self.splits[number].name
        rows, size = self.stimuli.rows[name], self.task.group
        if query.group is not None:
            rows = rows[query.group * size : (query.group + 1) * size]
        if not query.classes or not len(rows):
            return rows
        names = [self.columns[column].name for column, _ in query.classes]
        values = self.stimuli.readers[name].values(names, rows)
        fits = np.ones(len(rows), dtype=bool)
        for column, wanted in query.classes:
            has = values[self.columns[column].name].reshape(len(rows), -1) == wanted
            fits &= has.any(axis=1)
        return rows[fits]

    def _values(self, split: int, rows: Rows) -> list[list[Any]]:
        if not len(rows):
            return []
        names = [column.name for column in self.columns]
        values = self.stimuli.readers[self.splits[split].name].values(names, rows)
        lists = [values[name].reshape(len(rows), -1).tolist() for name in names]
        plain = zip(*([[_plain(v) for v in row] for row in rows] for rows in lists), strict=True)
        return [[split, row, list(each)] for row, each in zip(rows.tolist(), plain, strict=True)]


def _plain(value: float) -> float | str:
    """A number, or its text if JavaScript's JSON has no such number."""
    if isinstance(value, int):
        return value if -_SAFE < value < _SAFE else str(value)
    return value if math.isfinite(value) else str(value)


def parsed(shown: Shown, text: str) -> tuple[Query, int, int]:
    """The query, first row and number of rows of an address's part after the question mark.

    Raises:
        _NotThere: if it is none.
    """
    plain: dict[str, int] = {"start": 0, "count": 60}
    classes = []
    for key, value in parse_qsl(text, keep_blank_values=True, max_num_fields=100):
        numbers = value.split(".")
        if not all(_NUMBER.fullmatch(number) and number.isascii() for number in numbers):
            raise _NotThere("values are numbers")
        if key == "class" and len(numbers) == 2 and int(numbers[0]) < len(shown.columns):
            classes.append((int(numbers[0]), int(numbers[1])))
        elif key in ("start", "count", "split", "group") and len(numbers) == 1:
            plain[key] = int(value)
        else:
            raise _NotThere(f"there is no {key!r} of {value}")
    query = Query(
        split=plain.get("split"), classes=tuple(sorted(classes)), group=plain.get("group")
    )
    return query, plain["start"], min(plain["count"], MOST_ROWS)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "samediff-stimuli", ""
    wbufsize = -1  # head and body go out together,
    disable_nagle_algorithm = True  # and at once: else browsers wait 40 ms for each image
    timeout = 60  # seconds for a request, and between two of a connection
    server: _Server

    def do_GET(self) -> None:
        """Answer with the page, rows, an image or a mask."""
        names = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        if len(self.headers.get_all("Host", [])) != 1 or self.headers["Host"].lower() not in names:
            self._say(HTTPStatus.FORBIDDEN, "text/plain", b"not by this name\n")
            return
        try:
            address = urlsplit(self.path)
            kind, body = self._found(address.path, address.query)
        except (_NotThere, ValueError) as error:
            self._say(HTTPStatus.NOT_FOUND, "text/plain", f"not found: {error}\n".encode())
        except (DamagedError, OSError) as error:
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"{error}\n".encode())
        else:
            self._say(HTTPStatus.OK, kind, body)

    do_HEAD = do_GET  # the name that http.server calls

    def _found(self, path: str, query: str) -> tuple[str, bytes]:
        shown = self.server.shown
        if path == "/":
            return "text/html", shown.page
        if path == "/rows":
            found = shown.rows(*parsed(shown, query))
            return "application/json", json.dumps(found, allow_nan=False).encode()
        match = _PICTURE.fullmatch(path) if path.isascii() else None
        if match is None:
            raise _NotThere("nothing has this address")
        split, row = int(match[2]), int(match[3])
        if match[1] == "image":
            return "image/png", shown.image(split, row)
        return "application/octet-stream", shown.mask(split, row)

    def _say(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        text = kind.startswith("text/") or kind.endswith("json")
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if text else kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", self.server.policy)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is for whoever started it."""


class _Server(ThreadingHTTPServer):
    """A thread for each connection; none is waited for at the end."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, shown: Shown, port: int) -> None:
        self.shown = shown
        self.ended = False
        self.policy = f"{gallery_page.policy(served=True)}; frame-ancestors 'none'"
        super().__init__((HOST, port), _Handler)

    def server_close(self) -> None:
        """Listen no more; connections that are open end with the process."""
        self.ended = True
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers hang up as they please: that is no error of ours, nor is one of an ended server,
        whose threads find the interpreter half gone."""
        if not (self.ended or isinstance(sys.exception(), (ConnectionError, TimeoutError))):
            super().handle_error(request, client_address)


def server_of(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a dataset folder that listens already; call its `serve_forever`.

    Args:
        folder: the dataset folder.
        port: of 127.0.0.1; 0 for any that is free, see the server's `server_port`.

    Raises:
        InputError: if the folder is no dataset, or the port cannot be had.
        DamagedError: if the dataset is damaged.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"port {port} is out of range; legal: 0 .. 65535; 0 takes a free one")
    shown = Shown(folder)
    try:
        return _Server(shown, port)
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: "is in use",
            errno.EACCES: "is not allowed to this user",
        }
        why = reasons.get(error.errno or 0)
        if why is None:
            raise
        raise InputError(
            f"port {port} {why}; give another with --port, or 0 for one that is free"
        ) from error
