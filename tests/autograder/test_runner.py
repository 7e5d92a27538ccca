"""The runner: cells share a namespace, failures are told apart, and nothing a cell does hangs or kills the caller."""

from __future__ import annotations

import pytest

from autograder.runner import run_cells


def test_cells_share_names_and_numbers_come_back():
    runs = run_cells([("a", "x = 3"), ("b", "x * 2")])
    assert [r.ok for r in runs] == [True, True]
    assert runs[1].value == 6.0


def test_a_failed_cell_does_not_stop_the_next():
    runs = run_cells([("a", "1 / 0"), ("b", "assert 1 == 2, 'one is not two'"), ("c", "assert False"), ("d", "y = 1")])
    assert [r.ok for r in runs] == [False, False, False, True]
    assert "ZeroDivisionError" in runs[0].messages[0]
    assert runs[1].messages == ("one is not two",)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("while True: pass", "did not finish in 3 s"),
        ("import os; os._exit(3)", "died"),
        ("import sys; sys.exit(0)", ""),
        ("def f(:", "SyntaxError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "died"),
    ],
)
def test_bad_cells_are_reported(source, text):
    runs = run_cells([("bad", source), ("after", "1")], time_limit=3)
    assert not runs[0].ok
    assert text in " ".join(runs[0].messages)


def test_output_does_not_reach_the_caller(capfd):
    run_cells([("a", "print('noise'); import os; os.system('echo more noise')")])
    assert "noise" not in capfd.readouterr().out


def test_the_environment_says_grading_and_progress_is_private():
    runs = run_cells([("a", "import os; assert os.environ['NBGRADER_EXECUTION'] == 'autograde'"),
                      ("b", "from aieng.lesson import progress; assert progress.load()['exercises'] == {}")])
    assert all(r.ok for r in runs), runs
