"""Command line: python -m autograder try | grade | release | banks | claims | pages | pictures | to-script | from-script."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import nbformat
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from aieng.lesson import course
from autograder import authoring, grading, notebooks, planning, sandbox
from autograder import release as releasing


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors that the user can mend are one line on stderr and exit status 2."""
    args = _parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"autograder: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m autograder", description="Grade and release the course's notebooks.")
    commands = parser.add_subparsers(required=True)

    one = commands.add_parser("try", help="grade one answer from a file that holds the text of a solution cell")
    one.add_argument("exercise", help="such as 1.3")
    one.add_argument("file", type=Path)
    one.add_argument("--json", action="store_true")
    one.add_argument("--seed", default="", help="the text that `grade --seed` was given")
    one.add_argument("--student", default="", help="with --seed: whose hidden tests")
    one.set_defaults(run=_try)

    whole = commands.add_parser("grade", help="grade your own notebook (`grade 01`), or a class (`grade`, `grade --section 01`)")
    whole.add_argument("own", nargs="?", metavar="NOTEBOOK", help="grade your own notebook of this section, hidden tests included")
    whole.add_argument("--notebook", type=Path, help="with a section: another file than notebooks/<section>/<section>.ipynb")
    whole.add_argument("--json", action="store_true")
    group = whole.add_argument_group("grading a class", "what lies in autograder/classroom/submitted/STUDENT/SECTION/")
    group.add_argument("--section", help="only this section, such as 01")
    group.add_argument("--student", default="*", help="only this student")
    group.add_argument(
        "--workers", type=int, default=os.cpu_count() or 2, help="submissions at a time on this machine (default: one per core)"
    )
    group.add_argument("--scheduler", help="address of a Dask scheduler, whose workers run the submissions instead")
    group.add_argument("--force", action="store_true", help="grade again what is graded already")
    group.add_argument("--seed", default="", help="any text: each student's hidden tests draw random data of their own from it")
    group.add_argument("--gradebook", help="the gradebook's database URL (default: AIENG_GRADEBOOK, else classroom/gradebook.db)")
    group.add_argument("--course", type=Path, default=notebooks.ROOT, help="another course folder than this checkout")
    whole.set_defaults(run=_grade)

    out = commands.add_parser("release", help="write notebooks/ from solutions/; changed notebooks are kept")
    out.add_argument("sections", nargs="*")
    out.add_argument("--reset", action="store_true", help="move a changed notebook to a dated copy, then write a fresh one")
    out.add_argument("--reset-exercise", metavar="ID", help="put the empty cell of one exercise (1.3) back into your notebook")
    out.add_argument("--check", action="store_true", help="only say which released notebooks are stale")
    out.set_defaults(run=_release)

    bank = commands.add_parser("banks", help="measure the tests: right answers accepted, wrong ones caught, and what they are told")
    bank.add_argument("exercises", nargs="*", help="such as 1.3 or 01 (default: all)")
    bank.add_argument("--mutants", type=int, metavar="N", help="instead, plant up to N faults in each reference answer")
    bank.add_argument("--seeds", type=int, default=0, metavar="N", help="also with the hidden tests' seeds moved N times")
    bank.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    bank.add_argument("--json", action="store_true")
    bank.set_defaults(run=_banks)

    ledger = commands.add_parser("claims", help="run the source notebooks at full pace and write assets/claims.md")
    ledger.add_argument("sections", nargs="*", help="run only these again (default: all)")
    ledger.set_defaults(run=_claims)

    html = commands.add_parser("pages", help="run the released notebooks and write read-only HTML pages into build/pages/")
    html.add_argument("sections", nargs="*")
    html.set_defaults(run=_pages)

    shots = commands.add_parser("pictures", help="take each section's figure in a browser, for the README, into assets/pictures/")
    shots.add_argument("sections", nargs="*")
    shots.set_defaults(run=_pictures)

    text = commands.add_parser("to-script", help="print a section's source notebook as text")
    text.add_argument("section")
    text.set_defaults(run=_to_script)

    book = commands.add_parser("from-script", help="write a section's source notebook from its text on standard input")
    book.add_argument("section")
    book.set_defaults(run=_from_script)
    return parser


def _try(args: argparse.Namespace) -> int:
    if args.student and not args.seed:
        raise ValueError("--student goes with --seed TEXT, the text that `grade --seed` was given")
    shift = planning.shift_of(args.seed, args.student)
    score = grading.try_answer(args.exercise, args.file.read_text(encoding="utf-8"), shift=shift)
    if args.json:
        print(json.dumps(score.as_dict()))
    else:
        _table([score])
    return 0


