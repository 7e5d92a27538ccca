"""Exercise 1.8: a search engine. Hints and visible properties."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from aieng.lesson.checking import CheckFailed, expect, expect_raises, hints, prop
from aieng.vectors.search_engine import DocumentStore, SearchResult

hints(
    "1.8",
    "Write the stages one under the other and print what each hands to the next: a list with one text, a (1, dim) array, "
    "distances and ids of shape (1, candidates), rows. Which of them still has the order of the ids?",
    "The filter belongs to the store, which you ask for the candidates' ids *with* the filter. If fewer than k rows survive and the "
    "index has not been asked for everything yet, ask it for twice as many. Rerank all survivors, cut to k at the very end.",
    "Refuse an empty query and k < 1 → embed([query]) → loop: search(vector, asked), drop ids of -1, fetch(ids, filters); leave the "
    "loop when k rows are there or asked ≥ store.count(); double asked → one SearchResult a row with its own score → if there is a "
    "reranker, replace the scores and sort, largest first → first k. Note the seconds of each stage in self.timings.",
)


class Numbers:
    """A toy world in one dimension: text "7" is the vector (7,), document i lies at position i."""

    def __init__(self, n: int = 40) -> None:
        self.n = n
        self.calls: list[Any] = []
        self.asked: list[Any] = []
        self.fetched: list[Any] = []
        # Stored in another order than by id, so that "row number" and "id" are different things.
        order = np.random.default_rng(8).permutation(n)
        self.store = DocumentStore()
        self.store.insert({"id": int(i) + 100, "title": f"title {i}", "text": f"number {i}",
                           "category": "even" if i % 2 == 0 else "odd", "price": float(i)} for i in order)
        self._fetch = self.store.fetch
        self.store.fetch = self._counted_fetch  # type: ignore[method-assign]

    def embed(self, texts: Any) -> np.ndarray:
        if isinstance(texts, str):
            raise CheckFailed(f"`embed` got the string {texts!r}; it takes a list of texts: `self.embed([query])`.")
        self.calls.append(list(texts))
        return np.array([[float(t) if t.strip() else 0.0] for t in texts], np.float32)

    def search(self, queries: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        queries = np.asarray(queries)
        if queries.ndim != 2:
            raise CheckFailed(f"`index.search` got queries of shape {queries.shape}; it takes (n_queries, dim): keep the row that "
                              "`embed([query])` returned.")
        self.asked.append(int(k))
        distances = (np.arange(self.n, dtype=np.float32)[None] - queries) ** 2
        best = np.argsort(distances, axis=1, kind="stable")[:, :k]
        padding = max(0, k - self.n)  # as faiss does: -1 where nothing was found
        found = np.take_along_axis(distances, best, 1)
        return np.pad(found, ((0, 0), (0, padding)), constant_values=np.inf), np.pad(best + 100, ((0, 0), (0, padding)),
                                                                                     constant_values=-1)

    def _counted_fetch(self, ids: Any, filters: Any = None) -> list[dict[str, Any]]:
        ids = list(ids)
        self.fetched.append(len(ids))
        return self._fetch(ids, filters)


def run(SearchEngine: Any, world: Numbers, query: str, rerank: Any = None, **options: Any) -> list[SearchResult]:
    """One search in the toy world; says so when what comes back is no list of results."""
    results = SearchEngine(world.embed, world, world.store, rerank).search(query, **options)
    expect(results is not None, "`search` returned None: does it end without a `return`?")
    expect(isinstance(results, list) and all(isinstance(r, SearchResult) for r in results),
           "`search` should return a list of SearchResult, one a row.")
    return results


@prop("1.8", "nearest rows, best first")
def nearest_first(SearchEngine: Any) -> None:
    results = run(SearchEngine, Numbers(), "10", k=3)
    ids = [r.id for r in results]
    expect(len(ids) == 3, f"k = 3 gave {len(ids)} results.")
    expect(ids[0] == 110, f"Document 110 lies exactly at the query and came {'not at all' if 110 not in ids else 'later'}; you gave {ids}.")
    expect(set(ids) == {109, 110, 111}, f"The three nearest of 10 are 109, 110, 111 in the index's order; you gave {ids}.")


@prop("1.8", "each row keeps its own score and fields")
def right_fields(SearchEngine: Any) -> None:
    results = run(SearchEngine, Numbers(), "5", k=4) + run(SearchEngine, Numbers(), "5", k=4, filters={"category": "odd"})
    for r in results:
        position = r.id - 100
        expect(r.title == f"title {position}" and r.price == position,
               f"Id {r.id} came with {r.title!r} and price {r.price}: give each result the fields of its own row.")
        expect(abs(r.score - (position - 5) ** 2) < 1e-4,
               f"Id {r.id} came with score {r.score:g}; the index gave it {(position - 5) ** 2}. `fetch` returns only the rows that meet "
               "the filter, so the third row need not be the third id: match rows and scores by id, not by place.")


@prop("1.8", "filters hold, and still give k results")
def filters_fill_up(SearchEngine: Any) -> None:
    world = Numbers()
    results = run(SearchEngine, world, "4", k=3, filters={"price": {"gte": 30}}, candidates=5)
    wrong = [r.id for r in results if not r.price or r.price < 30]
    expect(not wrong, f"With price ≥ 30 asked, you returned {wrong}: hand `filters` to `store.fetch`.")
    expect(len(results) == 3, f"Ten rows cost 30 or more, k is 3, and you returned {len(results)}: the five nearest candidates are all "
                              "cheaper. Ask the index for twice as many until k rows survive or it has been asked for all.")
    expect([r.id for r in results] == [130, 131, 132], f"Nearest survivors are 130, 131, 132; you gave {[r.id for r in results]}.")


class Similarities(Numbers):
    """The same world under an index that returns similarities: larger is nearer."""

    def search(self, queries: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        distances, ids = super().search(queries, k)
        return -distances, ids


@prop("1.8", "the index's order stays")
def order_of_the_index(SearchEngine: Any) -> None:
    results = run(SearchEngine, Similarities(), "10.2", k=3)
    ids = [r.id for r in results]
    expect(ids == [110, 111, 109], f"An index of similarities puts 110, 111, 109 first, with falling scores; you gave {ids}. What the "
                                   "index returns is best first already, whatever its scores mean: do not sort it.")


@prop("1.8", "gives up when nothing more can come")
def ends(SearchEngine: Any) -> None:
    world = Numbers()
    results = run(SearchEngine, world, "4", k=3, filters={"price": {"gt": 37.5}}, candidates=4)
    expect([r.id for r in results] == [138, 139], f"Only 138 and 139 meet the filter; you gave {[r.id for r in results]}.")
    expect(run(SearchEngine, Numbers(6), "4", k=10) and len(run(SearchEngine, Numbers(6), "4", k=10)) == 6,
           "With 6 rows and k = 10 all six should come. Ids of -1 mean that the index found no more: leave them out.")


@prop("1.8", "asks for twice as many each time")
def doubles(SearchEngine: Any) -> None:
    world = Numbers()
    run(SearchEngine, world, "4", k=3, filters={"price": {"gte": 30}}, candidates=5)
    expect([min(n, 40) for n in world.asked] == [5, 10, 20, 40],
           f"The rows that meet this filter are the farthest 10 of 40. From 5 candidates on you asked for {world.asked}; doubling gives 5, "
           "10, 20, 40.")
    world = Numbers()
    run(SearchEngine, world, "4", k=9, candidates=2)
    expect(world.asked == [9], f"With k = 9 and candidates = 2 and no filter, you asked for {world.asked}. Begin with the larger of the "
                               "two: 9, which is enough.")


@prop("1.8", "rerank sees all candidates, then k are kept")
def rerank_before_cut(SearchEngine: Any) -> None:
    world = Numbers()
    seen: list[int] = []

    def dearest(query: str, results: list[SearchResult]) -> list[float]:
        if not isinstance(query, str):
            raise CheckFailed("`rerank` takes the query's text and the results, in this order.")
        seen.extend(r.id for r in results)
        return [float(r.price or 0) for r in results]

    ids = [r.id for r in run(SearchEngine, world, "0", dearest, k=3, candidates=20)]
    expect(len(seen) == 20, f"The reranker saw {len(seen)} results; it should see all 20 candidates. Cut to k after it, not before.")
    expect(ids != [100, 101, 102], "The reranker's scores changed nothing: sort by them.")
    expect(ids == [119, 118, 117], f"Larger rerank scores are better: expected 119, 118, 117, you gave {ids}.")


@prop("1.8", "scores after reranking are the reranker's")
def rerank_scores(SearchEngine: Any) -> None:
    results = run(SearchEngine, Numbers(), "0", lambda q, rows: [float(r.price or 0) for r in rows], k=2, candidates=10)
    expect([r.score for r in results] == [9.0, 8.0], f"Reranked 9 and 8, your results carry {[r.score for r in results]}: give each "
                                                     "result the score it was ranked by (`dataclasses.replace`).")


@prop("1.8", "one embedding, few ids")
def economical(SearchEngine: Any) -> None:
    world = Numbers()
    run(SearchEngine, world, "20", k=3, filters={"category": "odd"}, candidates=8)
    expect(len(world.calls) == 1, f"The query was embedded {len(world.calls)} times; once is enough, it is the slowest stage.")
    expect(max(world.fetched, default=0) <= 8 and max(world.asked, default=0) <= 8,
           f"With 8 candidates you asked the index for {max(world.asked, default=0)} and fetched {max(world.fetched, default=0)} rows: "
           "the point of an index is to look at few.")


@prop("1.8", "timings of the four stages")
def timings(SearchEngine: Any) -> None:
    world = Numbers()
    engine = SearchEngine(world.embed, world, world.store)
    engine.search("3", k=2)
    stages = getattr(engine, "timings", None)
    expect(isinstance(stages, dict) and set(stages) == {"embed", "ann", "fetch", "rerank"},
           f"After a search `engine.timings` should be a dict with embed, ann, fetch and rerank; it is {stages!r}.")
    assert isinstance(stages, dict)
    expect(all(isinstance(s, float) and s >= 0 for s in stages.values()) and stages["embed"] + stages["ann"] > 0,
           f"Timings are seconds, measured with time.perf_counter(); you have {stages}.")
    naps = iter([0.1])

    def slow_once(texts: Any) -> np.ndarray:
        time.sleep(next(naps, 0.0))
        return world.embed(texts)

    slow = SearchEngine(slow_once, world, world.store)
    slow.search("3", k=2)
    first = slow.timings["embed"]
    slow.search("3", k=2)
    expect(slow.timings["embed"] < first, f"The first embedding took {1e3 * first:.0f} ms, the second almost nothing, and your timings say "
                                          f"{1e3 * slow.timings['embed']:.0f} ms after it: begin each search at 0.")


@prop("1.8", "errors say what is wrong")
def errors(SearchEngine: Any) -> None:
    world = Numbers()
    engine = SearchEngine(world.embed, world, world.store)
    expect_raises(ValueError, lambda: engine.search("   "), "An empty query should raise ValueError")
    expect_raises(ValueError, lambda: engine.search("3", k=0), "k = 0 should raise ValueError")
