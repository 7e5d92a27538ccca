"""Runs whole notebooks outside a grader: for the claims ledger and for the read-only pages."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from autograder import notebooks

_PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


@dataclass(frozen=True)
class Run:
    """A notebook with its outputs, and what it took."""

    slug: str
    book: NotebookNode
    seconds: float
    peak_mb: float  # the kernel's largest resident memory


def run(path: Path, *, progress_dir: Path, pace: str = "full", widgets: bool = True) -> Run:
    """Run every cell of the notebook at `path`, in a folder of its own and with a learner's record of its own.

    Parameters
    ----------
    progress_dir : where progress and claims are recorded (`progress.json`)
    pace : "full", or "quick" for the small sizes of the experiments
    widgets : whether interactive figures are live; without, their first state is shown as a still picture

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell failed: the notebook is broken.
    """
    book = notebooks.read(path)
    book.cells.append(nbformat.v4.new_code_cell(_PEAK))
    environment = {k: v for k, v in os.environ.items() if k != "NBGRADER_EXECUTION"}
    environment |= {"AIENG_PROGRESS_DIR": str(progress_dir), "AIENG_PACE": pace, "AIENG_WIDGETS": "on" if widgets else "off"}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}})
        client.execute(env=environment)
    seconds = time.perf_counter() - started
    peak = book.cells.pop()
    unit = 1024 if os.uname().sysname == "Linux" else 1024**2  # macOS counts bytes
    return Run(path.stem, book, seconds, float(peak.outputs[0].text) / unit)


def machine(*libraries: str) -> str:
    """The machine and the versions that a measurement belongs to."""
    parts = f"{platform.system()} {platform.machine()}", f"{os.cpu_count()} cores", f"Python {platform.python_version()}"
    return ", ".join([*parts, *(f"{name} {version(name)}" for name in libraries)])
