"""The claims ledger: `make claims` runs the eight source notebooks at full pace and writes assets/claims.md from what they recorded."""

from __future__ import annotations

import ast
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from aieng.lesson import course
from autograder import notebooks, running

PATH = notebooks.ROOT / "assets" / "claims.md"
RECORD = notebooks.ROOT / "assets" / "claims.json"  # what the runs recorded: section -> rows, time, memory, date, machine
MARKS = {"holds": "✓ holds", "holds with limits": "≈ holds with limits", "wrong or dated": "✗ wrong or dated"}


@dataclass(frozen=True)
class Place:
    """Where a claim is settled: its key, and the heading of the notebook's part that holds the cell."""

    key: str
    slug: str
    heading: str


def places(slug: str) -> Iterator[Place]:
    """Every claim of a section's source notebook, in order."""
    heading = ""
    for cell in notebooks.read(notebooks.source_path(slug)).cells:
        if cell.cell_type == "markdown":
            titles = [line.lstrip("# ").strip() for line in cell.source.splitlines() if line.startswith("#")]
            heading = titles[-1] if titles else heading
            continue
        if "claim(" not in cell.source:
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim" and isinstance(node.args[0], ast.Constant):
                yield Place(str(node.args[0].value), slug, heading)


def write(slugs: Sequence[str], path: Path = PATH, record: Path = RECORD) -> dict[str, Any]:
    """Run the sections' source notebooks, keep what they recorded, and write the ledger of all sections that ever ran; returns the record.

    Raises
    ------
    RuntimeError
        A notebook ran to its end and left a claim of its own unrecorded.
    """
    stored = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    for slug in slugs:
        with tempfile.TemporaryDirectory() as folder:
            done = running.run(notebooks.source_path(slug), progress_dir=Path(folder))
            rows = json.loads((Path(folder) / "progress.json").read_text(encoding="utf-8"))["claims"]
        missing = [p.key for p in places(slug) if p.key not in rows]
        if missing:
            raise RuntimeError(f"{slug} ran and did not record {', '.join(missing)}")
        stored[slug] = {"rows": {p.key: {k: rows[p.key][k] for k in ("statement", "verdict", "measured", "source")} for p in places(slug)},
                        "seconds": round(done.seconds), "peak_mb": round(done.peak_mb), "date": date.today().isoformat(),
                        "machine": running.machine("torch", "numpy")}
        record.write_text(json.dumps(dict(sorted(stored.items())), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{slug}: {len(rows)} claims, {done.seconds:.0f} s, {done.peak_mb:.0f} MB", file=sys.stderr, flush=True)
    stored = dict(sorted(stored.items()))
    path.write_text(text(stored), encoding="utf-8")
    return stored


def text(stored: dict[str, Any]) -> str:
    """The ledger as Markdown."""
    verdicts = [row["verdict"] for entry in stored.values() for row in entry["rows"].values()]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in MARKS)
    where = "; ".join(sorted({f"{entry['machine']}, {entry['date']}" for entry in stored.values()}))
    parts = [
        "# The claims ledger",
        f"What the notes behind this course say, and what came out when the notebooks measured it: {len(verdicts)} claims, {counts}.",
        f"Written by `make claims` ({where}); nothing is typed by hand. A row's cell stands in the part of the notebook that it names.",
    ]
    for slug, entry in stored.items():
        parts.append(f"## {course.section(slug).number} {course.section(slug).title}")
        lines = ["| claim | verdict | measured | cell | source |", "|---|---|---|---|---|"]
        for place in places(slug):
            row = entry["rows"][place.key]
            cells = (row["statement"], MARKS[row["verdict"]], row["measured"],
                     f"[{place.heading}](../notebooks/{slug}/{slug}.ipynb)", row["source"])
            lines.append("| " + " | ".join(" ".join(str(c).replace("|", "\\|").split()) for c in cells) + " |")
        parts.append("\n".join(lines))
    lines = ["| notebook | seconds | peak memory of its kernel, MB |", "|---|---|---|"]
    lines += [f"| {slug} | {entry['seconds']} | {entry['peak_mb']:,} |" for slug, entry in stored.items()]
    parts += ["## What the runs took", "Each source notebook cold, from its first cell to its last, at full pace.", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"
