"""Where a notebook is running: in somebody's lab, or under a grader."""

from __future__ import annotations

import os
import sys


def grading() -> bool:
    """Whether nbgrader (or the course's own grader) is running this notebook.

    nbgrader sets ``NBGRADER_EXECUTION`` to ``autograde`` or ``validate`` while it executes cells; in the lab it is unset.
    """
    return bool(os.environ.get("NBGRADER_EXECUTION"))


def spare_stderr() -> None:
    """While nbgrader runs a notebook, send what would go to standard error to standard output.

    nbgrader gives no points to a graded cell that writes to standard error; a right answer's warning or progress bar must not cost them.
    """
    if grading() and type(sys.stderr).__module__.startswith("ipykernel"):
        sys.stderr = sys.stdout


def interactive_allowed() -> bool:
    """Whether live widgets make sense: not while grading, where nobody looks and a widget's messages can stall the kernel."""
    return not grading()


def quick() -> bool:
    """Whether experiments should take their small sizes (``AIENG_PACE=quick``), as tests do to see that every cell runs.

    The numbers of a quick run are real but rough; the claims ledger is made at full pace.
    """
    pace = os.environ.get("AIENG_PACE", "full")
    if pace not in ("quick", "full"):
        raise ValueError(f"AIENG_PACE is {pace!r}; set it to quick or full, or leave it unset (full)")
    return pace == "quick"
