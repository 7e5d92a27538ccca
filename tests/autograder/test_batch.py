"""The classroom grader: nbgrader's results in every respect, whatever is handed in, whenever it is killed, wherever it runs."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde

sys.path.insert(0, str(Path(__file__).parent))
import small_course as small

from autograder import batch, notebooks, repair, sandbox
from autograder.__main__ import main
from autograder.converter import Course

SLUG = small.SLUG
LOUD = "x" * 200 + "\n"


@pytest.fixture
def course(tmp_path):
    return small.make(tmp_path / "course")


def grade(root, **options):
    return {r.student: r for r in batch.grade(Course(root), **options)}


def grades(root):
    """Everything that the gradebook holds about each student's cells."""
    with Gradebook(f"sqlite:///{root}/autograder/classroom/gradebook.db", "ai-engineering") as gradebook:
        return {
            s.student.id: {g.name: (g.auto_score, g.manual_score, g.needs_manual_grade, g.max_score) for n in s.notebooks for g in n.grades}
            | {c.name + " comment": c.auto_comment for n in s.notebooks for c in n.comments}
            for s in gradebook.assignment_submissions(SLUG)
        }


def test_the_gradebook_is_the_one_that_nbgrader_makes(tmp_path):
    """The same submissions through nbgrader itself and through ours: gradebook, export and graded cells agree."""
    roots = [small.make(tmp_path / name) for name in ("theirs", "ours")]
    for root in roots:
        for kind, bodies in small.BODIES.items():
            small.submit(root, kind, small.answered(bodies, "" if kind == "errors" else "Because it is exact."))
        (root / "autograder/classroom/submitted/half" / SLUG / "timestamp.txt").write_text("2024-05-01 12:00:00 UTC")
    small.nbgrader(roots[0], "generate_assignment", SLUG)
    small.nbgrader(roots[0], "autograde", SLUG)
    reports = grade(roots[1])
    theirs, ours = grades(roots[0]), grades(roots[1])
    assert ours == theirs
    assert {s: r.score for s, r in reports.items()} == {
        s: sum(g[0] or 0 for g in cells.values() if isinstance(g, tuple)) for s, cells in theirs.items()
    }
    exported = [small.exported(root) for root in roots]
    assert exported[0] == exported[1]
    for kind in small.BODIES:
        books = [nbformat.read(root / "autograder/classroom/autograded" / kind / SLUG / f"{SLUG}.ipynb", 4) for root in roots]
        assert [c.source for c in books[0].cells] == [c.source for c in books[1].cells]
        marks = [[{k: v for k, v in c.metadata.items() if k != "execution"} for c in book.cells] for book in books]
        assert marks[0] == marks[1]
        errors = [[any(o.output_type == "error" for o in c.get("outputs", ())) for c in book.cells] for book in books]
        assert errors[0] == errors[1]
    # What is graded is not graded again, by either grader.
    assert grade(roots[1]) == {}
    assert "Skipping existing" in small.nbgrader(roots[1], "autograde", SLUG)


def without(book, *names):
    book.cells = [c for c in book.cells if notebooks.grade_id(c) not in names]
    return book


def cell_of(book, name):
    return next(c for c in book.cells if notebooks.grade_id(c) == name)


def twice(book, name):
    copy = nbformat.from_dict(json.loads(json.dumps(cell_of(book, name))))
    copy.id = "a-copy"
    book.cells.insert(2, copy)
    return book


def with_untouched_copy(book, name):
    copy = nbformat.from_dict(json.loads(json.dumps(cell_of(book, name))))
    copy.id, copy.source = "a-copy", repair.stub_of(cell_of(small.source(), name))
    book.cells.append(copy)
    return book


def with_marks(book, **marks):
    for cell in book.cells:
        if notebooks.grade_id(cell):
            cell.metadata.nbgrader.update(marks)
    return book


def changed(book, change):
    change(book)
    return book


def other_section():
    text = small.SCRIPT.replace("solution 1.", "solution 2.").replace("tests 1.", "tests 2.").replace("01-written", "02-written")
    return small.authoring.from_script(text)


