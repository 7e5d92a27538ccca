"""From a sentence to rows: embed the query, ask the index for ids, fetch their rows by id, filter, rerank, answer.

The index holds vectors and ids, nothing else. Everything a person reads (title, text, category, price) lies in a SQLite
table beside it and is fetched for the few ids that were found.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from aieng.vectors._validation import as_matrix, as_positive_int
from aieng.vectors.databases.base import BaseDatabase
from aieng.vectors.databases.filters import Filter, is_number, parse_filter, to_sql
from aieng.vectors.distances import knn

# What may be filtered on, and what each column holds. Column names cannot be bound as values: this list is the guard.
COLUMNS: dict[str, type] = {"title": str, "text": str, "category": str, "price": float}
_CHUNK = 500  # SQLite may be built to allow 999 bound values in a statement, and the filter needs some
STAGES = ("embed", "ann", "fetch", "rerank")


@dataclass(frozen=True)
class SearchResult:
    """One answer, best first in a list of them.

    `score` is the reranker's where there is one, otherwise the index's own (a distance or a similarity). `extra` holds the
    row's further fields, and "index_score" after reranking.
    """

    id: int
    score: float
    title: str
    text: str
    category: str
    price: float | None
    extra: dict[str, Any] = field(default_factory=dict)


class Index(Protocol):
    """Any vector index: ours of 1.3, 1.6 and 1.7, a database, or yours."""

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(n, dim) float32 to scores (n, k) and ids (n, k), nearest first; id -1 where fewer were found."""
        ...


class FlatIndex:
    """Exact search over a matrix: `knn` in the shape of an index.

    Parameters
    ----------
    vectors : (n, dim) floats
    ids : n ints; default 0 … n - 1
    metric : "l2", "ip" or "cosine"
    """

    def __init__(self, vectors: Any, ids: Sequence[int] | None = None, metric: str = "l2") -> None:
        self.vectors = as_matrix(vectors, "vectors")
        self.ids = np.arange(len(self.vectors)) if ids is None else np.asarray(ids, np.int64)
        if self.ids.shape != (len(self.vectors),) or len(np.unique(self.ids)) != len(self.ids):
            raise ValueError(f"ids of shape {self.ids.shape} for {len(self.vectors)} vectors; give one id per vector, none twice")
        self.metric = metric

    @property
    def ntotal(self) -> int:
        return len(self.vectors)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores, rows = knn(queries, self.vectors, min(k, self.ntotal), metric=self.metric)
        return scores, self.ids[rows]


