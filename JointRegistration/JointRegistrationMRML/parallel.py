"""Work on large arrays in a few threads: NumPy lets other threads run while it copies and compares."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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
