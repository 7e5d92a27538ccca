"""Runs one submission's cells and tests in the sandbox, and says what each did. This is the grader's side; it trusts nothing it is sent.

`run` takes and returns plain dictionaries, so that it can be handed to any executor: threads here, or workers of a Dask cluster.
"""

from __future__ import annotations

import atexit
import os
import secrets
import select
import signal
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import psutil

from autograder.inside import hardening, wire
from autograder.inside.isolation import Limits
from autograder.sandbox import Preparation, SandboxError, Template

STARTUP_SECONDS = 60.0
MAX_TEMPLATES = 2


@dataclass(frozen=True)
class Cell:
    """A cell to run. A graded one has an `exercise`; its source holds the tests and never reaches the learner's process."""

    source: str
    name: str = ""
    exercise: str | None = None  # "1.3", or the name of a graded cell that is no exercise ("quiz")
    hidden: tuple[int, int] = (1 << 30, 1 << 30)  # the lines of the markers between which tests are hidden
    visible: str = ""  # the source without the hidden tests
    answers: tuple[str, ...] = ()  # names that the learner was asked to define
    helper: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CellResult:
    """What one cell did. `messages` is what the learner should read when it failed."""

    ok: bool
    messages: tuple[str, ...] = ()
    outputs: tuple[dict[str, Any], ...] = ()
    suspicious: bool = False

    @property
    def value(self) -> float | None:
        """The last expression where it is a number, as nbgrader reads it: partial credit."""
        for output in self.outputs:
            if output.get("output_type") == "execute_result":
                try:
                    return float(output["data"]["text/plain"])
                except (KeyError, TypeError, ValueError):
                    return None
        return None


_templates: OrderedDict[Preparation, Template] = OrderedDict()
_lock = threading.RLock()


def template_for(preparation: Preparation) -> Template:
    """This process's template of a preparation, started when there is none; the two used last are kept."""
    with _lock:
        template = _templates.pop(preparation, None)
        if template is not None and not template.alive:
            template.close()
            template = None
        template = template or Template(preparation)
        _templates[preparation] = template
        while len(_templates) > MAX_TEMPLATES:
            _templates.popitem(last=False)[1].close()
        return template


@atexit.register
def close_templates() -> None:
    """End every template of this process."""
    with _lock:
        while _templates:
            _templates.popitem()[1].close()


def run(preparation: dict[str, Any], cells: Sequence[dict[str, Any]], reveal: bool = False) -> list[dict[str, Any]]:
    """`run_cells` on dictionaries, for executors in other processes."""
    limits = Limits(**preparation["limits"])
    prepared = Preparation(**{**preparation, "limits": limits, **{k: tuple(preparation[k]) for k in ("setup", "preload")}})
    todo = [Cell(**{**c, "hidden": tuple(c["hidden"]), "answers": tuple(c["answers"])}) for c in cells]
    return [asdict(result) for result in run_cells(prepared, todo, reveal)]


def run_cells(preparation: Preparation, cells: Sequence[Cell], reveal: bool = False, limits: Limits | None = None) -> list[CellResult]:
    """Run the cells in order in one fresh sandboxed process.

    A cell that fails lets the others go on. One that takes too long or kills its process ends the run: those after it fail.

    Parameters
    ----------
    reveal : show errors of a learner's code in hidden tests in full (in self-study, where nothing is secret)
    limits : time and memory, where they should be stricter than the preparation's
    """
    results: list[CellResult] = []
    for _ in range(2):  # a process that died may have been killed from outside, when memory ran out; one that dies twice dies by itself
        with _lock:
            template = template_for(preparation)
            template.wait()
            sock = template.connect()
        session = _Session(sock, limits or preparation.limits, cells, reveal)
        try:
            results = session.run()
        finally:
            session.end()
        if not template.alive:  # what ended the submission was not the submission
            raise SandboxError("the sandbox ended while a submission was in it")
        if not session.died:
            break
    return results


class _Ended(Exception):
    """The submission's process ended or had to be ended; the text is for the learner."""


