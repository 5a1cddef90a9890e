"""Long work in short steps, so that a window stays alive in between: generators that pause after each step.

A generator's return value is its result::

    def sumSteps(values):
        sums = []
        yield from inSteps(len(values), lambda part: sums.append(values[part].sum()))
        return sum(sums)

    finished(sumSteps(values))  # without a pause
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from importlib import import_module
from typing import TypeVar

from JointRegistrationLib.core.progress import finished as finished  # noqa: PLC0414 who takes steps finds it here

R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")

#: How long a step should take. A window that waits for twice that still feels alive.
STEP_S = 0.03
_LARGEST_GROWTH = 4


def inSteps(count: int, work: Callable[[slice], object], first: int = 1, least: int = 1) -> Generator[None, None, None]:
    """Call ``work`` with one part of ``range(count)`` after the other, and pause after each.

    Args:
        count: how much there is to do.
        work: does a part. It is timed to choose the length of the next one: about :data:`STEP_S`.
        first: length of the first part, before anything is known.
        least: no part is shorter, but the last: for work that costs something however short the part is.
    """
    start, length = 0, max(least, first)
    while start < count:
        stop = min(count, start + length)
        began = time.perf_counter()
        work(slice(start, stop))
        taken = max(time.perf_counter() - began, 1e-6)
        length = max(least, int(length * min(STEP_S / taken, _LARGEST_GROWTH)))
        start = stop
        yield


def importSteps(*names: str) -> Generator[None, None, None]:
    """Import modules, one in each step. One that is missing is left out: who needs it will say so."""
    for name in names:
        with suppress(ImportError):
            import_module(name)
        yield


def named(steps: Generator[None, None, T], fraction: float, what: str) -> Generator[tuple[float, str], None, T]:
    """Steps that tell how far the whole is and what is being done, by steps that do not: of something nearly done."""
    yield fraction, what
    return (yield from saying((fraction, what), steps))


def saying(value: S, steps: Generator[None, None, T]) -> Generator[S, None, T]:
    """The same steps, each of which yields ``value``."""
    return telling(steps, lambda _told: value)


def telling(steps: Generator[R, None, T], words: Callable[[R], S]) -> Generator[S, None, T]:
    """The same steps, each of which yields ``words`` of what it yielded."""
    while True:
        try:
            told = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        yield words(told)


def inThread(work: Callable[[], T]) -> Generator[None, None, T]:
    """The result of ``work``, done in a thread of its own: NumPy and SimpleITK let others run. Not for nodes.

    If the generator is closed, the thread goes on to its end, and its result is dropped.
    """
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    while not wait([future], STEP_S / 3).done:
        yield
    return future.result()


Made = TypeVar("Made")

_THREADS = 4  # copying is bound by the memory, which more do not make faster
_PART_BYTES = 4 * 2**20


def inParallel(function: Callable[[slice], Made], parts: Iterable[slice]) -> list[Made]:
    """``function`` of each part, in order."""
    parts = list(parts)
    if len(parts) < 2:
        return [function(part) for part in parts]
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, parts))


def slabs(count: int, totalBytes: int) -> list[slice]:
    """Parts of an array along its first axis, of a few megabytes each.

    Args:
        count: its length.
        totalBytes: its size.
    """
    step = max(1, count * _PART_BYTES // max(1, totalBytes))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
