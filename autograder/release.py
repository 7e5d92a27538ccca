"""`make release`: writes notebooks/ from solutions/ with nbgrader, and never over work that a learner has done.

What was released is remembered by digest in notebooks/.release.json. A notebook whose bytes are no longer those has been
opened and changed by somebody: it is kept as it is and named.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import nbformat

from aieng.lesson import course
from autograder.notebooks import NOTEBOOKS, ROOT, SOLUTIONS, grade_id, read, solution_id

RECORD = NOTEBOOKS / ".release.json"


def sections() -> list[str]:
    """Slugs of the sections that have a source notebook."""
    return sorted(p.parent.name for p in SOLUTIONS.glob("*/*.ipynb") if p.stem == p.parent.name)


def generate(slugs: Iterable[str], folder: Path) -> Iterator[Path]:
    """Let nbgrader write release versions below `folder`; yields the notebooks.

    The classroom's gradebook is not touched: an instructor's own `nbgrader generate_assignment` fills it.
    """
    from autograder import converter  # nbgrader takes a second to import

    config = converter.configuration(ROOT, f"sqlite:///{folder}/release.db")
    for slug in slugs:
        yield converter.generate_assignment(config, slug, folder)


def stale(slugs: Sequence[str]) -> list[str]:
    """The sections whose notebook in notebooks/ differs from what solutions/ gives now."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = [path.read_bytes() for path in generate(slugs, Path(folder))]
    released = [NOTEBOOKS / slug / f"{slug}.ipynb" for slug in slugs]
    return [slug for slug, path, now in zip(slugs, released, fresh, strict=True) if not path.exists() or path.read_bytes() != now]


def release(slugs: list[str], reset: bool = False) -> list[str]:
    """Write the learner's version of each section; returns the sections that were kept because somebody changed them.

    With `reset` a changed notebook is moved to a dated copy beside it first, so nothing is lost.
    """
    record: dict[str, str] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    kept = []
    with tempfile.TemporaryDirectory() as folder:
        for slug, fresh in zip(slugs, generate(slugs, Path(folder)), strict=True):
            target = NOTEBOOKS / slug / f"{slug}.ipynb"
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
        fresh = next(c for path in generate([slug], Path(folder)) for c in read(path).cells if grade_id(c) == name)
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
