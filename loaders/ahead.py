"""Work done ahead by threads, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(work: Callable[[Item], Result], items: Iterator[Item], threads: int) -> Iterator[Result]:
    """The results of work on items in order, up to two a thread done before they are asked for.

    An exception in `work` is raised where its result is asked for. When the iterator is closed,
    what has not begun is dropped, and what has is not waited for: the garbage collector may close
    it, in a thread that others wait for.
    """
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
