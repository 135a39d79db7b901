"""Published archives are downloaded from mirrors that fail in every way."""

import errno
import hashlib
import re
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from samediff_stimuli.cards.downloading import download
from samediff_stimuli.factors import Factor, FactorSpace
from samediff_stimuli.factors.archives import Published, identify
from samediff_stimuli.recipe import InputError

BODY = bytes(range(251)) * 4000  # about 1 MB
WRONG = BODY[::-1]


class Mirror(BaseHTTPRequestHandler):
    """Serves one file; `plan` says, request by request, in what way.

    Attributes:
        plan: "whole", "cut" (half of what was asked), "plain" (without ranges), "plain-cut",
            "silent", "html", "shifted" (another range), "endless" (no length), or a status.
        asked: the Range of each request.
    """

    protocol_version = "HTTP/1.1"

    def __init__(self, plan, asked, body, *args):
        self.plan, self.asked, self.body = plan, asked, body
        super().__init__(*args)

    def do_GET(self):
        asked = self.headers.get("Range")
        self.asked.append(asked)
        step = self.plan.popleft() if len(self.plan) > 1 else self.plan[0]
        self.close_connection = True
        if isinstance(step, int):
            self.send_error(step)
            return
        if step == "silent":
            threading.Event().wait(0.5)
            return
        start = 0 if asked is None or step.startswith("plain") else int(asked[6:-1])
        if start >= len(self.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            first = start + 1 if step == "shifted" else start
            self.send_header(
                "Content-Range", f"bytes {first}-{len(self.body) - 1}/{len(self.body)}"
            )
        if step != "endless":
            self.send_header("Content-Length", str(len(self.body) - start))
        self.send_header("Content-Type", "text/html" if step == "html" else "application/zip")
        self.end_headers()
        rest = self.body[start:]
        with suppress(ConnectionError):  # a client that has seen enough
            self.wfile.write(rest[: len(rest) // 2] if step.endswith("cut") else rest)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(monkeypatch):
    """A function that starts a mirror with a plan; it returns its URL and what it is asked."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(*plan, body=BODY):
        asked = []
        handler = partial(Mirror, deque(plan or ("whole",)), asked, body)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/data/tiny.npz", asked

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def archive(*urls, sized=True, **changes):
    """The archive whose bytes are BODY."""
    fields = {
        "name": "tiny",
        "file": "tiny.npz",
        "urls": urls,
        "n_bytes": len(BODY) if sized else None,
        "md5": hashlib.md5(BODY).hexdigest(),
        "key": "images",
        "license": "mit",
        "cite": "nobody",
    }
    return Published(**fields | changes)


@pytest.fixture(params=[True, False], ids=["sized", "unsized"])
def known(request):
    """A function from URLs to the archive, its size known or not."""
    return partial(archive, sized=request.param)


def is_right(path, out):
    """Whether the file came, under its name, and nothing else."""
    assert path == out / "tiny.npz"
    assert [found.name for found in out.iterdir()] == ["tiny.npz"]
    return path.read_bytes() == BODY


def test_a_file_comes_whole(serve, tmp_path, known):
    """A download makes the folder, asks once, and tells every byte once."""
    url, asked = serve()
    told = []
    out = tmp_path / "some" / "folder"
    assert is_right(download(known(url), out, told.append), out)
    assert asked == [None]
    assert sum(told) == len(BODY)
    assert min(told) >= 0


def test_a_file_name_may_be_given(serve, tmp_path):
    """A name that ends as the archive's does is the file's, unless it is a folder."""
    url, _ = serve()
    assert download(archive(url), tmp_path / "mine.npz") == tmp_path / "mine.npz"
    (tmp_path / "dir.npz").mkdir()
    path = download(archive(url), tmp_path / "dir.npz")
    assert path == tmp_path / "dir.npz" / "tiny.npz"
    assert path.read_bytes() == (tmp_path / "mine.npz").read_bytes() == BODY


def test_what_came_is_an_archive(serve, tmp_path):
    """A downloaded archive is the one that it is said to be."""
    made = tmp_path / "made.npz"
    np.savez(made, images=np.zeros((4, 8, 8, 3), dtype=np.uint8))
    body = made.read_bytes()
    url, _ = serve(body=body)
    what = archive(url, n_bytes=len(body), md5=hashlib.md5(body).hexdigest())
    space = FactorSpace(name="x", factors=(Factor(name="a", values=(0, 1, 2, 3), about="x"),))
    assert identify(download(what, tmp_path), space, candidates=[what]) is what


def test_a_file_that_is_there_is_kept(serve, tmp_path, known):
    """The right file is not downloaded again; another is refused and not touched."""
    url, asked = serve()
    path = tmp_path / "tiny.npz"
    path.write_bytes(BODY)
    assert is_right(download(known(url), tmp_path), tmp_path)
    path.write_bytes(BODY[:-1])
    with pytest.raises(InputError, match=r"tiny\.npz is there and has .*; remove it, or give"):
        download(known(url), tmp_path)
    assert path.read_bytes() == BODY[:-1]
    assert asked == []


def test_a_part_is_resumed(serve, tmp_path, known):
    """A part file is gone on with: only what it lacks is asked for."""
    url, asked = serve()
    (tmp_path / "tiny.npz.part").write_bytes(BODY[:1234])
    told = []
    assert is_right(download(known(url), tmp_path, told.append), tmp_path)
    assert asked == ["bytes=1234-"]
    assert told[0] == 1234
    assert sum(told) == len(BODY)


def test_a_cut_is_mended(serve, tmp_path, known):
    """After each cut the same mirror is asked for the rest."""
    url, asked = serve("cut", "cut", "whole")
    assert is_right(download(known(url), tmp_path), tmp_path)
    half = len(BODY) // 2
    assert asked == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_a_finished_part_is_taken(serve, tmp_path, known):
    """A part file that lacks nothing but its name is not downloaded again."""
    url, asked = serve()
    (tmp_path / "tiny.npz.part").write_bytes(BODY)
    assert is_right(download(known(url), tmp_path), tmp_path)
    assert asked == ([] if known("x").n_bytes else [f"bytes={len(BODY)}-"])


@pytest.mark.parametrize("part", [WRONG[:5000], WRONG, BODY + b"more"], ids=len)
def test_a_wrong_part_is_dropped(serve, tmp_path, known, part):
    """A part file with other bytes, or too many, costs one download more, from the same mirror."""
    url, asked = serve()
    (tmp_path / "tiny.npz.part").write_bytes(part)
    told = []
    assert is_right(download(known(url), tmp_path, told.append), tmp_path)
    assert asked[-1] is None
    assert sum(told) == len(BODY)


def test_a_mirror_without_ranges_starts_again(serve, tmp_path, known):
    """If a mirror ignores what was asked for, the part file is written anew."""
    url, asked = serve("plain")
    (tmp_path / "tiny.npz.part").write_bytes(BODY[:4321])
    told = []
    assert is_right(download(known(url), tmp_path, told.append), tmp_path)
    assert asked == ["bytes=4321-"]
    assert told[:2] == [4321, -4321]
    assert sum(told) == len(BODY)


def test_a_mirror_that_brings_nothing_further_is_left(serve, tmp_path):
    """Cuts at the same place do not go on for ever: the next mirror is tried."""
    bad, asked = serve("plain-cut")
    good, more = serve()
    assert is_right(download(archive(bad, good), tmp_path), tmp_path)
    assert asked == [None, f"bytes={len(BODY) // 2}-"]
    assert more == [f"bytes={len(BODY) // 2}-"]


@pytest.mark.parametrize("way", [404, 503, "html", "silent"])
def test_the_next_mirror_is_tried(serve, tmp_path, known, way):
    """Whatever the first mirror does, the second one's file is taken; a part file is kept."""
    bad, asked = serve(way)
    good, more = serve()
    (tmp_path / "tiny.npz.part").write_bytes(BODY[:777])
    path = download(known(bad, good), tmp_path, timeout=0.2 if way == "silent" else 5)
    assert is_right(path, tmp_path)
    assert asked == more == ["bytes=777-"]


def test_wrong_bytes_are_not_kept(serve, tmp_path, known):
    """A mirror's wrong bytes are thrown away, and the next mirror is asked for all."""
    bad, _ = serve(body=WRONG)
    good, more = serve()
    told = []
    assert is_right(download(known(bad, good), tmp_path, told.append), tmp_path)
    assert more == [None]
    assert sum(told) == len(BODY)


def test_a_wrong_range_is_not_taken(serve, tmp_path, known):
    """Bytes from another place than was asked for are not appended."""
    bad, _ = serve("shifted")
    good, more = serve()
    (tmp_path / "tiny.npz.part").write_bytes(BODY[:100])
    assert is_right(download(known(bad, good), tmp_path), tmp_path)
    assert more == ["bytes=100-"]


def test_a_length_is_not_needed(serve, tmp_path, known):
    """A mirror need not say how long the file is."""
    url, _ = serve("endless")
    assert is_right(download(known(url), tmp_path), tmp_path)


def test_a_file_of_another_size_is_not_downloaded(serve, tmp_path):
    """If a mirror's file has another size than it must, nothing of it is read."""
    bad, _ = serve(body=BODY[:-5])
    told = []
    with pytest.raises(InputError, match=rf"has {len(BODY) - 5} bytes, not {len(BODY)};"):
        download(archive(bad), tmp_path, told.append)
    assert sum(told) == 0


def test_all_mirrors_fail_in_one_line(serve, tmp_path, known):
    """The line has the file, each mirror's reason, where the part lies, and the way out."""
    gone, _ = serve(404)
    cut, _ = serve("cut", 500)
    closed = "http://127.0.0.1:9/tiny.npz"
    others = ("ftp://me:secret@host/tiny.npz", "http://[x/tiny.npz")
    with pytest.raises(InputError) as caught:
        download(known(gone, cut, closed, *others), tmp_path, timeout=5)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"tiny.npz could not be downloaded ({len(BODY) // 2} bytes are kept in ")
    assert re.search(r": 127\.0\.0\.1:\d+: HTTP 404 Not Found; 127\.0\.0\.1:\d+: HTTP 500 ", line)
    assert "; 127.0.0.1:9: Connection refused; host: is no http or https address; [x: " in line
    assert line.endswith("download it by hand, then give --archive FILE")
    assert (tmp_path / "tiny.npz.part").read_bytes() == BODY[: len(BODY) // 2]


def test_a_silent_mirror_is_not_waited_for(serve, tmp_path):
    """A mirror that sends nothing for the given time has timed out."""
    silent, _ = serve("silent")
    with pytest.raises(InputError, match=r": 127\.0\.0\.1:\d+: timed out; try again later"):
        download(archive(silent), tmp_path, timeout=0.1)


def test_one_wrong_mirror_is_named(serve, tmp_path):
    """Wrong bytes from the only mirror leave no file; both hashes are named."""
    bad, asked = serve(body=WRONG)
    with pytest.raises(InputError) as caught:
        download(archive(bad), tmp_path)
    assert hashlib.md5(WRONG).hexdigest() in str(caught.value)
    assert hashlib.md5(BODY).hexdigest() in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert asked == [None]


def test_other_mirrors_may_be_given(serve, tmp_path):
    """URLs that are given are tried in place of the archive's own; there may be none."""
    own, asked = serve()
    given, more = serve()
    with pytest.raises(InputError, match="no mirror given"):
        download(archive(own), tmp_path, urls=[])
    assert is_right(download(archive(own), tmp_path, urls=[given]), tmp_path)
    assert (asked, more) == ([], [None])


def test_a_full_disk_is_told(serve, tmp_path, monkeypatch):
    """A full disk ends the download with its own error; what was written is resumed later."""
    url, asked = serve()
    real = Path.open

    class Full:
        """A file on a disk with room for one block."""

        def __init__(self, file):
            self.file, self.room = file, 1

        def __enter__(self):
            return self

        def __exit__(self, *args):
            self.file.close()

        def write(self, block):
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= 1
            return self.file.write(block)

    def opened(path, mode="r", *args, **more):
        made = real(path, mode, *args, **more)
        return Full(made) if mode == "ab" else made

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", opened)
        with pytest.raises(OSError, match="No space left") as caught:
            download(archive(url), tmp_path)
    assert caught.value.errno == errno.ENOSPC
    kept = (tmp_path / "tiny.npz.part").stat().st_size
    assert 0 < kept < len(BODY)
    assert is_right(download(archive(url), tmp_path), tmp_path)
    assert asked == [None, f"bytes={kept}-"]


def test_a_place_that_cannot_be_is_refused(tmp_path):
    """A folder under a file, and a folder under the file's name, are refused before any request."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"--out .* is not possible: .*; give a folder"):
        download(archive("http://127.0.0.1:9/"), tmp_path / "file" / "deeper")
    (tmp_path / "tiny.npz").mkdir()
    with pytest.raises(InputError, match=r"tiny\.npz is a folder; give another place"):
        download(archive("http://127.0.0.1:9/"), tmp_path)


def test_one_download_of_a_file_at_a_time(serve, tmp_path, monkeypatch):
    """A second download stops while the first is at work; one that comes late takes the file."""
    from samediff_stimuli.cards import downloading

    url, asked = serve()
    refused = []

    def again(n):
        if not refused:
            with pytest.raises(InputError, match="is being written by process") as found:
                download(archive(url), tmp_path)
            refused.append(found)

    assert download(archive(url), tmp_path, again).read_bytes() == BODY
    assert (len(refused), len(asked)) == (1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.npz"]
    held = downloading.locks.held

    def late(path, what):
        (tmp_path / "late" / "tiny.npz").write_bytes(BODY)  # by the one that held it before
        return held(path, what)

    monkeypatch.setattr(downloading.locks, "held", late)
    assert download(archive(url), tmp_path / "late").read_bytes() == BODY
    assert len(asked) == 1