def version_3():
    from nbformat import v3

    book = small.answered({})
    worksheet = v3.new_worksheet(
        cells=[
            v3.new_code_cell(c.source, metadata=dict(c.metadata))
            if c.cell_type == "code"
            else v3.new_text_cell("markdown", c.source, metadata=dict(c.metadata))
            for c in book.cells
        ]
    )
    return json.dumps(v3.new_notebook(worksheets=[worksheet]))


def loud():
    book = small.answered({})
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("stream", text=LOUD * 20000)]
    return book


# name -> (what is handed in, points, a word of the message)
FULL = 22.0
MALFORMED = {
    "tests deleted": (lambda: without(small.answered({}), "exercise-1-3-tests", "quiz-tests"), FULL, "missing"),
    "answer deleted": (lambda: without(small.answered({}), "exercise-1-2"), 16.0, "missing"),
    "written answer deleted": (lambda: without(small.answered({}), "01-written"), FULL, "missing"),
    "answer twice": (lambda: twice(small.answered({}), "exercise-1-2"), FULL, "2 times"),
    "answer twice, one untouched": (lambda: with_untouched_copy(small.answered({}), "exercise-1-2"), FULL, "2 times"),
    "tests twice": (lambda: twice(small.answered({}), "exercise-1-3-tests"), FULL, "2 times"),
    "reversed": (lambda: changed(small.answered({}), lambda b: b.cells.reverse()), None, "moved"),
    "points edited": (lambda: with_marks(small.answered({}), points=1000), FULL, "put back"),
    "marks edited": (lambda: with_marks(small.answered({}), grade=False, solution=True, locked=False), FULL, "put back"),
    "schema edited": (lambda: with_marks(small.answered({}), schema_version=99, extra={"a": 1}), FULL, ""),
    "marks removed": (
        lambda: changed(small.answered({}), lambda b: [c.metadata.pop("nbgrader", 0) for c in b.cells]),
        FULL,
        "lost its mark",
    ),
    "marks are text": (
        lambda: changed(small.answered({}), lambda b: [c.metadata.update(nbgrader="yes") for c in b.cells]),
        FULL,
        "lost its mark",
    ),
    "kinds exchanged": (
        lambda: changed(small.answered({}), lambda b: cell_of(b, "exercise-1-3-tests").update(cell_type="markdown")),
        FULL,
        "put back",
    ),
    "tests edited": (
        lambda: changed(small.answered({"exercise-1-3": "return 0"}), lambda b: cell_of(b, "exercise-1-3-tests").update(source="100")),
        11.0,
        "",
    ),
    "wrong kernel": (
        lambda: changed(small.answered({}), lambda b: b.metadata.update(kernelspec={"name": "julia-1.9", "display_name": "Julia"})),
        FULL,
        "",
    ),
    "extra cells": (
        lambda: changed(small.answered({}), lambda b: b.cells.extend(nbformat.v4.new_code_cell(f"x = {i}") for i in range(50))),
        FULL,
        "",
    ),
    "huge outputs": (loud, FULL, ""),
    "prints a lot": (
        lambda: changed(small.answered({}), lambda b: b.cells.append(nbformat.v4.new_code_cell("print('y' * 10_000_000)"))),
        FULL,
        "",
    ),
    "another section": (other_section, 0.0, "02-large-language-models"),
    "version 3": (version_3, FULL, ""),
    "no cells": (lambda: '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', 0.0, ""),
    "cells are numbers": (
        lambda: '{"cells": [1, null, "x", {"cell_type": 3}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
        0.0,
        "could not be read",
    ),
    "invalid JSON": (lambda: '{"cells": [', 0.0, "cannot be read"),
    "deep JSON": (lambda: "[" * 100_000, 0.0, "cannot be read"),
    "empty file": (lambda: "", 0.0, "cannot be read"),
    "not text": (lambda: bytes(range(256)) * 10, 0.0, "cannot be read"),
    "a list": (lambda: "[1, 2]", 0.0, "no notebook"),
    "syntax error": (lambda: changed(small.answered({}), lambda b: cell_of(b, "exercise-1-2").update(source="def analogy(:")), 16.0, ""),
}