def _grade(args: argparse.Namespace) -> int:
    if warning := sandbox.missing_protections():
        print(warning, file=sys.stderr)
    if args.own is None:
        return _grade_class(args)
    if args.seed:
        raise ValueError("--seed goes with a class: python -m autograder grade --seed TEXT")
    slug = course.section(args.own).slug
    path = args.notebook or notebooks.NOTEBOOKS / slug / f"{slug}.ipynb"
    scores = grading.grade_notebook(path, slug)
    if args.json:
        print(json.dumps([s.as_dict() for s in scores]))
    else:
        _table(scores)
        print("Written questions are graded by a person and are not counted here.")
    return 0


def _grade_class(args: argparse.Namespace) -> int:
    from autograder import batch, converter  # nbgrader takes a second to import

    if args.notebook:
        raise ValueError("--notebook goes with a section: python -m autograder grade 01 --notebook FILE")
    if args.workers < 1:
        raise ValueError(f"--workers is {args.workers}; at least 1 is needed")
    section = course.section(args.section).slug if args.section else "*"
    bar = Progress("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), "left", console=Console(stderr=True))
    with bar:
        task = bar.add_task("grading", total=None)
        reports = batch.grade(
            converter.Course(args.course.resolve(), args.gradebook),
            section,
            args.student,
            force=args.force,
            workers=args.workers,
            scheduler=args.scheduler,
            seed=args.seed,
            progress=lambda done, total, who: bar.update(task, completed=done, total=total, description=who or "grading"),
        )
    if args.json:
        print(json.dumps([r.as_dict() for r in reports]))
    else:
        table = Table("student", "section", "points", "remarks")
        for r in reports:
            table.add_row(
                r.student, r.section, (r.problem and "not graded") or f"{r.score:g} of {r.max_score:g}", r.problem or "\n".join(r.messages)
            )
        Console(markup=False).print(table)
        if not reports:
            print("Everything is graded already; --force grades it again.")
    return 1 if any(r.problem for r in reports) else 0


def _sections(args: argparse.Namespace) -> list[str]:
    """The sections that were asked for, or all that have a notebook."""
    return [course.section(s).slug for s in args.sections] or releasing.sections()


def _release(args: argparse.Namespace) -> int:
    slugs = _sections(args)
    if args.check:
        old = releasing.stale(slugs)
        print(f"stale: {', '.join(old)}; run make release" if old else f"{len(slugs)} released notebooks are up to date")
        return 1 if old else 0
    if args.reset_exercise:
        copy = releasing.reset_exercise(args.reset_exercise)
        print(f"exercise {args.reset_exercise} is empty again; your notebook as it was: {copy}")
        return 0
    kept = releasing.release(slugs, args.reset)
    for slug in kept:
        print(
            f"kept notebooks/{slug}: it was changed since its release. "
            f"`make reset NB={slug}` keeps a dated copy of it and writes a fresh one."
        )
    print(f"released: {', '.join(s for s in slugs if s not in kept) or 'nothing'}")
    return 1 if kept else 0


def _banks(args: argparse.Namespace) -> int:
    from autograder import banks

    exercises = banks.ready_exercises(args.exercises)
    if args.mutants and args.seeds:
        raise ValueError("--seeds goes with the answers of the banks, not with --mutants")
    if args.mutants:
        outcomes, report = banks.grade_mutants(exercises, args.workers, args.mutants), banks.report_mutants
    else:
        outcomes, report = banks.grade_banks(exercises, args.workers, args.seeds), banks.report_banks
    if args.json:
        banks.save(outcomes)
        return 0
    return 0 if report(outcomes) else 1


def _claims(args: argparse.Namespace) -> int:
    from autograder import ledger

    stored = ledger.write(_sections(args))
    print(f"{sum(len(entry['rows']) for entry in stored.values())} claims in {ledger.PATH.relative_to(notebooks.ROOT)}")
    return 0


def _pages(args: argparse.Namespace) -> int:
    from autograder import pages

    written = pages.write(_sections(args))
    print(f"open {written[0]}")
    return 0


def _pictures(args: argparse.Namespace) -> int:
    from autograder import pictures

    for path in pictures.take(_sections(args)):
        print(f"wrote {path.relative_to(notebooks.ROOT)}")
    return 0


def _to_script(args: argparse.Namespace) -> int:
    sys.stdout.write(authoring.to_script(notebooks.read(notebooks.source_path(args.section))))
    return 0


def _from_script(args: argparse.Namespace) -> int:
    slug = course.section(args.section).slug
    path = notebooks.SOLUTIONS / slug / f"{slug}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(authoring.from_script(sys.stdin.read()), path)
    print(f"wrote {path.relative_to(notebooks.ROOT)}")
    return 0


def _table(scores: list[grading.Score]) -> None:
    table = Table("exercise", "points", "what the tests say")
    for s in scores:
        table.add_row(s.exercise, f"{s.score:g} of {s.max_score:g}", "\n".join(s.messages) or "✓ all tests pass")
    table.add_section()
    table.add_row("sum", f"{sum(s.score for s in scores):g} of {sum(s.max_score for s in scores):g}", "")
    Console(markup=False).print(table)
