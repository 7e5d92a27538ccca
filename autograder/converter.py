"""nbgrader's own autograding, with the execution taken out: what comes before it, and what comes after it.

Students, submissions, late penalties, manual grades and the files in autograded/ are written by nbgrader's converter and preprocessors,
so formgrader, feedback, export and a later `nbgrader autograde` find what they expect. A submission's folder appears in autograded/ at
the very end, in one step.
"""

from __future__ import annotations

import copy
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment, autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute, latesubmissions, overwritecells, overwritekernelspec, saveautogrades
from sqlalchemy.exc import SAWarning
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from autograder import notebooks, planning, repair
from autograder.execution import CellResult


@dataclass(frozen=True)
class Submission:
    """A folder in submitted/."""

    student: str
    section: str
    folder: Path


@dataclass
class Prepared:
    """A submission between nbgrader's preparation and its recording."""

    submission: Submission
    book: Any
    resources: Any
    messages: list[str]


def configuration(root: Path, database: str | None = None) -> Config:
    """nbgrader's configuration of the course in `root`, with another gradebook where `database` (a URL) is given."""
    # nbgrader calls `alembic` by name: it is the one beside this Python, also where the environment is not activated.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    path = list(sys.path)
    config: Config = PyFileConfigLoader("nbgrader_config.py", path=str(root / "autograder")).load_config()
    sys.path[:] = path  # the configuration puts its own folder there, for when nbgrader reads it
    if database:
        config.CourseDirectory.db_url = database
    return config


def generate_assignment(config: Config, section: str, folder: Path) -> Path:
    """nbgrader generate_assignment: the release version below `folder`, and the section's cells in the gradebook. Returns the notebook."""
    config = copy.deepcopy(config)
    config.CourseDirectory.release_directory = str(folder)
    config.CourseDirectory.assignment_id = section
    config.BaseConverter.force = True
    GenerateAssignment(coursedir=CourseDirectory(config=config), config=config).start()
    return folder / section / f"{section}.ipynb"


class Course:
    """A course folder as nbgrader's configuration in its autograder/ describes it."""

    def __init__(self, root: Path, database: str | None = None) -> None:
        self.root = root
        self.config = configuration(root, database)
        self.config.Exporter.optimistic_validation = True  # check a notebook once, when all preprocessors have seen it
        self.directory = CourseDirectory(config=self.config)
        self.staging = Path(self.directory.format_path(self.directory.autograded_directory, ".", ".")).parent / ".grading"
        self._gradebook: Gradebook | None = None

    def submissions(self, section: str = "*", student: str = "*") -> list[Submission]:
        """Every submitted folder that matches, sorted."""
        pattern = Path(self.directory.format_path(self.directory.submitted_directory, student, section))
        anchor = Path(pattern.anchor)
        return sorted(
            (Submission(p.parent.name, p.name, p) for p in anchor.glob(str(pattern.relative_to(anchor))) if p.is_dir()),
            key=lambda s: (s.section, s.student),
        )

    def source_path(self, section: str) -> Path:
        return Path(self.directory.format_path(self.directory.source_directory, ".", section)) / f"{section}.ipynb"

    def graded_folder(self, submission: Submission) -> Path:
        return Path(self.directory.format_path(self.directory.autograded_directory, submission.student, submission.section))

    def is_graded(self, submission: Submission) -> bool:
        """nbgrader's rule: there is a graded notebook, and no newer submission."""
        folder = self.graded_folder(submission)
        if not (folder / f"{submission.section}.ipynb").exists():
            return False
        new, old = (self.directory.get_existing_timestamp(str(p)) for p in (submission.folder, folder))
        return not (new is not None and old is not None and new > old)

    def enter_assignment(self, section: str) -> None:
        """See to it that the gradebook knows the section's cells as they stand in the source notebook (nbgrader generate_assignment)."""
        source = {notebooks.grade_id(c): c.source for c in notebooks.read(self.source_path(section)).cells if notebooks.grade_id(c)}
        known: dict[str, str] = {}
        for book in self.gradebook.find_assignment(section).notebooks if section in [a.name for a in self.gradebook.assignments] else ():
            known = {c.name: c.source for c in book.source_cells}
        graded = {n: t for n, t in source.items() if notebooks.BEGIN_HIDDEN in t}
        if known and set(known) == set(source) and all(known[n] == t for n, t in graded.items()):
            return
        self.close()
        try:
            generate_assignment(self.config, section, self.staging / "release")
        finally:
            shutil.rmtree(self.staging / "release", ignore_errors=True)

    @property
    def gradebook(self) -> Gradebook:
        """The one connection to the gradebook; this process is its only writer."""
        if self._gradebook is None:
            self._gradebook = Gradebook(self.directory.db_url, self.directory.course_id)
        return self._gradebook

    def close(self) -> None:
        if self._gradebook is not None:
            self._gradebook.close()
            self._gradebook = None

    def prepare(self, submission: Submission) -> Prepared:
        """nbgrader's steps before execution, on a mended copy of the notebook; the result of an earlier grading is withdrawn."""
        shutil.rmtree(self.graded_folder(submission), ignore_errors=True)
        shutil.rmtree(self.staging / submission.student / submission.section, ignore_errors=True)
        source = planning.plan_of(self.source_path(submission.section), submission.section).source
        path = _notebook_of(submission)
        book, messages = repair.read_submission(path, source, submission.section)
        if path.name != f"{submission.section}.ipynb" and path.exists():
            messages.append(f"the notebook was called {path.name}")
        with self._converter(submission) as converter:
            target = str(submission.folder / f"{submission.section}.ipynb")
            converter.notebooks = [target]
            converter.coursedir.ignore = [*converter.coursedir.ignore, *_irregular(submission.folder)]
            converter.init_assignment(submission.section, submission.student)
            resources = converter.init_single_notebook_resources(target)
            converter._sanitizing = True
            converter._init_preprocessors()
            text, resources = converter.exporter.from_notebook_node(book, resources=resources)
        return Prepared(submission, nbformat.reads(text, as_version=4), resources, messages)

    def record(self, prepared: Prepared, results: list[CellResult]) -> dict[str, tuple[float, float]]:
        """nbgrader's steps after execution; returns each graded cell's (score, points), and the folder is in autograded/ from then on."""
        submission = prepared.submission
        cells = [c for c in prepared.book.cells if c.cell_type == "code"]
        for number, (cell, result) in enumerate(zip(cells, results, strict=True), 1):
            cell.outputs = [nbformat.from_dict(dict(output)) for output in result.outputs]
            if not result.ok and not any(o.output_type == "error" for o in cell.outputs):
                text = "\n".join(result.messages)
                cell.outputs.append(nbformat.v4.new_output("error", ename="Stopped", evalue=text, traceback=text.splitlines()))
            cell.execution_count = number
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = number
        with self._converter(submission) as converter:
            converter._sanitizing = False
            converter.autograde_preprocessors = [p for p in converter.autograde_preprocessors if p is not Execute]
            converter._init_preprocessors()
            text, resources = converter.exporter.from_notebook_node(prepared.book, resources=prepared.resources)
            converter.write_single_notebook(text, resources)
            converter.set_permissions(submission.section, submission.student)
        self._publish(submission)
        return {
            g.name: (float(g.score), float(g.max_score))
            for g in self.gradebook.find_submission_notebook(submission.section, submission.section, submission.student).grades
        }

    def _publish(self, submission: Submission) -> None:
        staged, final = self.staging / submission.student / submission.section, self.graded_folder(submission)
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged, final)

    @contextmanager
    def _converter(self, submission: Submission) -> Iterator[Autograde]:
        """nbgrader's converter, writing to the staging folder and sharing one connection to the gradebook."""
        directory = CourseDirectory(config=self.config)
        directory.autograded_directory = str(self.staging)
        directory.assignment_id, directory.student_id = submission.section, submission.student
        converter = Autograde(coursedir=directory, config=self.config)
        converter.writer = _writer(converter)
        converter.exporter = converter.exporter_class(parent=converter, config=converter.config)
        with _one_gradebook(self.gradebook), warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader adds rows in an order that a shared session remarks on
            before = os.getcwd()
            os.chdir(self.root)
            try:
                with _one_transaction(self.gradebook):
                    yield converter
            finally:
                os.chdir(before)
                self.gradebook.db.expire_all()


