"""`make release`: writes notebooks/ from solutions/ with nbgrader, and never over work that a learner has done.

What was released is remembered by digest in notebooks/.release.json. A notebook whose bytes are no longer those has been
opened and changed by somebody: it is kept as it is and named.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import nbformat

from aieng.lesson import course
from autograder.notebooks import NOTEBOOKS, ROOT, SOLUTIONS, grade_id, read, solution_id

RECORD = NOTEBOOKS / ".release.json"


def sections() -> list[str]:
    """Slugs of the sections that have a source notebook."""
    return sorted(p.parent.name for p in SOLUTIONS.glob("*/*.ipynb") if p.stem == p.parent.name)


def generate(slug: str, folder: Path) -> Path:
    """Let nbgrader write a section's release version below `folder`; returns the notebook.

    The classroom's gradebook is not touched: an instructor's own `nbgrader generate_assignment` fills it.
    """
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", slug, "--force",
               f"--CourseDirectory.release_directory={folder}", f"--CourseDirectory.db_url=sqlite:///{folder}/release.db"]
    # nbgrader calls `alembic` by name: find the one beside this Python, also where the environment is not activated.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    done = subprocess.run(command, cwd=ROOT / "autograder", capture_output=True, text=True, check=False,
                          env=os.environ | {"PATH": path})
    released = folder / slug / f"{slug}.ipynb"
    if done.returncode or not released.exists():
        raise RuntimeError(f"nbgrader could not release {slug}:\n{done.stderr[-3000:]}")
    return released


def stale(slug: str) -> bool:
    """Whether notebooks/ differs from what solutions/ gives now."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = generate(slug, Path(folder)).read_bytes()
    released = NOTEBOOKS / slug / f"{slug}.ipynb"
    return not released.exists() or released.read_bytes() != fresh


def release(slugs: list[str], reset: bool = False) -> list[str]:
    """Write the learner's version of each section; returns the sections that were kept because somebody changed them.

    With `reset` a changed notebook is moved to a dated copy beside it first, so nothing is lost.
    """
    record: dict[str, str] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    kept = []
    for slug in slugs:
        target = NOTEBOOKS / slug / f"{slug}.ipynb"
        with tempfile.TemporaryDirectory() as folder:
            fresh = generate(slug, Path(folder))
            if target.exists() and _digest(target) not in (record.get(slug), _digest(fresh)):
                if not reset:
                    kept.append(slug)
                    continue
                target.rename(_dated(target))
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_suffix(".tmp")
            shutil.copyfile(fresh, temporary)
            os.replace(temporary, target)
        record[slug] = _digest(target)
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    return kept


def reset_exercise(exercise_id: str) -> Path:
    """Put the empty solution cell of one exercise back into the learner's notebook; returns the dated copy of what was there.

    Raises
    ------
    ValueError
        The notebook is missing, or no longer has that cell (then reset the whole notebook).
    """
    slug = course.section_of(exercise_id).slug
    target, name = NOTEBOOKS / slug / f"{slug}.ipynb", solution_id(exercise_id)
    book = read(target)
    with tempfile.TemporaryDirectory() as folder:
        fresh = next(c for c in read(generate(slug, Path(folder))).cells if grade_id(c) == name)
    mine = [c for c in book.cells if grade_id(c) == name]
    if not mine:
        raise ValueError(f"{target} has no cell for exercise {exercise_id} any more; `make reset NB={slug}` starts the notebook afresh")
    copy = _dated(target)
    shutil.copyfile(target, copy)
    for cell in mine:
        cell.source, cell.outputs, cell.execution_count = fresh.source, [], None
    temporary = target.with_suffix(".tmp")
    nbformat.write(book, temporary)
    os.replace(temporary, target)
    return copy


def _dated(target: Path) -> Path:
    return target.with_name(f"{target.stem}.yours-{datetime.now():%Y%m%d-%H%M%S}.ipynb")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
