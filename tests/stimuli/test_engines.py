"""Engines: whoever makes the shards, the bytes are the same; what goes wrong is one line."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from click.testing import CliRunner

from samediff_stimuli import (
    AlignedOptions,
    InputError,
    clusters,
    engine,
    engines,
    export,
    generate,
    make_recipe,
    verification,
)
from samediff_stimuli.cards import dataset
from samediff_stimuli.cli import main
from samediff_stimuli.clusters import Cluster
from samediff_stimuli.engines import LOKY, Engine, opened
from samediff_stimuli.manifest import load
from samediff_stimuli.verification import verify
from tests.stores import files_of

SMALL = make_recipe("rmts", 0, AlignedOptions(train=8, validation=0, test=0, ood=0))
RECIPE = make_recipe("discrimination", 3, AlignedOptions(train=9600, validation=0, test=96, ood=0))
COMMAND = [
    *[sys.executable, "-m", "samediff_stimuli.cli", "generate", "--task", "discrimination"],
    *["--seed", "3", "--train", "9600", "--validation", "0", "--test", "96", "--ood", "0"],
]
CLOSED = "127.0.0.1:9"  # nothing listens there

# Clusters of two worker processes that live until their input ends, and say where they are.
DASK = """
import sys
from distributed import LocalCluster
place = dict(dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False})
with LocalCluster(n_workers=2, threads_per_worker=1, silence_logs=50, **place) as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""
RAY = """
import sys
import ray
ray.init("local", num_cpus=2, include_dashboard=False, logging_level=50, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""


@contextmanager
def cluster(code):
    """The address of a running cluster."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(60)


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    """The content digest of the set that one process makes."""
    return generate(RECIPE, tmp_path_factory.mktemp("one") / "set", workers=1).digest()


def run(*arguments):
    """`generate` of a small set in this process, with these arguments besides."""
    words = ["--task", "rmts", "--seed", "0", "--train", "8", *map(str, arguments)]
    return CliRunner().invoke(main, ["generate", *words])


def test_engines_are_known_by_name():
    """An unknown name lists the legal ones; loky has no address; no address may be empty."""
    assert Engine() == LOKY
    with pytest.raises(InputError, match="unknown engine 'spark'; known: loky, dask, ray"):
        Engine(name="spark")
    with pytest.raises(InputError, match=r"no use to engine 'loky'.*add --engine dask"):
        Engine(address="tcp://host:8786")
    with pytest.raises(InputError, match="--address is empty; give tcp://HOST:8786"):
        Engine(name="dask", address=" ")