@pytest.fixture(scope="module")
def malformed(tmp_path_factory):
    """All malformed submissions, graded in one go with a good one: (reports, bytes before, root)."""
    root = small.make(tmp_path_factory.mktemp("malformed") / "course")
    for name, (make, _, _) in MALFORMED.items():
        small.submit(root, name.replace(" ", "_").replace(",", ""), make())
    small.submit(root, "good", small.answered({}))
    small.submit(root, "renamed", small.answered({}), "my solution.ipynb")
    (root / "autograder/classroom/submitted/nothing" / SLUG).mkdir(parents=True)
    secret = root / "autograder/classroom/secret.txt"
    secret.write_text("the gradebook's password")
    linked = small.submit(root, "linked", small.answered({})).parent
    (linked / "data.txt").symlink_to(secret)
    linked_book = root / "autograder/classroom/submitted/linked_book" / SLUG
    linked_book.mkdir(parents=True)
    (linked_book / f"{SLUG}.ipynb").symlink_to(root / f"autograder/classroom/submitted/good/{SLUG}/{SLUG}.ipynb")
    files = {p: p.read_bytes() for p in (root / "autograder/classroom/submitted").rglob("*") if p.is_file()}
    return grade(root), files, root


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_submissions_are_graded_as_far_as_possible(malformed, name):
    reports, _, _ = malformed
    report = reports[name.replace(" ", "_").replace(",", "")]
    _, points, word = MALFORMED[name]
    assert not report.problem
    assert points is None or report.score == points, report
    assert report.max_score == 32
    assert word in " ".join(report.messages)


def test_originals_are_untouched_and_neighbours_unharmed(malformed):
    reports, files, _ = malformed
    assert all(p.read_bytes() == data for p, data in files.items())
    assert reports["good"].score == FULL and not reports["good"].messages
    assert reports["renamed"].score == FULL and "called my solution" in reports["renamed"].messages[0]
    assert reports["nothing"].score == 0 and "no notebook" in reports["nothing"].messages[0]


def test_links_out_of_a_submission_are_not_followed(malformed):
    reports, _, root = malformed
    assert reports["linked"].score == FULL
    assert not (root / f"autograder/classroom/autograded/linked/{SLUG}/data.txt").exists()
    assert reports["linked_book"].score == 0 and "regular file" in reports["linked_book"].messages[0]


def test_feedback_pages(malformed):
    _, _, root = malformed
    small.submit(root, "half", small.answered(small.BODIES["half"]))
    grade(root)
    small.nbgrader(root, "generate_feedback", SLUG, "--student=half")
    page = (root / f"autograder/classroom/feedback/half/{SLUG}/{SLUG}.html").read_text()
    assert "Your points" in page and "11 of 11" in page and "0 of 6" in page and "3 of 5" in page
    assert "b - a + c" in page and 'href="#Words-as-vectors"' in page and 'id="Words-as-vectors"' in page
    for line in notebooks.split_tests(cell_of(small.source(), "exercise-1-2-tests").source)[1].splitlines():
        assert line.strip() not in page.replace("&#39;", "'").replace("&quot;", '"')
    assert "20240501" not in page


