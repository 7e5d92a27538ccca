"""Runs two implementations in turn and compares the medians.

Machines are noisy, so both sides run interleaved in one process and only ratios are claimed. The number of threads is a property of the
process (of BLAS and OpenMP as much as of our own kernels), so each thread count gets a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One comparison. `ratio` is higher when ours is better, whatever the unit."""

    what: str
    peer: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    target: float | None  # the ratio to reach; None where the comparison is for information


def compare(
    what: str, peer: str, ours: Callable[[], Any], theirs: Callable[[], Any], *,
    work: int, unit: str, target: float | None, repeats: int = 7,
) -> Row:
    """Time both calls in turn, `repeats` times after one warm-up each; `work` units are done by one call ("queries/s")."""
    ours(), theirs()
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for repeat in range(repeats):
        # Alternate who goes first: whoever follows finds the other's data in the caches.
        for name, call in (("ours", ours), ("theirs", theirs))[:: 1 if repeat % 2 else -1]:
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    mine, other = (work / statistics.median(seconds[name]) for name in ("ours", "theirs"))
    return Row(what, peer, mine, other, unit, mine / other, target)


def less_is_better(what: str, peer: str, ours: float, theirs: float, unit: str, target: float | None = None) -> Row:
    """A comparison of sizes or errors, such as bytes per vector; nothing at all counts as a thousandth."""
    return Row(what, peer, ours, theirs, unit, theirs / max(ours, theirs / 1000), target)


def more_is_better(what: str, peer: str, ours: float, theirs: float, unit: str, target: float | None = None) -> Row:
    """A comparison of qualities, such as recall."""
    return Row(what, peer, ours, theirs, unit, ours / theirs, target)


def with_threads(module: str, threads: int) -> list[Row]:
    """The rows that `python -m module --json --threads N` prints, in a process that may use N threads."""
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = os.environ | {name: str(threads) for name in variables}
    command = [sys.executable, "-m", module, "--json", "--threads", str(threads)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{module} with {threads} threads ended with status {done.returncode}; its messages are above")
    return [Row(**row) for row in json.loads(done.stdout)]


def main(measure: Callable[[int], list[Row]], about: str | None) -> None:
    """The command line of one group: `python -m benchmarks.GROUP [--threads N] [--json]`."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = measure(asked.threads)
    print(as_json(rows) if asked.json else as_table(rows))


def as_json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1)


def as_table(rows: Sequence[Row]) -> str:
    """Plain text for a terminal."""
    lines = [f"{'what':<58} {'peer':<22} {'ours':>10} {'theirs':>10} {'unit':<12} {'ratio':>6} {'target':>7}"]
    for r in rows:
        target = "" if r.target is None else f"{r.target:.2f}{' ' if r.ratio >= r.target else '!'}"
        lines.append(f"{r.what:<58} {r.peer:<22} {short(r.ours):>10} {short(r.theirs):>10} {r.unit:<12} {r.ratio:>6.2f} {target:>7}")
    return "\n".join(lines)


def short(value: float) -> str:
    """Three figures, or whole numbers from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
