"""The classroom grader against `nbgrader autograde`: throughput, one cold submission, growth, the hostile suite, kill -9.

    python -m benchmarks.grading [--json] [--submissions 40] [--sections 01 03] [--growth 500] [--kills 20] [--hostile] [--record]

Both graders take the same submissions (right, half right, wrong, empty and broken ones) in course folders of their own, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbgrader.api import Gradebook

from aieng.lesson import course
from autograder import notebooks, repair
from benchmarks import record
from benchmarks.harness import Row, as_json, as_table

KINDS = ("right", "half", "wrong", "empty", "broken")
_SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION.*?### END SOLUTION", re.S | re.M)


def make_course(root: Path, sections: list[str]) -> None:
    for slug in sections:
        shutil.copytree(notebooks.SOLUTIONS / slug, root / "solutions" / slug)
    shutil.copytree(notebooks.ROOT / "autograder", root / "autograder", ignore=shutil.ignore_patterns("classroom", "__pycache__"))


def submit(root: Path, slug: str, student: str, kind: str) -> None:
    """A submission of one kind, made from the source notebook."""
    book = notebooks.read(notebooks.SOLUTIONS / slug / f"{slug}.ipynb")
    solutions = 0
    for cell in book.cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("grade") and cell.cell_type == "code":
            cell.source = notebooks.split_tests(cell.source)[0]
        if not marks.get("solution") or cell.cell_type != "code":
            continue
        solutions += 1
        if kind == "empty" or (kind == "half" and solutions % 2):
            cell.source = repair.stub_of(cell)
        elif kind == "wrong":
            cell.source = _SOLUTION.sub(r"\1return 0", cell.source)
        elif kind == "broken":
            cell.source = "def (:\n    this is not Python"
    folder = root / "autograder" / "classroom" / "submitted" / student / slug
    folder.mkdir(parents=True)
    nbformat.write(book, folder / f"{slug}.ipynb")


def ours(root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "autograder", "grade", "--course", str(root), "--workers", "2", *arguments]
    return subprocess.Popen(command, cwd=notebooks.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run_ours(root: Path, *arguments: str) -> float:
    started = time.perf_counter()
    if ours(root, *arguments).wait() != 0:
        raise RuntimeError("our grader failed")
    return time.perf_counter() - started


def _environment() -> dict[str, str]:
    """With the programs beside this Python, which nbgrader and otter call by name."""
    return os.environ | {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}


def run_theirs(root: Path, slug: str, *arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "nbgrader", "autograde", slug, *arguments],
        cwd=root / "autograder",
        env=_environment(),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def generate(root: Path, slug: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "nbgrader", "generate_assignment", slug],
        cwd=root / "autograder",
        env=_environment(),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def scores(root: Path) -> dict[tuple[str, str, str], float | None]:
    with Gradebook(f"sqlite:///{root}/autograder/classroom/gradebook.db", "ai-engineering") as gradebook:
        return {
            (s.student.id, a.name, g.name): g.auto_score
            for a in gradebook.assignments
            for s in a.submissions
            for n in s.notebooks
            for g in n.grades
        }


def throughput(folder: Path, sections: list[str], count: int) -> list[Row]:
    """A class of `count` per section, the kinds mixed, by one command of each grader in turn; then every score compared."""
    rows = []
    for slug in sections:
        roots = {name: folder / f"{slug}-{name}" for name in ("ours", "theirs")}
        for root in roots.values():
            make_course(root, [slug])
            generate(root, slug)
        for root in roots.values():
            submit(root, slug, "cold", "right")
        cold = {"theirs": run_theirs(roots["theirs"], slug), "ours": run_ours(roots["ours"])}
        rows.append(
            Row(
                f"{slug}: one submission, cold",
                "nbgrader autograde",
                60 / cold["ours"],
                60 / cold["theirs"],
                "per minute",
                cold["theirs"] / cold["ours"],
                1.5,
            )
        )
        for i in range(count):
            for root in roots.values():
                submit(root, slug, f"s{i:03}", KINDS[i % len(KINDS)])
        seconds = {"theirs": run_theirs(roots["theirs"], slug), "ours": run_ours(roots["ours"])}
        rate = {name: 60 * count / s for name, s in seconds.items()}
        mine, other = scores(roots["ours"]), scores(roots["theirs"])
        same = sum(mine.get(k) == v for k, v in other.items())
        rows += [
            Row(
                f"{slug}: {count} submissions, sandbox on, 2 workers",
                "nbgrader autograde",
                rate["ours"],
                rate["theirs"],
                "per minute",
                rate["ours"] / rate["theirs"],
                10.0,
            ),
            Row(f"{slug}: equal scores, of {len(other)}", "nbgrader autograde", same, len(other), "scores", same / len(other), 1.0),
        ]
    return rows


def growth(folder: Path, slug: str, largest: int) -> list[Row]:
    """Seconds per submission and the grader's memory, for a tenth of the submissions and for all."""
    found = []
    for count in (largest // 10, largest):
        root = folder / f"growth-{count}"
        make_course(root, [slug])
        for i in range(count):
            submit(root, slug, f"s{i:03}", KINDS[i % len(KINDS)])
        started = time.perf_counter()
        process = ours(root)
        memory = 0
        while process.poll() is None:
            try:
                memory = max(memory, psutil.Process(process.pid).memory_info().rss)
            except psutil.Error:
                break
            time.sleep(0.5)
        process.wait()
        found.append(((time.perf_counter() - started) / count, memory / 2**20))
    (first, small), (last, large) = found
    return [
        Row(f"seconds per submission, {largest} against {largest // 10}", "own", last, first, "seconds", first / last, 0.8),
        Row(f"memory of the grader, {largest} against {largest // 10}", "own", large, small, "MB", small / large, 0.8),
    ]


def kills(folder: Path, slug: str, times: int) -> list[Row]:
    """kill -9 of the grader or of its sandbox at random moments; then what the gradebook holds after the next run."""
    root = folder / "kills"
    make_course(root, [slug])
    kinds = {}
    for i in range(times):
        kinds[f"s{i:03}"] = KINDS[i % len(KINDS)]
        submit(root, slug, f"s{i:03}", kinds[f"s{i:03}"])
    random_pause = random.Random(0)
    for i in range(times):
        process = ours(root)
        time.sleep(random_pause.uniform(0.5, 25))
        try:
            children = psutil.Process(process.pid).children(recursive=True)
        except psutil.Error:
            children = []
        victim = random_pause.choice(children).pid if children and i % 2 else process.pid
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
        process.wait()
    run_ours(root)
    done: dict[str, dict[str, float | None]] = {}
    for (student, _, name), score in scores(root).items():
        done.setdefault(student, {})[name] = score
    expected = {kind: done[next(s for s, k in kinds.items() if k == kind)] for kind in KINDS}
    right = sum(done.get(s) == expected[k] for s, k in kinds.items())
    return [Row(f"kill -9 {times} times: grades kept, each once, of {times}", "own", right, times, "grades", right / times, 1.0)]


class _Nbgrader:
    """Plain nbgrader on a course folder that holds one exercise."""

    name = "nbgrader autograde"

    def __init__(self, folder: Path, slug: str, book: Any, entry_id: str) -> None:
        self._root, self._slug, self._own = folder / "hostile", slug, entry_id
        make_course(self._root, [slug])
        nbformat.write(book, self._root / "solutions" / slug / f"{slug}.ipynb")
        with open(self._root / "autograder" / "nbgrader_config.py", "a") as config:
            config.write("c.Execute.timeout = 20\n")
        generate(self._root, slug)

    def grade(self, student: str, book: Any) -> tuple[float | None, str]:
        """(points, what the notebook showed); RuntimeError where no grade came out."""
        folder = self._root / "autograder" / "classroom" / "submitted" / student / self._slug
        folder.mkdir(parents=True)
        nbformat.write(book, folder / f"{self._slug}.ipynb")
        done = _confined(self._root, self._root / "autograder", "nbgrader", "autograde", self._slug, f"--student={student}")
        graded = self._root / "autograder/classroom/autograded" / student / self._slug / f"{self._slug}.ipynb"
        if done != 0 or not graded.exists():
            raise RuntimeError("not graded")
        points = {k[2]: v for k, v in scores(self._root).items() if k[0] == student}.get(f"{self._own}-tests")
        return points, str([o for c in nbformat.reads(graded.read_text(), 4).cells for o in c.get("outputs", [])])


class _Otter:
    """otter-grader without its containers (`otter run`): the same tests in a test file of its own, beside the same notebook."""

    name = "otter run"

    def __init__(self, folder: Path, slug: str, book: Any, entry_id: str) -> None:
        self._root = folder / "otter"
        self._root.mkdir()
        cell = next(c for c in book.cells if notebooks.grade_id(c) == f"{entry_id}-tests")
        tests = self._root / "tests"
        tests.mkdir()
        points = cell.metadata.nbgrader.points
        (tests / "answer.py").write_text(
            f"OK_FORMAT = False\nname = 'answer'\npoints = {points}\nfrom otter.test_files import test_case\n\n"
            f"@test_case(points={points}, hidden=True)\ndef test_answer(env):\n    exec({cell.source!r}, env)\n"
        )
        with zipfile.ZipFile(self._root / "autograder.zip", "w") as archive:
            archive.write(tests / "answer.py", "tests/answer.py")
            archive.writestr("otter_config.json", '{"lang": "python", "print_summary": false, "pdf": false, "show_hidden": true}')
        shutil.rmtree(tests)

    def grade(self, student: str, book: Any) -> tuple[float | None, str]:
        """(points, what otter says of the tests and of the submission); RuntimeError where no grade came out."""
        folder = self._root / student
        folder.mkdir()
        book = nbformat.from_dict(book)
        book.cells = [c for c in book.cells if not notebooks.grade_id(c).endswith("-tests")]
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, folder / "answer.ipynb")
        done = _confined(self._root, folder, "otter", "run", "-a", "../autograder.zip", "-o", ".", "--no-logo", "answer.ipynb")
        results = folder / "results.json"
        if done != 0 or not results.exists():
            raise RuntimeError("not graded")
        found = json.loads(results.read_text())
        return sum(t.get("score", 0) for t in found["tests"]), json.dumps(found)


