"""The claims ledger: what the notes say, what came out when it was measured here."""

from __future__ import annotations

import math
import platform
from datetime import UTC, datetime
from typing import Any

from IPython.display import display

from aieng.lesson import progress
from aieng.lesson.environment import grading
from aieng.lesson.html import Card, Line

VERDICTS = ("holds", "holds with limits", "wrong or dated")


def claim(key: str, statement: str, verdict: str, measured: str, source: str) -> None:
    """Show one row of the ledger and, in the lab, record it.

    Parameters
    ----------
    key : "01-memory": section number, dash, a short name; one row each
    statement : the claim, in our words
    verdict : "holds", "holds with limits" or "wrong or dated"
    measured : what the notebook measured, with its numbers already in the text
    source : the paper or documentation that goes with it
    """
    if verdict not in VERDICTS:
        raise ValueError(f"verdict {verdict!r}; choose one of {', '.join(VERDICTS)}")
    if not grading():
        row = {"statement": statement, "verdict": verdict, "measured": measured, "source": source,
               "machine": f"{platform.system()} {platform.machine()}", "at": datetime.now(UTC).isoformat(timespec="seconds")}
        progress.update(lambda record: record["claims"].update({key: row}))
    mark = {"holds": "✓", "holds with limits": "≈", "wrong or dated": "✗"}[verdict]
    display(Card(f"Claim: {statement}", {"✓": "good", "≈": "open", "✗": "bad"}[mark],
                 (Line(mark, verdict, f"Measured: {measured}\nSource: {source}"),)))


def number(value: Any, form: str = ".3g") -> str:
    """A measured number for a sentence; "not measured" where its experiment was skipped."""
    value = float(value)
    return "not measured" if math.isnan(value) else format(value, form)