class _Session:
    """The conversation with one submission's process."""

    def __init__(self, sock: socket.socket, limits: Limits, cells: Sequence[Cell], reveal: bool) -> None:
        self._sock, self._limits, self._cells, self._reveal = sock, limits, cells, reveal
        self._token = secrets.token_hex(16)
        self._learner = 0
        self._examiner = 0
        self._end = 0.0
        self.died = False  # whether one of its processes ended without a reason that is known here

    def run(self) -> list[CellResult]:
        hello, self._learner = self._receive(STARTUP_SECONDS, "starting")
        if "hello" not in hello:
            raise SandboxError(f"a submission could not be started in the sandbox: {hello.get('broken', hello)}")
        self._end = time.monotonic() + self._limits.total_seconds
        wire.send(self._sock, {"token": self._token, "output": self._limits.output})
        results: list[CellResult] = []
        ended = ""
        for number, cell in enumerate(self._cells):
            what = cell.name or f"cell {number}"
            if ended:
                results.append(CellResult(False, (f"not run: {ended}",)))
                continue
            if not cell.source.strip():
                results.append(CellResult(True))
                continue
            try:
                results.append(self._examine(cell, what) if cell.exercise else self._run_cell(number, cell, what))
            except _Ended as problem:
                ended = str(problem)
                results.append(CellResult(False, (ended,)))
            except (wire.WireError, OSError):
                ended = f"the code wrote to the grader's own channel while running {what}"
                results.append(CellResult(False, (ended,), suspicious=True))
        return results

    def end(self) -> None:
        """Kill the submission's first process; its namespace goes with it. Where there are none, kill what it started, too."""
        victims = [self._examiner, self._learner]
        if self._learner:
            try:
                victims += [child.pid for child in psutil.Process(self._learner).children(recursive=True)]
            except psutil.Error:
                victims += []  # it is gone already
        for pid in victims:
            self._kill(pid, signal.SIGKILL)
        self._sock.close()

    def _run_cell(self, number: int, cell: Cell, what: str) -> CellResult:
        self._send({"run": cell.source, "cell": number})
        answer, sender = self._receive(self._limits.seconds, what)
        outputs = _outputs(answer.get("outputs"))
        if (sender != self._learner and wire.KNOWS_SENDERS) or outputs is None:
            raise wire.WireError("not the learner's process")
        error = answer.get("error")
        if error is None:
            return CellResult(True, (), outputs)
        messages = error.get("messages") if isinstance(error, dict) else None
        return CellResult(False, tuple(str(m) for m in messages or ["an error"]), outputs)

    def _examine(self, cell: Cell, what: str) -> CellResult:
        assert cell.exercise is not None
        nonce = secrets.token_hex(16)
        self._send({"examine": True})
        ready, self._examiner = self._receive(self._limits.seconds, what)
        if ready.get("ready") != self._token or not self._genuine():
            raise wire.WireError("not an examiner")
        try:
            self._freeze()
            wire.send(
                self._sock,
                {
                    "parts": _compiled(cell.source, cell.hidden),
                    "exercise": cell.exercise,
                    "answers": list(cell.answers),
                    "helper": cell.helper,
                    "reveal": self._reveal,
                    "nonce": nonce,
                },
            )
            result = self._verdict(cell, what, nonce)
        finally:
            self._kill(self._examiner, signal.SIGKILL)
            self._kill(self._learner, signal.SIGCONT)
            self._examiner = 0
        done, sender = self._receive(STARTUP_SECONDS, what)
        if "examined" not in done or (wire.KNOWS_SENDERS and sender != self._learner):
            raise wire.WireError("not the learner's process")
        if cell.visible:
            self._send({"remember": cell.visible, "passed": result.ok})
        return result

    def _verdict(self, cell: Cell, what: str, nonce: str) -> CellResult:
        try:
            verdict, sender = self._receive(self._limits.seconds, what, self._examiner)
        except _Ended as problem:
            return CellResult(False, (str(problem),))
        if (wire.KNOWS_SENDERS and sender != self._examiner) or verdict.get("nonce") != nonce:
            return CellResult(False, ("the code wrote to the grader's own channel while the tests ran",), suspicious=True)
        outputs = tuple(o for o in _outputs(verdict.get("outputs")) or () if o["output_type"] not in ("execute_result", "error"))
        suspicious = [str(s) for s in verdict.get("suspicious") or ()]
        if verdict.get("passed") is True and not suspicious:
            result = verdict.get("result")
            value = (
                ()
                if result is None
                else ({"output_type": "execute_result", "data": {"text/plain": str(result)}, "metadata": {}, "execution_count": None},)
            )
            return CellResult(True, (), (*outputs, *value))
        messages = suspicious or _explain(verdict.get("problem") or {}, self._cells)
        if verdict.get("replaced") and not suspicious:
            messages.append(
                f"the tests ran with the original {', '.join(str(n) for n in verdict['replaced'][:4])}, which your notebook replaces"
            )
        evalue = "\n".join(messages)
        kind = "NotAllowed" if suspicious else "CheckFailed"
        error = {"output_type": "error", "ename": kind, "evalue": evalue, "traceback": evalue.splitlines()}
        return CellResult(False, tuple(messages), (*outputs, error), bool(suspicious))

    def _genuine(self) -> bool:
        """Whether the sender is a single-threaded child of the learner's process, as far as this system tells."""
        if not wire.KNOWS_SENDERS:
            return True
        if self._examiner == self._learner:
            return False
        try:
            process = psutil.Process(self._examiner)
            return process.ppid() == self._learner and process.num_threads() == 1
        except psutil.Error:
            return False

    def _freeze(self) -> None:
        """Stop the learner's process, so that none of its threads can reach for the tests on their way to the examiner."""
        if not wire.KNOWS_SENDERS:
            return
        os.kill(self._learner, signal.SIGSTOP)
        deadline = time.monotonic() + 10
        while psutil.Process(self._learner).status() != psutil.STATUS_STOPPED:
            if time.monotonic() > deadline:
                raise _Ended("its process could not be stopped for the tests")
            time.sleep(0.001)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._sock.settimeout(30)
            wire.send(self._sock, message)
        except TimeoutError:
            raise wire.WireError("nobody reads") from None

    def _receive(self, seconds: float, what: str, process: int = 0) -> tuple[dict[str, Any], int]:
        """The next message; meanwhile watches the memory of the submission's processes, and whether `process` still lives."""
        deadline = time.monotonic() + seconds
        if self._end:
            deadline = min(deadline, self._end)
        waiting = 0
        while not select.select([self._sock], [], [], 0.1)[0]:
            waiting += 1
            if time.monotonic() > deadline:
                raise _Ended(f"{what} did not finish in {seconds:g} s: is there a loop that never ends?")
            # What it sent before it ended may have come since the last look.
            if process and _ended(process) and not select.select([self._sock], [], [], 0)[0]:
                raise self._death(what)
            if waiting > 2 and self._learner:
                self._watch_memory()
        try:
            return wire.receive(self._sock, deadline)
        except TimeoutError:
            raise wire.WireError("half a message") from None
        except EOFError:
            raise self._death(what) from None

    def _death(self, what: str) -> _Ended:
        self.died = True
        return _Ended(f"the process died while running {what} (it was ended, ran out of memory or crashed)")

    def _watch_memory(self) -> None:
        """End the submission when its processes together hold too much memory."""
        try:
            first = psutil.Process(self._learner)
            held = sum(_private_bytes(p) for p in (first, *first.children(recursive=True)))
        except psutil.Error:
            return
        if held > self._limits.memory:
            self._kill(self._examiner, signal.SIGKILL)
            self._kill(self._learner, signal.SIGKILL)
            raise _Ended(f"the code used more than {self._limits.memory / 2**30:.1f} GB of memory")

    def _kill(self, pid: int, number: int) -> None:
        if pid > 0:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return  # gone already


