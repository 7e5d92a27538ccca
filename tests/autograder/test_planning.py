"""Which cells of a submission need not run (demonstrations that nobody's code depends on), and other seeds for hidden tests."""

from __future__ import annotations

import nbformat
import pytest

from aieng.lesson import course
from autograder import notebooks, planning

SETUP, DEMO, FIGURE = "import math", "table = [math.sqrt(n) for n in range(9)]\nunit = 1", "print(table)"
COUNT = "import time\nspent = time.time()"
TESTS = "unit_test = 3\nassert area(2) == 4 and unit_test == 3"
ANSWER = "def area(side):\n    return side * side"


@pytest.fixture
def plan(tmp_path):
    cells = [nbformat.v4.new_code_cell(s) for s in (SETUP, DEMO, FIGURE, COUNT, ANSWER, TESTS)]
    cells[0].metadata.tags = ["setup"]
    cells[4].metadata.nbgrader = {"grade_id": "area", "solution": True, "grade": False}
    cells[5].metadata.nbgrader = {"grade_id": "area-tests", "solution": False, "grade": True, "points": 1}
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    return planning.plan_of(tmp_path / "one.ipynb", "one")


def spared(plan, answer, *more):
    return plan.spared([SETUP, DEMO, FIGURE, COUNT, answer, *more])


def test_demonstrations_that_nobody_needs_are_spared(plan):
    assert spared(plan, ANSWER) == {DEMO, FIGURE, COUNT}
    assert spared(plan, "def area(side):\n    table = [side]\n    return table[0] * side") == {DEMO, FIGURE, COUNT}  # its own table


@pytest.mark.parametrize("answer", [
    "def area(side):\n    return table[side] ** 4",
    "def area(side):\n    global table\n    return table[side] ** 4",
    "area = lambda side: [table[i] for i in (side,)][0] ** 4",
    "class A:\n    unit = unit\n\ndef area(side): ...",
])
def test_what_an_answer_reads_is_run(plan, answer):
    assert spared(plan, answer) == {FIGURE, COUNT}


def test_a_needed_demonstration_brings_those_that_it_needs(plan):
    assert spared(plan, ANSWER, "print(spent)") == {DEMO, FIGURE}
    later = "rows = table"
    assert spared(plan, ANSWER, later) == {FIGURE, COUNT}


@pytest.mark.parametrize("answer", ["area = eval('lambda side: table[side] ** 4')", "import sys\ndef area(side): ...", "%timeit 1",
                                    "def area(side):\n    return globals()['tab' + 'le'][side]"])
def test_code_that_can_reach_any_name_has_everything_run(plan, answer):
    assert spared(plan, answer) == set()


def test_code_that_cannot_run_needs_nothing(plan):
    assert spared(plan, "def (:") == {DEMO, FIGURE, COUNT}



def test_what_the_tests_read_is_run(tmp_path):
    cells = [nbformat.v4.new_code_cell(s) for s in (DEMO.replace("math.sqrt(n)", "n"), ANSWER, "import sys\nassert area(table[2]) == 4")]
    cells[1].metadata.nbgrader = {"grade_id": "area", "solution": True, "grade": False}
    cells[2].metadata.nbgrader = {"grade_id": "area-tests", "solution": False, "grade": True, "points": 1}
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "two.ipynb")
    assert planning.plan_of(tmp_path / "two.ipynb", "two").spared(c.source for c in cells[:2]) == set()


def test_the_tests_own_names_are_no_need(plan):
    assert DEMO in spared(plan, ANSWER) and "unit" in plan.shown[DEMO]


def test_a_changed_demonstration_is_the_learners_own(plan):
    changed = DEMO + "\nprint(len(table))"
    assert plan.spared([SETUP, changed, FIGURE, COUNT, ANSWER]) == {FIGURE, COUNT}


def test_other_seeds_change_the_hidden_tests_only_and_no_line():
    source = (
        "x = default_rng(3)\n"
        f"{notebooks.BEGIN_HIDDEN}\n"
        'names = "ä"; rng, other = np.random.default_rng(\n    5), random.Random(x or 6)\n'
        "made = make(torch.Generator().manual_seed(7), seed=8)\n"
        f"{notebooks.END_HIDDEN}\n"
        "y = default_rng(4)"
    )
    changed = planning.reseeded(source, 10)
    assert changed.split("\n") == [
        "x = default_rng(3)",
        notebooks.BEGIN_HIDDEN,
        'names = "ä"; rng, other = np.random.default_rng(',
        "    10 + (5)), random.Random(10 + (x or 6))",
        "made = make(torch.Generator().manual_seed(10 + (7)), seed=10 + (8))",
        notebooks.END_HIDDEN,
        "y = default_rng(4)",
    ]
    assert planning.reseeded(source, 0) == source


def test_a_students_seeds_are_their_own_and_stay():
    shifts = {planning.shift_of(seed, student) for seed in ("autumn", "spring") for student in ("ada", "bob", "adabob")}
    assert len(shifts) == 6 and all(0 < s <= 1_000_000 for s in shifts)
    assert planning.shift_of("autumn", "ada") == planning.shift_of("autumn", "ada")
    assert planning.shift_of("", "ada") == 0


def test_every_exercise_can_be_reseeded():
    """All hidden tests have random data."""
    for section in course.SECTIONS:
        plan = planning.plan_of(notebooks.source_path(section.slug), section.slug)
        for exercise in section.exercises:
            source = plan.tests[notebooks.tests_id(exercise.id)].source
            assert planning.reseeded(source, 1) != source, exercise.id
