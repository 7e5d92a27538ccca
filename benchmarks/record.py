"""Keeps measured rows with their machine and date in assets/benchmarks.json, and quotes them in the README."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from autograder.running import machine
from benchmarks.harness import Row, short

ROOT = Path(__file__).resolve().parents[1]
PATH = ROOT / "assets" / "benchmarks.json"
README = ROOT / "README.md"
GRADER = ROOT / "autograder" / "README.md"
LIBRARIES = ("torch", "numpy", "numba", "faiss-cpu", "hnswlib", "transformers", "tokenizers", "nbgrader")
BEGIN, END = "<!-- benchmarks: written by python -m benchmarks --record -->", "<!-- end of benchmarks -->"


def keep(group: str, rows: Sequence[Row], *, replace: bool, path: Path = PATH) -> None:
    """Store a group's rows in place of those that were there (`replace`), or of those that measure the same."""
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    measured = {(r.what, r.peer) for r in rows}
    old = [] if replace else [r for r in stored.get(group, {}).get("rows", []) if (r["what"], r["peer"]) not in measured]
    stored[group] = {"date": date.today().isoformat(), "machine": machine(*LIBRARIES), "rows": old + [asdict(r) for r in rows]}
    path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def section(stored: dict[str, Any]) -> str:
    """The README's table: every comparison that has a ratio to reach."""
    lines = ["| what | peer | ours | theirs | unit | ratio | to reach |", "|---|---|---|---|---|---|---|"]
    for group in stored.values():
        for r in (Row(**row) for row in group["rows"]):
            if r.target is not None:
                reach = f"{r.target:.2f}" if r.ratio >= r.target else f"{r.target:.2f} (missed)"
                cells = (r.what, r.peer, short(r.ours), short(r.theirs), r.unit, f"**{r.ratio:.2f}**", reach)
                lines.append(f"| {' | '.join(cells)} |")
    days = sorted({g["date"] for g in stored.values()})
    machines = sorted({g["machine"] for g in stored.values()})
    return "\n".join([f"Measured {' and '.join(days)} on {'; '.join(machines)}. Ratios above 1 are in our favour.", "", *lines])


def hostile(stored: dict[str, Any]) -> str:
    """The grader's table: how many of each class of hostile submissions each grader withstands."""
    rows = [Row(**r) for r in stored.get("grading", {}).get("rows", []) if r["what"].startswith("hostile")]
    peers = list(dict.fromkeys(r.peer for r in rows))
    lines = [f"| class | submissions | this grader | {' | '.join(peers)} |", "|---|---|---|" + "---|" * len(peers)]
    for what in dict.fromkeys(r.what for r in rows):
        ours = next(r.ours for r in rows if r.what == what)
        theirs = (next((f"{r.theirs:g}" for r in rows if (r.what, r.peer) == (what, peer)), "") for peer in peers)
        lines.append(f"| {what.removeprefix('hostile, ').split(':')[0]} | {ours:g} | {ours:g} | {' | '.join(theirs)} |")
    return "\n".join(lines)


def quote(path: Path = PATH, readme: Path = README, grader: Path = GRADER) -> None:
    """Put the tables between the markers of the README and of the grader's README."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    for document, table in ((readme, section(stored)), (grader, hostile(stored))):
        before, rest = document.read_text(encoding="utf-8").split(BEGIN)
        _, after = rest.split(END)
        document.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
