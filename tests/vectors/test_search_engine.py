"""The search engine end to end: known best answers, filters, over-fetching, stale ids, direction of scores."""

from __future__ import annotations

import sqlite3
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aieng.vectors.databases.filters import matches, parse_filter
from aieng.vectors.search_engine import DatabaseIndex, DocumentStore, FlatIndex, SearchEngine

WORDS = ("apple", "bread", "shirt", "shoe", "chair", "lamp")
ROWS = [
    {"id": 10 + i, "title": w, "text": f"a {w}", "category": c, "price": p}
    for i, (w, c, p) in enumerate(zip(WORDS, ("food", "food", "wear", "wear", "home", "home"), (1.0, 3.5, 20, 60, None, 45)))
]
IDS = [row["id"] for row in ROWS]


def embed(texts):
    """One axis per word, so that the nearest row of a word is known."""
    return np.array([[float(w in t) + 0.01 * i for i, w in enumerate(WORDS)] for t in texts])


@pytest.fixture
def store():
    with DocumentStore() as made:
        made.insert(ROWS)
        yield made


@pytest.fixture
def engine(store):
    return SearchEngine(embed, FlatIndex(embed(WORDS), IDS), store)


def ids(results):
    return [r.id for r in results]


def test_known_best_answers(engine):
    for row in ROWS:
        best = engine.search(f"one {row['title']} please", k=2)
        assert best[0].id == row["id"]
        assert (best[0].title, best[0].text, best[0].category) == (row["title"], row["text"], row["category"])
        assert best[0].price == row["price"]
        assert best[0].score == pytest.approx(0.0, abs=1e-5)
        assert best[0].score < best[1].score


def test_order_is_the_exact_one(engine):
    query = embed(["a shirt and a lamp"])
    distances = dict(zip(IDS, ((embed(WORDS) - query) ** 2).sum(1)))
    found = engine.search("a shirt and a lamp", k=6)
    assert {r.id for r in found} == set(IDS)
    assert [r.score for r in found] == pytest.approx([distances[r.id] for r in found], abs=1e-5)
    assert [r.score for r in found] == sorted(r.score for r in found)


def test_filters(engine):
    assert set(ids(engine.search("a shoe", filters={"category": "food"}))) == {10, 11}
    assert set(ids(engine.search("a shoe", filters={"price": {"gt": 3.5, "lte": 45}}))) == {12, 15}
    assert ids(engine.search("a shoe", filters={"category": {"in": ["wear", "home"]}, "price": {"lt": 25}})) == [12]
    assert engine.search("a shoe", filters={"category": "nothing"}) == []
    assert engine.search("a shoe", filters={"category": {"in": []}}) == []
    assert 14 not in ids(engine.search("a chair", filters={"price": {"gte": 0}})), "an unknown price meets no condition"


class Counting:
    """An index that says how much it was asked for."""

    def __init__(self, inner, hide_total=False):
        self.inner, self.asked = inner, []
        if not hide_total:
            self.ntotal = inner.ntotal

    def search(self, queries, k):
        self.asked.append(k)
        return self.inner.search(queries, k)


@pytest.mark.parametrize("hide_total", [False, True])
def test_overfetches_by_doubling_until_enough_or_all(store, hide_total):
    index = Counting(FlatIndex(embed(WORDS), IDS), hide_total)
    engine = SearchEngine(embed, index, store, higher_is_better=False)
    assert ids(engine.search("an apple", k=1, filters={"category": "home"}, candidates=1)) != []
    assert index.asked == sorted(set(index.asked))
    assert all(b in (2 * a, 6) for a, b in zip(index.asked, index.asked[1:]))
    index.asked.clear()
    assert engine.search("an apple", k=3, filters={"category": "food"}, candidates=1) != []
    assert index.asked[-1] == 6
    assert engine.candidates == 6
    index.asked.clear()
    engine.search("an apple", k=2, candidates=4)
    assert index.asked == [4], "no second request where the first was enough"