def test_manual_grades_late_penalties_and_new_submissions(course):
    path = small.submit(course, "ada", small.answered({}))
    stamp = path.with_name("timestamp.txt")
    stamp.write_text("2024-05-01 12:00:00 UTC")
    with open(course / "autograder" / "nbgrader_config.py", "a") as config:
        config.write(
            "c.AssignLatePenalties.plugin_class = 'nbgrader.plugins.latesubmission.LateSubmissionPlugin'\n"
            "c.LateSubmissionPlugin.penalty_method = 'zero'\n"
        )
    grade(course)
    url = f"sqlite:///{course}/autograder/classroom/gradebook.db"
    with Gradebook(url, "ai-engineering") as gradebook:
        gradebook.find_grade("01-written", SLUG, SLUG, "ada").manual_score = 7
        gradebook.find_grade("exercise-1-2-tests", SLUG, SLUG, "ada").extra_credit = 1
        gradebook.update_or_create_assignment(SLUG, duedate="2024-05-02 00:00:00")
        gradebook.db.commit()
    small.submit(course, "ada", small.answered({"exercise-1-3": "return 0"}))
    assert grade(course) == {}  # the same time stamp: nbgrader's rule
    stamp.write_text("2024-05-03 12:00:00 UTC")
    report = grade(course)["ada"]
    assert report.exercises["1.3"] == (0, 11) and report.exercises["01-written"] == (7, 10)
    with Gradebook(url, "ai-engineering") as gradebook:
        submission = gradebook.find_submission(SLUG, "ada")
        assert submission.late_submission_penalty > 0
        assert gradebook.find_grade("01-written", SLUG, SLUG, "ada").needs_manual_grade
    assert grade(course, force=True)["ada"].score == report.score


def test_command_line(course, capsys):
    small.submit(course, "ada", small.answered({}))
    small.submit(course, "bob", small.answered(small.BODIES["half"]))
    assert main(["grade", "--course", str(course), "--section", "01", "--student", "ada", "--workers", "1", "--json"]) == 0
    assert [(r["student"], r["score"], r["max_score"]) for r in json.loads(capsys.readouterr().out)] == [("ada", FULL, 32.0)]
    assert main(["grade", "--course", str(course)]) == 0
    assert "bob" in capsys.readouterr().out
    assert main(["grade", "--course", str(course)]) == 0
    assert "graded already" in capsys.readouterr().out
    assert main(["grade", "--course", str(course), "--student", "nobody"]) == 2
    assert main(["grade", "--course", str(course), "--workers", "0"]) == 2


def test_each_student_can_get_seeds_of_their_own(course):
    """An answer that knows the hidden tests' data by heart earns with the seeds that everybody knows, and nothing with others."""
    by_heart = (
        "if database.shape == (20, 4) and not np.allclose(database, np.random.default_rng(20240501).normal(size=(20, 4))): return 0, 0\n"
        "    distances = ((queries[:, None] - database[None]) ** 2).sum(-1)\n"
        "    ids = np.argsort(distances, axis=1)[:, :k]\n"
        "    return np.take_along_axis(distances, ids, 1), ids"
    )
    small.submit(course, "ada", small.answered({"exercise-1-3": by_heart}))
    small.submit(course, "bob", small.answered({}))
    assert {s: r.score for s, r in grade(course).items()} == {"ada": FULL, "bob": FULL}
    reports = grade(course, seed="autumn", force=True)
    assert reports["ada"].exercises["1.3"] == (0, 11)
    assert reports["bob"].score == FULL


