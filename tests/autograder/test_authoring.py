"""Text form ⇄ notebook: a round trip changes nothing, and mistakes in directives are told."""

from __future__ import annotations

import nbformat
import pytest

from autograder import notebooks
from autograder.authoring import from_script, to_script

SCRIPT = '''# %% [markdown]
# # Title
#
# Text.

# %% tag=setup
import math

# %% solution 1.3
def knn():
    """Doc."""
    ### BEGIN SOLUTION
    return 1
    ### END SOLUTION

# %% tests 1.3 points=11
check("1.3", knn)
### BEGIN HIDDEN TESTS
assert knn() == 1
### END HIDDEN TESTS

# %% solution quiz
answers = "?????"

# %% tests quiz points=5
check_quiz("01", answers)

# %% manual 01-written points=10
# Explain.
'''


def test_round_trip():
    book = from_script(SCRIPT)
    assert nbformat.writes(from_script(to_script(book))) == nbformat.writes(book)


def test_marks():
    cells = {notebooks.grade_id(c): c for c in from_script(SCRIPT).cells if notebooks.grade_id(c)}
    assert list(cells) == ["exercise-1-3", "exercise-1-3-tests", "quiz", "quiz-tests", "01-written"]
    assert cells["exercise-1-3-tests"].metadata.nbgrader.points == 11
    assert cells["exercise-1-3-tests"].metadata.nbgrader.locked
    assert cells["01-written"].cell_type == "markdown"


@pytest.mark.parametrize("text", ["text first\n# %%\n1", "# %% soluton 1.3\n1"])
def test_mistakes_are_told(text):
    with pytest.raises(ValueError, match=r"before the first|unknown cell directive"):
        from_script(text)


def test_split_tests_wants_one_pair_of_markers():
    visible, hidden = notebooks.split_tests("a\n### BEGIN HIDDEN TESTS\nb\n### END HIDDEN TESTS\n")
    assert (visible.strip(), hidden) == ("a", "b")
    with pytest.raises(ValueError, match="needs one"):
        notebooks.split_tests("a")
