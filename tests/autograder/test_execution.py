"""The sandbox's conversation: cells share a namespace, failures are told apart, and nothing that a cell does hangs or kills the caller."""

from __future__ import annotations

import time

import psutil
import pytest

from autograder import execution, planning
from autograder.execution import Cell, run_cells
from autograder.inside.isolation import Limits
from autograder.sandbox import Preparation, SandboxError

PREPARATION = Preparation("01-vectors", ("import numpy as np",))
SECRET = "assert double(4) == 8, 'twice four is eight'"
TESTS = f"assert double(1) == 2\n### BEGIN HIDDEN TESTS\n{SECRET}\n### END HIDDEN TESTS"


def graded(source=TESTS, **options):
    hidden, visible = planning.hidden_part(source)
    return Cell(source, "the tests", "quiz", hidden, visible, ("double",), **options)


def test_cells_share_names_and_outputs_come_back():
    first, second = run_cells(PREPARATION, [Cell("x = 3\nprint('hello')"), Cell("x * 2")])
    assert first.ok and first.outputs[0]["text"] == "hello\n"
    assert second.ok and second.value == 6.0


def test_a_failed_cell_does_not_stop_the_next():
    runs = run_cells(PREPARATION, [Cell("1 / 0"), Cell("assert False, 'no'"), Cell("def f(:"), Cell("y = 1")])
    assert [r.ok for r in runs] == [False, False, False, True]
    assert "ZeroDivisionError" in runs[0].messages[0] and "no" in runs[1].messages[0] and "SyntaxError" in runs[2].messages[0]
    assert runs[0].outputs[-1]["ename"] == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("while True: pass", "did not finish in 2 s"),
        ("import os; os._exit(3)", "died"),
        ("import sys; sys.exit(0)", "exit"),
        ("import ctypes; ctypes.string_at(0)", "memory|died|NameError"),
    ],
)
def test_bad_cells_are_reported(source, text):
    run, _ = run_cells(PREPARATION, [Cell(source, "bad"), Cell("1")], limits=Limits(seconds=2))
    assert not run.ok
    assert any(part in " ".join(run.messages) for part in text.split("|")), run.messages


def test_what_follows_the_end_of_the_process_is_not_run():
    runs = run_cells(PREPARATION, [Cell("import os; os._exit(0)", "the first"), Cell("1"), graded()])
    assert not any(r.ok for r in runs)
    assert all("the first" in r.messages[0] for r in runs)


@pytest.mark.parametrize(
    ("answer", "ok", "text"),
    [
        ("def double(x): return 2 * x", True, ""),
        ("def double(x): return 2 if x == 1 else 0", False, "hidden test: twice four is eight"),
        ("def double(x): return x", False, "a test failed"),
        ("def double(x): raise NotImplementedError", False, "not attempted yet"),
        ("def double(x): return 2 if x == 1 else [][x]", False, "hidden test: your code stopped with IndexError"),
        ("pass", False, "name 'double' is not defined"),
    ],
)
def test_answers(answer, ok, text):
    _, verdict = run_cells(PREPARATION, [Cell(answer), graded()])
    assert verdict.ok is ok
    assert text in " ".join(verdict.messages)
    assert SECRET not in str(verdict)


def test_points_are_the_last_expression():
    source = TESTS.replace("### END", "2.5\n### END")
    _, verdict = run_cells(PREPARATION, [Cell("def double(x): return 2 * x"), graded(source)])
    assert verdict.ok and verdict.value == 2.5


def test_warnings_of_a_right_answer_cost_nothing():
    answer = "import sys, warnings\ndef double(x):\n    warnings.warn('careful')\n    print('progress', file=sys.stderr)\n    return 2 * x"
    _, verdict = run_cells(PREPARATION, [Cell(answer), graded()])
    assert verdict.ok and not any(o.get("name") == "stderr" for o in verdict.outputs)


