"""1.7 HNSW: visible properties and hints."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.lesson.checking import expect, expect_close, expect_dtype, expect_raises, expect_shape, hints, prop, untouched

hints(
    "1.7",
    "Write and check the four pieces in order: each uses the ones before. In `search_layer` two questions are asked of two "
    "heaps: *where do I look next?* (nearest candidate) and *whom would I lose?* (the farthest of the ef found). A Python heap "
    "gives the smallest, so the second one stores minus the distance.",
    "search_layer: every node goes into a set `seen` when it is measured, so that no distance is computed twice. Stop when the "
    "nearest candidate is farther than the farthest found *and* ef are found. select: sort the candidates; "
    "`self._distance(self.vectors[node], chosen).min()` is how near a candidate comes to those chosen. insert: the layers "
    "above the new level with ef = 1; in the others the whole list found is the entry for the next layer.",
    "search_layer: measure the entry points into both heaps; while candidates: pop the nearest; break if too far; fresh = its "
    "links not seen; mark and measure them in one call; push each that is nearer than the farthest of ef found into both "
    "heaps, popping the farthest beyond ef; return sorted (distance, node).\nselect: for (distance, node) in sorted order: "
    "stop at M; keep if distance < distance to every kept.\ninsert: level; _new_node; descend with ef = 1 from max_level to "
    "level + 1; for each layer from min(level, max_level) down to 0: search_layer with ef_construction; links = select(found, "
    "M); append node to each link's list; over the limit: measure that list from its owner and select again. At the end: a new "
    "top? entry_point, max_level.\nsearch: refuse; fill with inf and -1; per query descend with ef = 1 to layer 1; "
    "search_layer(max(ef_search, k), 0); the first k.",
)


def _graph(hnsw: Any, points: Any, links: list[list[int]], upper: dict[int, list[int]] | None = None) -> Any:
    """An index with given links in layer 0, and in layer 1 for the nodes in `upper`; it is entered at node 0."""
    points = np.asarray(points, dtype=np.float32)
    index = hnsw(points.shape[1], M=4)
    for node, point in enumerate(points):
        index._new_node(point, int(node in (upper or {})))
    for node, known in enumerate(links):
        index.links[node][0] = list(known)
    for node, known in (upper or {}).items():
        index.links[node][1] = list(known)
    index.entry_point, index.max_level = 0, int(bool(upper))
    return index


def _villages(n: int, seed: int) -> NDArray[np.float32]:
    """Points in ten tight groups: what the heuristic was made for."""
    middles = np.random.default_rng(77).normal(size=(10, 8)) * 4  # the same ones for database and queries
    rng = np.random.default_rng(seed)
    return np.asarray(middles[rng.integers(0, 10, n)] + rng.normal(size=(n, 8)) * 0.5, dtype=np.float32)


@lru_cache(maxsize=2)
def _built(hnsw: Any) -> Any:
    """400 points in the learner's index, built once for several properties. (A cell run again makes another class.)"""
    index = hnsw(8, M=5, ef_construction=30, seed=3)
    index.add(_villages(400, 1))
    return index


def _squared(index: Any, query: Any, nodes: Any) -> NDArray[np.float64]:
    return np.asarray(((np.asarray(index.vectors)[nodes].astype(np.float64) - query) ** 2).sum(-1))


def _reached(index: Any) -> list[int]:
    seen, todo = {index.entry_point}, [index.entry_point]
    while todo:
        new = set(index.links[todo.pop()][0]) - seen
        seen |= new
        todo += new
    return sorted(seen)