def hostile(folder: Path) -> list[Row]:
    """How many of the hostile submissions other graders withstand: none of their points, nothing that they were after."""
    sys.path.insert(0, str(notebooks.ROOT / "tests" / "hostile"))
    import catalogue  # type: ignore[import-not-found]

    slug = course.section_of(catalogue.EXERCISE).slug
    own, full = notebooks.solution_id(catalogue.EXERCISE), course.exercise(catalogue.EXERCISE).points
    source = notebooks.read(notebooks.SOLUTIONS / slug / f"{slug}.ipynb")
    source.cells = [c for c in source.cells if "setup" in notebooks.tags(c) or notebooks.grade_id(c) in (own, f"{own}-tests")]
    everything = [h for h in catalogue.load() if h.kind != "exhaustion" or h.name in ("endless_loop", "sleep", "recursion", "huge_power")]
    skipped = len(catalogue.load()) - len(everything)
    rows = []
    peers: list[_Nbgrader | _Otter] = [_Nbgrader(folder, slug, source, own)]
    if find_spec("otter"):
        peers.append(_Otter(folder, slug, source, own))
    for peer in peers:
        counts: dict[str, list[int]] = {}
        for entry in everything:
            book = nbformat.from_dict(source)
            place = next(i for i, c in enumerate(book.cells) if notebooks.grade_id(c) == own)
            book.cells[place].source = entry.answer
            book.cells[place + 2 : place + 2] = [nbformat.v4.new_code_cell(s) for s in entry.after]
            book.cells[place:place] = [nbformat.v4.new_code_cell(s) for s in entry.before]
            try:
                earned, shown = peer.grade(f"{entry.kind}-{entry.name}", book)
                leaked = re.search(r"(?<!print\(')(?<!')(?<!\")LEAK(?!')", shown)
                withstood, told = not leaked and earned == (full if entry.expects == "full" else 0), f"{earned} points"
            except RuntimeError as problem:
                withstood, told = False, str(problem)
            for kind in (entry.kind, ""):
                tally = counts.setdefault(kind, [0, 0])
                tally[0] += withstood
                tally[1] += 1
            print(f"{peer.name}: {'withstood' if withstood else 'FELL'}  {entry.kind}/{entry.name}  {told}", file=sys.stderr, flush=True)
        rows += [
            Row(f"hostile, {kind}: withstood of {n} (ours: all, tests/hostile)" if kind
                else f"hostile: withstood of {n} ({skipped} would end the machine)", peer.name, n, k, "submissions", n / max(k, 1), None)
            for kind, (k, n) in sorted(counts.items(), key=lambda item: item[0] or "~")
        ]
    return rows


