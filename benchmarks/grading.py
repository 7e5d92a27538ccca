"""The classroom grader against `nbgrader autograde`: throughput, one cold submission, growth, the hostile suite, kill -9.

    python -m benchmarks.grading [--json] [--submissions 40] [--sections 01 03] [--growth 500] [--kills 20] [--hostile] [--record]

Both graders take the same submissions (right, half right, wrong, empty and broken ones) in course folders of their own, in turn.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
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


def run_theirs(root: Path, slug: str, *arguments: str) -> float:
    environment = os.environ | {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "nbgrader", "autograde", slug, *arguments],
        cwd=root / "autograder",
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def generate(root: Path, slug: str) -> None:
    environment = os.environ | {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}
    subprocess.run(
        [sys.executable, "-m", "nbgrader", "generate_assignment", slug],
        cwd=root / "autograder",
        env=environment,
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


def hostile(folder: Path) -> list[Row]:
    """How many of the hostile submissions plain nbgrader withstands: none of their points, nothing that they were after."""
    sys.path.insert(0, str(notebooks.ROOT / "tests" / "hostile"))
    import catalogue  # type: ignore[import-not-found]

    slug = course.section_of(catalogue.EXERCISE).slug
    root = folder / "hostile"
    make_course(root, [slug])
    source = notebooks.read(notebooks.SOLUTIONS / slug / f"{slug}.ipynb")
    own = notebooks.solution_id(catalogue.EXERCISE)
    kept = [c for c in source.cells if "setup" in notebooks.tags(c) or notebooks.grade_id(c).startswith(own)]
    source.cells = [c for c in kept if not (c.cell_type == "code" and notebooks.grade_id(c).startswith(own) and c.cell_type != "code")]
    nbformat.write(source, root / "solutions" / slug / f"{slug}.ipynb")
    with open(root / "autograder" / "nbgrader_config.py", "a") as config:
        config.write("c.Execute.timeout = 20\n")
    generate(root, slug)
    good = 0
    counts: dict[str, list[int]] = {}
    everything = [h for h in catalogue.load() if h.kind != "exhaustion" or h.name in ("endless_loop", "sleep", "recursion", "huge_power")]
    skipped = len(catalogue.load()) - len(everything)
    for entry in everything:
        folder_of = root / "autograder" / "classroom" / "submitted" / f"{entry.kind}-{entry.name}" / slug
        folder_of.mkdir(parents=True)
        book = notebooks.read(root / "solutions" / slug / f"{slug}.ipynb")
        place = next(i for i, c in enumerate(book.cells) if notebooks.grade_id(c) == own)
        book.cells[place].source = entry.answer
        book.cells[place + 2 : place + 2] = [nbformat.v4.new_code_cell(s) for s in entry.after]
        book.cells[place:place] = [nbformat.v4.new_code_cell(s) for s in entry.before]
        nbformat.write(book, folder_of / f"{slug}.ipynb")
        command = [
            "timeout",
            "120",
            *_CONFINED,
            sys.executable,
            "-m",
            "nbgrader",
            "autograde",
            slug,
            f"--student={entry.kind}-{entry.name}",
        ]
        environment = os.environ | {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}
        command = [str(root) if c == "ROOT" else c for c in command]
        done = subprocess.run(command, cwd=root / "autograder", env=environment, capture_output=True, check=False)
        graded = root / "autograder/classroom/autograded" / f"{entry.kind}-{entry.name}" / slug / f"{slug}.ipynb"
        withstood = done.returncode == 0 and graded.exists()
        if withstood:
            text = graded.read_text()
            got = {k[2]: v for k, v in scores(root).items() if k[0] == f"{entry.kind}-{entry.name}"}.get(f"{own}-tests")
            outputs = str([o for c in nbformat.reads(text, 4).cells for o in c.get("outputs", [])])
            full = course.exercise(catalogue.EXERCISE).points
            leaked = re.search(r"(?<!print\(')(?<!')(?<!\")LEAK(?!')", outputs)
            withstood = not leaked and (got == full if entry.expects == "full" else got == 0)
        counts.setdefault(entry.kind, [0, 0])
        counts[entry.kind][0] += withstood
        counts[entry.kind][1] += 1
        good += withstood
        print(f"{'withstood' if withstood else 'FELL'}  {entry.kind}/{entry.name}", file=sys.stderr, flush=True)
    rows = [
        Row(f"hostile, {kind}: withstood of {n} (ours: all, tests/hostile)", "nbgrader autograde", n, k, "submissions", n / max(k, 1), None)
        for kind, (k, n) in sorted(counts.items())
    ]
    total = len(everything)
    return [
        *rows,
        Row(
            f"hostile: withstood of {total} ({skipped} would end the machine)",
            "nbgrader autograde",
            total,
            good,
            "submissions",
            total / max(good, 1),
            None,
        ),
    ]


# Plain nbgrader has no sandbox: it runs where it sees the whole machine, as it would, but can change only the course.
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
    parser.add_argument("--hostile", action="store_true", help="run the hostile suite against plain nbgrader")
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