@prop("1.7", "search_layer: the example by hand")
def layer_by_hand(hnsw: Any) -> None:
    index = _graph(hnsw, [[3, 0], [2, 0], [2, 2], [0, 1]], [[1], [0, 2], [1, 3], [2]])
    query = np.zeros(2, dtype=np.float32)
    found = index.search_layer(query, [0], 1, 0)
    expect(isinstance(found, list) and all(isinstance(f, tuple) and len(f) == 2 for f in found),
           f"`search_layer` returns a list of tuples (squared distance, node); yours is {_short(found)}.")
    expect(found != [], "`search_layer` found nothing, though it was given an entry point: entry points are found nodes, too.")
    expect([n for _, n in found] != [3], "With ef = 1 the search should get stuck at node 1; you came to node 3. Are "
                                         "candidates that are farther than all of the ef found still followed?")
    expect([n for _, n in found] == [1], "Entering at node 0 with ef = 1 you should go to node 1 and stop there; yours is "
                                         f"{_short(found)}.")
    expect_close([d for d, _ in found], [4], "Node 1 = (2, 0) lies at squared distance 4 from the origin.")
    patient = index.search_layer(query, [0], 2, 0)
    expect([n for _, n in patient] != [1, 0],
           "With ef = 2 the search should come past node 2 (8 is better than the second best, 9) to node 3; yours stopped at "
           "node 1. Stop only when the candidate is farther than the *farthest* of the ef found.")
    expect([n for _, n in patient] == [3, 1],
           f"With ef = 2 the answer is nodes [3, 1], nearest first; yours is {_short(patient)}.")
    everyone = index.search_layer(query, [0], 4, 0)
    expect([n for _, n in everyone] == [3, 1, 2, 0],
           f"With ef = 4 all four nodes come, in the order 3, 1, 2, 0; yours is {_short(everyone)}.")


@prop("1.7", "search_layer: several entry points, one layer")
def layer_entries(hnsw: Any) -> None:
    line = [[float(i)] for i in range(9)]
    links = [[j for j in (i - 1, i + 1) if 0 <= j < 9] for i in range(9)]
    index = _graph(hnsw, line, links, {0: [8], 8: [0]})
    found = index.search_layer(np.array([8.2], dtype=np.float32), [0, 5, 2], 2, 0)
    expect([n for _, n in found] == [8, 7], "Entering a chain of 9 at nodes 0, 5 and 2, the two nearest to 8.2 are [8, 7]; "
                                            f"yours is {_short(found)}.")
    found = index.search_layer(np.array([4.0], dtype=np.float32), [0], 9, 1)
    expect({n for _, n in found} == {0, 8}, "Layer 1 has only the nodes 0 and 8; searching it you found "
                                            f"{sorted(n for _, n in found)}. Follow `self.links[node][level]`.")
    found = index.search_layer(np.array([0.0], dtype=np.float32), [3, 4, 5], 1, 0)
    expect(len(found) == 1, f"Three entry points, ef = 1: one node comes back; yours are {len(found)}.")


@prop("1.7", "search_layer: no distance twice, none in vain")
def layer_work(hnsw: Any) -> None:
    rng = np.random.default_rng(2)
    links = [[(i + step) % 300 for step in (-3, -2, -1, 1, 2, 3)] for i in range(300)]
    angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    index = _graph(hnsw, np.column_stack([np.cos(angle), np.sin(angle)]), links)
    for start in rng.integers(20, 60, size=3):
        before = index.distance_evaluations
        index.search_layer(np.array([1, 0], dtype=np.float32), [int(start)], 4, 0)
        work = index.distance_evaluations - before
        expect(work > 0, "Your search computed no distance through `self._distance`, so its work cannot be counted.")
        expect(work <= start + 20, f"On a ring of 300 nodes, entering {start} steps from the goal, about {start + 7} distances "
                                   f"are needed; you computed {work}. Do you measure nodes again that were seen, or go on when "
                                   "the candidates are too far?")


@prop("1.7", "heuristic: the example by hand")
def heuristic_by_hand(hnsw: Any) -> None:
    index = _graph(hnsw, [[0, 0], [1, 0], [1.5, 0], [-2, 0]], [[], [], [], []])
    candidates = [(4.0, 3), (1.0, 1), (2.25, 2)]
    chosen = index.select_neighbors_heuristic(list(candidates), 2)
    expect(chosen is not None and all(isinstance(n, int | np.integer) for n in chosen),
           f"`select_neighbors_heuristic` returns a list of nodes; yours is {_short(chosen)}.")
    got = {int(n) for n in chosen}
    expect(got != {1, 2}, "You took the two nearest, A and B. B is nearer to A (0.25) than to the base (2.25): pass it over "
                          "and take C.")
    expect(got != {2, 3}, "You took the two farthest, B and C. Begin with the nearest candidate.")
    expect(got == {1, 3}, f"From A, B and C the choice is A and C (nodes 1 and 3); yours is {sorted(got)}. Candidates come in "
                          "any order.")
    wider = _graph(hnsw, [[0, 0], [1, 0], [-1.5, 0], [1, -1.6], [-0.3, 2.5]], [[]] * 5)
    chosen = [int(n) for n in wider.select_neighbors_heuristic([(1.0, 1), (2.25, 2), (3.56, 3), (6.34, 4)], 3)]
    expect(set(chosen) != {1, 2, 3}, "C = (1, −1.6) is nearer to A = (1, 0) than to the base (2.56 < 3.56), and you took it "
                                     "since B = (−1.5, 0) is far from it: a candidate has to be nearer to the base than to "
                                     "*every* node chosen before, not just to one of them or the last.")
    expect(set(chosen) == {1, 2, 4}, "Of (1, 0), (−1.5, 0), (1, −1.6), (−0.3, 2.5) around (0, 0), nodes 1, 2 and 4 are chosen; "
                                     f"yours are {chosen}.")
    one = index.select_neighbors_heuristic(list(candidates), 1)
    expect([int(n) for n in one] == [1], f"With M = 1 only the nearest candidate stays, node 1; yours is {_short(one)}.")