def _confined(root: Path, here: Path, *command: str) -> int:
    """The exit code of a grader that has no sandbox: it sees the whole machine, as it would, but can change only `root`."""
    environment = _environment() | {
        "NBGRADER_EXECUTION": "autograde",
        "NUMBA_CACHE_DIR": str(root / "numba")}  # the package's own folder is read-only here
    walls = [str(root) if c == "ROOT" else c for c in _CONFINED]
    whole = ["timeout", "120", *walls, sys.executable, "-m", *command]
    return subprocess.run(whole, cwd=here, env=environment, capture_output=True, check=False).returncode


_CONFINED = [
    "bwrap",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--tmpfs",
    "/dev/shm",
    "--bind",
    "ROOT",
    "ROOT",
    "--unshare-pid",
    "--unshare-net",
    "--die-with-parent",
]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.grading", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="for the harness; graders use processes")
    parser.add_argument("--submissions", type=int, default=40, help="of each section")
    parser.add_argument("--sections", nargs="+", default=["01", "03"])
    parser.add_argument("--growth", type=int, default=0, metavar="N", help="grade N/10 and N submissions (500 takes a while)")
    parser.add_argument("--kills", type=int, default=0, metavar="N")
    parser.add_argument("--hostile", action="store_true", help="run the hostile suite against nbgrader and, where it is installed, otter")
    parser.add_argument("--record", action="store_true", help="add the rows to assets/benchmarks.json and quote them in README.md")
    asked = parser.parse_args()
    slugs = [s for s in (course.section(k).slug for k in asked.sections) if (notebooks.SOLUTIONS / s / f"{s}.ipynb").exists()]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="grading-") as name:
        folder: Any = Path(name)
        if asked.submissions:
            rows += throughput(folder, slugs, asked.submissions)
        if asked.growth:
            rows += growth(folder, slugs[0], asked.growth)
        if asked.kills:
            rows += kills(folder, slugs[0], asked.kills)
        if asked.hostile:
            rows += hostile(folder)
    if asked.record:
        record.keep("grading", rows, replace=False)
        record.quote()
    print(as_json(rows) if asked.json else as_table(rows))


if __name__ == "__main__":
    main()