def test_a_later_cell_gets_the_version_that_passed():
    check = graded("from aieng.lesson import check\ncheck('1.3', knn)")
    cells = [Cell("from aieng.lesson import use\ndef knn(*a): return None"), check, Cell("print(use('1.3', knn) is knn)")]
    assert "False" in run_cells(PREPARATION, cells)[2].outputs[-1]["text"]


def test_classes_generators_and_objects_pass_through_the_tests():
    answer = (
        "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass Found:\n    score: float\n    row: int\n"
        "class Index:\n    def __init__(self, rows): self.rows = rows\n    def __len__(self): return len(self.rows)\n"
        "    def search(self): return [Found(float(r), i) for i, r in enumerate(self.rows)]\n"
        "    def walk(self):\n        yield from self.rows\n    @property\n    def size(self): return self.rows.nbytes\n"
        "def double(x): return Index(x)"
    )
    tests = (
        "index = double(np.arange(3.0))\nassert len(index) == 3 and index.size == 24\nassert [r for r in index.walk()] == [0, 1, 2]\n"
        "assert [f.row for f in index.search()] == [0, 1, 2] and index.search()[1].score == 1.0\nassert index.rows[1:2].tolist() == [1.0]\n"
        "assert index.search()[0] == index.search()[0]\nclass Counter:\n    count = 0\n    def __call__(self, x):\n"
        "        self.count += 1\n        return x\ncounter = Counter()\nassert list(map(counter, index.walk())) and counter.count == 3\n"
        "assert (lambda *a, key=None: sorted(a, key=key))(3, 1, key=lambda v: -v) == [3, 1]"
    )
    _, verdict = run_cells(PREPARATION, [Cell(answer), graded(tests)])
    assert verdict.ok, verdict.messages


def test_processes_end_with_their_submission():
    run_cells(PREPARATION, [Cell("import subprocess\nfor _ in range(3): subprocess.Popen(['sleep', '12345'])")])
    deadline = time.monotonic() + 10  # the kernel ends a namespace's processes one after the other
    while [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "12345"]]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_template_that_was_killed_is_told_and_replaced():
    run_cells(PREPARATION, [Cell("1")])
    process = execution.template_for(PREPARATION)._process  # asked for once: a dead one would be replaced at the second asking
    process.kill()
    process.wait()
    assert run_cells(PREPARATION, [Cell("1")])[0].ok


def test_setup_that_fails_is_the_courses_fault():
    with pytest.raises(SandboxError, match="could not be prepared"):
        run_cells(Preparation("01-vectors", ("1 / 0",)), [Cell("1")])


def test_plain_dictionaries_go_in_and_come_out():
    from dataclasses import asdict

    answer = execution.run(asdict(PREPARATION), [asdict(Cell("1 + 1"))])
    assert answer[0]["ok"] and answer[0]["outputs"][0]["data"]["text/plain"] == "2"


def test_a_verdict_that_comes_as_its_process_ends_is_heard(monkeypatch):
    """Between two looks at the channel an examiner may both report and end; it has not died then."""
    def slow_look(pid, look=execution._ended):
        deadline = time.monotonic() + 10
        while not look(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        return look(pid)

    monkeypatch.setattr(execution, "_ended", slow_look)
    _, verdict = run_cells(PREPARATION, [Cell("def double(x): return 2 * x"), graded(f"import time\ntime.sleep(0.3)\n{TESTS}")])
    assert verdict.ok, verdict.messages


def test_a_process_that_was_killed_from_outside_is_run_again(monkeypatch):
    killed = []

    def kill_once(self, seconds, what, process=0, receive=execution._Session._receive):
        if what == "the victim" and not killed:
            killed.append(self._learner)
            psutil.Process(self._learner).kill()
        return receive(self, seconds, what, process)

    monkeypatch.setattr(execution._Session, "_receive", kill_once)
    cell, verdict = run_cells(PREPARATION, [Cell("def double(x): return 2 * x", "the victim"), graded()])
    assert killed and cell.ok and verdict.ok
