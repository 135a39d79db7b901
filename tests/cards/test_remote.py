"""Datasets at URLs: sent, resumed, refused, and read back through the cache."""

import contextlib
import functools
import http.server
import json
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner

from samediff_stimuli import caches, cli, generate, make_recipe, manifest, remote, tasks, verify
from samediff_stimuli.cards import dataset, sending
from samediff_stimuli.cards import remote as remotes
from samediff_stimuli.loaders import FactorDataset, StimulusDataset, fetched, from_url
from samediff_stimuli.loaders import remote as reading
from samediff_stimuli.recipe import InputError
from samediff_stimuli.shards import DamagedError
from tests import hub_sets, stores
from tests.factor_sets import use_tiny
from tests.stores import files_of

SIZES = {"train": 24, "validation": 12, "test": 12}
FLAGS = [word for name, rows in SIZES.items() for word in (f"--{name}", str(rows))]
WORDS = ["generate", "--task", "squiggles", "--workers", "1", *FLAGS]
SHARD = "hdf5/squiggles/train-00000-of-00001.h5"
THERE = stores.Memory("squiggles")
URL = THERE.url


def recipe(seed=0):
    return make_recipe("squiggles", seed, tasks.get("squiggles").options(**SIZES))


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The dataset as a folder of this machine; tests must not change it."""
    folder = tmp_path_factory.mktemp("local") / "set"
    generate(recipe(), folder, workers=1)
    return folder


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A cache of its own for each test, and an empty memory."""
    return stores.empty(monkeypatch, tmp_path)


