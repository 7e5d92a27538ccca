"""Three real tools: a calculator that evaluates nothing but arithmetic, SQL that can only read, and search by meaning."""

from __future__ import annotations

import ast
import math
import operator
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from aieng.data.corpus import load_corpus
from aieng.models.minilm import load_minilm
from aieng.vectors.hnsw import HNSW

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
LONGEST_EXPRESSION = 200  # characters
LARGEST_EXPONENT = 64
LARGEST = 1e100  # of any number on the way: three powers of 64 in a row would take hours


def calculator(expression: str) -> float:
    """Compute an arithmetic expression with numbers, such as 3 * (17 + 4) / 2.

    expression: numbers, + - * / // % **, and parentheses

    Raises
    ------
    ValueError
        Anything else: names, calls, attributes, text, too long, too large, division by zero.
    """
    if len(expression) > LONGEST_EXPRESSION:
        raise ValueError(f"the expression has {len(expression)} characters; at most {LONGEST_EXPRESSION}")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"{expression!r} is no arithmetic expression") from error
    return _evaluate(tree.body)


def _evaluate(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value: Any = node.value
    elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _evaluate(node.left), _evaluate(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) > LARGEST_EXPONENT:
            raise ValueError(f"the exponent {right} is too large; at most {LARGEST_EXPONENT}")
        try:
            value = _BINARY[type(node.op)](left, right)
        except (ZeroDivisionError, OverflowError) as error:
            raise ValueError(f"cannot compute it: {error}") from error
    elif isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        value = _UNARY[type(node.op)](_evaluate(node.operand))
    else:
        raise ValueError(f"{ast.unparse(node)!r} is not allowed; only numbers, + - * / // % ** and parentheses are")
    if isinstance(value, complex) or not math.isfinite(value) or abs(value) > LARGEST:
        raise ValueError(f"{ast.unparse(node)!r} leaves the numbers that this calculator takes")
    return value


class Shop:
    """A table of goods in SQLite that queries can read and nothing else.

    Parameters
    ----------
    rows : sequence of (title, category, price)
    max_rows : int
        A result is cut after so many rows.
    """

    def __init__(self, rows: Sequence[tuple[str, str, float]], max_rows: int = 8) -> None:
        self.max_rows = max_rows
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        self._connection.execute("CREATE TABLE items (title TEXT, category TEXT, price REAL)")
        self._connection.executemany("INSERT INTO items VALUES (?, ?, ?)", rows)
        self._connection.commit()
        self._connection.set_authorizer(_reading_only)
        self._steps = 0
        self._connection.set_progress_handler(self._too_long, 10_000)  # called after so many steps of SQLite's machine

    def _too_long(self) -> bool:
        self._steps += 1
        return self._steps > 500  # five million steps, some tenths of a second

    def query_shop(self, sql: str) -> list[dict[str, Any]]:
        """Read the shop's table of items for sale with SQL: titles, categories, prices in euros; count, average, cheapest, dearest.

        sql: one SELECT on items(title, category, price)

        Raises
        ------
        ValueError
            SQL that does not run, does more than read, or takes too long.
        """
        self._steps = 0
        try:
            cursor = self._connection.execute(sql)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row)) for row in cursor.fetchmany(self.max_rows)]
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise ValueError(f"the shop's database refused: {error}") from error


def _reading_only(action: int, first: str | None, second: str | None, *_: Any) -> int:
    """SQLite asks this about every part of a statement before it runs."""
    allowed = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
    return sqlite3.SQLITE_OK if allowed and second != "load_extension" else sqlite3.SQLITE_DENY


class _Index(Protocol):
    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]: ...


class Library:
    """Search by meaning over texts: an index of section 01 behind a function that a model can call.

    Parameters
    ----------
    texts : sequence of str
    index : searches their embeddings, ids are rows of `texts`
    encode : texts to embeddings (n, dim)
    """

    def __init__(self, texts: Sequence[str], index: _Index, encode: Callable[[list[str]], np.ndarray]) -> None:
        self.texts, self.index, self.encode = texts, index, encode

    def search_definitions(self, query: str, k: Literal[1, 2, 3] = 1) -> list[str]:
        """Look up what something is or means: finds the dictionary entries whose meaning is nearest to the query.

        query: the thing or idea to look up, in a few words
        k: how many entries
        """
        _, ids = self.index.search(np.asarray(self.encode([query])), k)
        return [self.texts[i] for i in ids[0] if i >= 0]


def open_tools() -> dict[str, Callable[..., Any]]:
    """The three tools over the course's corpus: calculator, shop of its priced passages, definitions behind an HNSW graph.

    Raises
    ------
    ModelUnavailableError
        MiniLM's files are not here and cannot be fetched.
    """
    corpus = load_corpus()
    index = HNSW(corpus.embeddings.shape[1])
    index.add(corpus.embeddings)
    shop = Shop([(p.title, p.category, p.price) for p in corpus.passages if p.price is not None])
    library = Library(corpus.texts, index, load_minilm().encode)
    return {tool.__name__: tool for tool in (calculator, shop.query_shop, library.search_definitions)}
