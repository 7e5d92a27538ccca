"""`python -m benchmarks [--json] [--only NAME] [--threads 1 2]`: every comparison, as a table or as JSON."""

from __future__ import annotations

import argparse
import sys

from benchmarks.harness import as_json, as_table, with_threads

MODULES = ("vectors", "sampling", "llm", "tradeoffs")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of a table")
    parser.add_argument("--only", choices=MODULES, help="one group of kernels")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    asked = parser.parse_args()
    rows = []
    for name in MODULES if asked.only is None else (asked.only,):
        for threads in asked.threads:
            print(f"{name}, {threads} thread(s) …", file=sys.stderr)
            rows += with_threads(f"benchmarks.{name}", threads)
    print(as_json(rows) if asked.json else as_table(rows))


if __name__ == "__main__":
    main()