class _Shared:
    """Stands in for nbgrader's Gradebook class: entering and leaving it leaves the connection open."""

    def __init__(self, gradebook: Gradebook) -> None:
        self._gradebook = gradebook

    def __call__(self, *args: Any, **kwargs: Any) -> _Shared:
        return self

    def __enter__(self) -> Gradebook:
        return self._gradebook

    def __exit__(self, *error: object) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gradebook, name)


@contextmanager
def _one_transaction(gradebook: Gradebook) -> Iterator[None]:
    """nbgrader commits after each cell: make that one transaction, so that a submission's grades are written together or not at all."""
    session = gradebook.db
    session.commit = session.flush
    try:
        try:
            yield
        finally:
            del session.commit
        session.commit()
    except BaseException:
        session.rollback()
        raise


@contextmanager
def _one_gradebook(gradebook: Gradebook) -> Iterator[None]:
    """Every nbgrader step opens the gradebook anew, which takes longer than what it does with it: let them share one."""
    modules = (autograde, overwritecells, overwritekernelspec, saveautogrades, latesubmissions)
    before = [m.Gradebook for m in modules]
    try:
        for module in modules:
            module.Gradebook = _Shared(gradebook)
        yield
    finally:
        for module, original in zip(modules, before, strict=True):
            module.Gradebook = original


def _writer(converter: Autograde) -> Any:
    from nbconvert.writers import FilesWriter

    return FilesWriter(parent=converter, config=converter.config)


def _notebook_of(submission: Submission) -> Path:
    """The submitted notebook: by its name, else the only other one."""
    expected = submission.folder / f"{submission.section}.ipynb"
    if expected.exists() or expected.is_symlink():
        return expected
    others = [p for p in sorted(submission.folder.glob("*.ipynb")) if p.is_file() and not p.is_symlink()]
    return others[0] if len(others) == 1 else expected


def _irregular(folder: Path) -> list[str]:
    """Names of links and special files, which nbgrader would follow when it copies a submission's other files."""
    return [p.name for p in folder.rglob("*") if p.is_symlink() or not (p.is_file() or p.is_dir())]