def one_line(call, *words, **how):
    """What a call that is refused says."""
    with pytest.raises(InputError) as caught:
        call(*words, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Counted:
    """Counts the files that a method of Store moves; the given one fails, if any."""

    def __init__(self, monkeypatch, name, fails=None):
        plain = getattr(remote.Store, name)
        self.paths = []

        def counted(store, *words):
            path = next(w for w in words if isinstance(w, str))
            if path == fails:
                raise remote.UnreachableError("the line is cut")
            self.paths.append(path)
            return plain(store, *words)

        monkeypatch.setattr(remote.Store, name, counted)


# Sending


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_is_sent_is_what_is_made_here(kind, local, cache, tmp_path):
    """The same files, byte for byte; nothing is left here; the second command sends nothing."""
    url = URL if kind == "memory" else f"file://{tmp_path}/sent"
    done = CliRunner().invoke(cli.main, [*WORDS, "--seed", "0", "--out", url])
    assert done.exit_code == 0, done.output
    assert f'from_url("{url}", "train")' in done.stdout
    sent = THERE.files() if kind == "memory" else files_of(tmp_path / "sent")
    assert sent == files_of(local)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    if kind == "file":
        assert verify(tmp_path / "sent", True).problems == ()
    told = []
    again = generate(recipe(), url, workers=1, on_rows=told.append)
    assert (again, told) == (manifest.load(local), [48])


def test_an_interrupted_run_goes_on(local, cache, monkeypatch):
    """What arrived is not sent twice; a half dataset has no manifest; its bytes are checked."""
    with monkeypatch.context() as patch:
        counted = Counted(patch, "put", fails=SHARD)
        told = one_line(generate, recipe(), URL, workers=1)
        assert told.endswith("run the same command again: what arrived is not sent twice")
    assert "manifest.json" not in THERE.files()
    assert "no manifest.json" in one_line(from_url, URL, "train")
    arrived = set(counted.paths)
    cut = "data/squiggles/test-00000-of-00001.parquet"
    THERE.put({cut: b"cut"})
    assert "another dataset" in one_line(generate, recipe(1), URL, workers=1)
    counted = Counted(monkeypatch, "put")
    generate(recipe(), URL, workers=1)
    assert arrived.isdisjoint(set(counted.paths) - {cut})
    assert {SHARD, cut} <= set(counted.paths)
    assert THERE.files() == files_of(local)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_what_another_run_left_is_not_taken_for_this_one(local):
    """Files of the right size but without this dataset's claim are sent anew."""
    files = files_of(local)
    plain = json.loads(files.pop("manifest.json"))
    claim = {"recipe": plain["recipe"], "parquet": True, "manifest": "another"}
    THERE.put({path: bytes(len(data)) for path, data in files.items()})
    THERE.put({".partial/sending.json": json.dumps(claim | {"cleared": True}).encode()})
    generate(recipe(), URL, workers=1)
    assert THERE.files() == files_of(local)


def test_a_dataset_that_lost_a_file_is_mended(local):
    """The same command makes a place whole again, and leaves what is not ours alone."""
    files = files_of(local)
    files.pop(SHARD)
    THERE.put({**files, "notes.txt": b"mine"})
    generate(recipe(), URL, workers=1)
    assert THERE.files() == files_of(local) | {"notes.txt": b"mine"}


def test_the_checksum_of_a_store_is_heeded(local, monkeypatch):
    """A file of the right size whose MD5 the store tells is another's is sent anew."""
    right = remote.md5_of(local / SHARD)
    record = next(f for f in manifest.load(local).files() if f.path == SHARD)
    for about, there in (
        ({"size": record.n_bytes, "ETag": f'"{right}"'}, True),
        ({"size": record.n_bytes, "ETag": '"' + 32 * "0" + '"'}, False),
        ({"size": record.n_bytes, "ETag": '"' + 32 * "0" + '-2"'}, True),  # of parts: no MD5
        ({"size": record.n_bytes, "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg=="}, False),
        ({"size": record.n_bytes + 1}, False),
    ):
        found = {f"/bucket/squiggles/{SHARD}": about}
        monkeypatch.setattr(fsspec.filesystem("memory"), "find", lambda *_, f=found, **__: f)
        listed = remote.store(URL).listed()
        assert sending.is_there(listed[SHARD], record, local / SHARD) is there


def test_another_dataset_is_replaced_only_if_that_is_wanted(local):
    """Refused without --overwrite, with nothing changed; then it is exactly the new one."""
    generate(recipe(1), URL, workers=1, parquet=False)
    before = THERE.files()
    assert "another dataset" in one_line(generate, recipe(), URL, workers=1)
    assert "another dataset" in one_line(generate, recipe(1), URL, workers=1)  # with its mirror
    assert THERE.files() == before
    generate(recipe(), URL, workers=1, overwrite=True)
    assert THERE.files() == files_of(local)


def test_a_folder_of_somebody_else_is_left_alone():
    """A place with other files is refused, even with --overwrite."""
    THERE.put({"thesis.tex": b"words"})
    for overwrite in (False, True):
        assert "'thesis.tex'" in one_line(generate, recipe(), URL, overwrite=overwrite)
    assert THERE.files() == {"thesis.tex": b"words"}


def test_two_senders_of_one_dataset(local):
    """The second is told so, and changes nothing; also one of another dataset to that place."""
    with remotes.target(URL, recipe()):
        for seed in (0, 1):
            assert "is being written by process" in one_line(generate, recipe(seed), URL, workers=1)
    assert THERE.files() == {}


@pytest.mark.parametrize("seed", [0, 1])
def test_what_another_machine_sends_meanwhile_is_left_alone(seed, local, monkeypatch):
    """A whole dataset that arrives while this one is made is not removed, its own or another."""
    plain = dataset.generate

    def late(*words, **how):
        THERE.put(files_of(local))
        return plain(*words, **how)

    monkeypatch.setattr(dataset, "generate", late)
    told = one_line(remotes.generate, recipe(seed), URL, workers=1)
    assert ("holds another dataset" if seed else "sent by another meanwhile") in told
    assert THERE.files() == files_of(local)


def test_a_claim_that_was_cut_holds_no_place(local):
    """It is as if nothing were there, whatever else a run left beside it."""
    THERE.put({".partial/sending.json": b"", ".partial/other": b"x"})
    generate(recipe(), URL, workers=1)
    assert THERE.files() == files_of(local)


WRONG = {
    "nope://x": "unknown protocol 'nope' of nope://x",
    "http://127.0.0.1:9/x": "http is for reading",
    "memory://": "names no folder",
    "://x": "is no URL",
}


@pytest.mark.parametrize("url", WRONG)
def test_urls_that_cannot_be_written(url, monkeypatch):
    """One line and exit code 2 before anything is made."""
    done = CliRunner().invoke(cli.main, [*WORDS, "--seed", "0", "--out", url])
    assert done.exit_code == 2
    assert WRONG[url] in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_driver_that_is_missing(monkeypatch):
    """The package to install is named."""

    def missing(url, **options):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    assert one_line(from_url, "s3://b/x", "train").endswith("missing: pip install s3fs")


def test_no_permission(monkeypatch):
    """A place that refuses is told before any work."""

    def refused(*words, **how):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(fsspec.filesystem("memory"), "pipe_file", refused)
    monkeypatch.setattr(remotes, "load", None)  # no work
    assert "refuses: Access Denied" in one_line(generate, recipe(), URL, workers=1)


def test_shards_are_sent_while_others_are_made(monkeypatch):
    """A shard leaves as soon as it is finished; what stood there before stays until then."""
    generate(recipe(1), URL, workers=1)
    seen = []

    def look(record):
        seen.append((record.split, set(THERE.files())))

    plain = sending.Sending.add

    def add(outgoing, file):
        plain(outgoing, file)
        outgoing._begun[file.path].result()  # nothing is faster than the look

    monkeypatch.setattr(sending.Sending, "add", add)
    generate(recipe(), URL, workers=1, overwrite=True, on_shard=look, parquet=False)
    assert [split for split, _ in seen] == list(SIZES)
    for number, (split, there) in enumerate(seen, 1):
        assert f"hdf5/squiggles/{split}-00000-of-00001.h5" in there
        assert len([path for path in there if path.endswith(".h5")]) == number
        assert "manifest.json" not in there


def test_a_failure_to_send_stops_the_making(monkeypatch):
    """What cannot be sent is told when the next shard is finished, not at the end."""
    made = []
    put = remote.Store.put

    def cut(store, source, path):
        if path.startswith("hdf5"):
            raise remote.UnreachableError("the line is cut")
        put(store, source, path)

    plain = sending.Sending.add

    def add(outgoing, file):
        plain(outgoing, file)
        with contextlib.suppress(InputError):
            outgoing._begun[file.path].result()

    monkeypatch.setattr(remote.Store, "put", cut)
    monkeypatch.setattr(sending.Sending, "add", add)
    told = one_line(generate, recipe(), URL, workers=1, on_shard=made.append)
    assert told.startswith("the line is cut, and run the same command again")
    assert len(made) < len(SIZES)


def test_import_refuses_urls():
    """No folder "memory:" comes to be."""
    done = CliRunner().invoke(cli.main, ["import", "photos", "--out", URL])
    assert (done.exit_code, "is a URL" in done.stderr) == (2, True)
    assert not Path("memory:").exists()


# Reading


@contextmanager
def served(folder):
    """A folder over HTTP on loopback; yields its URL and the paths that were asked for."""
    log = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code="-", size="-"):
            log.append(self.path.lstrip("/"))

        def log_message(self, *words):
            pass

    made = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), made) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", log
        finally:
            server.shutdown()
            thread.join()


