"""Which vector database fits a workload, worked out from its numbers.

The rules, in this order, for each engine:

1. Sizes. raw = n · dim · 4 bytes. HNSW adds its links, n · 4 · (2M + M/(M - 1)). IVF adds ids and centroids. IVF-PQ
   keeps dim/8 bytes per vector in place of 4 · dim.
2. What rules an engine out (score 0): data must stay here and it is a service; no index fits the memory of the one
   process it lives in; more vectors than its makers advise; a bill above the budget.
3. What costs points, out of 100: each is a reason in the row, with the points in brackets.

The penalties are judgement, written down so that you can disagree with them; the sizes and the bill are arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

GB = 1e9
MONTH_SECONDS = 30 * 24 * 3600
HNSW_M = 16
HEADROOM = 1.25  # an index that fills the memory to the brim cannot grow or be rebuilt
SCAN_BYTES_PER_SECOND = 5e9  # one core reading vectors for exact search; about half of what a laptop's memory gives
PROCESS_QUERIES_PER_SECOND = 500.0  # one Python process answering single queries, client overhead included
PROCESS_UPDATES_PER_SECOND = 100.0


@dataclass(frozen=True)
class Workload:
    """What you need. Every field has a unit; edit and ask again.

    Attributes
    ----------
    n_vectors, dim : how many vectors, how long
    queries_per_second, updates_per_second : sustained, not peak; an update is an upsert or a delete
    needs_filters : searches also filter by metadata
    linked_objects : rows refer to each other and are queried as objects (author → book → review)
    memory_budget_gb : RAM of one machine that you have or would rent
    budget_per_month : dollars for what comes on top of that one machine
    ops_team : somebody looks after servers
    must_be_local : the data may not leave your machines
    """

    n_vectors: int = 100_000
    dim: int = 384
    queries_per_second: float = 10.0
    updates_per_second: float = 0.0
    needs_filters: bool = False
    linked_objects: bool = False
    memory_budget_gb: float = 8.0
    budget_per_month: float = 100.0
    ops_team: bool = False
    must_be_local: bool = False

    def __post_init__(self) -> None:
        for name in ("n_vectors", "dim"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; give a whole number of at least 1")
        for name in ("queries_per_second", "updates_per_second", "budget_per_month", "memory_budget_gb"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} is {value!r}; give a finite number of at least 0")
        if self.memory_budget_gb == 0:
            raise ValueError("memory_budget_gb is 0; one machine has some memory, give it in GB")


@dataclass(frozen=True)
class Prices:
    """Dollars. Prices change: set today's before you decide anything by them.

    What Pinecone meters, and the minimum, are from its documentation ("Understanding cost"); the dollars per unit and the
    machine's are our assumptions of the usual order.
    """

    machine_gb_month: float = 5.0
    storage_gb_month: float = 0.33
    million_read_units: float = 16.0
    million_write_units: float = 4.0
    service_minimum: float = 50.0


@dataclass(frozen=True)
class Sizes:
    """Memory of each index in GB, and seconds of one core per exact query."""

    raw: float
    hnsw: float
    ivf_flat: float
    ivf_pq: float
    scan_seconds: float


@dataclass(frozen=True)
class Recommendation:
    """One row of the table, with everything that led to its score."""

    engine: str
    score: float
    possible: bool
    index: str
    memory_gb: float
    machines: int
    cost_per_month: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Engine:
    name: str
    home: str  # "process": inside yours; "server": machines that you run; "service": machines of others
    indexes: tuple[str, ...]
    advised_vectors: float = math.inf
    filters: bool = True
    durable: bool = True
    linked_objects: bool = False
    parts: int = 0  # moving parts beyond one container once there is more than one machine


# Milvus Lite: Milvus' deployment overview sends more than a few million vectors to a server.
# Chroma: its single-node guide; HNSW, in memory. Weaviate, Pinecone: their documentation of index types.
ENGINES = (
    _Engine("FAISS", "process", ("flat", "hnsw", "ivf_flat", "ivf_pq"), filters=False, durable=False),
    _Engine("Chroma", "process", ("hnsw",)),
    _Engine("Milvus Lite", "process", ("flat", "hnsw", "ivf_flat"), advised_vectors=3e6),
    _Engine("Milvus", "server", ("hnsw", "ivf_flat", "ivf_pq"), parts=3),
    _Engine("Weaviate", "server", ("hnsw", "flat"), linked_objects=True, parts=1),
    _Engine("Pinecone", "service", ("its own",)),
)


def sizes(workload: Workload) -> Sizes:
    """The arithmetic under everything else (rule 1)."""
    n, dim = workload.n_vectors, workload.dim
    raw = n * dim * 4
    links = n * 4 * (2 * HNSW_M + HNSW_M / (HNSW_M - 1))
    nlist = 4 * math.sqrt(n)
    code = max(1, dim // 8)
    return Sizes(raw / GB, (raw + links) / GB, (raw + 8 * n + 4 * dim * nlist) / GB,
                 (n * (code + 8) + 4 * dim * nlist + 256 * dim * 4) / GB, raw / SCAN_BYTES_PER_SECOND)


def recommend(workload: Workload, prices: Prices | None = None) -> list[Recommendation]:
    """Rank the engines for a workload, best first; what is ruled out comes last, with the reason.

    Parameters
    ----------
    workload : what you need
    prices : what things cost; default: `Prices()`

    Returns
    -------
    rows : one per engine; `reasons` holds the arithmetic and the points it cost
    """
    if not isinstance(workload, Workload):
        raise TypeError(f"recommend takes a Workload; got {type(workload).__name__}")
    rows = [_judge(engine, workload, sizes(workload), prices or Prices()) for engine in ENGINES]
    return sorted(rows, key=lambda row: (-row.possible, -row.score))


def _judge(engine: _Engine, work: Workload, size: Sizes, prices: Prices) -> Recommendation:
    reasons: list[str] = []
    points: list[float] = []
    against: list[str] = []

    def lose(amount: float, why: str) -> None:
        if amount >= 0.5:
            points.append(amount)
            reasons.append(f"{why} (−{amount:.0f})")

    index, memory = _choose_index(engine, work, size)
    machines, cost = 1, 0.0
    if engine.home == "process":
        _in_process(engine, work, size, index, lose, against)
    elif engine.home == "server":
        machines = max(1, math.ceil(memory * HEADROOM / work.memory_budget_gb))
        cost = (machines - 1) * work.memory_budget_gb * prices.machine_gb_month
        _on_servers(engine, work, size, machines, lose)
        reasons.append(f"{memory:.2f} GB with room to grow: {machines} machine{'s' if machines > 1 else ''} "
                       f"of {work.memory_budget_gb:g} GB")
    else:
        machines, cost = 0, _service_bill(work, size, prices)
        lose(5, "the data live with somebody else")
        reasons.append("no machine to look after")
        if work.must_be_local:
            against.append("the data must stay on your machines")
    if cost > work.budget_per_month:
        against.append(f"about ${cost:,.0f} a month, over the budget of ${work.budget_per_month:,.0f}")
    elif cost:
        lose(25 * cost / work.budget_per_month, f"${cost:,.0f} of ${work.budget_per_month:,.0f} a month")
    if work.linked_objects and not engine.linked_objects:
        lose(12, "links between objects are yours to follow")
    score = 0.0 if against else max(1.0, 100 - sum(points))
    return Recommendation(engine.name, round(score, 1), not against, index, round(memory, 3), machines, round(cost, 2),
                          (*(f"ruled out: {why}" for why in against), *reasons))


def _choose_index(engine: _Engine, work: Workload, size: Sizes) -> tuple[str, float]:
    """The most exact index that is fast enough and fits one machine; where none fits, the smallest on offer."""
    need = {"flat": size.raw, "hnsw": size.hnsw, "ivf_flat": size.ivf_flat, "ivf_pq": size.ivf_pq, "its own": size.raw}
    fast_enough = size.scan_seconds <= 0.02 and size.scan_seconds * work.queries_per_second <= 0.5
    choices = [i for i in ("flat", "hnsw", "ivf_flat", "ivf_pq", "its own")
               if i in engine.indexes and (i != "flat" or fast_enough)]
    if engine.home == "process":
        fitting = [i for i in choices if need[i] * HEADROOM <= work.memory_budget_gb]
        best = fitting[0] if fitting else min(choices, key=lambda i: need[i])
    else:
        best = choices[0]
    return best, need[best]


def _in_process(engine: _Engine, work: Workload, size: Sizes, index: str, lose: Callable[[float, str], None],
                against: list[str]) -> None:
    memory = {"flat": size.raw, "hnsw": size.hnsw, "ivf_flat": size.ivf_flat, "ivf_pq": size.ivf_pq}[index]
    if memory * HEADROOM > work.memory_budget_gb:
        against.append(f"{index} needs {memory * HEADROOM:,.1f} GB with room to grow, one process has {work.memory_budget_gb:g}")
    if work.n_vectors > engine.advised_vectors:
        against.append(f"{work.n_vectors:,} vectors; its makers advise a server beyond {engine.advised_vectors:,.0f}")
    lose(20 * min(1.0, size.hnsw * HEADROOM / work.memory_budget_gb),
         f"HNSW would take {size.hnsw:.2f} GB of {work.memory_budget_gb:g} GB")
    lose({"flat": 0, "hnsw": 0, "ivf_flat": 5, "ivf_pq": 15}[index], f"memory leaves room for {index} only")
    if work.needs_filters and not engine.filters:
        lose(20, "filters and payloads are yours to write")
    if work.updates_per_second and not engine.durable:
        lose(15, "a write is on disk only when you save")
    lose(20 * max(0.0, math.log10(max(work.updates_per_second, 1e-9) / PROCESS_UPDATES_PER_SECOND)),
         f"{work.updates_per_second:g} updates/s through one process")
    lose(20 * max(0.0, math.log10(max(work.queries_per_second, 1e-9) / PROCESS_QUERIES_PER_SECOND)),
         f"{work.queries_per_second:g} queries/s through one process")
    if engine.durable:
        lose(4, "a database's overhead on every query")


def _on_servers(engine: _Engine, work: Workload, size: Sizes, machines: int, lose: Callable[[float, str], None]) -> None:
    if not work.ops_team:
        lose(20 + (5 * engine.parts if machines > 1 else 0), "nobody to look after servers")
    one_process = size.hnsw * HEADROOM <= 0.5 * work.memory_budget_gb
    if one_process and work.queries_per_second <= PROCESS_QUERIES_PER_SECOND:
        lose(20, "a server to run for what fits inside one process")
    if engine.linked_objects and not work.linked_objects:
        lose(3, "its object model is of no use here")


def _service_bill(work: Workload, size: Sizes, prices: Prices) -> float:
    """Pinecone's meters: storage; a read unit per GB searched, at least 0.25; a write unit per kilobyte written."""
    read = max(0.25, size.raw) * work.queries_per_second * MONTH_SECONDS / 1e6 * prices.million_read_units
    kilobytes = math.ceil(work.dim * 4 / 1000)
    written = kilobytes * work.updates_per_second * MONTH_SECONDS / 1e6 * prices.million_write_units
    return max(prices.service_minimum, size.raw * prices.storage_gb_month + read + written)
