"""Work that is done ahead in other threads, while what is ready is used.

Decoders, OpenCV and ONNX Runtime let go of Python's lock while they compute, so threads are enough.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Given = TypeVar("Given")
Item = TypeVar("Item")

WORKERS = max(1, os.cpu_count() or 1)
"""Threads that work at once."""
_END: Any = object()


@contextmanager
def ahead(items: Iterator[Item], *, ready: int = 2) -> Iterator[Iterator[Item]]:
    """Take the first items, and then the next ones, in another thread while one is used.

    When the context ends the other thread has stopped, and what the items come from may be closed.

    Args:
        items: used by nobody else.
        ready: so many may wait to be used: pictures are large.

    Yields:
        The items in their order; what taking one raises is raised in its place.

    >>> with ahead(iter("abc")) as letters:
    ...     list(letters)
    ['a', 'b', 'c']
    """
    pool = ThreadPoolExecutor(1)
    try:
        waiting = deque(pool.submit(next, items, _END) for _ in range(ready))
        yield _ready(items, waiting, pool)
    finally:
        pool.shutdown(cancel_futures=True)


def _ready(
    items: Iterator[Item], waiting: deque[Future[Item]], pool: ThreadPoolExecutor
) -> Iterator[Item]:
    while (item := waiting.popleft().result()) is not _END:
        waiting.append(pool.submit(next, items, _END))
        yield item
        # It may be large, and the next one takes a while.
        del item


def in_order(
    function: Callable[[Given], Item], given: Iterable[Given], *, workers: int = WORKERS
) -> Iterator[Item]:
    """Apply a function in several threads.

    Args:
        function: may be called by several threads at once.
        given: what it is applied to; taken one after the other, at most ``workers`` ahead of what
            is asked for.
        workers: how many threads.

    Yields:
        The results in the order of what was given; what the function raises is raised there.

    >>> list(in_order(str.upper, ["a", "b"]))
    ['A', 'B']
    """
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Item]] = deque()
    try:
        for each in given:
            waiting.append(pool.submit(function, each))
            while waiting and (len(waiting) > workers or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
