"""Turns notebooks into what the sandbox runs: which cells, with which tests, on which preparation."""

from __future__ import annotations

import ast
import hashlib
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from aieng.lesson import course
from autograder import notebooks
from autograder.execution import Cell
from autograder.inside.isolation import Limits
from autograder.sandbox import Preparation

# Answers run for at most this long in one cell. nbgrader_config.py gives plain nbgrader the same.
CLASSROOM = Limits(seconds=300.0)


@dataclass(frozen=True)
class Plan:
    """A section's source notebook, read for grading."""

    section: str
    source: Any  # the notebook; nobody changes it
    setup: tuple[str, ...]
    solutions: dict[str, str]  # grade_id of a solution cell -> reference answer
    tests: dict[str, Any]  # grade_id of a graded code cell -> the cell
    preload: tuple[str, ...]  # modules that answers and tests import
    shown: dict[str, frozenset[str]]  # source of a cell that only shows something -> names that it defines

    def preparation(self, limits: Limits) -> Preparation:
        return Preparation(self.section, self.setup, self.preload, limits)

    def spared(self, sources: Iterable[str]) -> set[str]:
        """Those of a submission's code cells that need not run: the course's own demonstrations, as they were handed out, where no other
        cell uses a name that they define. Experiments, figures and claims earn nothing, and a class has many notebooks.
        """
        sources = set(sources)
        spared = sources & set(self.shown)
        todo = [_global_names(source) for source in sources - spared]
        todo += [_read_names(c.source) - _bound_names(c.source) for c in self.tests.values()]
        while todo and spared:
            used = todo.pop()
            for source in [s for s in spared if used is None or used & self.shown[s]]:
                spared.discard(source)
                todo.append(_global_names(source))
        return spared

    def rehearsal(self) -> list[str]:
        """Every reference answer with its tests."""
        return [f"{self.solutions.get(name.removesuffix('-tests'), '')}\n\n{cell.source}" for name, cell in self.tests.items()]

    def graded(self, name: str, source: str | None = None, shift: int = 0) -> Cell:
        """The graded cell called `name`, with its own source or the given one; `shift` is added to the seeds of its hidden tests."""
        source = reseeded(self.tests[name].source if source is None else source, shift)
        exercise = exercise_of(name)
        helper = course.exercise(exercise).helper if exercise[0].isdigit() else {}
        names = defined_names(self.solutions.get(name.removesuffix("-tests"), "")) | set(helper)
        hidden, visible = hidden_part(source)
        return Cell(source, f"the tests of {exercise}", exercise, hidden, visible, tuple(sorted(names)), helper)


def plan_of(path: Path, section: str) -> Plan:
    """The plan of a source notebook; read again only when the file changes."""
    stat = path.stat()
    return _read_plan(path, section, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=16)
def _read_plan(path: Path, section: str, changed: int, size: int) -> Plan:
    source = notebooks.read(path)
    cells = source.cells
    setup = tuple(c.source for c in cells if c.cell_type == "code" and "setup" in notebooks.tags(c))
    given = {name for source in setup for name in _bound_names(source)}
    marked = [(notebooks.grade_id(c), c) for c in cells if c.cell_type == "code" and notebooks.grade_id(c)]
    solutions = {name: c.source for name, c in marked if c.metadata.nbgrader.get("solution")}
    tests = {name: c for name, c in marked if c.metadata.nbgrader.get("grade") and not c.metadata.nbgrader.get("solution")}
    of_answers = _imports((*setup, *solutions.values()))
    preload = of_answers | _imports(c.source for c in tests.values())
    if "torch" in of_answers:
        preload |= {"torch.testing", "torch._dynamo"}  # what some of torch's functions load when they are first called
    return Plan(
        section,
        source,
        setup,
        solutions,
        tests,
        tuple(sorted(preload)),
        {c.source: _bound_names(c.source) - given for c in cells if c.cell_type == "code" and not notebooks.grade_id(c)
         and "setup" not in notebooks.tags(c) and _global_names(c.source) is not None},
    )


def exercise_of(name: str) -> str:
    """ "exercise-1-3-tests" -> "1.3"; other graded cells are called by their name without "-tests"."""
    for section in course.SECTIONS:
        for exercise in section.exercises:
            if notebooks.tests_id(exercise.id) == name:
                return exercise.id
    return name.removesuffix("-tests")


