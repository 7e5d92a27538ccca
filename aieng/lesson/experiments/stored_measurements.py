"""Measurements of section 05 that take minutes: made by assets/measure_tradeoffs.py, shipped, and shown with their machine and date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aieng.figures.tradeoffs import size_perplexity
from aieng.lesson.finding import Finding, experiment

_FILE = Path(__file__).resolve().parents[3] / "assets" / "tradeoffs.json"


def stored() -> dict[str, Any]:
    """Everything that was measured, by name."""
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


@experiment
def size_against_perplexity() -> Finding:
    """All methods in one picture, from the stored measurement.

    The numbers: one entry per method, {"bits", "bytes", "perplexity"}, by its name.
    """
    rows, about = stored()["perplexity"], stored()["perplexity_text"]
    base = rows["float32"]
    order = sorted(rows.items(), key=lambda item: -item[1]["bytes"])
    table = "\n".join(f"| {name} | {r['bits']:.2f} | {r['bytes'] / 1e6:.0f} | {r['perplexity']:.2f} | "
                      f"{r['perplexity'] / base['perplexity'] - 1:+.1%} |"
                      for name, r in order)
    sentence = (f"| method | bits per weight | MB | perplexity | against float32 |\n|---|---|---|---|---|\n{table}\n\n"
                f"Measured once for the course, not now: {about['tokens']:,} tokens of held-out text in windows of {about['window']}, "
                f"GPTQ calibrated on "
                f"{about['calibration_tokens']:,} tokens of another text ({base['processor']}, {base['date']}). "
                "`python assets/measure_tradeoffs.py` repeats it.")
    points = [(name, r["bytes"] / 1e6, r["perplexity"]) for name, r in order if name != "float32"]
    return Finding(sentence, size_perplexity(points, base["perplexity"]), dict(rows))
