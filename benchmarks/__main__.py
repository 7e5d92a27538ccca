"""`python -m benchmarks [--json] [--only NAME …] [--threads 1 2] [--record]`: every comparison, as a table or as JSON."""

from __future__ import annotations

import argparse
import sys

from benchmarks import record
from benchmarks.harness import Row, as_json, as_table, with_threads

MODULES = ("vectors", "sampling", "llm", "optimizations", "tradeoffs")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of a table")
    parser.add_argument("--only", choices=MODULES, nargs="+", default=MODULES, help="some groups of kernels")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--record", action="store_true", help="keep the rows in assets/benchmarks.json and quote them in README.md")
    asked = parser.parse_args()
    rows: list[Row] = []
    for name in asked.only:
        for threads in asked.threads:
            print(f"{name}, {threads} thread(s) …", file=sys.stderr, flush=True)
            measured = with_threads(f"benchmarks.{name}", threads)
            rows += measured
            if asked.record:
                record.keep(name, measured, replace=threads == asked.threads[0])
    if asked.record:
        record.quote()
    print(as_json(rows) if asked.json else as_table(rows))


if __name__ == "__main__":
    main()
