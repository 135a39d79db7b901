"""Who makes the shards: processes of this machine, or the workers of a Dask or a Ray cluster.

A crew is what an engine opens: it calls a function for each of many jobs and gives the results as
they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from samediff_stimuli.recipe import InputError

NAMES = ("loky", "dask", "ray")
AGAIN = "run the same command again"  # the command line adds what is kept, if anything
_DIED = ("KilledWorker", "WorkerCrashedError", "TerminatedWorkerError", "OutOfMemoryError")
EXAMPLES = {
    "dask": "tcp://HOST:8786",
    "ray": "HOST:6379 on a node of the cluster, ray://HOST:10001 from elsewhere, or auto",
}


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What makes shards: "loky" (processes of this machine), "dask" or "ray".

    Args:
        name: one of NAMES.
        address: of a running Dask scheduler or Ray cluster; None starts workers on this machine
            and ends them afterwards.

    Raises:
        InputError: if there is no such engine, or if it has no use for the address.
    """

    name: str = "loky"
    address: str | None = None

    def __post_init__(self) -> None:
        """Check both."""
        if self.name not in NAMES:
            raise InputError(f"unknown engine {self.name!r}; known: {', '.join(NAMES)}")
        if self.address is None:
            return
        if self.name == "loky":
            raise InputError(
                f"--address {self.address!r} is of no use to engine 'loky', which works on this "
                "machine; add --engine dask or --engine ray, or leave the address out"
            )
        if not self.address.strip():
            raise InputError(f"--address is empty; give {EXAMPLES[self.name]}, or leave it out")


LOKY = Engine()


class Crew(Protocol):
    """Workers that are ready."""

    def size(self) -> int:
        """How many work at once."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns where shards are made."""

    def finished(
        self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """What a function returns for each job's arguments, in the order in which they end."""


def check_workers(workers: int | None) -> None:
    """Refuse a number of workers below one; None is a choice that is left to others.

    Raises:
        InputError: if it is below 1.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers {workers} is out of range; legal: 1 or more")


def chosen_workers(workers: int | None, usual: int, engine: Engine) -> int | None:
    """How many shards to work on at once; None for as many as a cluster elsewhere has workers.

    Args:
        workers: as the user chose, if so.
        usual: what is fastest on this machine.
        engine: who works.

    Raises:
        InputError: if it is below 1.
    """
    check_workers(workers)
    return usual if workers is None and engine.address is None else workers


@contextmanager
def opened(engine: Engine, workers: int | None, costly: bool = False) -> Iterator[Crew]:
    """The crew of an engine; all that was started or connected to is closed at the end.

    Args:
        engine: the choice.
        workers: how many shards to make at once; None, which needs an address, for as many as the
            cluster has workers.
        costly: each shard keeps the processors of a machine busy by itself.

    Raises:
        InputError: if workers is below 1, the library is not installed, or the cluster cannot be
            reached or has no workers.
        ConnectionError: while shards are made, if the cluster is lost.
        ChildProcessError: while shards are made, if workers die again and again.
    """
    check_workers(workers)
    if engine.name == "loky":
        yield Here(workers or 1)
        return
    from samediff_stimuli import clusters

    opener = clusters.on_dask if engine.name == "dask" else clusters.on_ray
    with opener(engine, workers, costly) as crew:
        yield crew


@dataclass(frozen=True)
class Here:
    """Processes of this machine, through joblib; one works in this process."""

    workers: int

    def size(self) -> int:
        """As `Crew.size`."""
        return self.workers

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """As `Crew.call`."""
        return function(*arguments)

    def finished(
        self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """As `Crew.finished`."""
        if self.workers == 1:
            yield from (function(*job) for job in jobs)
            return
        from joblib import Parallel, delayed

        pool = Parallel(
            n_jobs=self.workers, backend="loky", return_as="generator_unordered", batch_size=1
        )
        try:
            yield from pool(delayed(function)(*job) for job in jobs)
        except RuntimeError as error:
            if type(error).__name__ not in _DIED:
                raise
            raise lost("loky", error) from error


def lost(name: str, error: Exception) -> OSError:
    """What the loss of workers, or of a whole cluster, is to the user: one line."""
    kind = type(error).__name__
    if kind in _DIED:
        return ChildProcessError(
            f"{name} workers died at work, perhaps for want of memory; {AGAIN}, perhaps with fewer "
            "workers"
        )
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    why = f"{kind}: {said[-1]}" if said else kind
    return ConnectionError(f"the {name} cluster was lost or cannot do the work ({why}); {AGAIN}")