def test_stale_ids_are_reported_and_do_not_cost_results(engine, store):
    store.delete([12])
    found = engine.search("a shirt", k=5)
    assert engine.stale_ids == (12,)
    assert len(found) == 5
    assert 12 not in ids(found)
    engine.search("a shirt", k=2, candidates=3, filters={"category": "food"})
    assert engine.stale_ids == (12,), "a row that the filter leaves out is not stale"
    store.insert([ROWS[2]])
    engine.search("a shirt")
    assert engine.stale_ids == ()


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_direction_follows_the_metric(store, metric):
    engine = SearchEngine(embed, FlatIndex(embed(WORDS), IDS, metric), store)
    assert engine.higher_is_better is (metric != "l2")
    scores = [r.score for r in engine.search("a shirt", k=6)]
    assert scores == sorted(scores, reverse=metric != "l2")
    wrong = SearchEngine(embed, FlatIndex(embed(WORDS), IDS, metric), store, higher_is_better=metric == "l2")
    with pytest.raises(ValueError, match="higher_is_better"):
        wrong.search("a shirt")


def test_padding_is_left_out(store):
    class Padded:
        ntotal = 6

        def search(self, queries, k):
            scores, found = np.full((1, k), np.inf, np.float32), np.full((1, k), -1)
            scores[0, 0], found[0, 0] = 0.5, 11
            return scores, found

    assert ids(SearchEngine(embed, Padded(), store, higher_is_better=False).search("bread", k=3)) == [11]


def test_search_options_reach_the_index(store):
    class Probing(FlatIndex):
        def search(self, queries, k, nprobe=1):
            self.nprobe = nprobe
            return super().search(queries, k)

    index = Probing(embed(WORDS), IDS)
    SearchEngine(embed, index, store, search_options={"nprobe": 7}).search("bread")
    assert index.nprobe == 7


def test_rerank_decides_and_keeps_the_first_score(store):
    cheapest = SearchEngine(embed, FlatIndex(embed(WORDS), IDS), store,
                            rerank=lambda query, results: [-(r.price or 1e3) for r in results])
    found = cheapest.search("a shoe", k=2)
    assert ids(found) == [10, 11], "the reranker sees all candidates, not only the first k"
    assert found[0].score == -1.0
    assert found[0].extra["index_score"] > 0
    for bad in (lambda q, r: [1.0], lambda q, r: [float("nan")] * len(r)):
        with pytest.raises(ValueError, match="rerank"):
            SearchEngine(embed, FlatIndex(embed(WORDS), IDS), store, rerank=bad).search("a shoe")


def test_timings_name_every_stage(engine):
    engine.search("a shoe")
    assert list(engine.timings) == ["embed", "ann", "fetch", "rerank"]
    assert engine.timings["rerank"] == 0.0
    assert min(engine.timings[s] for s in ("embed", "ann", "fetch")) > 0


def test_our_indexes_and_a_database_give_the_same(store):
    from aieng.vectors.databases import FaissDatabase

    database = FaissDatabase()
    database.create("rows", len(WORDS), "l2", "flat")
    database.upsert(IDS, embed(WORDS))
    exact = SearchEngine(embed, FlatIndex(embed(WORDS), IDS), store)
    other = SearchEngine(embed, DatabaseIndex(database), store)
    ours, theirs = exact.search("a lamp", k=6), other.search("a lamp", k=6)
    assert ids(ours)[0] == ids(theirs)[0] == 15
    # The other words are all as far away, and nobody promises an order among equals.
    assert {r.id: pytest.approx(r.score, abs=1e-5) for r in ours} == {r.id: r.score for r in theirs}
    assert other.higher_is_better is False


@pytest.mark.parametrize("call", [
    lambda e: e.search(""), lambda e: e.search("   "), lambda e: e.search("x", k=0), lambda e: e.search("x", candidates=0),
    lambda e: e.search("x", filters={"colour": "red"}), lambda e: e.search("x", filters={"price": {"near": 3}}),
    lambda e: e.search("x", filters={"id; DROP TABLE documents": 1}),
])
def test_bad_requests(engine, call):
    with pytest.raises(ValueError):
        call(engine)


def test_bad_embedding_is_refused(store):
    broken = SearchEngine(lambda texts: [[float("nan")] * 6], FlatIndex(embed(WORDS), IDS), store)
    with pytest.raises(ValueError, match="embedding"):
        broken.search("x")