def test_only_what_is_needed_is_fetched(local, monkeypatch):
    """Over HTTP: the manifest and one split's shard, once; the dataset is the ordinary one."""
    with served(local) as (url, log):
        data = from_url(url, "train", columns=["label"])
        assert log == ["manifest.json", SHARD]
        monkeypatch.setattr(fetched, "file_sha256", None)  # nothing is hashed twice
        from_url(url + "/", "train")
        assert log == ["manifest.json", SHARD, "manifest.json"]
    plain = StimulusDataset(local, "train", columns=["label"])
    assert hub_sets.digest(hub_sets.stimuli(data)) == hub_sets.digest(hub_sets.stimuli(plain))
    again = pickle.loads(pickle.dumps(data))
    assert (again[3]["image"] == plain[3]["image"]).all()
    assert len(from_url(url, "train")) == 24  # the server is gone
    assert "cannot be reached" in one_line(from_url, url, "test")


def test_threads_that_fetch_one_url_at_once(local, monkeypatch):
    """Each gets the dataset: none takes another's temporary file away."""
    url = local.as_uri()  # files in memory have one place to read at for all threads
    both, state = threading.Barrier(2, timeout=10), reading._state

    def together(*words):
        found = state(*words)
        both.wait()
        return found

    monkeypatch.setattr(reading, "_state", together)
    with ThreadPoolExecutor(2) as pool:
        assert list(map(len, pool.map(from_url, [url] * 2, ["train"] * 2))) == [24, 24]