@prop("1.7", "insert: one node in M reaches the next layer")
def level_distribution(hnsw: Any) -> None:
    index = hnsw(1, M=4, ef_construction=2, seed=11)
    index.add(np.random.default_rng(4).normal(size=(600, 1)))
    expect(len(index.levels) == 600, f"After adding 600 vectors the index has {len(index.levels)} nodes.")
    levels = np.asarray(index.levels)
    share = float((levels >= 1).mean())
    expect(share > 0, "All 600 nodes are in layer 0 only. Each node draws its level: floor(−ln(U) / ln(M)).")
    expect(abs(share - 0.25) < 0.08, "With M = 4 a quarter of the nodes should reach layer 1 and a sixteenth layer 2; yours: "
                                     f"{share:.0%} and {(levels >= 2).mean():.0%}. Level = floor(−ln(U) / ln(M)).")
    expect(abs(float((levels >= 2).mean()) - 1 / 16) < 0.045,
           f"A sixteenth (6 %) of the nodes should reach layer 2; yours: {(levels >= 2).mean():.0%}.")
    expect(index.max_level == levels.max() and levels[index.entry_point] == levels.max(),
           f"`entry_point` is a node of level {levels[index.entry_point]} and `max_level` {index.max_level}, but the highest "
           f"node reaches {levels.max()}: update both when a higher node comes.")


@prop("1.7", "insert: links go both ways and stay few")
def links_both_ways(hnsw: Any) -> None:
    index = hnsw(8, M=16, ef_construction=40, seed=5)
    index.add(_villages(30, 6))
    expect(any(index.links[n][0] for n in range(30)), "After 30 inserts nobody knows anybody: `links` is empty.")
    for node in range(30):
        for other in index.links[node][0]:
            expect(node != other, f"Node {node} is linked to itself: it should not be among its own candidates.")
            expect(node in index.links[other][0],
                   f"Node {node} knows node {other}, but not the other way round (no node has too many links here). Append the "
                   "new node to the list of each neighbour it chose.")
    index = _built(hnsw)
    for node in range(400):
        for level, known in enumerate(index.links[node]):
            limit = index.M if level else 2 * index.M
            expect(len(known) <= limit, f"Node {node} has {len(known)} links in layer {level}; with M = {index.M} at most "
                                        f"{limit} are allowed. Cut back a node's list when a new link makes it too long.")
            twice = [n for n, times in Counter(known).items() if times > 1]
            expect(not twice, f"Node {node} lists node {twice[0] if twice else 0} twice in layer {level}.")


@prop("1.7", "insert: a full list is cut back by the heuristic")
def cut_back(hnsw: Any) -> None:
    # Node 0 in the middle, M = 2: four links are its limit. The newcomer in front of node 4 makes that link needless.
    around = [[0, 0], [2, 0], [0, 2.1], [-2.2, 0], [0, -2.3]]
    index = hnsw(2, M=2, ef_construction=10, seed=1)
    for point in np.asarray(around, dtype=np.float32):
        index._new_node(point, 0)
    index.links[0][0] = [1, 2, 3, 4]
    for node in range(1, 5):
        index.links[node][0] = [0]
    index.entry_point, index.max_level = 0, 0
    new = index.insert(np.array([0, -1.0], dtype=np.float32))
    expect(0 in index.links[new][0], "A node put at (0, −1) should know the one at (0, 0), its nearest; it knows "
                                     f"{list(index.links[new][0])}.")
    left = {int(n) for n in index.links[0][0]}
    expect(left != {1, 2, 3, 4}, "A full node refused the newcomer, its nearest. Choose again among all five: the four old "
                                 "links and the new one.")
    expect(len(left) <= 4, f"Node 0 has {len(left)} links in layer 0; M = 2 allows 2M = 4 there.")
    expect(left != {1, new} and len(left) > 2,
           "Layer 0 allows 2M links, and you cut back to M (or measured from another node than the list's owner).")
    expect(left == {1, 2, 3, new}, f"Node 0 at (0, 0) knew nodes 1 to 4, two steps away in four directions; node {new} came at "
                                   f"(0, −1). By the heuristic it keeps 1, 2, 3 and {new} and drops 4, which is behind {new}. "
                                   f"Yours keeps {sorted(left)}. Distances for this choice are those from the node whose list "
                                   "it is.")


