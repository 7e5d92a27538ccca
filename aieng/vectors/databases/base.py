"""What every vector database does here, five methods long, and the checks that come before any request is sent."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from aieng.vectors._validation import as_matrix, as_positive_int
from aieng.vectors.databases.filters import (
    Condition,
    Filter,
    Scalar,
    check_field,
    check_scalar,
    is_number,
    matches_nothing,
    parse_filter,
)

Payload = Mapping[str, Scalar]

METRICS = ("l2", "ip", "cosine")
KINDS = ("flat", "ivf_flat", "hnsw", "auto")
# Milvus, Chroma and Weaviate accept these as they are, Pinecone with - for _.
COLLECTION_NAME = re.compile(r"[a-z][a-z0-9_]{2,44}")
LARGEST_ID = 2**62 - 1
# A record of which payload numbers were ints, in engines that keep all numbers as floats.
INT_FIELDS = "_int_fields"


class DatabaseError(RuntimeError):
    """The engine refused or failed a request; the message names the engine and the step, the cause is chained."""


@dataclass(frozen=True)
class Hit:
    """One result. `score` is the squared distance for "l2" (smaller is nearer), the similarity otherwise."""

    id: int
    score: float
    payload: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class IndexConfig:
    """Which index to build and how to search it; names as in faiss and hnswlib.

    Attributes
    ----------
    kind : "flat" (exact), "ivf_flat", "hnsw", or "auto" for the engine's own choice
    nlist : number of clusters of "ivf_flat", fixed when the index is built
    nprobe : clusters searched per query; may differ from one session to the next
    M : links per node of "hnsw" (2 M on the lowest layer), fixed when the index is built
    ef_construction : candidates kept while building
    ef_search : candidates kept while searching; raised to k where k is larger
    """

    kind: str = "hnsw"
    nlist: int = 128
    nprobe: int = 16
    M: int = 16
    ef_construction: int = 100
    ef_search: int = 64

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"index kind {self.kind!r}; use one of {', '.join(KINDS)}")
        for name in ("nlist", "nprobe", "M", "ef_construction", "ef_search"):
            as_positive_int(getattr(self, name), name)
        if self.M < 2:
            raise ValueError("M = 1 makes a chain, not a graph; use M of 2 or more (16 is usual)")


@dataclass(frozen=True)
class Collection:
    """What a database has to know about a collection to serve it."""

    name: str
    dim: int
    metric: str
    index: IndexConfig


@runtime_checkable
class VectorDatabase(Protocol):
    """The five methods. Any object that has them can take part; `BaseDatabase` adds the checks."""

    def create(self, name: str, dim: int, metric: str = "l2", index: str | IndexConfig = "hnsw") -> None: ...

    def upsert(self, ids: Sequence[int], vectors: Any, payloads: Sequence[Payload] | None = None) -> None: ...

    def search(self, vector: Any, k: int = 5, filter: Filter | None = None) -> list[Hit]: ...

    def delete(self, ids: Sequence[int]) -> None: ...

    def count(self) -> int: ...


class BaseDatabase:
    """Checks arguments, then leaves the work to the engine's `_…` methods.

    Every check is made before the first request, so a call with a bad row changes nothing. Opening, closing and `with`
    are the same for all engines; an engine's own client stays reachable as `client` for what five methods do not cover.
    """

    engine = "database"
    client: Any = None
    kinds: tuple[str, ...] = KINDS
    client_errors: tuple[type[Exception], ...] = ()

    def __init__(self) -> None:
        self._open_collection: Collection | None = None

    # -- the five methods ---------------------------------------------------------------------------------------------

    def create(self, name: str, dim: int, metric: str = "l2", index: str | IndexConfig = "hnsw") -> None:
        """Create a collection, or go on with the one of this name that is there.

        Parameters
        ----------
        name : 3 to 45 of a-z, 0-9 and _, starting with a letter
        dim : length of the vectors
        metric : "l2" (squared), "ip" or "cosine"
        index : "flat", "ivf_flat", "hnsw", "auto", or an IndexConfig

        Raises
        ------
        ValueError : bad name, metric or index; or the collection exists with another dim, metric or kind of index
        """
        wanted = Collection(_name(name), as_positive_int(dim, "dim"), metric, _config(index))
        if metric not in METRICS:
            raise ValueError(f"metric {metric!r}; use one of {', '.join(METRICS)}")
        if wanted.index.kind not in self.kinds:
            raise ValueError(f"{self.engine} has no {wanted.index.kind!r} index; use one of {', '.join(self.kinds)}")
        with self._translated(f"create {name!r}"):
            there = self._describe(name)
            if there is None:
                self._create(wanted)
        if there is not None:
            same = (there.dim, there.metric, there.index.kind) == (wanted.dim, wanted.metric, wanted.index.kind)
            if not same and not (wanted.index.kind == "auto" and (there.dim, there.metric) == (dim, metric)):
                raise ValueError(f"{self.engine} already has {name!r} with dim {there.dim}, metric {there.metric!r}, index "
                                 f"{there.index.kind!r}; asked for {dim}, {metric!r}, {wanted.index.kind!r}: "
                                 f"choose another name, or drop the collection")
            wanted = Collection(name, dim, metric, wanted.index if same else there.index)
        with self._translated(f"open {name!r}"):
            self._open(wanted)
        self._open_collection = wanted

    def upsert(self, ids: Sequence[int], vectors: Any, payloads: Sequence[Payload] | None = None) -> None:
        """Write rows: new ids are added, ids that are there are replaced, vector and payload both.

        Parameters
        ----------
        ids : (n,) ints, 0 <= id < 2**62, none twice
        vectors : (n, dim) finite floats
        payloads : n flat dicts of str, int, float and bool; None for no payload

        Raises
        ------
        ValueError, TypeError : wrong shapes, NaN, a repeated id, a zero vector under "cosine"; nothing is written then
        """
        collection = self._collection()
        rows = as_matrix(vectors, "vectors", dim=collection.dim)
        numbers = as_ids(ids, len(rows))
        if payloads is not None and len(payloads) != len(rows):
            raise ValueError(f"{len(payloads)} payloads for {len(rows)} vectors; give one per vector, or none at all")
        checked = [_payload(p, i) for p, i in zip(payloads, numbers, strict=True)] if payloads is not None else None
        _refuse_zero(rows, collection.metric, "vectors")
        if len(rows):
            with self._translated(f"upsert into {collection.name!r}"):
                self._upsert(numbers, rows, checked if checked is not None else [{} for _ in numbers])

    def search(self, vector: Any, k: int = 5, filter: Filter | None = None) -> list[Hit]:
        """The k nearest rows that meet the filter, nearest first; fewer where fewer are found.

        Parameters
        ----------
        vector : (dim,) finite floats
        k : how many, at least 1
        filter : such as {"category": "food", "price": {"lte": 30}}; see `aieng.vectors.databases.filters`
        """
        collection = self._collection()
        query = as_matrix(np.asarray(vector)[None], "vector", dim=collection.dim)
        _refuse_zero(query, collection.metric, "vector")
        k = as_positive_int(k, "k")
        conditions = parse_filter(filter)
        if matches_nothing(conditions):
            return []
        with self._translated(f"search {collection.name!r}"):
            return self._search(query[0], k, conditions)

    def delete(self, ids: Sequence[int]) -> None:
        """Remove rows; ids that are not there are passed over."""
        collection = self._collection()
        numbers = as_ids(ids)
        if numbers:
            with self._translated(f"delete from {collection.name!r}"):
                self._delete(numbers)

    def count(self) -> int:
        """Number of rows."""
        with self._translated("count"):
            self._collection()
            return self._count()

    # -- around them --------------------------------------------------------------------------------------------------

    def open(self, name: str) -> Collection:
        """Go on with a collection that is there, as it was created; ValueError where there is none of this name."""
        with self._translated(f"open {name!r}"):
            there = self._describe(_name(name))
            if there is None:
                raise ValueError(f"{self.engine} has no collection {name!r}; make it with create(name, dim, metric, index)")
            self._open(there)
        self._open_collection = there
        return there

    def drop(self, name: str) -> None:
        """Remove a collection with all its rows, for good; a name that is not there is passed over."""
        with self._translated(f"drop {name!r}"):
            if self._describe(_name(name)) is not None:
                self._drop(name)
        if self._open_collection is not None and self._open_collection.name == name:
            self._open_collection = None

    def close(self) -> None:
        """Write what is not written yet, and let go of files and connections; safe to call twice."""
        self._open_collection = None

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger score is a nearer row: True for "ip" and "cosine"."""
        return self._collection().metric != "l2"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _collection(self) -> Collection:
        if self._open_collection is None:
            raise ValueError(f"no {self.engine} collection is open; call create(name, dim, metric, index) or open(name) first")
        return self._open_collection

    @contextmanager
    def _translated(self, step: str) -> Iterator[None]:
        try:
            yield
        except self.client_errors as error:
            # The first line: clients append whole tracebacks or protobuf dumps.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DatabaseError(f"{self.engine} could not {step}: {reason}") from error

    # -- what an engine implements ------------------------------------------------------------------------------------

    def _describe(self, name: str) -> Collection | None:
        raise NotImplementedError

    def _create(self, collection: Collection) -> None:
        raise NotImplementedError

    def _open(self, collection: Collection) -> None:
        """Make a collection that exists ready for use."""

    def _drop(self, name: str) -> None:
        raise NotImplementedError

    def _upsert(self, ids: list[int], vectors: np.ndarray, payloads: list[dict[str, Scalar]]) -> None:
        raise NotImplementedError

    def _search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition]) -> list[Hit]:
        raise NotImplementedError

    def _delete(self, ids: list[int]) -> None:
        raise NotImplementedError

    def _count(self) -> int:
        raise NotImplementedError


