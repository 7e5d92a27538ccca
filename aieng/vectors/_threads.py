"""Shares loops over rows among threads; the compiled kernels release Python's lock while they run."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Self


def thread_count() -> int:
    """OMP_NUM_THREADS where it is set, as for numpy's and torch's own products; else the CPUs this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Threads:
    """Some threads for the length of a `with` block. None outlive it, so that a process can be forked, as grading does."""

    def __init__(self, count: int | None = None) -> None:
        self.count = thread_count() if count is None else count
        self._pool = ThreadPoolExecutor(self.count) if self.count > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def share(self, n: int, work: Callable[[int, int], Any]) -> None:
        """Call `work(start, stop)` on consecutive ranges that cover 0 … n, one for each thread."""
        parts = min(self.count, n)
        if self._pool is None or parts <= 1:
            work(0, n)
            return
        bounds = [n * i // parts for i in range(parts + 1)]
        for done in [self._pool.submit(work, start, stop) for start, stop in pairwise(bounds)]:
            done.result()