@pytest.mark.parametrize(("name", "library"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_library_is_one_line(name, library, tmp_path, monkeypatch):
    """Without Dask or Ray the line says what to install, and nothing is written."""
    monkeypatch.setitem(sys.modules, library, None)
    done = run("--engine", name, "--out", tmp_path / "set")
    assert done.exit_code == 2
    wanted = f"Error: --engine {name} needs the library '{library}', which is not installed; run: "
    assert done.stderr.strip() == wanted + "pip install 'samediff-stimuli[cluster]'"
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("name", "address"),
    [("dask", f"tcp://{CLOSED}"), ("dask", "nonsense"), ("ray", CLOSED), ("ray", "nonsense")],
)
def test_an_unreachable_address_is_one_line(name, address, tmp_path, monkeypatch):
    """Where no cluster answers, the line names the address, and nothing is written."""
    monkeypatch.setattr(clusters, "_CONNECTING", 0.3)
    done = run("--engine", name, "--address", address, "--out", tmp_path / "set")
    assert done.exit_code == 2, done.output
    line = done.stderr.strip()
    assert line.startswith(f"Error: --address {address!r} cannot be reached (")
    assert f"give that of a running {name} cluster" in line
    assert "\n" not in line
    assert not (tmp_path / "set").exists()


def crew(pool, most=None, count=lambda: 2):
    """A cluster whose workers are threads."""
    return Cluster(
        name="dask",
        submit=lambda *job: pool.submit(clusters._attempt, *job),
        count=count,
        most=most,
    )


@pytest.mark.parametrize("most", [None, 1, 5])
def test_a_crew_gives_all_results(most):
    """Every job is done once, no more at once than asked for; what a job raises is raised here."""
    begun, most_begun = set(), []

    def job(number):
        begun.add(number)
        most_begun.append(len(begun))
        time.sleep(0.01)
        begun.discard(number)
        return number

    def submit(function, arguments):
        future = Future()
        call = lambda: future.set_result((function(*arguments), None))  # noqa: E731
        threading.Thread(target=call).start()
        return future

    threads = Cluster(name="ray", submit=submit, count=lambda: 2, most=most)
    assert sorted(threads.finished(job, ((n,) for n in range(20)))) == list(range(20))
    assert max(most_begun) <= (most or 2)
    with ThreadPoolExecutor(4) as pool, pytest.raises(FileNotFoundError, match="absent"):
        crew(pool).call(os.listdir, "/absent")


def test_a_lost_cluster_is_one_line(monkeypatch):
    """No workers left, workers that die of a job, a scheduler that is gone: each has its line."""
    monkeypatch.setattr(clusters, "_PATIENCE", 0.1)
    stuck = Cluster(name="dask", submit=lambda *job: Future(), count=lambda: 0, most=1)
    with pytest.raises(ConnectionError, match=r"no workers left; run the same command again$"):
        stuck.call(len, "")
    died = type("KilledWorker", (Exception,), {})("a long\nstory")
    for error, kind, said in [
        (died, ChildProcessError, "dask workers died .* fewer workers"),
        (OSError("first\nlast"), ConnectionError, r"lost or cannot do the work \(OSError: last\)"),
    ]:
        future = Future()
        future.set_exception(error)
        bad = Cluster(name="dask", submit=lambda *job, f=future: f, count=lambda: 1, most=1)
        with pytest.raises(kind, match=said):
            bad.call(len, "")


def test_an_interrupt_is_heard_between_results():
    """Ctrl-C ends the work at the next look, wherever it was pressed; pressed again, at once."""
    done = Future()
    done.set_result((0, None))
    before = signal.getsignal(signal.SIGINT)
    with clusters._ears() as listen:
        crew = Cluster(
            name="dask", submit=lambda *job: done, count=lambda: 1, most=1, listen=listen
        )
        results = crew.finished(len, [("",), ("",), ("",)])
        assert next(results) == 0
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            next(results)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_process_that_is_killed_is_one_line():
    """A worker of this machine that dies ends the run with a line, not with a traceback."""
    with opened(LOKY, 2) as here, pytest.raises(ChildProcessError, match="loky workers died"):
        list(here.finished(os._exit, [(1,), (1,)]))


def test_workers_must_see_the_folder(tmp_path):
    """A worker without the folder, or with another release or renderer, makes nothing."""
    shard, made_by = engine.plan(RECIPE)[0], engine.maker(RECIPE)
    out = tmp_path / "set"
    with pytest.raises(InputError, match=r"does not see .*/set; all workers need --out"):
        engine._make_afar(made_by, RECIPE, out, shard, None)
    (out / engine.PARTIAL).mkdir(parents=True)
    for other in (
        dataclasses.replace(made_by, release="0.0.1"),
        dataclasses.replace(made_by, made_with={"bpy": "4.4"}),
    ):
        with pytest.raises(InputError, match="would not be the same; give all workers the same"):
            engine._make_afar(other, RECIPE, out, shard, None)
    assert not list(out.rglob("*.h5"))


def test_a_worker_that_outlives_its_run_writes_nothing(tmp_path):
    """A shard that ends after its folder was given to another recipe, or finished, is dropped."""
    shard = engine.plan(RECIPE)[-1]
    (tmp_path / "hdf5" / "discrimination-p32").mkdir(parents=True)
    (tmp_path / engine.PARTIAL).mkdir()
    for claimed in (None, {**RECIPE.as_dict(), "seed": 4}):
        if claimed:
            (tmp_path / engine.CLAIM).write_text(json.dumps({"recipe": claimed}))
        with pytest.raises(InputError, match="not being made to the recipe of this run any more"):
            engine.make_shard(RECIPE, tmp_path, shard, None)
    assert not list(tmp_path.rglob("*.h5"))
    (tmp_path / engine.CLAIM).write_text(json.dumps({"recipe": RECIPE.as_dict()}))
    assert engine.make_shard(RECIPE, tmp_path, shard, None)[1].rows == 96


def test_a_shard_must_arrive_here(tmp_path):
    """A shard that a worker wrote on a disk of its own is missed at once."""
    recipe = SMALL
    record = generate(recipe, tmp_path / "there", workers=1).shards[0]
    future = Future()
    future.set_result(((engine.plan(recipe)[0], record), None))
    afar = Cluster(name="ray", submit=lambda *job: future, count=lambda: 1, most=1)
    made_by = engine.maker(recipe)
    with pytest.raises(InputError, match=r"which is not here; all workers need --out"):
        engine.run(recipe, tmp_path / "here", afar, None, lambda rows: None, made_by)


def test_a_cluster_elsewhere_is_used_whole(monkeypatch):
    """Without --workers, all workers of an address are used; else as many as is usual here."""
    asked = []

    @contextmanager
    def fake(chosen, workers, costly):
        asked.append((chosen.name, workers, costly))
        yield Cluster(name="ray", submit=lambda *job: Future(), count=lambda: 7, most=workers)

    monkeypatch.setattr(dataset, "opened", fake)
    afar = Engine(name="ray", address="auto")
    assert dataset.estimate(RECIPE, None, False, afar).workers == 7
    assert asked == [("ray", None, False)]
    assert dataset.estimate(RECIPE, 3, False, afar).workers == 3
    assert engines.chosen_workers(None, 4, afar) is None
    assert engines.chosen_workers(None, 4, Engine(name="ray")) == 4
    assert len(asked) == 1


def test_processes_find_what_one_finds(tmp_path):
    """Two processes report the same problems as one, in the same order, and count the same."""
    out = tmp_path / "set"
    recipe = make_recipe("discrimination", 3, AlignedOptions(train=1696, test=8, ood=8))
    made = generate(recipe, out, workers=1, parquet=False)
    for shard in (made.shards[0], made.shards[2]):
        path = out / shard.file.path
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
    (out / made.shards[1].file.path).unlink()
    rows = []
    alone, shared = verify(out), verify(out, on_rows=rows.append, workers=2)
    assert alone == shared
    assert len(alone.problems) >= 5
    assert sum(rows) == sum(shard.rows for shard in made.shards)


def test_verify_takes_no_unlike_worker_for_damage(tmp_path, monkeypatch):
    """A worker that does not see the folder, or is of another release, is an error of its own."""
    out = tmp_path / "set"
    made = generate(SMALL, out, workers=1, parquet=False)
    shard, made_by = made.shards[0], engine.maker(SMALL)
    job = 0, SMALL, tmp_path / "elsewhere", shard, np.arange(2)
    with pytest.raises(InputError, match=r"does not see .*/elsewhere; all workers need /"):
        verification._checked_afar(made_by, *job)

    def older(recipe):
        return dataclasses.replace(made_by, release="0.0.1")

    with ThreadPoolExecutor(2) as pool, monkeypatch.context() as patch:

        @contextmanager
        def threads(*words):
            yield crew(pool)

        patch.setattr(verification, "opened", threads)
        assert verify(out).problems == ()
        patch.setattr(engine, "maker", older)  # in the workers alone: verify has its own name
        with pytest.raises(InputError, match=r"worker on .* has samediff-stimuli 0\.0\.1"):
            verify(out)


@pytest.mark.parametrize("workers", [0, -2])
def test_verify_has_one_worker_or_more(tmp_path, workers):
    """As generate has it; neither is a word for all of them."""
    generate(SMALL, tmp_path / "set", workers=1, parquet=False)
    for call in (verify, lambda out, **how: generate(SMALL, out, **how)):
        with pytest.raises(InputError, match=f"workers {workers} is out of range; legal: 1 or mo"):
            call(tmp_path / "set", workers=workers)


TEST = {"splits": ["test"]}


@pytest.mark.slow
def test_dask_makes_the_same_set_though_a_worker_is_killed(digest, tmp_path):
    """A real cluster gives the digest of one process and counts every row, through a kill -9."""
    rows, killed = [], []

    with cluster(DASK) as address, opened(Engine(name="dask", address=address), None) as workers:
        assert workers.size() == 2
        victim = workers.call(os.getpid)

        def on_rows(n_rows):
            rows.append(n_rows)
            if not killed:
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

        how = {"engine": Engine(name="dask", address=address), "on_rows": on_rows}
        made = generate(RECIPE, tmp_path / "set", **how)
        report = verify(tmp_path / "set", engine=how["engine"])
        export(tmp_path / "set", tmp_path / "afar", "webdataset", **TEST, engine=how["engine"])
    export(tmp_path / "set", tmp_path / "here", "webdataset", **TEST)
    assert files_of(tmp_path / "afar") == files_of(tmp_path / "here")
    assert made.digest() == digest
    assert (report.decoded, report.problems) == (9696, ())
    assert killed
    assert sorted(rows) == [96] + [1600] * 6


@pytest.mark.slow
def test_dask_gives_a_deadly_job_up():
    """A job that kills every worker it is given to ends the run with one line."""
    with (
        cluster(DASK) as address,
        opened(Engine(name="dask", address=address), 1) as workers,
        pytest.raises(ChildProcessError, match="dask workers died"),
    ):
        workers.call(os._exit, 1)


@pytest.mark.slow
def test_ray_makes_the_same_set(digest, tmp_path, monkeypatch):
    """A real Ray cluster gives the digest of one process; stdout holds the summary alone."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # the default since 2.59; older ones ignore it
    monkeypatch.setenv("RAY_AUTH_TOKEN", "made-up-for-the-cluster-of-this-test")
    with cluster(RAY) as address:
        words = ["--engine", "ray", "--address", address, "--out", tmp_path / "set"]
        done = subprocess.run([*COMMAND, *words], capture_output=True, text=True)
        words = ["verify", tmp_path / "set", "--engine", "ray", "--address", address]
        checked = subprocess.run([*COMMAND[:3], *words], capture_output=True, text=True)
        afar = Engine(name="ray", address=address)
        export(tmp_path / "set", tmp_path / "afar", "parquet", **TEST, engine=afar)
    export(tmp_path / "set", tmp_path / "here", "parquet", **TEST)
    assert files_of(tmp_path / "afar") == files_of(tmp_path / "here")
    assert done.returncode == 0, done.stderr
    assert checked.returncode == 0, checked.stderr
    assert "9,696 images decoded" in checked.stdout
    assert done.stdout.startswith(f"{tmp_path / 'set'}: 9,696 images")
    assert f"content digest {digest}\n" in done.stdout
    assert done.stderr.strip() == ""


@pytest.mark.slow
def test_an_interrupt_is_one_line(tmp_path, digest):
    """Ctrl-C, which reaches local workers too, ends all in one line; the run can go on."""
    out = tmp_path / "set"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = ["--engine", "dask", "--workers", "2", "--out", out]
    process = subprocess.Popen([*COMMAND, *words], start_new_session=True, **pipes)
    deadline = time.monotonic() + 300  # starting up takes long on a busy machine
    while not list(out.glob(".partial/*of*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.05)  # the client is at rest again
    os.killpg(process.pid, signal.SIGINT)
    said, complaints = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip() == ""
    assert complaints.strip() == (
        "Error: interrupted; run the same command again: finished shards are kept"
    )
    with pytest.raises(InputError, match="unfinished dataset"):
        load(out)
    assert generate(RECIPE, out, workers=1).digest() == digest
