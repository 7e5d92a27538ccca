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
    """Whether live widgets make sense: not while grading, where nobody looks and a widget's messages can stall the kernel.

    ``AIENG_WIDGETS=off`` shows still figures instead, for pages that no kernel stands behind.
    """
    return not grading() and _one_of("AIENG_WIDGETS", "on", "off") == "on"


def quick() -> bool:
    """Whether experiments should take their small sizes (``AIENG_PACE=quick``), as tests do to see that every cell runs.

    The numbers of a quick run are real but rough; the claims ledger is made at full pace.
    """
    return _one_of("AIENG_PACE", "full", "quick") == "quick"


def _one_of(variable: str, default: str, other: str) -> str:
    value = os.environ.get(variable) or default
    if value not in (default, other):
        raise ValueError(f"{variable} is {value!r}; set it to {other} or {default}, or leave it unset ({default})")
    return value