def hidden_part(source: str) -> tuple[tuple[int, int], str]:
    """(lines of the two markers, source without what is between them); a cell without markers has nothing hidden."""
    lines = source.split("\n")
    begin = next((i for i, line in enumerate(lines, 1) if line.strip() == notebooks.BEGIN_HIDDEN), 0)
    end = next((i for i, line in enumerate(lines, 1) if line.strip() == notebooks.END_HIDDEN), len(lines) + 1)
    if not begin:
        return (1 << 30, 1 << 30), source
    return (begin, end), "\n".join(lines[: begin - 1] + lines[end:])


SEEDED = frozenset({"default_rng", "manual_seed", "Random"})  # they take a seed as their first argument


def shift_of(seed: str, student: str) -> int:
    """What is added to the seeds of a student's hidden tests: from 1 to a million, the same for the same texts; 0 where `seed` is ""."""
    if not seed:
        return 0
    digest = hashlib.sha256(f"{seed}\0{student}".encode()).digest()
    return 1 + int.from_bytes(digest[:8], "big") % 1_000_000


@lru_cache(maxsize=256)
def reseeded(source: str, shift: int) -> str:
    """A graded cell with `shift` added to every seed of its hidden tests: random data that nobody has seen before.

    Seeds are the arguments of `SEEDED` and those called `seed`. Lines stay where they are, and what is shown to learners as it is.
    """
    (begin, end), _ = hidden_part(source)
    if not shift or begin == 1 << 30:
        return source
    lines = [line.encode() for line in source.split("\n")]
    inserts: list[tuple[int, int, bytes]] = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and begin < node.lineno < end):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for value in [*(node.args[:1] if name in SEEDED else []), *(k.value for k in node.keywords if k.arg == "seed")]:
            assert value.end_lineno is not None and value.end_col_offset is not None
            inserts += [(value.lineno, value.col_offset, f"{shift} + (".encode()), (value.end_lineno, value.end_col_offset, b")")]
    for line, column, text in sorted(inserts, reverse=True):
        lines[line - 1] = lines[line - 1][:column] + text + lines[line - 1][column:]
    return "\n".join(line.decode() for line in lines)


def defined_names(source: str) -> set[str]:
    """Names that a cell's top level defines."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # an IPython magic: such a cell has no answer for the tests
        return set()
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            found |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return found


# Code with one of these can reach any name.
_REACHES_ALL = frozenset({"eval", "exec", "globals", "locals", "vars", "dir", "get_ipython", "inspect", "sys", "gc", "importlib", "ctypes",
                          "__import__", "__main__", "__builtins__", "builtins", "compile"})


@lru_cache(maxsize=1024)
def _bound_names(source: str) -> frozenset[str]:
    """Names that a cell may put into the notebook."""
    table = symtable.symtable(source, "<cell>", "exec")
    bound = {s.get_name() for t in _tables(table) for s in t.get_symbols()
             if (s.is_assigned() or s.is_imported()) and (t is table or s.is_declared_global())}
    return frozenset(bound | {t.get_name() for t in table.get_children()})


def _global_names(source: str) -> frozenset[str] | None:
    """Names of the notebook that a cell may read; None where that cannot be told: magics, code that runs text or looks around."""
    names = _read_names(source)
    return None if names & _REACHES_ALL else names


@lru_cache(maxsize=4096)
def _read_names(source: str) -> frozenset[str]:
    """Names that a cell's code reads and does not define in a function of its own, and the names of what it imports."""
    try:
        table = symtable.symtable(source, "<cell>", "exec")
    except (SyntaxError, ValueError):  # a magic, or nonsense
        try:
            table = symtable.symtable(TransformerManager().transform_cell(source), "<cell>", "exec")
        except (SyntaxError, ValueError):
            return frozenset()  # it cannot run
    symbols = [(t, s) for t in _tables(table) for s in t.get_symbols()]
    return frozenset(s.get_name() for t, s in symbols
                     if s.is_imported() or (s.is_referenced() and (t is table or t.get_type() == "class" or s.is_global())))


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _imports(sources: Iterable[str]) -> set[str]:
    """Modules that the sources import anywhere."""
    found: set[str] = set()
    for source in sources:
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue  # a cell with an IPython magic
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
    return found
