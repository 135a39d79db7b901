"""The server of a dataset: rows and images as asked for, nothing else, to nobody else."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import generate, make_recipe, tasks
from samediff_stimuli.cards.serving import server_of
from samediff_stimuli.cli import main
from samediff_stimuli.manifest import load
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.recipe import InputError
from tests.cards.test_gallery import drawn
from tests.factor_sets import use_tiny
from tests.gallery_sets import imported


@contextmanager
def serving(folder):
    """A server in a thread of its own."""
    server = server_of(folder, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(port, path, method="GET", **headers):
    """The answer to a request: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, dict(answer.headers), answer.read()
    connection.close()
    return found


def rows(port, query):
    """Rows that the server gives."""
    status, _, body = ask(port, f"/rows?{query}")
    assert status == 200, body
    return json.loads(body)


@pytest.fixture(scope="module")
def port(made):
    """The port of a served rmts set."""
    with serving(made["rmts"]) as found:
        yield found


def test_rows_are_the_datasets(made, port):
    """Paging over the whole dataset gives each row once, in order, with all its columns."""
    manifest = load(made["rmts"])
    columns = [column.name for column in tasks.get("rmts").columns(manifest.recipe)]
    splits = tasks.get("rmts").splits(manifest.recipe)
    total = sum(split.rows for split in splits)
    found = []
    while len(found) < total:
        page = rows(port, f"start={len(found)}&count=70")
        assert page["total"] == total
        found += page["rows"]
    wanted = [(n, row) for n, split in enumerate(splits) for row in range(split.rows)]
    assert [(split, row) for split, row, _ in found] == wanted
    assert rows(port, f"start={total}")["rows"] == []
    table = SplitReader(made["rmts"], manifest, splits[1].name).table
    values = next(values for split, row, values in found if (split, row) == (1, 5))
    for name, flat in zip(columns, values, strict=True):
        assert flat == table[name][5].reshape(-1).tolist()


def test_rows_by_split_class_and_group(made, port):
    """Splits, classes of the stimulus or of any object, and matched groups can be asked for."""
    manifest = load(made["rmts"])
    names = [column.name for column in tasks.get("rmts").columns(manifest.recipe)]
    table = SplitReader(made["rmts"], manifest, "test").table
    label, shape = names.index("label"), names.index("shape")
    wanted = np.flatnonzero((table["label"] == 1) & (table["shape"] == 3).any(axis=1))
    found = rows(port, f"split=2&class={label}.1&class={shape}.3&count=500")
    assert [row for _, row, _ in found["rows"]] == wanted.tolist()
    assert found["total"] == len(wanted)
    assert [row for _, row, _ in rows(port, "split=2&group=3")["rows"]] == [12, 13, 14, 15]
    assert rows(port, "split=2&group=999999999")["total"] == 0
    assert rows(port, "split=99")["total"] == 0


def test_images_and_masks_are_the_datasets(made, port):
    """Images come pixel by pixel, and masks as the dataset gives them."""
    manifest = load(made["rmts"])
    reader = SplitReader(made["rmts"], manifest, "validation")
    status, headers, body = ask(port, "/image/1/7")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(body))), reader.images([7])[0])
    maps = tasks.get("rmts").instances(manifest.recipe, "validation", reader.table.rows([7]))
    status, _, body = ask(port, "/mask/1/7")
    assert status == 200
    np.testing.assert_array_equal(drawn(body, maps[0].shape), maps[0])


def test_only_this_machine_by_its_own_name(port):
    """A Host of another name is refused, whatever it asks for; so are none, and two."""
    for name in ("127.0.0.1", "localhost", "LOCALHOST"):
        assert ask(port, "/", Host=f"{name}:{port}")[0] == 200
    for host in ("example.org", f"example.org:{port}", "127.0.0.1", f"localhost:{port + 1}", ""):
        for path in ("/", "/rows", "/image/0/0"):
            assert ask(port, path, Host=host)[0] == 403
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        plain.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert plain.recv(100).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "path",
    [
        *("/../manifest.json", "/manifest.json", "//etc/passwd", "/image/0/../../manifest.json"),
        *("/image/0/99999999", "/image/9/0", "/image/-1/0", "/image/0/1e1", "/image/train/0"),
        *("/image/0/%2e%2e", "/image/0/0/", "/image/0/%D9%A3", "/mask/0/99999999"),
        *("/rows?start=-1", "/rows?split=train", "/rows?class=1", "/rows?class=99.1"),
        *(
            "x://[/",
            "/rows?class=1.2.3",
            "/rows?path=/etc",
            "/rows?start=1.5",
            "/rows?start=",
            "/rows?a=%00",
        ),
        "/rows?" + "&".join(["class=1.1"] * 200),
    ],
)
def test_what_is_not_there_is_not_found(port, path):
    """Any other address is a plain 404; nothing of it is taken for a path."""
    status, headers, body = ask(port, path)
    assert status == 404, body
    assert headers["Content-Type"].startswith("text/plain")


def test_it_only_reads(port):
    """Other methods are refused; HEAD has no body; answers are for this origin alone."""
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(port, "/", method)[0] == 501
    status, headers, body = ask(port, "/", "HEAD")
    assert (status, body) == (200, b"")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_grids_and_imported_sets_are_served(tmp_path, monkeypatch):
    """Splits that list rows of a grid are paged like others; what has no masks says so."""
    use_tiny(monkeypatch, "dsprites")
    grid = tmp_path / "grid"
    manifest = generate(make_recipe("dsprites", 0), grid, workers=1, parquet=False)
    with serving(grid) as port:
        table = SplitReader(grid, manifest, "random_test").table
        found = rows(port, "split=1&class=4.2&count=500")
        wanted = np.flatnonzero(table["orientation"] == 2)
        assert [row for _, row, _ in found["rows"]] == wanted[:500].tolist()
        status, _, body = ask(port, "/image/1/3")
        assert (status, Image.open(BytesIO(body)).mode) == (200, "L")
        assert ask(port, "/mask/1/3")[0] == 404
    with serving(imported(tmp_path)) as port:
        assert rows(port, "class=1.0")["total"] == 6


def test_port_and_folder_are_checked(made, tmp_path):
    """A port in use, or none at all, and a folder that is no dataset give one line each."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        done = CliRunner().invoke(main, ["serve", str(made["rmts"]), "--port", str(number)])
    assert done.exit_code == 2
    assert done.stderr == (
        f"Error: port {number} is in use; give another with --port, or 0 for one that is free\n"
    )
    with pytest.raises(InputError, match="port 65536 is out of range"):
        server_of(made["rmts"], 65536)
    with pytest.raises(InputError, match="is not a dataset"):
        server_of(tmp_path, 0)


def test_interrupt_ends_it(made):
    """The command prints its address, listens on 127.0.0.1 alone, and Ctrl-C ends it cleanly."""
    command = [sys.executable, "-m", "samediff_stimuli.cli", "serve", str(made["rmts"])]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--port", "0"], **pipes) as run:
        address = run.stdout.readline().strip()
        port = int(address.removeprefix("http://127.0.0.1:").removesuffix("/"))
        status, _, _ = ask(port, "/")
        keeps = socket.create_connection(("127.0.0.1", port))  # a browser's open connection
        os.kill(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=30)
        keeps.close()
    assert (status, run.returncode) == (200, 0)
    assert errors.splitlines()[-1] == "ended"
    assert "Traceback" not in errors
