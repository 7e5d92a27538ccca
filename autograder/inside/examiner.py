"""Runs one graded cell on a learner's answer, in a fork of the learner's process that ends with it.

Before the tests arrive the libraries are put back to what they were before the learner's code; the tests see their own builtins, their own
names, and of the learner's only the answers. What they find goes to the grader with a number that came with the tests.
"""

from __future__ import annotations

import builtins

__builtins__ = dict(vars(builtins))  # type: ignore[assignment]

import sys
from os import _exit
from types import CodeType
from typing import Any

from autograder.inside import borrowing, capture, hardening, wire
from autograder.inside.guard import CELL, TESTS, Forbidden

_PRISTINE = dict(vars(builtins))


def serve(sock: Any, shell: Any, token: str, limit: int, prepared: dict[str, Any]) -> None:
    """Restore, report for duty, receive the tests, run them, report."""
    _, notes, learner_calls = prepared["guard"]
    restore, changed, trusted_class = prepared["pristine"]
    is_learner = notes.learner_code
    replaced = restore()
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)  # a fork must not wait for its parent's OpenMP threads
        torch.set_grad_enabled(True)
    wire.send(sock, {"ready": token})
    exam, _ = wire.receive(sock)
    exercise, reveal = exam["exercise"], exam["reveal"]
    noted_before = len(notes())
    earlier = [text for owner, text in notes() if owner and exercise in owner.split(",")]
    helpers = borrowing.helpers_of(exam["helper"])
    set_traps, borrowed = borrowing.make_trap(exercise, helpers, learner_calls, notes.refuse)
    set_traps()
    changed_now = changed()
    routes, clean = hardening.make_routes(changed, trusted_class, is_learner, borrowed)
    parts = hardening.unpack(exam["parts"])
    recorder = capture.Recorder(limit)
    hidden_recorder = recorder if reveal else capture.Recorder(limit)
    error: BaseException | None = None
    hidden = False
    result: str | None = None
    try:
        namespace = _namespace(shell.user_ns, prepared["setup"], exam["answers"], [code for _, _, code in parts], routes, clean)
        for hidden, kind, code in parts:
            now = hidden_recorder if hidden else recorder
            capture.attach(shell, now)
            # Warnings and progress bars of an answer must not cost points, and nbgrader takes them where stderr has something.
            sys.stdout = sys.stderr = capture.Stream("stdout", now)
            if kind == "exec":
                exec(code, namespace)
            else:
                value = eval(code, namespace)
                result = None if value is None else repr(value) if trusted_class(type(value)) else ""
        what = changed()
        if what:
            raise hardening.Lie(f"your code changed {what} while the tests ran")
    except BaseException as stop:
        error = stop
    restore()
    suspicious = list(dict.fromkeys(earlier + [text for _, text in notes()[noted_before:]]))
    if isinstance(error, hardening.Lie | Forbidden) and str(error) not in suspicious:
        suspicious.append(str(error))
    wire.send(
        sock,
        {
            "nonce": exam["nonce"],
            "passed": error is None and not suspicious,
            "outputs": recorder.outputs,
            "suspicious": suspicious,
            "result": result,
            "replaced": [n for n in replaced if len(n) < 80 and "._" not in n][:20] + ([changed_now] if changed_now else []),
            "problem": None if error is None else _describe(error, hidden, reveal, is_learner, trusted_class),
        },
    )
    _exit(0)


def _namespace(
    user: dict[str, Any], setup: dict[str, Any], answers: list[str], codes: list[CodeType], routes: dict[str, Any], clean: Any
) -> dict[str, Any]:
    """The tests' names: the setup cells' own, the learner's answers, and of the learner's other names those that are still missing."""
    namespace = dict(setup)
    namespace["__builtins__"] = _PRISTINE
    namespace["__name__"] = "__main__"
    wanted = {name for code in codes for name in _names(code)}
    for name in wanted | set(answers):
        if name in answers or (name not in namespace and name not in _PRISTINE):
            if name in user:
                namespace[name] = clean(user[name])
            elif name in answers:
                namespace.pop(name, None)
    namespace.update(routes)
    return namespace


def _names(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _describe(error: BaseException, hidden: bool, reveal: bool, is_learner: Any, trusted_class: Any) -> dict[str, Any]:
    """What the grader needs to explain a failure: nothing in it was written by the learner's code, unless `reveal`."""
    kind = type(error)
    name = kind.__name__ if trusted_class(kind) else "an error of its own"
    place = None
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if is_learner(code):
            cell = code.co_filename.removeprefix(CELL).partition("-")[0]
            place = {"cell": int(cell) if cell.isdigit() else -1, "line": step.tb_lineno, "function": code.co_name[:60]}
        step = step.tb_next
    frank = reveal or not hidden or place is None
    text = ""
    messages: list[str] = []
    if frank:
        try:
            text = str(error)[:4000]
        except Exception:
            text = ""
        found = getattr(error, "messages", None) if trusted_class(kind) else None
        if isinstance(found, tuple):
            messages = [str(m)[:2000] for m in found]
    return {
        "type": name,
        "text": text,
        "messages": messages,
        "place": place,
        "hidden": hidden,
        "assertion": isinstance(error, AssertionError) and frank,
        "todo": isinstance(error, NotImplementedError),
        "tests": TESTS,
    }
