"""Exports at URLs: the same files as in a folder; resumed, refused, replaced."""

import pytest
from click.testing import CliRunner

from samediff_stimuli import cli, generate, make_recipe, remote, tasks
from samediff_stimuli.cards import exports
from samediff_stimuli.cards.exports import remote as exporting
from samediff_stimuli.cards.exports.folder import MARKER, export
from samediff_stimuli.recipe import InputError
from tests import stores
from tests.stores import files_of

THERE = stores.Memory("out")
URL = THERE.url
SIZES = {"train": 12, "validation": 8, "test": 8}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small dataset; tests must not change it."""
    folder = tmp_path_factory.mktemp("made") / "set"
    recipe = make_recipe("squiggles", 0, tasks.get("squiggles").options(**SIZES))
    generate(recipe, folder, workers=1)
    return folder


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A cache of its own for each test, and an empty memory."""
    return stores.empty(monkeypatch, tmp_path)


def refused(made, **how):
    """What an export that is refused says; nothing is changed."""
    before = THERE.files()
    with pytest.raises(InputError) as caught:
        export(made, URL, **how)
    assert "\n" not in str(caught.value)
    assert THERE.files() == before
    return str(caught.value)


@pytest.mark.parametrize("kind", [name for name in exports.MODULES if name != "benchmark-npz"])
def test_every_format_is_the_same_there(kind, made, cache, tmp_path):
    """By the command: each file is that of an export to a folder; nothing is left here."""
    words = ["export", str(made), "--format", kind]
    words += ["--trials", "8"] if kind == "trials" else []
    for out in (URL, str(tmp_path / "out")):
        done = CliRunner().invoke(cli.main, [*words, "--out", out])
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(f"{out}:")
    assert THERE.files() == files_of(tmp_path / "out")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_the_command_to_fetch_it_does(made, tmp_path, monkeypatch):
    """What is printed to type next brings the files here."""
    monkeypatch.chdir(tmp_path)
    url = f"file://{tmp_path}/sent/out"
    done = CliRunner().invoke(cli.main, ["export", str(made), "--format", "numpy", "--out", url])
    code = done.stdout.split("python -c ")[1].split("  #")[0].strip().strip("'")
    exec(compile(code, "printed", "exec"), {})
    assert files_of(tmp_path / "out") == files_of(tmp_path / "sent" / "out")


def test_an_interrupted_export_goes_on(made, monkeypatch):
    """What arrived is not sent twice, and the marker is lacking until all is there."""
    plain, sent = remote.Store.put, []

    def cut(store, source, path):
        if path.startswith("validation"):
            raise remote.UnreachableError("the line is cut")
        sent.append(path)
        plain(store, source, path)

    with monkeypatch.context() as patch:
        patch.setattr(remote.Store, "put", cut)
        with pytest.raises(InputError, match="run the same command again"):
            export(made, URL)
    assert MARKER not in THERE.files()
    assert "holds an export" in refused(made, splits=["train"])
    assert "holds an export" in refused(made, format="numpy")
    arrived = set(sent)
    assert arrived
    sent.clear()
    monkeypatch.setattr(
        remote.Store,
        "put",
        lambda store, source, path: (sent.append(path), plain(store, source, path)),
    )
    export(made, URL)
    assert arrived.isdisjoint(sent)
    assert MARKER in THERE.files()
    assert not [path for path in THERE.files() if path.startswith(".partial")]


def test_what_is_there_is_replaced_only_if_that_is_wanted(made, tmp_path):
    """An export needs --overwrite, and goes wholly; other files are never touched."""
    export(made, URL, "numpy")
    assert "holds an export" in refused(made)
    THERE.put({"mine.txt": b"words"})
    assert "also holds 'mine.txt'" in refused(made, overwrite=True)
    THERE.remove("mine.txt")
    export(made, URL, overwrite=True)
    export(made, tmp_path / "out")
    assert THERE.files() == files_of(tmp_path / "out")


def test_what_is_replaced_goes_wholly_though_that_was_interrupted(made, monkeypatch, tmp_path):
    """Killed while it removes an export of another format, the same command removes the rest."""
    export(made, URL)
    plain = remote.Store.remove

    def cut(store, paths):
        plain(store, paths[:3])
        if len(paths) > 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(remote.Store, "remove", cut)
        for format in ("numpy", "webdataset"):
            with pytest.raises(KeyboardInterrupt):
                export(made, URL, format, overwrite=True)
    export(made, URL, "webdataset", overwrite=True)
    export(made, tmp_path / "out", "webdataset")
    assert THERE.files() == files_of(tmp_path / "out")


def test_what_arrives_while_an_export_is_written_is_left_alone(made, monkeypatch):
    """A place is looked at once more before anything there is removed."""
    plain = exporting.write

    def late(*words, **how):
        plain(*words, **how)
        THERE.put({MARKER: (words[1] / MARKER).read_bytes()})

    monkeypatch.setattr(exporting, "write", late)
    with pytest.raises(InputError, match="holds an export"):
        export(made, URL)
    assert set(THERE.files()) == {MARKER}


def test_a_claim_that_was_cut_holds_no_place(made, tmp_path):
    """It is as if nothing were there."""
    THERE.put({".partial/sending.json": b'{"of"'})
    export(made, URL)
    export(made, tmp_path / "out")
    assert THERE.files() == files_of(tmp_path / "out")


def test_what_is_written_stays_while_the_place_cannot_be_reached(made, monkeypatch):
    """A second try without network does not cost the third the writing."""

    def cut(*words):
        raise remote.UnreachableError("the line is cut")

    for method in ("put", "listed"):
        with monkeypatch.context() as patch:
            patch.setattr(remote.Store, method, cut)
            with pytest.raises(InputError, match="the line is cut"):
                export(made, URL)
    monkeypatch.setattr(exporting, "write", None)
    export(made, URL)
    assert MARKER in THERE.files()


def test_what_was_sent_is_removed_here_though_that_was_interrupted(made, monkeypatch, cache):
    """A part of an export that a killed removal left here is not taken for the whole."""

    def cut(folder, **how):
        if folder.parent.name == "sending":
            next(folder.rglob("test/*/*.png")).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(exporting.shutil, "rmtree", cut)
        with pytest.raises(KeyboardInterrupt):
            export(made, URL)
    whole = THERE.files()
    export(made, URL, overwrite=True)
    assert THERE.files() == whole
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize("marker", [None, b"{}", b"[1", b'{"export": "samediff-stimuli export"}'])
def test_a_place_of_somebody_else(made, marker):
    """It is left alone, whatever lies there."""
    THERE.put({"thesis.tex": b"words"})
    if marker is not None:
        THERE.put({MARKER: marker})
    for overwrite in (False, True):
        assert "no export of ours" in refused(made, overwrite=overwrite)


def test_what_cannot_be_exported_is_told_first(made):
    """A wrong split, or a format that is not for the set: a line, and nothing is written."""
    assert "unknown split 'dev'" in refused(made, splits=["dev"])
    assert "benchmark" in refused(made, format="benchmark-npz")
    with pytest.raises(InputError, match="http is for reading"):
        export(made, "http://127.0.0.1:9/x")