@prop("1.7", "insert: M for a newcomer, 2M before a list is cut")
def limits(hnsw: Any) -> None:
    corners = 2 * np.pi * np.arange(5) / 5
    ring = _graph(hnsw, np.column_stack([np.cos(corners), np.sin(corners)]), [[(i - 1) % 5, (i + 1) % 5] for i in range(5)])
    ring.M = 2
    links = ring.links[ring.insert(np.array([0.1, 0.03], dtype=np.float32))][0]
    expect(len(links) <= 2, f"A newcomer with M = 2 made {len(links)} links in layer 0. It chooses at most M; room for 2M is there for the "
                            "links that others make to it later.")
    index = _graph(hnsw, [[0, 0], [2, 0], [0, 2.1], [-2.2, 0]], [[1, 2, 3], [0], [0], [0]])
    index.M = 2
    new = index.insert(np.array([-1.0, 0], dtype=np.float32))
    left = {int(n) for n in index.links[0][0]}
    expect(left == {1, 2, 3, new}, f"Node 0 had three links, and with M = 2 four fit into layer 0. With node {new} it should have 1, 2, 3 "
                                   f"and {new}; yours has {sorted(left)}. Cut back only what is over the limit.")


@prop("1.7", "insert: everybody can be reached in layer 0")
def connected(hnsw: Any) -> None:
    index = _built(hnsw)
    lost = 400 - len(_reached(index))
    expect(lost <= 4, f"In layer 0, {lost} of 400 nodes cannot be reached from the entry point. Is every new node linked in "
                      "layer 0, both ways, with neighbours chosen (and cut back) by the heuristic?")


@prop("1.7", "search: ef_search = n is exact")
def exact_with_patience(hnsw: Any) -> None:
    index, queries = _built(hnsw), _villages(8, 7)
    reach = _reached(index)
    distances, ids = index.search(queries, 5, ef_search=400)
    for i, query in enumerate(queries):
        wanted = np.sort(_squared(index, query, reach))[:5]
        expect(not np.allclose(distances[i], np.sqrt(wanted), rtol=1e-4),
               "You took the square root; distances here are squared, as in faiss.")
        expect_close(distances[i], wanted, "With ef_search = n the search looks at everything it can reach, so "
                     "its answer should be exact.", rtol=1e-4, atol=1e-4)
        expect_close(_squared(index, query, ids[i]), distances[i], "Your ids do not belong to your distances.",
                     rtol=1e-4, atol=1e-4)


@prop("1.7", "search: good answers for little work")
def recall_for_work(hnsw: Any) -> None:
    import faiss

    index, queries = _built(hnsw), _villages(60, 8)
    exact = faiss.IndexFlatL2(8)
    exact.add(_villages(400, 1))
    truth = exact.search(queries, 5)[1]
    recalls, work = [], []
    for ef in (5, 20, 80):
        before = index.distance_evaluations
        ids = np.asarray(index.search(queries, 5, ef)[1])
        work.append((index.distance_evaluations - before) / 60)
        recalls.append(float(np.mean([len(set(a) & set(b)) / 5 for a, b in zip(ids.tolist(), truth.tolist(), strict=True)])))
    expect(work[0] >= 5, f"A search computed {work[0]:.0f} distances through `_distance`: too few to have walked the graph.")
    expect(work[1] < 200, f"With ef_search = 20 you computed {work[1]:.0f} distances a query of 400 nodes: that is close to "
                          "looking at everything. Walk the graph; a hundred are plenty.")
    expect(work[0] < 0.9 * work[1] < 0.9 * work[2],
           f"ef_search 5, 20, 80 cost {work[0]:.0f}, {work[1]:.0f}, {work[2]:.0f} distances a query: the work should grow. Is "
           "ef_search used in layer 0?")
    expect(recalls[1] >= 0.93, f"With ef_search = 20 you find {recalls[1]:.0%} of the 5 nearest (97 % or more is usual here). "
                               "Does the search in layer 0 begin where the layers above ended, and does it keep ef_search "
                               "nodes?")


