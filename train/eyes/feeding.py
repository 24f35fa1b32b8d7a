"""What is made one after the other, or by several processes, in the same order."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import cv2
from tqdm import tqdm

_S = TypeVar("_S")
_T = TypeVar("_T")
_AHEAD = 4  # of each process: results that may wait to be taken

# What the processes make, handed over by fork: the pictures are too many to send.
_make: Callable[[Any], Any] | None = None


def results(
    make: Callable[[_S], _T], given: Iterable[_S], workers: int, told: str | None = None
) -> Iterator[_T]:
    """Yield what *make* makes of each of *given*, in their order.

    Args:
        make: is called in another process if there are *workers*, and must hold nothing that a
            fork breaks: no TensorFlow, no threads.
        given: what to call it with, such as a number; sent to the other process.
        workers: processes; 0 makes everything in this one.
        told: what a progress bar is called; None shows none.
    """
    given = tqdm(given, desc=told) if told else given
    if not workers:
        yield from map(make, given)
        return
    global _make  # noqa: PLW0603 - by fork, see above
    _make = make
    threads = cv2.getNumThreads()
    # Before the fork: a child would wait for ever for OpenCV's threads, which stay in the parent.
    cv2.setNumThreads(1)
    try:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            _make = None
            waiting: deque[Any] = deque()
            for each in given:
                waiting.append(pool.apply_async(_made, (each,)))
                if len(waiting) > _AHEAD * workers:
                    yield waiting.popleft().get()
            while waiting:
                yield waiting.popleft().get()
    finally:
        cv2.setNumThreads(threads)


def _made(given: Any) -> Any:  # noqa: ANN401 - whatever is made
    if _make is None:
        raise RuntimeError("this process was not forked by `results`")
    return _make(given)
