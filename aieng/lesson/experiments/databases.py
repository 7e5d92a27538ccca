"""Experiments of 1.9: one search in several databases, what their index files hold, a server, two generations of an API.

Everything is written to temporary folders. They go with `tidy_up`, or at the latest when the notebook's kernel ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from aieng.data.corpus import Corpus, Passage
from aieng.figures.databases import engine_bars, score_curves
from aieng.lesson.environment import quick
from aieng.lesson.experiments.recall import Task, make_task, recall
from aieng.lesson.finding import Finding, experiment
from aieng.vectors.databases import (
    ChromaDatabase,
    FaissDatabase,
    IndexConfig,
    MilvusDatabase,
    PineconeDatabase,
    Recommendation,
    WeaviateDatabase,
    Workload,
    recommend,
)
from aieng.vectors.databases.base import BaseDatabase
from aieng.vectors.search_engine import DatabaseIndex, DocumentStore, FlatIndex

K = 5
IVF = IndexConfig("ivf_flat", nlist=64, nprobe=16)
FILTER = {"category": "food", "price": {"lte": 10}}
# What a person sets to have the two served engines run as well.
SERVED = {"Weaviate": "WEAVIATE_URL", "Pinecone": "PINECONE_API_KEY"}


def payload_of(passage: Passage) -> dict[str, str | float]:
    """A passage as a flat payload; databases have no None, so an unknown price is left out."""
    return {key: value for key, value in asdict(passage).items() if key != "id" and value is not None}


@dataclass
class Engines:
    """The databases of this notebook, open and filled, in one temporary folder."""

    folder: TemporaryDirectory[str]
    task: Task
    ids: NDArray[np.int64]
    open: dict[str, BaseDatabase] = field(default_factory=dict)
    build_seconds: dict[str, float] = field(default_factory=dict)
    served: dict[str, str] = field(default_factory=dict)  # engine -> the name of the collection made there

    def leave(self, name: str) -> None:
        """Close one engine, and drop what was made there if it is a service."""
        if name in self.open:
            with contextlib.suppress(OSError, RuntimeError, ValueError), self.open.pop(name) as database:
                if name in self.served:
                    database.drop(self.served[name])

    def close(self) -> None:
        """Leave all engines and remove the folder."""
        for name in list(self.open):
            self.leave(name)
        self.folder.cleanup()


def _folder() -> TemporaryDirectory[str]:
    # A file that another thread still holds (Windows) must not turn a finished experiment into an error.
    return TemporaryDirectory(prefix="aieng-", ignore_cleanup_errors=True)


def _makers(folder: Path) -> dict[str, tuple[Callable[[], BaseDatabase], IndexConfig]]:
    engines: dict[str, tuple[Callable[[], BaseDatabase], IndexConfig]] = {
        "FAISS, IVF_FLAT": (lambda: FaissDatabase(folder / "faiss-ivf"), IVF),
        "FAISS, HNSW": (lambda: FaissDatabase(folder / "faiss-hnsw"), IndexConfig("hnsw")),
        "Chroma, HNSW": (lambda: ChromaDatabase(folder / "chroma"), IndexConfig("hnsw")),
        "Milvus Lite, IVF_FLAT": (lambda: MilvusDatabase(folder / "ivf" / "shop.db"), IVF),
        "Milvus Lite, HNSW": (lambda: MilvusDatabase(folder / "hnsw" / "shop.db"), IndexConfig("hnsw")),
    }
    if os.environ.get(SERVED["Weaviate"]):
        engines["Weaviate"] = (WeaviateDatabase, IndexConfig("hnsw"))
    if os.environ.get(SERVED["Pinecone"]):
        engines["Pinecone"] = (PineconeDatabase, IndexConfig("auto"))
    return engines


@experiment
def fill_engines(corpus: Corpus, rows: int | None = None) -> Finding:
    """Put the corpus (its first `rows`), less every 20th passage, into each engine; those left out are the questions later.

    The numbers: `engines` (for the cells that follow), `rows`, and `build_seconds` {engine: seconds}.
    """
    rows = rows or (1300 if quick() else len(corpus))  # Chroma writes its index's file from 1,000 rows on
    asked = np.arange(0, rows, 20)
    kept = np.setdiff1d(np.arange(rows), asked)
    task = make_task(corpus.embeddings[kept], corpus.embeddings[asked], K)
    payloads = [payload_of(corpus.passages[i]) for i in kept]
    folder = _folder()
    engines = Engines(folder, task, kept)
    lines = ["| engine | ready to search after |", "|---|---|"]
    for name, (make, index) in _makers(Path(folder.name)).items():
        collection = "shop" if name not in SERVED else f"aieng_demo_{uuid4().hex[:8]}"
        started = time.perf_counter()
        try:
            database = make()
            engines.open[name] = database
            if name in SERVED:
                engines.served[name] = collection
            database.create(collection, task.database.shape[1], "l2", index)
            database.upsert(kept.tolist(), task.database, payloads)
            _settle(database, len(kept))
        except (OSError, RuntimeError, ValueError) as error:
            if name not in SERVED:
                raise
            engines.leave(name)
            lines.append(f"| {name} | **failed**: {error} |")
            continue
        engines.build_seconds[name] = time.perf_counter() - started
        lines.append(f"| {name} | {engines.build_seconds[name]:.1f} s |")
    lines += [f"| {name} | **not run**: the environment variable `{variable}` is not set |"
              for name, variable in SERVED.items() if not os.environ.get(variable)]
    lines += ["", f"{len(kept):,} passages are in each engine that ran, {len(asked)} stayed out to be the questions. The times include "
                  "loading each engine's own library."]
    return Finding("\n".join(lines), data={"engines": engines, "rows": len(kept), "build_seconds": engines.build_seconds})


def _settle(database: BaseDatabase, rows: int, patience: float = 60.0) -> None:
    """Wait until what was written can be searched and is indexed."""
    if isinstance(database, MilvusDatabase):
        database.flush()
    if isinstance(database, FaissDatabase):
        database.save()
    until = time.monotonic() + patience
    while database.count() < rows and time.monotonic() < until:
        time.sleep(0.5)


@experiment
def compare_engines(filled: Finding) -> Finding:
    """Median time per query, plain and filtered, and recall@5 against exact search.

    The numbers: `ms`, `filtered_ms`, `recall`, each {engine: number}.
    """
    engines = _engines(filled)
    task = engines.task
    truth = engines.ids[task.truth]
    plain, filtered, recalls = {}, {}, {}
    for name, database in engines.open.items():
        found, plain[name] = _ask(database, task.queries)
        _, filtered[name] = _ask(database, task.queries[:5], FILTER)
        recalls[name] = recall(found, truth)
    names = list(engines.open)
    fastest, slowest = min(names, key=plain.__getitem__), max(names, key=plain.__getitem__)
    dearest = max(names, key=lambda n: filtered[n] / plain[n])
    detour = ", whose client speaks gRPC to its engine even inside one process" if slowest.startswith("Milvus Lite") else ""
    figure = engine_bars(names, {"plain": [plain[n] for n in names], "with a filter": [filtered[n] for n in names]},
                         [recalls[n] for n in names], k=K)
    return Finding(
        f"All of them find nearly the same: recall@{K} from {min(recalls.values()):.3f} to {max(recalls.values()):.3f}. What differs "
        f"is the way to the index and back: {1e3 * plain[fastest]:.2f} ms a query with {fastest}, {1e3 * plain[slowest]:.2f} ms with "
        f"{slowest}{detour}. The filter {FILTER} changes the time most in {dearest}: "
        f"{1e3 * filtered[dearest]:.3g} ms, {filtered[dearest] / plain[dearest]:.0f} times the plain query.",
        figure, {"ms": {n: 1e3 * s for n, s in plain.items()}, "filtered_ms": {n: 1e3 * s for n, s in filtered.items()},
                 "recall": recalls})


def _ask(database: BaseDatabase, queries: NDArray[np.float32], wanted: Mapping[str, Any] | None = None) -> tuple[list[list[int]], float]:
    """The ids found for each query, and the median seconds; the first query is asked twice, to warm up."""
    database.search(queries[0], K, wanted)
    found, seconds = [], []
    for query in queries:
        started = time.perf_counter()
        hits = database.search(query, K, wanted)
        seconds.append(time.perf_counter() - started)
        found.append([hit.id for hit in hits])
    return found, float(np.median(seconds))


@experiment
def look_inside(filled: Finding, corpus: Corpus) -> Finding:
    """Open the index files on disk and search them, byte by byte, for a vector, a code and a text that we know.

    The numbers: `bytes` {index: bytes per vector}, `smallest`, `largest`, `opened` (rows that faiss itself reads from Milvus' file),
    `n` (rows), `files`, `texts` (how many of the files hold the text).
    """
    engines = _engines(filled)
    n, dim = engines.task.database.shape
    row = n // 2
    text = corpus.passages[int(engines.ids[row])].text.encode()
    vector = engines.task.database[row].tobytes()
    import faiss

    packed, codes = _packed(engines.task.database)
    files = {
        "FAISS, IVF_FLAT": faiss.serialize_index(_faiss(engines, "FAISS, IVF_FLAT")).tobytes(),
        "FAISS, IVF_PQ (48 bytes)": packed,
        "Chroma, HNSW": _one(engines, "chroma/*/data_level0.bin").read_bytes(),
        "Milvus Lite, IVF_FLAT": _one(engines, "ivf/shop.db/**/*.idx").read_bytes(),
        "Milvus Lite, HNSW": _one(engines, "hnsw/shop.db/**/*.idx").read_bytes(),
    }
    read = faiss.read_index(str(_one(engines, "ivf/shop.db/**/*.idx")))
    lines = ["| index | bytes a vector | holds the vector? | a code of it? | the text? |", "|---|---|---|---|---|"]
    sizes = {}
    for name, data in files.items():
        sizes[name] = len(data) / n
        held = [vector in data, codes[row].tobytes() in data, text in data]
        lines.append(f"| {name} | {sizes[name]:,.0f} | " + " | ".join("**yes**" if h else "no" for h in held) + " |")
    ids, texts = 8, sum(text in data for data in files.values())
    lines += ["", f"An index of nothing but ids would take {ids} bytes a vector. These take {min(sizes.values()):,.0f} to "
                  f"{max(sizes.values()):,.0f}; where the vectors are whole, {4 * dim:,} of them are the {dim} float32 themselves. "
                  f"The file of Milvus Lite even opens in faiss, as `{type(read).__name__}` with {read.ntotal:,} rows. The text is in "
                  f"{texts} of the {len(files)} index files; it lies beside, in {_beside(engines)}."]
    return Finding("\n".join(lines), data={"bytes": sizes, "smallest": min(sizes.values()), "largest": max(sizes.values()),
                                           "opened": read.ntotal, "n": n, "texts": texts, "files": len(files)})


def _packed(x: NDArray[np.float32], pieces: int = 48) -> tuple[bytes, NDArray[np.uint8]]:
    """An IVF-PQ index of x as bytes, and the code of each row."""
    import faiss

    index = faiss.IndexIVFPQ(faiss.IndexFlatL2(x.shape[1]), x.shape[1], 16, pieces, 8)
    index.by_residual = False  # so that a row's code does not depend on its list, and can be looked for
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
    index.cp.niter = index.pq.cp.niter = 4
    index.train(x)
    index.add(x)
    return faiss.serialize_index(index).tobytes(), index.pq.compute_codes(x)


def _beside(engines: Engines) -> str:
    """Where the payloads are, each place looked up on disk."""
    sqlite, parquet = _one(engines, "chroma/chroma.sqlite3"), _one(engines, "ivf/shop.db/**/*.parquet")
    return (f"`{sqlite.name}` for Chroma ({sqlite.stat().st_size / 1e6:.1f} MB) and `{parquet.name}` for Milvus Lite "
            f"({parquet.stat().st_size / 1e6:.1f} MB)")


def _one(engines: Engines, pattern: str) -> Path:
    return max(Path(engines.folder.name).glob(pattern), key=lambda file: file.stat().st_size)


def _faiss(engines: Engines, name: str) -> Any:
    database = engines.open[name]
    assert isinstance(database, FaissDatabase)
    return database.index


@experiment
def engine_on_database(SearchEngine: Any, filled: Finding, corpus: Corpus, encoder: Any, queries: list[str]) -> Finding:
    """The learner's engine of 1.8, once over exact search and once over Milvus: the index is the only thing that changes.

    The numbers: `agree` (share of the titles that are the same).
    """
    engines = _engines(filled)
    store = DocumentStore()
    store.insert(corpus.passages[i] for i in engines.ids)
    exact = SearchEngine(encoder.encode, FlatIndex(engines.task.database, engines.ids.tolist()), store)
    served = SearchEngine(encoder.encode, DatabaseIndex(engines.open["Milvus Lite, HNSW"]), store)
    lines, same = ["| query | exact index | Milvus Lite, HNSW |", "|---|---|---|"], []
    for query in queries:
        answers = [[r.title for r in engine.search(query, 3)] for engine in (exact, served)]
        same.append(len(set(answers[0]) & set(answers[1])) / max(1, len(answers[0])))
        lines.append(f"| {query} | {' · '.join(answers[0])} | {' · '.join(answers[1])} |")
    agree = float(np.mean(same))
    return Finding("\n".join([*lines, "", f"{agree:.0%} of the answers are the same, and `SearchEngine` does not know which it talks to."]),
                   data={"agree": agree})


@experiment
def tidy_up(filled: Finding) -> Finding:
    """Close the engines and remove their folder. The numbers: `left` (files that are still there)."""
    engines = filled.data["engines"]
    folder = Path(engines.folder.name)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    engines.close()
    left = sum(1 for _ in folder.rglob("*")) if folder.exists() else 0
    return Finding(f"Closed all engines; the temporary folder with {size / 1e6:.0f} MB is gone, {left} files are left.",
                   data={"left": left})


def _engines(filled: Finding) -> Engines:
    engines = filled.data["engines"]
    if not engines.open:
        raise ValueError("the engines were closed by tidy_up; run the cell with fill_engines again")
    assert isinstance(engines, Engines)
    return engines


@experiment
def ask_each(corpus: Corpus, encoder: Any, query: str, clients: Mapping[str, Callable[..., Any]]) -> Finding:
    """Let each client program of the notebook store the first passages of the corpus and answer one question.

    Parameters
    ----------
    clients : name -> function (uri, vectors, titles, query vector), which returns the titles found; `uri` is a place in a temporary
        folder that ends in ".db"

    The numbers: `answers` {name: titles} and `same` (share of the answers that all of them give).
    """
    count = 500 if quick() else 2000
    vectors, titles = corpus.embeddings[:count], [passage.title for passage in corpus.passages[:count]]
    asked = np.asarray(encoder.encode([query]), dtype=np.float32)[0]
    lines, answers = [f"| client | nearest {K} to “{query}” among {count:,} passages | seconds |", "|---|---|---|"], {}
    with _folder() as folder:
        for number, (name, client) in enumerate(clients.items()):
            uri = Path(folder) / str(number) / "products.db"
            uri.parent.mkdir()
            started = time.perf_counter()
            answers[name] = list(client(str(uri), vectors, titles, asked))
            lines.append(f"| {name} | {' · '.join(answers[name])} | {time.perf_counter() - started:.1f} |")
            _release(str(uri))
    common = set.intersection(*(set(found) for found in answers.values()))
    same = len(common) / K
    return Finding("\n".join([*lines, "", f"{len(common)} of {K} titles are in every answer. The seconds are for everything: start, store, "
                              "index, ask."]), data={"answers": answers, "same": same})


def _release(uri: str) -> None:
    """Stop the Milvus Lite that serves this path, if one does: pymilvus leaves it running."""
    from milvus_lite.server_manager import server_manager_instance

    server_manager_instance.release_server(uri)


# -- Chroma as a server ----------------------------------------------------------------------------------------------

# What another program does, with nothing of Chroma's installed: HTTP and JSON.
_STRANGER = """
import json, os, sys, urllib.request
address, vector = sys.argv[1], json.load(sys.stdin)
question = json.dumps({"query_embeddings": [vector], "n_results": 5, "include": []}).encode()
request = urllib.request.Request(address, question, {"content-type": "application/json"})
print(json.dumps([os.getpid(), json.load(urllib.request.urlopen(request, timeout=10))["ids"][0]]))
"""


@experiment
def chroma_as_a_server(corpus: Corpus, rows: int = 500) -> Finding:
    """Start Chroma's server, write from this process, and ask from another one that has never heard of Chroma.

    The numbers: `processes` (different process ids that took part), `same` (1.0 where both got the same answer), `ms`.
    """
    with _folder() as folder, _served(folder) as (address, pid):
        with ChromaDatabase(address) as database:
            database.create("shop", corpus.embeddings.shape[1])
            database.upsert(range(rows), corpus.embeddings[:rows])
            query = corpus.embeddings[rows]
            mine, seconds = _ask(database, np.repeat(query[None], 9, axis=0))
            number = database.client.get_collection("shop", embedding_function=None).id
        url = f"{address}/api/v2/tenants/default_tenant/databases/default_database/collections/{number}/query"
        answer = subprocess.run([sys.executable, "-I", "-c", _STRANGER, url], input=json.dumps(query.tolist()),
                                capture_output=True, text=True, check=True, timeout=30)
    other, theirs = json.loads(answer.stdout)
    processes = len({os.getpid(), pid, other})
    same = [int(i) for i in theirs] == mine[0]
    return Finding(
        f"{processes} processes took part: this notebook (process {os.getpid()}) wrote {rows:,} vectors, the server (process {pid}) kept "
        f"them, and a bare Python (process {other}) asked over HTTP and got {'the same' if same else 'another'} answer: "
        f"{', '.join(theirs)}. A query through the server takes {1e3 * seconds:.1f} ms.",
        data={"processes": processes, "same": float(same), "ms": 1e3 * seconds})


@contextlib.contextmanager
def _served(folder: str) -> Iterator[tuple[str, int]]:
    """A Chroma server on this machine for as long as the block runs: its address and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = shutil.which("chroma", path=str(Path(sys.executable).parent)) or shutil.which("chroma")
    if command is None:
        raise FileNotFoundError("the command `chroma` is not installed beside this Python; install it with: pip install chromadb")
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([command, "run", "--path", folder, "--host", "127.0.0.1", "--port", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError):
                urlopen(f"{address}/api/v2/heartbeat", timeout=1).close()
                break
            if time.monotonic() > until or server.poll() is not None:
                raise ConnectionError(f"Chroma's server did not start on port {port}; run the cell again")
            time.sleep(0.05)
        yield address, server.pid
    finally:
        server.terminate()
        server.wait(20)


# -- two generations of pymilvus -------------------------------------------------------------------------------------


@experiment
def two_milvus_apis(corpus: Corpus, rows: int | None = None) -> Finding:
    """The same IVF_FLAT search through pymilvus' old `Collection` and through `MilvusClient`.

    The numbers: `version`, `exists` (1.0 where `Collection` can still be imported), `warned` (deprecation warnings), `same`,
    `removed_in` (the version that its warnings name).
    """
    import pymilvus

    rows = rows or (500 if quick() else 2000)
    query = corpus.embeddings[rows]
    with _folder() as folder, MilvusDatabase(Path(folder) / "shop.db") as database:
        database.create("shop", corpus.embeddings.shape[1], "l2", replace(IVF, nlist=32))
        database.upsert(range(rows), corpus.embeddings[:rows])
        database.flush()
        new = [hit.id for hit in database.search(query, K)]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            old = _through_collection(database.uri, query)
    told = [str(w.message) for w in caught if "deprecat" in w.category.__name__.lower()]
    ends = sorted(set(re.findall(r"removed in (?:PyMilvus )?([\d.]+\d)", " ".join(told))))
    data = {"version": pymilvus.__version__, "exists": float(old is not None), "warned": len(told), "same": float(old == new),
            "removed_in": ends[0] if ends else "a later version"}
    if old is None:
        return Finding(f"pymilvus {pymilvus.__version__} has no `Collection` any more; `MilvusClient` finds {new}.", data=data)
    return Finding(
        f"In pymilvus {pymilvus.__version__} both run and find {'the same ids' if old == new else f'{old} and {new}'}: {new}. The old way "
        f"drew {len(told)} deprecation warnings, which say it goes with version {data['removed_in']}.", data=data)


def _through_collection(uri: str, query: NDArray[np.float32]) -> list[int] | None:
    """The old way: a global connection, then an object per collection; None where pymilvus has dropped it."""
    try:
        from pymilvus import Collection, connections
    except ImportError:
        return None
    connections.connect("old", uri=uri)
    try:
        collection = Collection("shop", using="old")
        collection.load()
        found = collection.search(data=[query.tolist()], anns_field="vector", limit=K,
                                  param={"metric_type": "L2", "params": {"nprobe": IVF.nprobe}})
        return [hit.id for hit in found[0]]
    finally:
        connections.disconnect("old")


# -- which one? ------------------------------------------------------------------------------------------------------


@experiment
def decide(workload: Workload) -> Finding:
    """The table of `recommend` for one workload, and the scores as the number of vectors grows.

    The numbers: `best` (engine), `tips` [(number of vectors, engine that leads from there on)].
    """
    rows = recommend(workload)
    lines = ["| engine | score | index | memory | machines | dollars a month | why |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        score = f"**{row.score:.0f}**" if row.possible else "–"
        lines.append(f"| {row.engine} | {score} | {row.index} | {row.memory_gb:,.3g} GB | {row.machines or '–'} | "
                     f"{row.cost_per_month:,.0f} | {_why(row)} |")
    n_values = sorted({*(10**e * m for e in range(3, 10) for m in (1, 3)), 10**10})
    ranked = {n: recommend(replace(workload, n_vectors=n)) for n in n_values}
    names = sorted(row.engine for row in rows)  # not by rank: an engine keeps its colour from one workload to the next
    scores = {name: [next(r.score for r in ranked[n] if r.engine == name) for n in n_values] for name in names}
    leads = [(n, ranked[n][0].engine if ranked[n][0].possible else "nothing") for n in n_values]
    tips = [lead for i, lead in enumerate(leads) if i == 0 or lead[1] != leads[i - 1][1]]
    story = ", then ".join(f"{engine} from {n:,}" for n, engine in tips)
    best = rows[0].engine if rows[0].possible else "nothing"
    level = [row.engine for row in rows[1:] if row.possible and row.score == rows[0].score]
    as_good = f" (as good: {', '.join(level)})" if level else ""
    lines += ["", f"For you: **{best}**{as_good}. Were only the number of vectors different, it would be {story}."]
    table = "\n".join(lines).replace("$", "\\$")  # in JupyterLab two bare dollar signs enclose a formula
    return Finding(table, score_curves(n_values, scores, workload.n_vectors), {"best": best, "tips": tips})


def _why(row: Recommendation) -> str:
    """What decided a row: for an engine that is out, why it is out; otherwise every penalty."""
    reasons = row.reasons if row.possible else [r for r in row.reasons if r.startswith("ruled out")]
    return "; ".join(reasons) or "nothing against it"