@prop("1.7", "search: shapes, dtypes, fewer than k")
def shapes(hnsw: Any) -> None:
    index = hnsw(3, M=4, ef_construction=10)
    points = np.random.default_rng(9).normal(size=(6, 3)).astype(np.float32)
    index.add(points)
    distances, ids = index.search(points[:2], 4)
    expect_shape(distances, (2, 4), "distances", "One row per query.")
    expect_shape(ids, (2, 4), "ids", "One row per query.")
    expect_dtype(distances, np.float32, "distances")
    expect_dtype(ids, np.int64, "ids")
    expect(np.asarray(ids)[:, 0].tolist() == [0, 1],
           f"Vectors 0 and 1 are in the index; their nearest are nodes {np.asarray(ids)[:, 0].tolist()}.")
    distances, ids = index.search(points[:2], 8, ef_search=1)
    expect_shape(ids, (2, 8), "ids", "k columns, however few were found.")
    expect(np.all(np.asarray(ids)[:, 6:] == -1) and np.all(np.isinf(np.asarray(distances)[:, 6:])),
           "Where fewer than k are found (k = 8 of 6 vectors), the places left have distance inf and id -1.")
    expect(np.all(np.asarray(ids)[:, :6] >= 0),
           "k = 8 with ef_search = 1: search with max(ef_search, k), and all 6 vectors are found.")


@prop("1.7", "search follows the links only, through all layers")
def along_links(hnsw: Any) -> None:
    line = [[float(i)] for i in range(60)] + [[61.0]]
    links = [[j for j in (i - 1, i + 1) if 0 <= j < 60] for i in range(60)] + [[]]
    fast = {i: [j for j in (i - 10, i + 10) if 0 <= j < 60] for i in range(0, 60, 10)}
    index = _graph(hnsw, line, links, fast)
    before = index.distance_evaluations
    ids = np.asarray(index.search(np.array([[61.0]], dtype=np.float32), 1, ef_search=1)[1])
    work = index.distance_evaluations - before
    expect(ids[0, 0] != 60, "Nobody knows node 60, and yet you found it: your search compares with all vectors instead of "
                            "walking the links.")
    expect(ids[0, 0] == 59, f"Along the links the nearest to 61 is node 59; you came to node {ids[0, 0]}.")
    expect(work <= 35, "Layer 1 has a motorway with an exit every 10 nodes; with it the goal is about 20 distances away. You "
                       f"computed {work}: does the descent begin at `max_level` and hand its end on to the next layer?")


@prop("1.7", "one at a time is as good as all at once")
def incremental(hnsw: Any) -> None:
    x = _villages(90, 10)
    whole, pieces = (hnsw(8, M=4, ef_construction=20, seed=2) for _ in range(2))
    whole.add(x)
    with untouched(x=x):
        numbers = [pieces.insert(row) for row in x[:30]]
        pieces.add(x[30:31])
        pieces.add(x[31:])
    expect(numbers == list(range(30)), f"`insert` returns the new node's number: 0, 1, 2, …; yours begin {numbers[:3]}.")
    expect(list(whole.levels) == list(pieces.levels) and whole.links == pieces.links,
           "The same rows and the same seed, in one `add` or in several calls, should give the same graph. Take random numbers "
           "from `self.random` only.")


@prop("1.7", "errors that say so")
def errors(hnsw: Any) -> None:
    index = hnsw(3, M=4, ef_construction=10)
    queries = np.ones((2, 3), dtype=np.float32)
    empty = np.asarray(index.search(queries, 2)[1])
    expect(empty.shape == (2, 2) and np.all(empty == -1), "Searching an empty index finds nothing: ids of -1.")
    index.add(queries)
    expect_raises(ValueError, lambda: index.search(queries, 0), "k = 0 should raise ValueError.")
    expect_raises(ValueError, lambda: index.search(queries[:, :2], 1),
                  "Queries of 2 numbers for an index of 3 should raise ValueError.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
