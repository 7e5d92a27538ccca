"""Runs a list of cells in a process of its own and reports what each did.

The process is forked from one that has the heavy libraries imported already (`multiprocessing`'s forkserver), so a run costs
its own work only. A run that takes too long, is killed or dies is reported, never waited for.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

PRELOAD = ["numpy", "torch", "numba", "faiss", "sklearn.neighbors", "IPython.core.interactiveshell", "plotly.graph_objects",
           "aieng.lesson", "autograder.runner"]


@dataclass(frozen=True)
class CellRun:
    """What one cell did. `messages` is what the learner should read when it failed."""

    name: str
    ok: bool
    messages: tuple[str, ...] = ()
    value: float | None = None  # the last expression, where it is a number


def run_cells(cells: Sequence[tuple[str, str]], time_limit: float = 120.0) -> list[CellRun]:
    """Run (name, source) cells one after the other in one fresh process; each cell that fails lets the others go on.

    A cell that exceeds `time_limit` seconds ends the run; it and the cells after it are reported as not run.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, list(cells)), daemon=True)
    process.start()
    theirs.close()
    runs: list[CellRun] = []
    problem = ""
    try:
        for name, _ in cells:
            try:
                if not ours.poll(time_limit):
                    problem = f"{name} did not finish in {time_limit:g} s: is there a loop that never ends?"
                    break
                runs.append(ours.recv())
            except EOFError:
                process.join(5)
                problem = f"the process died while running {name} (exit code {process.exitcode})"
                break
    finally:
        process.kill()
        process.join()
        ours.close()
    left = [name for name, _ in cells[len(runs):]]
    return runs + [CellRun(name, False, (problem if i == 0 else "not run: an earlier cell ended the run",))
                   for i, name in enumerate(left)]


def _child(pipe: Connection, cells: list[tuple[str, str]]) -> None:
    os.environ["NBGRADER_EXECUTION"] = "autograde"
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["AIENG_PROGRESS_DIR"] = scratch
        os.chdir(scratch)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        shell = _shell()
        for name, source in cells:
            pipe.send(_run_cell(shell, name, source))


def _shell() -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    return InteractiveShell.instance(config=config, colors="nocolor")


def _run_cell(shell: Any, name: str, source: str) -> CellRun:
    try:
        result = shell.run_cell(source, store_history=False)
    except SystemExit as stop:
        return CellRun(name, False, (f"the code called exit ({stop.code})",))
    error = result.error_before_exec or result.error_in_exec
    if error is None:
        value = result.result
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        return CellRun(name, True, (), number)
    return CellRun(name, False, explain(error))


def explain(error: BaseException) -> tuple[str, ...]:
    """An error's text for the learner: a failed check's own messages, an assertion's sentence, or type and text."""
    messages = getattr(error, "messages", None)
    if messages:
        return tuple(messages)
    if isinstance(error, AssertionError):
        return (str(error) or "a hidden test failed",)
    text = "".join(traceback.format_exception_only(error)).strip()
    return (text,)