class DatabaseIndex:
    """A vector database in the shape of an index; its own payloads are left alone, the store has them."""

    def __init__(self, database: BaseDatabase) -> None:
        self.database = database
        self.higher_is_better = database.higher_is_better

    @property
    def ntotal(self) -> int:
        return self.database.count()

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores = np.full((len(queries), k), -np.inf if self.higher_is_better else np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        for row, query in enumerate(queries):
            hits = self.database.search(query, k)
            scores[row, : len(hits)] = [hit.score for hit in hits]
            ids[row, : len(hits)] = [hit.id for hit in hits]
        return scores, ids


class DocumentStore:
    """Rows by id, on SQLite.

    One connection behind a lock: safe to use from the threads of a notebook, where callbacks run beside the cells.

    Parameters
    ----------
    path : a file, or ":memory:"
    """

    def __init__(self, path: str | Path = ":memory:") -> None:
        self._connection = sqlite3.connect(str(path), check_same_thread=False)
        self._lock = threading.RLock()
        with self._lock, self._connection:
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS documents (id INTEGER PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL, "
                "category TEXT NOT NULL, price REAL, extra TEXT NOT NULL)"
            )

    def insert(self, rows: Iterable[Any]) -> int:
        """Add rows, all or none.

        Parameters
        ----------
        rows : dicts, or objects such as `aieng.data.corpus.Passage`, with id, title, text and, if they like, category and
            price (None: unknown). Further keys of a dict are kept in `extra`.

        Returns
        -------
        n : rows added

        Raises
        ------
        ValueError : a row without id, title or text; an id that is there already; a price that is no finite number
        """
        values = [_row(row) for row in rows]
        with self._lock:
            try:
                with self._connection:
                    self._connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)", values)
            except sqlite3.IntegrityError as error:
                raise ValueError("an id appears twice, or is in the store already; nothing was added. "
                                 "Delete the old row first if it shall be replaced") from error
        return len(values)

    def fetch(self, ids: Iterable[int], filters: Filter | None = None) -> list[dict[str, Any]]:
        """The rows of these ids that meet the filter, in the order of `ids`; unknown ids are left out."""
        wanted = [int(i) for i in ids]
        clause, bound = to_sql(parse_filter(filters), COLUMNS)
        found: dict[int, dict[str, Any]] = {}
        with self._lock:
            for start in range(0, len(wanted), _CHUNK):
                chunk = wanted[start : start + _CHUNK]
                # Only question marks and whitelisted column names enter the text; every value is bound.
                marks = ",".join("?" * len(chunk))
                rows = self._connection.execute(
                    f"SELECT id, title, text, category, price, extra FROM documents WHERE id IN ({marks}) AND {clause}",
                    [*chunk, *bound],
                )
                for i, title, text, category, price, extra in rows:
                    found[i] = {"id": i, "title": title, "text": text, "category": category, "price": price,
                                "extra": json.loads(extra)}
        return [found[i] for i in wanted if i in found]

    def missing(self, ids: Iterable[int]) -> list[int]:
        """Those of the ids that the store does not have, in their order."""
        wanted = [int(i) for i in ids]
        there = {row["id"] for row in self.fetch(wanted)}
        return [i for i in wanted if i not in there]

    def delete(self, ids: Iterable[int]) -> int:
        """Remove rows; returns how many were there."""
        with self._lock, self._connection:
            return self._connection.executemany("DELETE FROM documents WHERE id = ?", [(int(i),) for i in ids]).rowcount

    def count(self) -> int:
        """Number of rows."""
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM documents").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SearchEngine:
    """Query in, rows out.

    Parameters
    ----------
    embed : turns a list of n texts into (n, dim) vectors, such as ``load_minilm().encode``
    index : anything with ``search(queries, k) -> (scores, ids)``, nearest first
    store : the rows
    rerank : optional, ``rerank(query, results) -> one number per result``, higher is better
    higher_is_better : whether the index returns similarities (True) or distances (False). None: the index's own
        `higher_is_better` or `metric` decides; an index that has neither is taken at its order.
    search_options : further arguments for ``index.search``, such as ``{"nprobe": 16}``

    Attributes
    ----------
    timings : seconds of the last search by stage: embed, ann, fetch, rerank
    stale_ids : ids of the last search that the index returned and the store does not have: the two have drifted apart
    candidates : how many candidates the index was asked for in the end
    """

    def __init__(self, embed: Callable[[list[str]], Any], index: Index, store: DocumentStore,
                 rerank: Callable[[str, list[SearchResult]], Sequence[float]] | None = None,
                 higher_is_better: bool | None = None, search_options: Mapping[str, Any] | None = None) -> None:
        self.embed, self.index, self.store, self.rerank = embed, index, store, rerank
        self.higher_is_better = _direction(index) if higher_is_better is None else higher_is_better
        self.search_options = dict(search_options or {})
        self.timings: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self.stale_ids: tuple[int, ...] = ()
        self.candidates = 0

    def search(self, query: str, k: int = 5, filters: Filter | None = None, candidates: int = 50) -> list[SearchResult]:
        """The k best rows for a query.

        Parameters
        ----------
        query : a text
        k : results wanted; fewer come back only where fewer rows meet the filter
        filters : such as {"category": "food", "price": {"lte": 30}}
        candidates : ids to ask the index for at first. While the filter leaves fewer than k of them, twice as many are
            asked for, until there are enough or the whole index was asked. All that remain go to the reranker.

        Raises
        ------
        ValueError, TypeError : empty query, k < 1, a filter on an unknown column, an index whose order contradicts
            `higher_is_better`
        """
        if not isinstance(query, str) or not query.strip():
            raise ValueError(f"query is {query!r}; give a text with at least one word")
        k = as_positive_int(k, "k")
        asked = max(k, as_positive_int(candidates, "candidates"))
        to_sql(parse_filter(filters), COLUMNS)  # refuse a bad filter before the slow stages
        self.timings = dict.fromkeys(STAGES, 0.0)
        with self._timed("embed"):
            vector = as_matrix(self.embed([query]), "the embedding of the query")
        with self._timed("ann"):
            total = self._total()
        while True:
            asked = min(asked, total)
            with self._timed("ann"):
                scores = self._ask(vector, asked) if asked else {}
            with self._timed("fetch"):
                rows = self.store.fetch(scores, filters)
            if len(rows) >= k or asked >= total:
                break
            asked *= 2
        self.candidates = asked
        with self._timed("fetch"):
            kept = {row["id"] for row in rows}
            self.stale_ids = tuple(self.store.missing(i for i in scores if i not in kept))
        results = [SearchResult(score=scores[row["id"]], **row) for row in rows]
        if self.rerank is not None and results:
            with self._timed("rerank"):
                results = self._reranked(query, results)
        return results[:k]

    def _ask(self, vector: np.ndarray, k: int) -> dict[int, float]:
        """Ids to scores, nearest first."""
        scores, ids = self.index.search(vector, k, **self.search_options)
        scores, ids = np.asarray(scores)[0], np.asarray(ids)[0]
        found = ids >= 0
        scores, ids = scores[found], ids[found]
        if self.higher_is_better is not None and len(scores) > 1:
            steps = np.diff(scores.astype(np.float64)) * (-1.0 if self.higher_is_better else 1.0)
            if steps.min() < -1e-4 * max(1.0, float(np.abs(scores).max())):
                kind = "similarities, largest first" if self.higher_is_better else "distances, smallest first"
                raise ValueError(f"the index should return {kind}, and did not: {scores[:3].tolist()} …; "
                                 f"set higher_is_better={not self.higher_is_better}, or sort the index's answer")
        return {int(i): float(score) for i, score in zip(ids, scores)}

    def _reranked(self, query: str, results: list[SearchResult]) -> list[SearchResult]:
        assert self.rerank is not None
        new = np.asarray(self.rerank(query, results), dtype=np.float64).ravel()
        if len(new) != len(results) or not np.isfinite(new).all():
            raise ValueError(f"rerank returned {len(new)} numbers for {len(results)} results; "
                             f"give one finite number per result, higher for better")
        order = np.argsort(-new, kind="stable")
        return [replace(results[i], score=float(new[i]), extra=results[i].extra | {"index_score": results[i].score})
                for i in order]

    def _total(self) -> int:
        total = getattr(self.index, "ntotal", None)
        return self.store.count() if total is None else int(total)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timings[stage] += time.perf_counter() - start


