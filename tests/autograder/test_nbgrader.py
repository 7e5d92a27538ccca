"""nbgrader itself, unmodified, takes section 01 from release to feedback with every kind of submission."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from autograder import notebooks

SLUG = "01-vectors"
RIGHT_HALF = {"exercise-1-1", "exercise-1-2", "exercise-1-3", "exercise-1-4", "quiz"}


def nbgrader(course: Path, *arguments: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return subprocess.run([sys.executable, "-m", "nbgrader", *arguments], cwd=course / "autograder", capture_output=True, text=True,
                          env=os.environ | {"PATH": path}, timeout=900)


def submission(kind: str):
    """The source notebook as a learner of this kind would hand it in."""
    book = notebooks.read(notebooks.SOLUTIONS / SLUG / f"{SLUG}.ipynb")
    for cell in book.cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("grade") and cell.cell_type == "code":
            cell.source = notebooks.split_tests(cell.source)[0]
        if not marks.get("solution") or cell.cell_type != "code":
            continue
        name = notebooks.grade_id(cell)
        if kind == "empty" or (kind == "half" and name not in RIGHT_HALF):
            cell.source = re.sub(r"^( *)### BEGIN SOLUTION.*?### END SOLUTION", r"\1raise NotImplementedError()", cell.source,
                                 flags=re.S | re.M)
        elif kind == "wrong":
            cell.source = re.sub(r"^( *)### BEGIN SOLUTION.*?### END SOLUTION", r"\1return 0", cell.source, flags=re.S | re.M)
        elif kind == "broken":
            cell.source = "def (:\n    this is not Python"
    return book


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course folder of its own, released, with five submissions autograded by nbgrader."""
    root = tmp_path_factory.mktemp("course")
    shutil.copytree(notebooks.SOLUTIONS / SLUG, root / "solutions" / SLUG)
    shutil.copytree(notebooks.ROOT / "autograder", root / "autograder", ignore=shutil.ignore_patterns("classroom", "__pycache__"))
    done = nbgrader(root, "generate_assignment", SLUG)
    assert done.returncode == 0, done.stderr
    for kind in ("right", "half", "wrong", "empty", "broken"):
        folder = root / "autograder" / "classroom" / "submitted" / kind / SLUG
        folder.mkdir(parents=True)
        nbformat.write(submission(kind), folder / f"{SLUG}.ipynb")
    done = nbgrader(root, "autograde", SLUG, "--create")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def scores(course):
    done = nbgrader(course, "export", "--to=scores.csv")
    assert done.returncode == 0, done.stderr
    with open(course / "autograder" / "scores.csv", newline="") as file:
        return {row["student_id"]: float(row["raw_score"]) for row in csv.DictReader(file)}


def test_release_is_the_one_in_the_repository(course):
    released = course / "notebooks" / SLUG / f"{SLUG}.ipynb"
    assert released.read_bytes() == (notebooks.NOTEBOOKS / SLUG / f"{SLUG}.ipynb").read_bytes()


def test_scores(scores):
    automatic = {notebooks.grade_id(c): c.metadata.nbgrader.points for c in submission("right").cells
                 if c.metadata.get("nbgrader", {}).get("grade") and c.cell_type == "code"}
    assert scores["right"] == sum(automatic.values())
    assert scores["half"] == sum(p for name, p in automatic.items() if name.removesuffix("-tests") in RIGHT_HALF)
    assert scores["wrong"] == scores["empty"] == scores["broken"] == 0


def test_validate_tells_a_right_notebook_from_an_empty_one(course):
    folder = course / "autograder" / "classroom" / "submitted"
    right = nbgrader(course, "validate", str(folder / "right" / SLUG / f"{SLUG}.ipynb"))
    assert "Success" in right.stdout + right.stderr, right.stdout + right.stderr
    empty = nbgrader(course, "validate", str(folder / "empty" / SLUG / f"{SLUG}.ipynb"))
    assert "VALIDATION FAILED" in (empty.stdout + empty.stderr).upper()


def test_feedback_has_messages_and_no_hidden_tests(course):
    done = nbgrader(course, "generate_feedback", SLUG)
    assert done.returncode == 0, done.stderr
    hidden = {line.strip() for c in notebooks.read(notebooks.source_path(SLUG)).cells if notebooks.BEGIN_HIDDEN in c.source
              for line in notebooks.split_tests(c.source)[1].splitlines() if len(line.strip()) > 25}
    # A line that also stands in a cell the learner has, such as an import, gives nothing away.
    learners = notebooks.read(course / "notebooks" / SLUG / f"{SLUG}.ipynb").cells
    open_lines = {line.strip() for c in learners for line in c.source.splitlines()}
    hidden -= open_lines
    assert hidden
    for student in ("right", "half", "wrong", "empty", "broken"):
        page = (course / "autograder" / "classroom" / "feedback" / student / SLUG / f"{SLUG}.html").read_text()
        text = re.sub(r"<[^>]+>", "", page).replace("&quot;", '"').replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">")
        leaked = [line for line in hidden if line.replace("&amp;", "&") in text.replace("&amp;", "&")]
        assert not leaked, leaked[:3]
    assert "visible properties do not hold" in page or "not attempted" in page or "NameError" in page