def test_what_this_machine_cannot_write_is_not_the_networks_fault(local, tmp_path):
    """Errors of the cache's disk name its path; a folder where a file should be is not there."""
    THERE.put(files_of(local))
    there = remote.store(URL)
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "file" / "x", tmp_path / ("x" * 250)):
        with pytest.raises(OSError, match="x") as caught:
            there.get("manifest.json", target, 10**6)
        assert target.name in str(caught.value.filename)
    with pytest.raises(FileNotFoundError, match="bucket/squiggles/hdf5 is a folder"):
        there.get("hdf5", tmp_path / "got", 10**6)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_damaged_cache_heals(local, cache):
    """A file that was damaged, cut or lost in the cache is fetched anew; no URL is its own."""
    url = f"file://{local}"
    path = from_url(url, "train").path / SHARD
    whole = path.read_bytes()
    for damaged in (whole[:-5] + b"12345", whole[:100], None):
        path.unlink() if damaged is None else path.write_bytes(damaged)
        assert (from_url(url, "train").path / SHARD).read_bytes() == whole
    for note in cache.rglob(".checked/*"):
        note.write_bytes(b"\xff")
    assert (from_url(url, "train").path / SHARD).read_bytes() == whole
    assert path.is_relative_to(cache)
    other = from_url(url, "train", cache_dir=cache / "other")
    assert other.path.is_relative_to(cache / "other")


def test_offline(local, cache, monkeypatch, caplog):
    """What was fetched is read without the store, which is said; the rest is one line."""
    THERE.put(files_of(local))
    from_url(URL, "train")

    def gone(*words, **how):
        raise TimeoutError("no\nanswer")

    monkeypatch.setattr(fsspec.filesystem("memory"), "get_file", gone)
    caplog.set_level("INFO")
    data = from_url(URL, "train")
    assert len(data) == 24
    assert "what is in the cache is read" in caplog.text
    assert "cannot be reached: no answer" in one_line(from_url, URL, "test")
    (data.path / SHARD).write_bytes(b"damaged")
    assert "cannot be reached" in one_line(from_url, URL, "train")


def test_a_store_that_lies(local, cache):
    """A shard that is another, longer, or absent is not read; nothing half stays in the cache."""
    files = files_of(local)
    for shard, told in (
        (bytes(len(files[SHARD])), "SHA-256"),
        (files[SHARD] + b"more", "more than"),
        (None, "lacks"),
    ):
        fsspec.filesystem("memory").store.clear()
        THERE.put({p: d for p, d in (files | {SHARD: shard}).items() if d is not None})
        with pytest.raises(DamagedError, match=told):
            from_url(URL, "train")
        assert not list(cache.rglob("*.tmp"))
        for path in cache.rglob("*.h5"):
            path.unlink()


@pytest.mark.parametrize(
    "path",
    ["../../secret.h5", "/etc/passwd", "hdf5/squiggles/../../x.h5", "README.md", "hdf5/other/x.h5"],
)
def test_a_hostile_manifest(path, local, cache, monkeypatch):
    """One that leads out of its dataset's folders is damaged; nothing else is fetched or kept."""
    data = json.loads((local / "manifest.json").read_bytes())
    data["shards"][0]["file"]["path"] = path
    THERE.put(files_of(local) | {"manifest.json": json.dumps(data).encode()})
    counted = Counted(monkeypatch, "get")
    with pytest.raises(DamagedError):
        from_url(URL, "train")
    assert counted.paths == ["manifest.json"]
    assert {p.name for p in cache.rglob("*") if p.is_file()} <= {"manifest.json"}


def test_a_manifest_that_is_none_does_not_replace_one(local, monkeypatch):
    """A page of a captive portal is damage; what was fetched before is still read offline."""
    THERE.put(files_of(local))
    from_url(URL, "train")
    THERE.put({"manifest.json": b"<html>log in</html>"})
    with pytest.raises(DamagedError):
        from_url(URL, "train")
    Counted(monkeypatch, "get", fails="manifest.json")
    assert len(from_url(URL, "train")) == 24


