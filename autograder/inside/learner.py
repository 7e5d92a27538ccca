"""Runs a learner's cells one by one, as the grader asks; forks an examiner for each graded cell and waits for it.

The process is the learner's own: nothing that it sends earns a point.
"""

from __future__ import annotations

import ast
import signal
import sys
from os import _exit, fork, getpid, kill, waitpid
from types import FunctionType
from typing import Any

from autograder.inside import capture, examiner, wire
from autograder.inside.guard import CELL


def serve(sock: Any, shell: Any, prepared: dict[str, Any]) -> None:
    """Answer the grader's messages until it closes the connection."""
    start, _ = wire.receive(sock)
    token, limit = start["token"], start["output"]
    guard_install = prepared["guard"][0]
    for name in [n for n in sys.modules if n.split(".")[0] == "autograder"]:
        del sys.modules[name]
    prepared["pristine"][0].settle()  # no code of the learner has run yet
    guard_install()
    streams = sys.stdout, sys.stderr
    while True:
        try:
            message, _ = wire.receive(sock)
        except EOFError:
            return
        if "run" in message:
            recorder = capture.Recorder(limit)
            capture.attach(shell, recorder)
            sys.stdout, sys.stderr = capture.Stream("stdout", recorder), capture.Stream("stderr", recorder)
            try:
                error = _run_cell(shell, message["run"], f"{CELL}{message['cell']}-0>", recorder)
            finally:
                sys.stdout, sys.stderr = streams
            wire.send(sock, {"error": error, "outputs": recorder.outputs})
        elif "examine" in message:
            if getpid() == 1:
                _signal_all(signal.SIGSTOP)  # whatever the learner's code has started waits while tests are near
            pid = fork()
            if pid == 0:
                examiner.serve(sock, shell, token, limit, prepared)
                _exit(0)
            waitpid(pid, 0)
            if getpid() == 1:
                _signal_all(signal.SIGCONT)
            wire.send(sock, {"examined": True})
        elif "remember" in message:
            _remember(shell, message)


def _signal_all(number: int) -> None:
    try:
        kill(-1, number)
    except ProcessLookupError:
        return  # there is nobody else


def _run_cell(shell: Any, source: str, name: str, recorder: capture.Recorder) -> dict[str, Any] | None:
    """Run one cell; returns what went wrong, for the learner."""
    shown = capture.begin_cell(shell, name)
    try:
        result = shell.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
    except BaseException as stop:
        error = stop
    if error is None:
        return None
    text = str(error)
    lines = shown[-1] if shown else [f"{type(error).__name__}: {text}"]
    recorder.outputs.append(
        {
            "output_type": "error",
            "ename": type(error).__name__,
            "evalue": text[:4000],
            "traceback": [line[:2000] for line in "\n".join(lines).splitlines()[-60:]],
        }
    )
    if isinstance(error, SystemExit):
        return {"messages": [f"the code called exit ({error.code})"]}
    return {"messages": [f"{type(error).__name__}: {text[:1000]}".removesuffix(": ")]}


def _remember(shell: Any, message: dict[str, Any]) -> None:
    """Tell this process's session what the examiner found, so that `use` in later cells hands out the right version."""
    session = sys.modules.get("aieng.lesson.session")
    if session is None:
        return
    namespace = shell.user_ns

    def note(exercise: str, *answers: Any) -> None:
        session.remember(exercise, message["passed"], answers)

    before = namespace.get("check"), namespace.get("check_quiz")
    try:
        namespace["check"] = note
        namespace["check_quiz"] = lambda *args: None
        exec(compile(ast.parse(message["remember"]), "<string>", "exec"), namespace)
    except BaseException as error:  # the examiner has told the learner about it already
        if not isinstance(error, Exception | SystemExit | KeyboardInterrupt):
            raise
    finally:
        for name, value in zip(("check", "check_quiz"), before, strict=True):
            if value is None:
                namespace.pop(name, None)
            elif type(value) is FunctionType or name in namespace:
                namespace[name] = value