def as_ids(ids: Any, n: int | None = None) -> list[int]:
    """Check ids and return them as Python ints, which every client's serialiser takes."""
    values = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"ids are ints; got {value!r} ({type(value).__name__})")
        if not 0 <= value <= LARGEST_ID:
            raise ValueError(f"id {value} is out of range; use 0 to 2**62 - 1")
    if n is not None and len(values) != n:
        raise ValueError(f"{len(values)} ids for {n} vectors; give one id per vector")
    if len(set(values)) < len(values):
        seen: set[int] = set()
        twice = next(v for v in values if v in seen or seen.add(v))  # type: ignore[func-returns-value]
        raise ValueError(f"id {twice} appears twice in one call; which row should stay? Keep one of them")
    return [int(v) for v in values]


def batches(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover n rows: servers limit how much one request may carry."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def without_ints(payload: Payload) -> dict[str, Scalar]:
    """All numbers as floats, and the names of those that were ints noted in one more field."""
    ints = [name for name, value in payload.items() if is_number(value) and isinstance(value, int)]
    stored: dict[str, Scalar] = {name: float(value) if is_number(value) else value for name, value in payload.items()}
    return stored | ({INT_FIELDS: ",".join(ints)} if ints else {})


def with_ints(stored: Mapping[str, Any] | None) -> dict[str, Scalar]:
    """Undo `without_ints`."""
    payload = {name: value for name, value in (stored or {}).items() if value is not None}
    for name in str(payload.pop(INT_FIELDS, "")).split(","):
        if name in payload:
            payload[name] = int(payload[name])
    return payload


def require(module: str, packages: str) -> Any:
    """Import a client that not everybody has installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} is not installed; install it with: pip install {packages}") from error


def _name(name: object) -> str:
    if not isinstance(name, str) or not COLLECTION_NAME.fullmatch(name):
        raise ValueError(f"collection name {name!r}; use 3 to 45 of a-z, 0-9 and _, starting with a letter")
    return name


def _config(index: str | IndexConfig) -> IndexConfig:
    if isinstance(index, IndexConfig):
        return index
    if isinstance(index, str):
        return IndexConfig(kind=index)
    raise TypeError(f"index is {type(index).__name__}; give one of {', '.join(KINDS)}, or an IndexConfig")


def _payload(payload: Payload, row: int) -> dict[str, Scalar]:
    if not isinstance(payload, Mapping):
        raise TypeError(f"the payload of id {row} is {type(payload).__name__}; give a dict")
    for name, value in payload.items():
        check_field(name)
        check_scalar(value, f"{name!r} of id {row}")
    return dict(payload)


def _refuse_zero(rows: np.ndarray, metric: str, name: str) -> None:
    if metric == "cosine" and len(rows):
        zero = np.flatnonzero(~rows.any(axis=1))
        if len(zero):
            raise ValueError(f"row {zero[0]} of {name} is all zeros: it has no direction, so no cosine; leave it out")
