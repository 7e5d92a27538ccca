"""A course folder with a small section 01, and submissions to it: what the tests of the classroom grader work on."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from autograder import authoring, notebooks

SLUG = "01-vectors"
SCRIPT = '''# %% [markdown]
# # Small section
#
# ## Exact search
#
# The nearest row is the one with the smallest distance.

# %% tag=setup
import numpy as np
from aieng.lesson import use

# %% solution 1.3
def knn(queries, database, k, metric="l2"):
    """The k nearest rows of the database."""
    ### BEGIN SOLUTION
    distances = ((queries[:, None] - database[None]) ** 2).sum(-1)
    ids = np.argsort(distances, axis=1)[:, :k]
    return np.take_along_axis(distances, ids, 1), ids
    ### END SOLUTION

# %% tests 1.3 points=11
_, ids = knn(np.eye(3), np.eye(3), 1)
assert ids.ravel().tolist() == [0, 1, 2], "each point is nearest to itself"
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(20240501)
rows = rng.normal(size=(20, 4))
scores, ids = knn(rows[:5] + 1e-3, rows, 3)
assert ids.shape == (5, 3), "one row for each query"
assert np.allclose(scores, np.sort(scores, axis=1)), "best first"
### END HIDDEN TESTS

# %% [markdown]
# ## Words as vectors

# %% solution 1.2
def analogy(a, b, c):
    """b - a + c."""
    ### BEGIN SOLUTION
    return b - a + c
    ### END SOLUTION

# %% tests 1.2 points=6
assert np.allclose(analogy(np.ones(2), np.zeros(2), np.ones(2)), 0), "b - a + c"
### BEGIN HIDDEN TESTS
assert analogy(1.0, 2.0, 4.0) == 5.0, "try it with plain numbers"
### END HIDDEN TESTS

# %%
print(use("1.2", analogy) is analogy)

# %% solution quiz
def answers():
    ### BEGIN SOLUTION
    return "abcda"
    ### END SOLUTION

# %% tests quiz points=5
given = answers()
### BEGIN HIDDEN TESTS
sum(a == b for a, b in zip(given, "abcda"))
### END HIDDEN TESTS

# %% manual 01-written points=10
# Why is brute force sometimes right?
'''
BODIES = {
    "right": {},
    "half": {"exercise-1-2": "return c", "quiz": 'return "abc??"'},
    "wrong": {"exercise-1-3": "return np.zeros(1), np.zeros((3, 1), int)", "exercise-1-2": "return 0", "quiz": 'return "?????"'},
    "errors": {"exercise-1-3": "return undefined_name", "exercise-1-2": "return 1 / 0", "quiz": "raise NotImplementedError()"},
    "noisy": {"exercise-1-2": "print('some text'); return b - a + c"},
}


def source():
    return authoring.from_script(SCRIPT)


def make(root: Path) -> Path:
    """A course folder without submissions."""
    folder = root / "solutions" / SLUG
    folder.mkdir(parents=True)
    nbformat.write(source(), folder / f"{SLUG}.ipynb")
    shutil.copytree(notebooks.ROOT / "autograder", root / "autograder", ignore=shutil.ignore_patterns("classroom", "__pycache__"))
    return root


def answered(bodies: dict[str, str], written: str = "Because it is exact."):
    """The notebook of a learner who has replaced some answers."""
    book = source()
    for cell in book.cells:
        name, marks = notebooks.grade_id(cell), cell.metadata.get("nbgrader", {})
        if marks.get("grade") and cell.cell_type == "code":
            cell.source = notebooks.split_tests(cell.source)[0]
        elif name == "01-written":
            cell.source = written
        elif name in bodies:
            head = cell.source.split("    ### BEGIN")[0]
            cell.source = f"{head}    {bodies[name]}"
    return book


def submit(root: Path, student: str, book, name: str = f"{SLUG}.ipynb") -> Path:
    """Put a notebook (or raw text) into submitted/."""
    folder = root / "autograder" / "classroom" / "submitted" / student / SLUG
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if isinstance(book, str | bytes):
        path.write_bytes(book if isinstance(book, bytes) else book.encode())
    else:
        nbformat.write(book, path)
    return path


def nbgrader(root: Path, *arguments: str, **environment: str) -> str:
    """Run nbgrader itself in the course folder; returns what it wrote."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=root / "autograder",
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path} | environment,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def exported(root: Path) -> dict[str, dict[str, str]]:
    """nbgrader's export: a row for each student."""
    nbgrader(root, "export", "--to=scores.csv")
    with open(root / "autograder" / "scores.csv", newline="") as file:
        return {row["student_id"]: row for row in csv.DictReader(file)}
