"""One contract for every engine, a filter language that means the same in all of them, and honest recommendations.

FAISS, Chroma and Milvus Lite run here for real, Chroma and Milvus also as servers on the loopback. Weaviate and Pinecone
are met through their official clients against the stand-ins of cloud_servers.py.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from cloud_servers import PineconeServer, WeaviateServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aieng.vectors.databases import (
    ChromaDatabase,
    DatabaseError,
    FaissDatabase,
    Hit,
    IndexConfig,
    MilvusDatabase,
    PineconeDatabase,
    VectorDatabase,
    WeaviateDatabase,
)
from aieng.vectors.databases import filters as language

DIM = 12
LOCAL = {
    "faiss": lambda folder: FaissDatabase(folder / "faiss"),
    "chroma": lambda folder: ChromaDatabase(folder / "chroma"),
    "milvus": lambda folder: MilvusDatabase(folder / "milvus.db"),
}


def rows(n, seed=0, dim=DIM):
    rng = np.random.default_rng(seed)
    payloads = [{"category": ["food", "wear", "home"][i % 3], "price": i / 4 if i % 2 else i, "new": i % 5 == 0}
                for i in range(n)]
    return rng.standard_normal((n, dim)), payloads


def exact(vectors, query, k, metric="l2"):
    vectors, query = np.asarray(vectors, np.float64), np.asarray(query, np.float64)
    if metric == "l2":
        scores = ((vectors - query) ** 2).sum(1)
        return np.argsort(scores)[:k], np.sort(scores)[:k]
    if metric == "cosine":
        vectors, query = vectors / np.linalg.norm(vectors, axis=1, keepdims=True), query / np.linalg.norm(query)
    scores = vectors @ query
    return np.argsort(-scores)[:k], -np.sort(-scores)[:k]


@pytest.fixture(params=LOCAL)
def make(request, tmp_path):
    """A function that opens the same engine on the same data each time it is called."""
    opened = []

    def open_again():
        for database in opened:
            database.close()
        opened.append(LOCAL[request.param](tmp_path))
        return opened[-1]

    yield open_again
    for database in opened:
        database.close()


# -- the contract ------------------------------------------------------------------------------------------------------


def walk_through(make, index="hnsw", metric="l2"):
    """create → upsert → search → filter → update → delete → count → reopen."""
    vectors, payloads = rows(300)
    ids = [7 * i + 1 for i in range(300)]
    database = make()
    assert isinstance(database, VectorDatabase)
    database.create("shop", DIM, metric, index)
    assert database.count() == 0
    assert database.search(vectors[0], k=3) == []
    database.upsert(ids, vectors, payloads)
    assert database.count() == 300

    query = rows(1, seed=9)[0][0]
    places, scores = exact(vectors, query, 5, metric)
    hits = database.search(query, k=5)
    assert [h.id for h in hits] == [ids[p] for p in places]
    assert [h.score for h in hits] == pytest.approx(scores, rel=1e-4, abs=1e-4)
    assert [h.payload for h in hits] == [payloads[p] for p in places]
    assert all(isinstance(h, Hit) and type(h.id) is int for h in hits)
    assert database.higher_is_better is (metric != "l2")

    wanted = {"category": "wear", "price": {"gte": 10, "lt": 40}}
    allowed = [i for i, p in enumerate(payloads) if p["category"] == "wear" and 10 <= p["price"] < 40]
    places, _ = exact(vectors[allowed], query, 5, metric)
    assert [h.id for h in database.search(query, 5, wanted)] == [ids[allowed[p]] for p in places]

    # The same id again: a new vector and a new payload in place of the old ones, no second row.
    target = 3 * query
    database.upsert([ids[4]], [target], [{"colour": "red"}])
    assert database.count() == 300
    found = database.search(target, k=300)
    assert [h.payload for h in found if h.id == ids[4]] == [{"colour": "red"}], "old keys are gone"
    assert ids[4] in [h.id for h in found[:1]] or metric == "ip"
    assert all(h.id != ids[4] for h in database.search(query, 300, {"category": payloads[4]["category"]}))

    database.delete([ids[10], ids[11], 10**9])
    assert database.count() == 298
    assert not {ids[10], ids[11]} & {h.id for h in database.search(vectors[10], k=298)}
    database.delete([])
    before = [(h.id, h.payload) for h in database.search(query, k=20)]

    again = make()
    again.create("shop", DIM, metric, index)
    assert again.count() == 298
    assert [(h.id, h.payload) for h in again.search(query, k=20)] == before
    assert again.search(query, 1, {"colour": "red"})[0].id == ids[4]
    about = make().open("shop")
    assert (about.dim, about.metric) == (DIM, metric)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_contract(make, metric):
    walk_through(make, metric=metric)


@pytest.mark.parametrize("kind", ["flat", "auto"])
@pytest.mark.parametrize("engine", ["faiss", "milvus"])
def test_contract_of_other_indexes(engine, kind, tmp_path):
    opened = []

    def make():
        for database in opened:
            database.close()
        opened.append(LOCAL[engine](tmp_path))
        return opened[-1]

    walk_through(make, index=kind)
    opened[-1].close()


@pytest.mark.parametrize("engine", ["faiss", "milvus"])
def test_ivf_flat_probes_as_told(engine, tmp_path):
    vectors, payloads = rows(1_300, seed=2)
    queries = rows(20, seed=3)[0]
    recall = {}
    for nprobe in (1, 4, 16):
        with LOCAL[engine](tmp_path) as database:
            database.create("lists", DIM, "l2", IndexConfig("ivf_flat", nlist=16, nprobe=nprobe))
            if database.count() == 0:
                database.upsert(range(1_300), vectors, payloads)
                if engine == "milvus":
                    database.flush()
            found = [{h.id for h in database.search(q, k=5)} for q in queries]
        recall[nprobe] = np.mean([len(f & set(exact(vectors, q, 5)[0])) / 5 for f, q in zip(found, queries)])
    assert recall[16] == 1.0, "all lists probed is exact search"
    assert recall[1] < recall[4] <= recall[16], "nlist and nprobe have reached the engine"


def test_chroma_says_that_it_has_hnsw_only(tmp_path):
    with ChromaDatabase(tmp_path) as database, pytest.raises(ValueError, match="hnsw"):
        database.create("lists", DIM, "l2", "ivf_flat")


def test_hnsw_recall_on_a_larger_set(make):
    vectors, _ = rows(2_000, seed=4)
    database = make()
    database.create("many", DIM, "l2", "hnsw")
    database.upsert(np.arange(2_000), vectors.astype(np.float32))
    queries = rows(30, seed=5)[0]
    hits = [len({h.id for h in database.search(q, k=10)} & set(exact(vectors, q, 10)[0])) for q in queries]
    assert np.mean(hits) / 10 >= 0.95


def test_two_collections_side_by_side(make):
    vectors, payloads = rows(20)
    database = make()
    database.create("one", DIM)
    database.upsert(range(20), vectors, payloads)
    database.create("two", DIM, "cosine")
    assert database.count() == 0
    database.upsert([5], vectors[:1])
    assert database.search(vectors[0], k=3) == [Hit(5, pytest.approx(1.0, abs=1e-5), {})]
    database.open("one")
    assert database.count() == 20


def test_data_survive_another_process(tmp_path):
    """A restart, not only a second object: written by a process that has ended, read here."""
    script = f"""
