"""Workers of a Dask or a Ray cluster, of this machine or elsewhere: no other module knows either.

Clusters are used through their futures: joblib's backends for them hand nothing over one by one
(Ray), or wait for ever when a job's workers have died (Dask). Both make a job anew some times if
its worker dies.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

from samediff_stimuli.engines import AGAIN, EXAMPLES, Crew, Engine, lost
from samediff_stimuli.recipe import InputError

_CONNECTING = 5.0  # seconds until an address counts as out of reach
_LOOK = 0.5  # seconds between two looks at Ctrl-C, and at the cluster
_PATIENCE = 30.0  # seconds that a cluster may be without any worker
_RAY = {"RAY_NUM_REDIS_GET_RETRIES": 2}  # how often it asks what is no Ray, for up to 40 s each


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Workers of a cluster, wherever they are.

    Args:
        name: of the engine.
        submit: hands a call of `_attempt` over.
        count: how many workers there are now.
        most: shards to make at once; None for as many as there are workers.
        listen: raises KeyboardInterrupt if Ctrl-C was pressed.
    """

    name: str
    submit: Callable[[Callable[..., Any], tuple[Any, ...]], Future[Any]]
    count: Callable[[], int]
    most: int | None
    listen: Callable[[], None] = lambda: None

    def size(self) -> int:
        """As `Crew.size`."""
        return self.most or self.count()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """As `Crew.call`."""
        return next(self.finished(function, [arguments]))

    def finished(
        self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """As `Crew.finished`; workers that join are given jobs, those of a lost one go to others.

        Raises:
            ConnectionError: if there is no worker any more.
            ChildProcessError: if workers die of the same job again and again.
        """
        left, running, idle = iter(jobs), set[Future[Any]](), 0.0
        while True:
            self.listen()
            try:
                room = self.size() - len(running)
                running |= {
                    self.submit(function, job)
                    for job in islice(left, max(room, 0 if running else 1))
                }
                done, running = wait(running, _LOOK, FIRST_COMPLETED)
                idle = 0.0 if done else idle + _LOOK
                gone = bool(running) and idle >= _PATIENCE and self.count() == 0
                outcomes = [future.result() for future in done]
            except Exception as error:  # those of the jobs come as values
                raise lost(self.name, error) from error
            if gone:
                raise ConnectionError(f"the {self.name} cluster has no workers left; {AGAIN}")
            if not done and not running:
                return
            for result, raised in outcomes:
                if raised is not None:
                    raise raised
                yield result


_one = threading.Lock()  # in a worker: one shard at a time in a process, however many threads


def _attempt(
    function: Callable[..., Any], arguments: tuple[Any, ...], threads: int | None = None
) -> tuple[Any, Any]:
    """In a worker: what a call returns and None, or None and what it raised.

    Args:
        function: what to call.
        arguments: with what.
        threads: for a renderer that is started on the way; None for what is usual.
    """
    with _one, _environment(OMP_NUM_THREADS=threads):
        try:
            return function(*arguments), None
        except Exception as error:
            error.add_note(f"on {platform.node()}: {traceback.format_exc()}")
            return None, error


def _attempt_on_dask(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    """As `_attempt`; a renderer has as many threads as the worker, whose own setting is 1."""
    from distributed import get_worker

    return _attempt(function, arguments, get_worker().state.nthreads)


@contextmanager
def _environment(**values: object) -> Iterator[None]:
    """Set environment variables for a while; None leaves one as it is."""
    given = {name: str(value) for name, value in values.items() if value is not None}
    before = {name: os.environ[name] for name in given if name in os.environ}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def on_dask(engine: Engine, workers: int | None, costly: bool) -> Iterator[Crew]:
    """A crew of Dask workers; see `engines.opened`."""
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise _absent(engine, "distributed") from error
    with ExitStack() as stack:
        stack.enter_context(_quiet("distributed", "distributed.client", "tornado.application"))
        place: Any = engine.address
        if engine.address is None:
            with _deaf_children():
                place = LocalCluster(
                    n_workers=workers or 1,
                    threads_per_worker=_share(workers or 1) if costly else 1,
                    processes=True,
                    memory_limit=0,
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=logging.CRITICAL,
                )
            stack.enter_context(place)
        else:
            _probe(engine)
        client = Client(place, timeout=_CONNECTING, set_as_default=False)
        stack.enter_context(client)
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise _idle(engine) from error
        pool = client.get_executor(pure=False)
        listen = stack.enter_context(_ears())
        yield Cluster(
            name="dask",
            submit=lambda function, job: pool.submit(_attempt_on_dask, function, job),
            count=lambda: len(client.nthreads()),
            most=workers,
            listen=listen,
        )


@contextmanager
def _ears() -> Iterator[Callable[[], None]]:
    """A function that raises KeyboardInterrupt if Ctrl-C was pressed since.

    An exception that is raised wherever the program happens to be is dropped if that is a
    finaliser, as of a future. The second time Ctrl-C does what it did before.
    """
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: None
        return

    def hear(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            before(number, frame)

    def listen() -> None:
        if pressed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, hear)
    try:
        yield listen
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Threads and processes that are started meanwhile leave Ctrl-C to this one."""
    resource_tracker.ensure_running()  # it would let them hear again when it is first needed
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _probe(engine: Engine) -> None:
    """Raise unless a Dask scheduler answers; a client that fails to start would not end quietly."""
    from distributed.comm import connect
    from distributed.security import Security

    async def greet() -> None:
        security = Security().get_connection_args("client")
        (await connect(engine.address, timeout=_CONNECTING, **security)).abort()

    try:
        with ThreadPoolExecutor(1) as pool:  # the caller's thread may have a loop, in a notebook
            pool.submit(lambda: asyncio.run(greet())).result()
    except Exception as error:  # what answers may be anything
        raise _unreachable(engine, error) from error


@contextmanager
def on_ray(engine: Engine, workers: int | None, costly: bool) -> Iterator[Crew]:
    """A crew of Ray's workers; see `engines.opened`."""
    with ExitStack() as stack:
        stack.enter_context(_environment(**_RAY))
        try:
            import ray
        except ImportError as error:
            raise _absent(engine, "ray") from error
        stack.enter_context(_quiet("ray"))
        stack.enter_context(redirect_stdout(sys.stderr))  # where Ray says that a worker died
        if not ray.is_initialized():  # else what the caller is connected to is used, and stays
            stack.callback(ray.shutdown)
            _connect(ray, engine, workers)
        nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        nodes = [int(cpus) for cpus in nodes if cpus >= 1]
        if not nodes:
            raise _idle(engine)
        # A costly shard takes a machine, or its part of one, so that no two share processors.
        together = -(-(workers or len(nodes)) // len(nodes))
        cpus = max(1, min(nodes) // together) if costly else 1
        listen = stack.enter_context(_ears())
        task = ray.remote(_attempt).options(num_cpus=cpus, scheduling_strategy="SPREAD")
        yield Cluster(
            name="ray",
            submit=lambda function, job: task.remote(function, job).future(),
            count=lambda: int(ray.cluster_resources().get("CPU", 0)) // cpus,
            most=workers,
            listen=listen,
        )


def _connect(ray: Any, engine: Engine, workers: int | None) -> None:
    """Start a local Ray, or connect to one; what does not answer is found out before Ray waits."""
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if engine.address is None:
        few = {"object_store_memory": 100_000_000}  # results are some lines each
        ray.init("local", num_cpus=workers or 1, include_dashboard=False, **few, **quiet)
        return
    host, colon, port = engine.address.removeprefix("ray://").rpartition(":")
    try:
        if colon and port.isdigit():
            socket.create_connection((host, int(port)), timeout=_CONNECTING).close()
        ray.init(engine.address, **quiet)
    except (OSError, ValueError, RuntimeError, OverflowError, AssertionError) as error:
        raise _unreachable(engine, error) from error


def _share(workers: int) -> int:
    """Processors of this machine for each of some workers."""
    return max(1, (os.cpu_count() or 1) // workers)


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Let some loggers say nothing: what goes wrong is raised."""
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _absent(engine: Engine, library: str) -> InputError:
    return InputError(
        f"--engine {engine.name} needs the library {library!r}, which is not installed; run: "
        "pip install 'samediff-stimuli[cluster]'"
    )


def _unreachable(engine: Engine, error: Exception) -> InputError:
    said = str(error).strip().splitlines()
    return InputError(
        f"--address {engine.address!r} cannot be reached ({said[0] if said else error!r}); "
        f"give that of a running {engine.name} cluster: {EXAMPLES[engine.name]}"
    )


def _idle(engine: Engine) -> InputError:
    where = engine.address or "this machine"
    return InputError(f"the {engine.name} cluster at {where!r} has no workers; start some first")