def test_empty_index(store):
    class Empty:
        ntotal = 0

        def search(self, queries, k):
            raise AssertionError("an empty index need not be asked")

    assert SearchEngine(embed, Empty(), store).search("x") == []


# -- the store ---------------------------------------------------------------------------------------------------------


def test_fetch_keeps_order_over_many_chunks():
    with DocumentStore() as store:
        store.insert({"id": i, "title": "t", "text": str(i), "price": i % 100} for i in range(5_000))
        order = np.random.default_rng(3).permutation(5_000)
        assert [row["id"] for row in store.fetch(order)] == order.tolist()
        kept = store.fetch(order, {"price": {"in": list(range(50))}})
        assert [row["id"] for row in kept] == [i for i in order.tolist() if i % 100 < 50]
        many = store.fetch(order, {"price": {"in": list(range(40_000))}})
        assert len(many) == 5_000, "a list longer than SQLite's limit on bound values"
        assert store.missing([1, 99_999, 2]) == [99_999]


def test_rows_survive_reopening(tmp_path):
    with DocumentStore(tmp_path / "rows.db") as store:
        store.insert([{"id": 1, "title": "a", "text": "b", "colour": "red"}])
    with DocumentStore(tmp_path / "rows.db") as store:
        assert store.fetch([1]) == [{"id": 1, "title": "a", "text": "b", "category": "", "price": None,
                                     "extra": {"colour": "red"}}]
    with pytest.raises(sqlite3.ProgrammingError):
        store.count()


@pytest.mark.parametrize("row", [
    {"title": "a", "text": "b"}, {"id": 1, "text": "b"}, {"id": -1, "title": "a", "text": "b"},
    {"id": True, "title": "a", "text": "b"}, {"id": 1, "title": "a", "text": "b", "price": float("nan")},
    {"id": 1, "title": 7, "text": "b"}, {"id": 1, "title": "a", "text": "b", "price": "cheap"},
    {"id": 50, "title": "a", "text": "b"},
])
def test_bad_rows_add_nothing(row):
    with DocumentStore() as store:
        store.insert([{"id": 50, "title": "a", "text": "b"}])
        with pytest.raises((ValueError, TypeError)):
            store.insert([{"id": 60, "title": "ok", "text": "ok"}, row])
        assert store.count() == 1


def test_objects_with_attributes_are_rows():
    from dataclasses import make_dataclass

    passage = make_dataclass("Passage", ["id", "title", "text", "category", "price"])(np.int64(4), "t", "x", "c", np.float32(2.5))
    with DocumentStore() as store:
        store.insert([passage])
        assert store.fetch([np.int64(4)])[0]["price"] == 2.5


def test_many_threads_share_a_store():
    errors = []
    with DocumentStore() as store:

        def work(base):
            try:
                for i in range(50):
                    store.insert([{"id": base + i, "title": "t", "text": "x"}])
                    assert store.fetch([base + i])
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not errors
        assert store.count() == 200


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.sampled_from(
    ["food", "' OR 1=1 --", "%", 'a"b'])
KNOWN_PRICE = st.floats(-1e6, 1e6) | st.integers(-5, 5)
PRICE = st.none() | KNOWN_PRICE
CONDITION = {
    "category": TEXT | st.fixed_dictionaries({"in": st.lists(TEXT, max_size=4)}),
    "price": KNOWN_PRICE | st.dictionaries(st.sampled_from(["eq", "lt", "lte", "gt", "gte"]), KNOWN_PRICE, min_size=1),
}


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(TEXT, PRICE), min_size=1, max_size=12), filters=st.fixed_dictionaries({}, optional=CONDITION))
def test_sql_means_what_the_filter_language_means(rows, filters):
    with DocumentStore() as store:
        store.insert({"id": i, "title": "t", "text": "x", "category": c, "price": p} for i, (c, p) in enumerate(rows))
        conditions = parse_filter(filters)
        want = [i for i, (c, p) in enumerate(rows)
                if matches({"category": c} | ({} if p is None else {"price": float(p)}), conditions)]
        assert [row["id"] for row in store.fetch(range(len(rows)), filters)] == want
