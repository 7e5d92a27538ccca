"""Where a notebook is running: in somebody's lab, or under a grader."""

from __future__ import annotations

import os


def grading() -> bool:
    """Whether nbgrader (or the course's own grader) is running this notebook.

    nbgrader sets ``NBGRADER_EXECUTION`` to ``autograde`` or ``validate`` while it executes cells; in the lab it is unset.
    """
    return bool(os.environ.get("NBGRADER_EXECUTION"))


def interactive_allowed() -> bool:
    """Whether live widgets make sense: not while grading, where nobody looks and a widget's messages can stall the kernel."""
    return not grading()