import numpy as np
from test_databases import LOCAL, rows, DIM
from pathlib import Path
for name, make in LOCAL.items():
    with make(Path({str(tmp_path)!r})) as database:
        database.create("kept", DIM, "l2", "hnsw")
        database.upsert(range(50), *rows(50))
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, cwd=Path(__file__).parent)
    vectors, payloads = rows(50)
    for make in LOCAL.values():
        with make(tmp_path) as database:
            database.open("kept")
            assert database.count() == 50
            assert database.search(vectors[7], k=1)[0].payload == payloads[7]


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "call"), [
    ("dimension", lambda d: d.upsert([1], [[1.0] * 3])),
    ("nan", lambda d: d.upsert([1], [[float("nan")] * DIM])),
    ("infinite", lambda d: d.upsert([1], [[float("inf")] * DIM])),
    ("twice", lambda d: d.upsert([1, 1], np.ones((2, DIM)))),
    ("ids too few", lambda d: d.upsert([1], np.ones((2, DIM)))),
    ("payloads too few", lambda d: d.upsert([1, 2], np.ones((2, DIM)), [{}])),
    ("negative id", lambda d: d.upsert([-1], np.ones((1, DIM)))),
    ("huge id", lambda d: d.upsert([2**63], np.ones((1, DIM)))),
    ("text id", lambda d: d.upsert(["1"], np.ones((1, DIM)))),
    ("bool id", lambda d: d.upsert([True], np.ones((1, DIM)))),
    ("float id", lambda d: d.delete([1.5])),
    ("nested payload", lambda d: d.upsert([1], np.ones((1, DIM)), [{"a": {"b": 1}}])),
    ("none in payload", lambda d: d.upsert([1], np.ones((1, DIM)), [{"a": None}])),
    ("nan in payload", lambda d: d.upsert([1], np.ones((1, DIM)), [{"a": float("nan")}])),
    ("large int in payload", lambda d: d.upsert([1], np.ones((1, DIM)), [{"a": 2**60}])),
    ("bad key", lambda d: d.upsert([1], np.ones((1, DIM)), [{"Bad Key": 1}])),
    ("reserved key", lambda d: d.upsert([1], np.ones((1, DIM)), [{"id": 1}])),
    ("no dict", lambda d: d.upsert([1], np.ones((1, DIM)), ["food"])),
    ("query dimension", lambda d: d.search([1.0] * 3)),
    ("query nan", lambda d: d.search([float("nan")] * DIM)),
    ("query 2-D", lambda d: d.search(np.ones((2, DIM)))),
    ("k", lambda d: d.search(np.ones(DIM), k=0)),
    ("k float", lambda d: d.search(np.ones(DIM), k=2.5)),
    ("operator", lambda d: d.search(np.ones(DIM), filter={"a": {"like": "x"}})),
    ("range on text", lambda d: d.search(np.ones(DIM), filter={"a": {"lt": "x"}})),
    ("mixed in", lambda d: d.search(np.ones(DIM), filter={"a": {"in": [1, "x"]}})),
    ("unknown collection", lambda d: d.open("nothing_here")),
    ("other dim", lambda d: d.create("rows", DIM + 1)),
    ("other metric", lambda d: d.create("rows", DIM, "cosine")),
    ("metric", lambda d: d.create("more", DIM, "manhattan")),
    ("index", lambda d: d.create("more", DIM, "l2", "annoy")),
    ("name", lambda d: d.create("x", DIM)),
    ("injection", lambda d: d.create("rows; drop", DIM)),
    ("dim", lambda d: d.create("more", 0)),
])
def test_bad_input_changes_nothing(bad_input_database, what, call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call(bad_input_database)
    assert not isinstance(caught.value, DatabaseError), "found before any request"
    assert len(str(caught.value)) > 15, "says what is wrong"
    bad_input_database.open("rows")
    assert bad_input_database.count() == 3


@pytest.fixture(scope="module", params=LOCAL)
def bad_input_database(request, tmp_path_factory):
    with LOCAL[request.param](tmp_path_factory.mktemp("bad")) as database:
        database.create("rows", DIM)
        database.upsert([1, 2, 3], rows(3)[0], rows(3)[1])
        yield database


def test_zero_vectors_have_no_cosine(make):
    database = make()
    database.create("angles", DIM, "cosine")
    with pytest.raises(ValueError, match="row 1 of vectors is all zeros"):
        database.upsert([1, 2], [np.ones(DIM), np.zeros(DIM)])
    with pytest.raises(ValueError, match="zeros"):
        database.search(np.zeros(DIM))
    assert database.count() == 0


def test_nothing_open(make):
    database = make()
    for call in (database.count, lambda: database.delete([1]), lambda: database.search(np.ones(DIM)),
                 lambda: database.upsert([1], np.ones((1, DIM)))):
        with pytest.raises(ValueError, match="create"):
            call()
    database.close()
    database.close()


@pytest.mark.parametrize("engine", [*LOCAL, "faiss in memory", "pinecone", "weaviate"])
def test_drop_leaves_nothing(engine, tmp_path, request):
    if engine == "pinecone":
        database, kind = PineconeDatabase("k", host=request.getfixturevalue("pinecone").address), "auto"
    elif engine == "weaviate":
        server = request.getfixturevalue("weaviate")
        database, kind = WeaviateDatabase(server.address, grpc_port=server.grpc_port), "hnsw"
    else:
        database, kind = (FaissDatabase() if engine == "faiss in memory" else LOCAL[engine](tmp_path)), "hnsw"
    with database:
        for _ in range(2):
            database.create("rows", DIM, "l2", kind)
            assert database.count() == 0, "the rows of before are gone"
            database.upsert([3], np.ones((1, DIM)), [{"category": "food"}])
            database.drop("rows")
            with pytest.raises(ValueError, match=r"no .* collection"):
                database.count()
        database.drop("rows")
        with pytest.raises(ValueError, match="has no collection"):
            database.open("rows")


def test_a_collection_that_is_gone(tmp_path):
    chroma, milvus = ChromaDatabase(tmp_path / "c"), MilvusDatabase(tmp_path / "m.db")
    for database, drop in ((chroma, "delete_collection"), (milvus, "drop_collection")):
        with database:
            database.create("rows", DIM)
            getattr(database.client, drop)("rows")
            with pytest.raises(DatabaseError, match=database.engine):
                database.search(np.ones(DIM))


@pytest.mark.parametrize("connect", [
    lambda address: MilvusDatabase(address, timeout=1.0),
    lambda address: ChromaDatabase(address, timeout=1.0),
    lambda address: WeaviateDatabase(address, grpc_port=int(address.rsplit(":", 1)[1]), timeout=1.0),
], ids=["milvus", "chroma", "weaviate"])
@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_unreachable_servers_fail_in_bounded_time(connect, silent):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()  # accepts, and never answers
        start = time.monotonic()
        with pytest.raises((ConnectionError, ValueError)):
            connect(f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert time.monotonic() - start < 15


def test_pinecone_unreachable_in_bounded_time():
    start = time.monotonic()
    nobody = "http://127.0.0.1:9"
    with PineconeDatabase("key", host=nobody, timeout=1.0) as database, pytest.raises(DatabaseError, match="Pinecone"):
        database.create("rows", DIM, "l2", "auto")
    assert time.monotonic() - start < 15


def test_milvus_lite_paths(tmp_path):
    with pytest.raises(ValueError, match=r"\.db"):
        MilvusDatabase(tmp_path / "milvus")
    blocked = tmp_path / "file.db"
    blocked.write_text("not a Milvus folder")
    with pytest.raises(ConnectionError, match="Milvus"):
        MilvusDatabase(blocked)


def test_missing_keys_and_clients(monkeypatch):
    for variable in ("PINECONE_API_KEY", "WEAVIATE_URL", "WEAVIATE_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ValueError, match="PINECONE_API_KEY"):
        PineconeDatabase()
    with pytest.raises(ValueError, match="WEAVIATE_URL"):
        WeaviateDatabase()
    for module, make, install in (("pinecone", lambda: PineconeDatabase("k"), "pip install pinecone"),
                                  ("weaviate", lambda: WeaviateDatabase("http://localhost"), "pip install weaviate-client"),
                                  ("pymilvus", lambda: MilvusDatabase("x.db"), "pip install pymilvus"),
                                  ("chromadb", lambda: ChromaDatabase("x"), "pip install chromadb"),
                                  ("faiss", FaissDatabase, "pip install faiss-cpu")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=install):
            make()


def test_importing_the_package_imports_no_client():
    script = ("import sys, aieng.vectors.databases, aieng.vectors.search_engine; "
              "print([m for m in ('faiss', 'pymilvus', 'chromadb', 'weaviate', 'pinecone', 'milvus_lite') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


# -- FAISS: what a library leaves to you -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf_flat"])
def test_faiss_many_updates_stay_exact_and_compact(kind):
    rng = np.random.default_rng(6)
    now = {}
    database = FaissDatabase()
    database.create("rows", DIM, "l2", IndexConfig(kind, nlist=4, nprobe=4, ef_search=200))
    for _ in range(40):
        ids = rng.choice(60, size=rng.integers(1, 30), replace=False)
        vectors = rng.standard_normal((len(ids), DIM))
        database.upsert(ids, vectors, [{"n": int(i)} for i in ids])
        now.update(zip(ids.tolist(), vectors))
        gone = rng.choice(60, size=rng.integers(0, 12), replace=False)
        database.delete(gone)
        for i in gone.tolist():
            now.pop(i, None)
        assert database.count() == len(now)
        if now:
            keys, matrix = list(now), np.array(list(now.values()))
            query = rng.standard_normal(DIM)
            places, scores = exact(matrix, query, min(8, len(now)))
            hits = database.search(query, k=8)
            assert [h.id for h in hits] == [keys[p] for p in places]
            assert [h.score for h in hits] == pytest.approx(scores, rel=1e-4, abs=1e-5)
        assert len(database._ids) <= 2 * max(1, len(now)), "retired slots are dropped"


def test_faiss_filter_that_leaves_few_still_finds_k():
    vectors, _ = rows(3_000, seed=8)
    payloads = [{"rare": i % 500 == 0} for i in range(3_000)]
    for kind in ("hnsw", "ivf_flat"):
        database = FaissDatabase()
        database.create("rows", DIM, "l2", IndexConfig(kind, nlist=32, nprobe=1, ef_search=8))
        database.upsert(range(3_000), vectors, payloads)
        assert {h.id for h in database.search(vectors[17], k=6, filter={"rare": True})} == set(range(0, 3_000, 500))


def test_faiss_saves_whole_or_not_at_all(tmp_path, monkeypatch):
    vectors, payloads = rows(40)
    with FaissDatabase(tmp_path) as database:
        database.create("rows", DIM)
        database.upsert(range(40), vectors, payloads)
    file = tmp_path / "rows.faiss"
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    with FaissDatabase(tmp_path) as database, pytest.raises(ValueError):
        database.open("rows")
    file.write_bytes(good)
    memory = FaissDatabase()
    memory.create("rows", DIM)
    with pytest.raises(ValueError, match="folder"):
        memory.save()
    with FaissDatabase(tmp_path) as database:
        database.open("rows")
        assert database.count() == 40
    assert file.read_bytes() == good, "opening and closing without a write leaves the file alone"


# -- the same calls against servers ------------------------------------------------------------------------------------


def test_milvus_server_by_its_uri_alone(tmp_path):
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, engine, port = start_server_in_thread(data_dir=str(tmp_path / "data"), host="127.0.0.1", port=0)
    opened = []

    def make():
        opened.append(MilvusDatabase(f"http://127.0.0.1:{port}", token="root:Milvus"))
        return opened[-1]

    try:
        walk_through(make)
    finally:
        for database in opened:
            database.close()
        server.stop(None)
        engine.close()


def test_chroma_server_by_its_address_alone(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = shutil.which("chroma", path=str(Path(sys.executable).parent)) or shutil.which("chroma")
    server = subprocess.Popen([command, "run", "--path", str(tmp_path), "--host", "127.0.0.1", "--port", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urlopen(f"{address}/api/v2/heartbeat", timeout=1).close()
                break
            time.sleep(0.1)
        walk_through(lambda: ChromaDatabase(address))
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def pinecone():
    server = PineconeServer()
    yield server
    server.close()


@pytest.fixture
def weaviate():
    server = WeaviateServer()
    yield server
    server.close()


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_pinecone_contract_over_the_wire(pinecone, metric):
    opened = []

    def make():
        opened.append(PineconeDatabase("a-key", host=pinecone.address))
        return opened[-1]

    walk_through(make, "auto", metric)
    for database in opened:
        database.close()


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_weaviate_contract_over_the_wire(weaviate, metric):
    opened = []

    def make():
        opened.append(WeaviateDatabase(weaviate.address, "a-key", grpc_port=weaviate.grpc_port))
        return opened[-1]

    walk_through(make, "hnsw", metric)
    for database in opened:
        database.close()


def test_pinecone_requests(pinecone):
    with PineconeDatabase("a-key", host=pinecone.address, cloud="gcp", region="europe-west4") as database:
        database.create("my_shop", 3, "cosine", "auto")
        database.upsert([1, 20], [[1, 0, 0], [0, 0.5, 0]], [{"year": 1999, "category": "food"}, {}])
        database.search([0, 1, 0], 2, {"category": "food", "price": {"lte": 30}})
        database.delete([20])
        database.count()
        with pytest.raises(ValueError, match="auto"):
            database.create("other", 3, "l2", "hnsw")
    sent = [(method, path, body) for method, path, body, _ in pinecone.requests if body is not None]
    assert sent == [
        ("POST", "/indexes", {"name": "my-shop", "schema": {"fields": {"_values": {
            "type": "dense_vector", "dimension": 3, "metric": "cosine"}}},
            "deployment": {"deployment_type": "managed", "cloud": "gcp", "region": "europe-west4"}}),
        ("POST", "/vectors/upsert", {"vectors": [
            {"id": "1", "values": [1.0, 0.0, 0.0], "metadata": {"year": 1999.0, "category": "food", "_int_fields": "year"}},
            {"id": "20", "values": [0.0, 0.5, 0.0], "metadata": {}}]}),
        ("POST", "/query", {"topK": 2, "vector": [0.0, 1.0, 0.0], "includeValues": False, "includeMetadata": True,
                            "filter": {"$and": [{"category": {"$eq": "food"}}, {"price": {"$lte": 30.0}}]}}),
        ("POST", "/vectors/delete", {"ids": ["20"], "namespace": ""}),
        ("POST", "/describe_index_stats", {}),
    ]
    assert {headers.get("Api-Key") or headers.get("api-key") for *_, headers in pinecone.requests} == {"a-key"}


def test_pinecone_splits_large_writes_and_reports_errors(pinecone):
    with PineconeDatabase("a-key", host=pinecone.address) as database:
        database.create("big", 1536, "l2", "auto")
        database.upsert(range(200), np.random.default_rng(0).standard_normal((200, 1536)))
        writes = [body for _, path, body, _ in pinecone.requests if path == "/vectors/upsert"]
        assert len(writes) > 1
        assert sum(len(w["vectors"]) for w in writes) == 200
        pinecone.fail_with = 400
        with pytest.raises(DatabaseError, match="Pinecone could not search"):
            database.search(np.ones(1536))


def test_weaviate_requests(weaviate):
    with WeaviateDatabase(weaviate.address, "a-key", grpc_port=weaviate.grpc_port) as database:
        database.create("shop", 3, "cosine", IndexConfig("hnsw", M=24, ef_construction=80, ef_search=40))
        database.upsert([5], [[1, 0, 0]], [{"category": "fast food", "price": 3, "new": True}])
        database.search([0, 1, 0], 2, {"category": "fast food", "price": {"lte": 30}, "new": True})
        database.delete([5, 6])
        database.count()
    posted = [(path, body) for method, path, body, _ in weaviate.requests if method == "POST"]
    path, created = posted[0]
    assert path == "/v1/schema"
    assert created["class"] == "Shop"
    vectors = created["vectorConfig"]["default"]
    assert vectors["vectorizer"] == {"none": {}}
    assert vectors["vectorIndexType"] == "hnsw"
    assert {k: vectors["vectorIndexConfig"][k] for k in ("distance", "maxConnections", "efConstruction", "ef")} == {
        "distance": "cosine", "maxConnections": 24, "efConstruction": 80, "ef": 40}
    properties = {body["name"]: body for path, body in posted[1:] if path == "/v1/schema/Shop/properties"}
    assert properties["category"]["dataType"] == ["text"]
    assert properties["category"]["tokenization"] == "field", "whole values are compared, not words"
    assert properties["price"]["dataType"] == ["number"]
    assert properties["price"]["indexRangeFilters"] is True
    assert properties["new"]["dataType"] == ["boolean"]

    calls = {name: (request, metadata) for kind, name, request, metadata in weaviate.requests if kind == "gRPC"}
    batch, metadata = calls["BatchObjects"]
    assert metadata["authorization"] == "Bearer a-key"
    assert (batch.objects[0].collection, batch.objects[0].uuid) == ("Shop", "00000000-0000-4000-8000-000000000005")
    search, _ = calls["Search"]
    assert (search.collection, search.limit) == ("Shop", 2)
    assert search.metadata.distance
    near = search.near_vector
    raw = near.vectors[0].vector_bytes if near.vectors else near.vector_bytes
    assert np.frombuffer(raw, "<f4").tolist() == [0, 1, 0]
    text, price, new = search.filters.filters
    assert (text.target.property, text.value_text) == ("category", "fast food")
    assert (price.target.property, price.value_number) == ("price", 30.0)
    assert (new.target.property, new.value_boolean) == ("new", True)
    delete, _ = calls["BatchDelete"]
    assert list(delete.filters.value_text_array.values) == ["00000000-0000-4000-8000-000000000005",
                                                            "00000000-0000-4000-8000-000000000006"]
    assert calls["Aggregate"][0].objects_count


def test_weaviate_refused_rows_are_an_error(weaviate):
    with WeaviateDatabase(weaviate.address, grpc_port=weaviate.grpc_port) as database:
        database.create("shop", 3, "l2", "flat")
        weaviate.refuse_rows = True
        with pytest.raises(DatabaseError, match=r"refused 2 of 2 rows.*id 8: made to fail"):
            database.upsert([8, 9], np.eye(3)[:2])


def test_the_notebook_runs_a_service_that_is_named_and_leaves_nothing_there(pinecone, weaviate, monkeypatch):
    from aieng.data.corpus import Corpus, Passage
    from aieng.lesson.experiments import databases as lesson

    every = lesson._makers
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setenv("PINECONE_API_KEY", "k")
    monkeypatch.setenv("WEAVIATE_URL", weaviate.address)
    monkeypatch.setattr(lesson, "PineconeDatabase", lambda: PineconeDatabase(host=pinecone.address))
    monkeypatch.setattr(lesson, "WeaviateDatabase", lambda: WeaviateDatabase(grpc_port=weaviate.grpc_port))
    monkeypatch.setattr(lesson, "_makers", lambda folder: {name: made for name, made in every(folder).items()
                                                           if name in ("FAISS, HNSW", "Weaviate", "Pinecone")})
    vectors = np.random.default_rng(4).standard_normal((80, DIM)).astype(np.float32)
    corpus = Corpus([Passage(i, f"t{i}", f"text {i}", "food", None if i % 3 else float(i)) for i in range(80)], vectors)
    filled = lesson.fill_engines(corpus)
    assert "not run" not in filled.sentence
    assert set(filled.data["engines"].open) == {"FAISS, HNSW", "Weaviate", "Pinecone"}
    assert lesson.compare_engines(filled).data["recall"] == {"FAISS, HNSW": 1.0, "Weaviate": 1.0, "Pinecone": 1.0}
    assert lesson.tidy_up(filled).data["left"] == 0
    assert (pinecone.indexes, weaviate.schema) == ({}, {})
    with pytest.raises(ValueError, match="fill_engines"):
        lesson.compare_engines(filled)

    pinecone.fail_with = 400
    failed = lesson.fill_engines(corpus)
    assert "Pinecone | **failed**: Pinecone could not" in failed.sentence, "one service down does not stop the others"
    assert set(failed.data["engines"].open) == {"FAISS, HNSW", "Weaviate"}
    failed.data["engines"].close()


# -- one filter language -----------------------------------------------------------------------------------------------

NASTY = ["food", "fast food", "", "it's", 'a"b', "back\\slash", "new\nline", "tab\t", "% _", "é ü 漢", "🙂", "null", "true",
         "{x}", "$and", "\x7f", "\u2028"]
NUMBERS = [-3, -2.5, 0, 0.1, 1, 2, 2.0, 2.5, 3, 1e9, -1e-9, 2**53, 12345678901]


def payload_rows(n=90):
    rng = np.random.default_rng(11)
    made = []
    for i in range(n):
        full = {"category": NASTY[i % len(NASTY)], "price": NUMBERS[rng.integers(len(NUMBERS))],
                "year": int(rng.integers(-5, 5)), "new": bool(rng.integers(2))}
        made.append({k: v for k, v in full.items() if rng.random() < 0.8})
    return made


PAYLOADS = payload_rows()
TEXTS = st.sampled_from([*NASTY, "absent"])
NUMERIC = st.sampled_from(NUMBERS) | st.integers(-6, 6) | st.floats(-10, 10)
RANGE = st.dictionaries(st.sampled_from(["eq", "lt", "lte", "gt", "gte"]), NUMERIC, min_size=1, max_size=3)
FILTERS = st.fixed_dictionaries({}, optional={
    "category": TEXTS | st.fixed_dictionaries({"in": st.lists(TEXTS, max_size=4)}),
    "price": NUMERIC | RANGE | st.fixed_dictionaries({"in": st.lists(NUMERIC, max_size=4)}),
    "year": st.integers(-6, 6) | RANGE,
    "new": st.booleans() | st.fixed_dictionaries({"in": st.lists(st.booleans(), max_size=2)}),
    "unheard_of": NUMERIC,
})


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Every engine with the same rows: the three local ones and the two over the wire."""
    folder = tmp_path_factory.mktemp("filters")
    servers = PineconeServer(), WeaviateServer()
    databases = {name: make(folder) for name, make in LOCAL.items()}
    databases["pinecone"] = PineconeDatabase("k", host=servers[0].address)
    databases["weaviate"] = WeaviateDatabase(servers[1].address, grpc_port=servers[1].grpc_port)
    for name, database in databases.items():
        database.create("filters", DIM, "l2", "auto" if name == "pinecone" else "hnsw")
        database.upsert(range(len(PAYLOADS)), rows(len(PAYLOADS))[0], PAYLOADS)
    yield databases
    for database in databases.values():
        database.close()
    for server in servers:
        server.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(wanted=FILTERS)
def test_a_filter_means_the_same_everywhere(filled, wanted):
    conditions = language.parse_filter(wanted)
    expected = {i for i, payload in enumerate(PAYLOADS) if language.matches(payload, conditions)}
    for name, database in filled.items():
        hits = database.search(np.zeros(DIM), k=len(PAYLOADS), filter=wanted)
        assert {h.id for h in hits} == expected, f"{name}: {wanted}"
        assert all(h.payload == PAYLOADS[h.id] for h in hits), name


def test_payloads_come_back_as_they_went_in(filled):
    for name, database in filled.items():
        for hit in database.search(np.zeros(DIM), k=len(PAYLOADS)):
            assert hit.payload == PAYLOADS[hit.id], name
            same_types = {k: type(v) for k, v in hit.payload.items()} == {k: type(v) for k, v in PAYLOADS[hit.id].items()}
            assert same_types, f"{name}: an int stays an int"


def test_translations_by_hand():
    conditions = language.parse_filter({"category": 'a"b', "price": {"gt": 1, "lte": 30}, "new": {"in": [True, False]}})
    assert language.to_milvus(conditions) == ('payload["category"] == "a\\"b" and payload["price"] > 1 and '
                                              'payload["price"] <= 30 and (payload["new"] == true or payload["new"] == false)')
    assert language.to_chroma(conditions[:1]) == {"category": {"$eq": 'a"b'}}
    assert language.to_pinecone(conditions[1:3]) == {"$and": [{"price": {"$gt": 1.0}}, {"price": {"$lte": 30.0}}]}
    assert language.to_sql(conditions[:2], {"category": str, "price": float}) == ("category = ? AND price > ?", ['a"b', 1])
    assert language.to_milvus(()) == ""
    assert (language.to_chroma(()), language.to_pinecone(()), language.to_weaviate(())) == (None, None, None)
    assert language.to_sql((), {}) == ("1", [])


@pytest.mark.parametrize(("payload", "wanted", "met"), [
    ({"a": 1}, {"a": 1.0}, True), ({"a": True}, {"a": 1}, False), ({"a": 1}, {"a": True}, False), ({}, {"a": 1}, False),
    ({"a": "1"}, {"a": 1}, False), ({"a": 3}, {"a": {"gt": 2, "lt": 3}}, False), ({"a": 3}, {"a": {"in": [2, 3.0]}}, True),
    ({"a": 3}, {}, True), ({"a": 3}, {"a": {"in": []}}, False),
])
def test_the_definition_by_hand(payload, wanted, met):
    assert language.matches(payload, language.parse_filter(wanted)) is met


@pytest.mark.parametrize("bad", [[("a", 1)], "a", {"A": 1}, {"a": {}}, {"a": {"in": "text"}}, {"a": {"in": 3}}, {"a": None},
                                 {"a": [1, 2]}, {"a": {"lt": True}}, {"a": float("inf")}, {"a": "\0"}, {"a": "\ud800"}, {1: 1}])
def test_bad_filters(bad):
    with pytest.raises((ValueError, TypeError)):
        language.parse_filter(bad)


def test_index_config_refuses_nonsense():
    for bad in ({"kind": "tree"}, {"nlist": 0}, {"nprobe": -1}, {"M": 1}, {"ef_search": 0}, {"ef_construction": 1.5}):
        with pytest.raises((ValueError, TypeError)):
            IndexConfig(**bad)
    assert replace(IndexConfig(), nprobe=4).nprobe == 4