@lru_cache(maxsize=256)
def _compiled(source: str, hidden: tuple[int, int]) -> str:
    return hardening.pack(hardening.compile_tests(source, *hidden))


def _ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    except psutil.Error:
        return True


def _private_bytes(process: psutil.Process) -> int:
    """Memory that a process does not share with a file (the preloaded libraries are shared with the template)."""
    try:
        info = process.memory_info()
        return max(0, info.rss - getattr(info, "shared", 0))
    except psutil.Error:
        return 0


def _outputs(value: Any) -> tuple[dict[str, Any], ...] | None:
    """Well-formed nbformat outputs, None for anything else."""
    if not isinstance(value, list):
        return None
    kinds = {
        "stream": {"name", "text"},
        "display_data": {"data", "metadata"},
        "error": {"ename", "evalue", "traceback"},
        "execute_result": {"data", "metadata", "execution_count"},
    }
    for output in value:
        if not isinstance(output, dict) or set(output) - {"output_type"} != kinds.get(str(output.get("output_type"))):
            return None
    return tuple(value)


def _explain(problem: dict[str, Any], cells: Sequence[Cell]) -> list[str]:
    """What a learner reads about a failed test."""
    if problem.get("messages"):
        return [str(m) for m in problem["messages"]]
    text, hidden = str(problem.get("text", "")), bool(problem.get("hidden"))
    if problem.get("assertion"):
        return [f"{'hidden test: ' if hidden else ''}{text or 'a test failed'}"]
    if problem.get("todo"):
        return ["not attempted yet" if not hidden else "hidden test: a part of it is not attempted yet"]
    kind, place = str(problem.get("type", "an error")), problem.get("place")
    where = ""
    if isinstance(place, dict):
        number, line = int(place.get("cell", -1)), int(place.get("line", 0))
        lines = cells[number].source.splitlines() if 0 <= number < len(cells) else []
        if 0 < line <= len(lines):
            where = f"\nin {place.get('function')}, at: `{lines[line - 1].strip()[:200]}`"
    return [
        f"{'hidden test: ' if hidden else ''}your code stopped with {kind}{f': {text}' if text else ''}{where}"
        if place
        else f"{'hidden test: ' if hidden else ''}{kind}: {text}"
    ]