def _direction(index: Any) -> bool | None:
    if (declared := getattr(index, "higher_is_better", None)) is not None:
        return bool(declared)
    metric = getattr(index, "metric", None)
    return metric in ("ip", "cosine") if metric in ("l2", "ip", "cosine") else None


def _row(row: Any) -> tuple[int, str, str, str, float | None, str]:
    fields = dict(row) if isinstance(row, Mapping) else {
        name: getattr(row, name) for name in ("id", *COLUMNS, "extra") if hasattr(row, name)}
    lacking = [name for name in ("id", "title", "text") if fields.get(name) is None]
    if lacking:
        raise ValueError(f"a row lacks {', '.join(lacking)}; it needs id, title and text: {str(row)[:80]}")
    number, title, text = fields.pop("id"), fields.pop("title"), fields.pop("text")
    category, price = fields.pop("category", None) or "", fields.pop("price", None)
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 0 <= number < 2**63:
        raise ValueError(f"id {number!r}; ids are whole numbers from 0 to 2**63 - 1")
    for name, value in (("title", title), ("text", text), ("category", category)):
        if not isinstance(value, str):
            raise TypeError(f"{name} of id {number} is {type(value).__name__}; give a str")
    if price is not None and not (is_number(price) or isinstance(price, np.number)):
        raise TypeError(f"price of id {number} is {price!r}; give a number, or None where it is unknown")
    if price is not None and not math.isfinite(price):
        raise ValueError(f"price of id {number} is {price}; SQLite would keep it as NULL: give None where it is unknown")
    extra = dict(fields.pop("extra", None) or {}) | fields
    return int(number), title, text, category, None if price is None else float(price), json.dumps(extra)