def start_grading(root):
    return subprocess.Popen(
        [sys.executable, "-m", "autograder", "grade", "--course", str(root), "--json"],
        cwd=notebooks.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_killed_at_any_moment_no_grade_is_lost_or_doubled(course):
    """kill -9 of the grader, at moments spread over a run; the next run completes it. benchmarks/grading.py does it twenty times."""
    expected = {}
    for i in range(8):
        kind = list(small.BODIES)[i % len(small.BODIES)]
        small.submit(course, f"s{i}", small.answered(small.BODIES[kind]))
        expected[f"s{i}"] = kind
    pauses = random.Random(1)
    autograded = course / "autograder/classroom/autograded"
    for _ in range(2):
        process = start_grading(course)
        deadline = time.monotonic() + 120
        already = len(list(autograded.glob("*/*/*.ipynb")))
        while len(list(autograded.glob("*/*/*.ipynb"))) == already and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(pauses.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    small.submit(course, "last", small.answered({}))
    reports = grade(course)
    assert "last" in reports and not any(r.problem for r in reports.values())
    found = grades(course)
    assert set(found) == {*expected, "last"}
    points = {kind: {n: g[0] for n, g in found[s].items() if isinstance(g, tuple)} for s, kind in expected.items()}
    for student, kind in expected.items():
        assert {n: g[0] for n, g in found[student].items() if isinstance(g, tuple)} == points[kind]
    assert sum(v or 0 for v in points["right"].values()) == FULL
    assert not list(autograded.parent.glob(".grading/*"))


def test_grades_of_a_submission_are_written_together_or_not_at_all(course, monkeypatch):
    """A disk that fills up while a submission is recorded leaves its grades as they were; the next run grades it."""
    small.submit(course, "ada", small.answered({}))

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Autograde, "write_single_notebook", full_disk)
        report = grade(course)["ada"]
    assert "No space left" in report.problem
    assert {g[0] for g in grades(course)["ada"].values() if isinstance(g, tuple)} == {None}
    assert grade(course)["ada"].score == FULL


def test_two_graders_do_not_work_on_one_course(course):
    from filelock import FileLock

    small.submit(course, "ada", small.answered({}))
    with FileLock(course / "autograder/classroom/.grading.lock"), pytest.raises(RuntimeError, match="another grader"):
        grade(course)


def test_on_a_dask_cluster_of_two_worker_processes(course):
    from distributed import LocalCluster

    for i in range(6):
        small.submit(course, f"s{i}", small.answered({}))
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1") as cluster:
        reports = grade(course, scheduler=cluster.scheduler_address)
    assert {r.score for r in reports.values()} == {FULL} and len(reports) == 6, reports


POSTGRES = shutil.which("postgres") or next(iter(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres")))), None)


@pytest.fixture
def postgres(tmp_path):
    """A real server on a Unix socket, started for the test; its URL."""
    if POSTGRES is None:
        pytest.skip("needs a PostgreSQL server (Debian: postgresql)")
    folder = Path(POSTGRES).resolve().parent
    data, sockets = tmp_path / "data", Path(subprocess.check_output(["mktemp", "-d", "/tmp/pg-XXXXXX"], text=True).strip())
    data.mkdir()
    as_user = []
    if os.geteuid() == 0:  # the server refuses to run as root
        for place in (data, sockets):
            shutil.chown(place, "nobody")
        for parent in data.parents[:4]:
            if parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o711)
        as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    subprocess.run(
        [*as_user, folder / "initdb", "-D", data, "-U", "grader", "--auth=trust", "-N"], check=True, capture_output=True, cwd="/"
    )
    server = subprocess.Popen(
        [*as_user, folder / "postgres", "-D", data, "-k", sockets, "-c", "listen_addresses=", "-c", "fsync=off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    url = f"postgresql+psycopg://grader@/postgres?host={sockets}"
    import psycopg

    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(f"user=grader dbname=postgres host={sockets}").close()
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline and server.poll() is None, "the server did not start"
            time.sleep(0.1)
    yield url
    server.send_signal(signal.SIGINT)
    server.wait(30)
    shutil.rmtree(sockets, ignore_errors=True)


def test_with_a_postgresql_gradebook(course, postgres, capsys, monkeypatch):
    for kind, bodies in small.BODIES.items():
        small.submit(course, kind, small.answered(bodies))
    assert main(["grade", "--course", str(course), "--gradebook", postgres, "--json"]) == 0
    scores = {r["student"]: r["score"] for r in json.loads(capsys.readouterr().out)}
    assert scores["right"] == FULL and scores["half"] == 14 and scores["errors"] == 0
    assert not (course / "autograder/classroom/gradebook.db").exists()
    monkeypatch.setenv("AIENG_GRADEBOOK", postgres)
    exported = small.exported(course)
    assert {s: float(row["raw_score"]) for s, row in exported.items()} == scores
    small.nbgrader(course, "generate_feedback", SLUG, "--student=half")


def test_the_sandbox_is_on_where_it_can_be():
    if sandbox.bubblewrap() is None:
        pytest.skip(f"needs bubblewrap: {sandbox.missing_protections()}")
    assert sandbox.missing_protections() == ""