def test_a_dataset_that_is_replaced(local):
    """Who reads the earlier state is not disturbed; a new call reads the new one."""
    THERE.put(files_of(local))
    earlier = from_url(URL, "train")
    image = earlier[0][0].clone()
    generate(recipe(1), URL, workers=1, overwrite=True)
    later = from_url(URL, "train")
    assert later.recipe.seed == 1
    assert (pickle.loads(pickle.dumps(earlier))[0][0] == image).all()


def test_mistakes(local, cache):
    """Each mistake is one line, before any shard is fetched."""
    THERE.put(files_of(local))
    for told, words, how in (
        ("there is no dataset at memory://bucket/none", ("memory://bucket/none", "train"), {}),
        ("unknown split 'trian'", (URL, "trian"), {}),
        ("unknown column 'x'", (URL, "train"), {"columns": ["x"]}),
        ("is for grids of factors", (URL, "train"), {"hold_out": "scale>=2"}),
        ("'/data/set' is no URL", ("/data/set", "train"), {}),
        ("unknown protocol", ("nope://x", "train"), {}),
    ):
        assert told in one_line(from_url, *words, **how)
        assert not list(cache.rglob("*.h5"))


def test_grids_of_factors(monkeypatch, tmp_path):
    """A grid comes back as a FactorDataset, by its own splits and by one's own."""
    use_tiny(monkeypatch, "dsprites")
    made = make_recipe("dsprites", 0, tasks.get("dsprites").options())
    generate(made, tmp_path / "set", workers=1)
    url = f"file://{tmp_path}/set"
    for split, how in (("extrapolation_train", {}), ("test", {"hold_out": "scale>=2"})):
        data, plain = from_url(url, split, **how), FactorDataset(tmp_path / "set", split, **how)
        assert isinstance(data, FactorDataset)
        rows = range(0, len(plain), max(1, len(plain) // 5))
        for ours, theirs in zip(data.batch(rows), plain.batch(rows), strict=True):
            assert ours.equal(theirs)
    assert type(from_url(url, "grid", columns=["scale"])) is StimulusDataset
    for told, split, text in (
        ("split 'dev' is not legal with hold_out; legal: train, test", "dev", "scale>=2"),
        ("'size' is no factor", "test", "size>=2"),
    ):
        fresh = {"hold_out": text, "cache_dir": tmp_path / "fresh"}
        assert told in one_line(from_url, url, split, **fresh)
    options = tasks.get("dsprites").options(variant="random", materialize=True)
    generate(make_recipe("dsprites", 0, options), tmp_path / "parts", workers=1, parquet=False)
    fresh = {"hold_out": "scale>=2", "cache_dir": tmp_path / "fresh"}
    said = one_line(from_url, f"file://{tmp_path}/parts", "test", **fresh)
    assert "generate it without --materialize" in said
    assert not list((tmp_path / "fresh").rglob("*.h5"))


def test_the_cache_is_where_it_is_wanted(monkeypatch, tmp_path):
    """The variable, else the user's cache."""
    assert caches.folder() == Path(os.environ["SAMEDIFF_STIMULI_CACHE"])
    monkeypatch.delenv("SAMEDIFF_STIMULI_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert caches.folder() == tmp_path / "samediff-stimuli"


def test_a_cache_that_cannot_be_used_is_named(monkeypatch, tmp_path):
    """A variable that is set is meant: it is not passed over for another place."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("SAMEDIFF_STIMULI_CACHE", f"{tmp_path}/file/cache")
    said = one_line(from_url, URL, "train")
    assert f"SAMEDIFF_STIMULI_CACHE '{tmp_path}/file/cache' cannot be written: Not a dir" in said
    assert "unset it" in said


def test_a_temporary_cache_goes_with_its_process(tmp_path):
    """It serves one process, also a worker, and leaves nothing where no home can be written."""
    (tmp_path / "file").touch()
    code = (
        "import multiprocessing, os; from samediff_stimuli import caches\n"
        "worker = multiprocessing.get_context('fork').Process(target=caches.folder)\n"
        "worker.start(); worker.join(); print(caches.folder(), flush=True)\n"
        "child = os.fork()\n"
        "if not child: raise SystemExit  # a fork's end is not the process's\n"
        "os.waitpid(child, 0); assert caches.folder().is_dir()"
    )
    env = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path)}
    del env["SAMEDIFF_STIMULI_CACHE"]
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
