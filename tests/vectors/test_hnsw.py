"""The graph index: the paper's invariants, exact search as the truth, hnswlib at the same parameters, and bad input."""

import hnswlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aieng.data.synthetic import clusters
from aieng.vectors import _hnsw_graph as kernel
from aieng.vectors.distances import METRICS, knn
from aieng.vectors.hnsw import HNSW


def data(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def made(x, **options):
    index = HNSW(x.shape[1], **options)
    index.add(x)
    return index


def recall(found, truth):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), truth.tolist(), strict=True)])


def reached(index, level=0):
    """Every node that a walk along the links of a layer comes to from the entry point."""
    seen, todo = {index.entry_point}, [index.entry_point]
    while todo:
        new = set(index.neighbors(todo.pop(), level).tolist()) - seen
        seen |= new
        todo += new
    return seen


@pytest.fixture(scope="module")
def villages():
    """3,000 clustered vectors, the case that the neighbour heuristic was made for, and 200 queries."""
    return clusters(3000, 24, n_clusters=40, n_queries=200, seed=3)


@pytest.fixture(scope="module")
def built(villages):
    return made(villages[0], M=8, ef_construction=60, seed=1)


def test_links_are_few_and_stay_in_their_layer(built):
    for node in range(built.ntotal):
        for level in range(built.levels[node] + 1):
            known = built.neighbors(node, level)
            assert len(known) <= (built.M if level else 2 * built.M)
            assert len(set(known.tolist())) == len(known) and node not in known
            assert (built.levels[known] >= level).all()
        assert len(built.neighbors(node, built.levels[node] + 1)) == 0


def test_every_node_can_be_reached_in_each_layer(built):
    for level in range(built.max_level + 1):
        there = set(np.flatnonzero(built.levels >= level).tolist())
        assert len(there - reached(built, level)) <= 0.002 * len(there)


@pytest.mark.parametrize("M", [4, 16])
def test_one_node_in_m_reaches_the_next_layer(M):
    levels = made(data(4000, 2), M=M, ef_construction=4).levels
    for level in (1, 2):
        share, wanted = (levels >= level).mean(), M**-level
        assert abs(share - wanted) < 4 * np.sqrt(wanted / 4000)


def test_the_entry_point_is_the_highest_node(built):
    assert built.max_level == built.levels.max() == built.levels[built.entry_point]


@pytest.mark.parametrize("metric", METRICS)
def test_a_list_as_long_as_the_index_gives_the_exact_answer(metric):
    x, q = data(400, 6) + 0.5, data(50, 6, 1)
    scores, ids = made(x, M=16, ef_construction=200, metric=metric).search(q, 7, ef_search=400)
    wanted, truth = knn(q, x, 7, metric)
    np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-5)
    assert (ids == truth).mean() > 0.99


@pytest.mark.parametrize("ef_search", [10, 20, 60])
def test_recall_is_that_of_hnswlib_for_as_much_work(built, villages, ef_search):
    x, q = villages
    reference = hnswlib.Index("l2", x.shape[1])
    reference.init_index(len(x), M=8, ef_construction=60, random_seed=1)
    reference.add_items(x, num_threads=1)
    reference.set_ef(ef_search)
    truth = knn(q, x, 10)[1]
    before = built.distance_evaluations
    found = built.search(q, 10, ef_search)[1]
    assert recall(found, truth) >= recall(reference.knn_query(q, 10, num_threads=1)[0].astype(np.int64), truth) - 0.02
    # Nothing like a scan: a walk looks at the links of about ef nodes.
    assert 10 <= (built.distance_evaluations - before) / len(q) <= min(len(x) / 3, 2 * built.M * (ef_search + 10))


def test_more_patience_finds_more(built, villages):
    truth = knn(villages[1], villages[0], 10)[1]
    recalls = [recall(built.search(villages[1], 10, ef)[1], truth) for ef in (10, 40, 160)]
    assert recalls[0] < recalls[1] < recalls[2] and recalls[2] > 0.98


def test_the_heuristic_keeps_different_directions():
    x = np.array([[0, 0], [1, 0], [1.5, 0], [-2, 0]], np.float32)
    index, chosen = made(x, M=4), np.empty(4, np.int32)
    count = kernel.select_neighbors(index._graph, np.array([1, 2, 3], np.int32), np.array([1, 2.25, 4], np.float32), 4, chosen)
    assert chosen[:count].tolist() == [1, 3]  # node 2 is behind node 1, although nearer than node 3


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 99))
def test_pieces_make_the_same_graph_as_all_at_once(counts, seed):
    x = data(sum(counts), 5, seed)
    whole, pieces = made(x, M=4, ef_construction=20, seed=seed), HNSW(5, 4, 20, seed=seed)
    for part in np.split(x, np.cumsum(counts)[:-1]):
        pieces.add(part)
    assert pieces.ntotal == len(x) and (whole.levels == pieces.levels).all()
    for node in range(len(x)):
        np.testing.assert_array_equal(whole.neighbors(node, 0), pieces.neighbors(node, 0))
    ids = pieces.search(x, 1, ef_search=len(x))[1]
    assert (ids[:, 0] == np.arange(len(x))).mean() > 0.98


def test_ids_of_the_users_own_and_numbering_on():
    x = data(60, 4)
    index = HNSW(4)
    index.add(x[:20], np.arange(20) * 10)
    index.add(x[20:])
    assert index.search(x[7:8], 1)[1].tolist() == [[70]]
    assert index.search(x[20:21], 1)[1].tolist() == [[191]]


@pytest.mark.parametrize("prepare", [lambda x: x.astype(np.float64), np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2]])
def test_other_layouts_give_the_same_answer_and_stay_as_they_were(prepare):
    x, q = data(300, 8), data(20, 8, 1)
    index, other, given = made(x), HNSW(8), prepare(x)
    before = given.copy()
    other.add(given)
    np.testing.assert_array_equal(given, before)
    for got, want in zip(other.search(prepare(q), 5), index.search(q, 5), strict=True):
        np.testing.assert_array_equal(got, want)


def test_fewer_than_k_are_padded():
    distances, ids = made(data(3, 4)).search(data(2, 4, 1), 5)
    assert (ids[:, 3:] == -1).all() and np.isinf(distances[:, 3:]).all() and (np.sort(ids[:, :3]) == [0, 1, 2]).all()
    similarities, ids = made(data(3, 4), metric="ip").search(data(2, 4, 1), 5)
    assert (similarities[:, 3:] == -np.inf).all() and (np.diff(similarities[:, :3]) <= 0).all()


def test_one_vector_and_many_copies_of_one():
    assert made(data(1, 3)).search(data(1, 3), 1)[1].tolist() == [[0]]
    x = np.concatenate([np.zeros((60, 3)), data(200, 3) + 5])
    distances, ids = made(x).search(np.zeros((1, 3)), 10)
    assert len(set(ids[0].tolist())) == 10 and (ids < 60).all() and (distances == 0).all()


def test_the_trace_is_the_search(built, villages):
    x, q = villages
    hops = built.trace(q[0], 5, ef_search=30)
    levels = [hop.level for hop in hops]
    assert levels == sorted(levels, reverse=True) and levels[0] == built.max_level and hops[0].node == built.entry_point
    for hop in hops:
        assert set(hop.looked_at) <= set(built.neighbors(hop.node, hop.level).tolist())
        assert hop.distance == pytest.approx(float(((x[hop.node] - q[0]) ** 2).sum()), rel=1e-4)
    best = sorted((hop.distance, hop.node) for hop in hops if hop.level == 0)[:5]
    assert [node for _, node in best] == built.search(q[:1], 5, ef_search=30)[1][0].tolist()


def test_saved_equals_loaded_and_both_grow_alike(tmp_path):
    x = data(500, 6)
    index = made(x[:400], M=6, ef_construction=30, metric="cosine", seed=4)
    index.save(tmp_path / "graph")
    again = HNSW.load(tmp_path / "graph")
    for one in (index, again):
        one.add(x[400:])
    assert again.nbytes == index.nbytes > x.nbytes
    for got, want in zip(again.search(x[:40], 5), index.search(x[:40], 5), strict=True):
        np.testing.assert_array_equal(got, want)


def test_an_empty_index_is_saved_too(tmp_path):
    HNSW(3).save(tmp_path / "empty")
    again = HNSW.load(tmp_path / "empty")
    again.add(data(5, 3))
    assert again.ntotal == 5


def test_a_crash_while_saving_leaves_the_old_file(tmp_path, monkeypatch):
    path, x = tmp_path / "graph", data(50, 3)
    index = made(x)
    index.save(path)
    index.add(x + 9)

    def crash(*_):
        raise OSError("power cut")

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(OSError, match="power cut"):
        index.save(path)
    assert HNSW.load(path).ntotal == 50 and [file.name for file in tmp_path.iterdir()] == ["graph"]


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: raw[:200] + b"\x7f" + raw[201:], lambda raw: raw[:3],
                                    lambda raw: b"", lambda raw: b"PK\x03\x04" + raw])
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "graph"
    made(data(50, 3)).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="graph"):
        HNSW.load(path)


def test_a_file_of_another_index_is_refused(tmp_path):
    from aieng.vectors.ivf import IVFIndex
    IVFIndex(3, 4).train(data(50, 3)).save(tmp_path / "cells")
    with pytest.raises(ValueError, match="IVFIndex"):
        HNSW.load(tmp_path / "cells")


def test_refusals():
    x = data(20, 4)
    index = made(x)
    for call, message in (
        (lambda: HNSW(0), "dim"),
        (lambda: HNSW(4, M=1), "M is 1"),
        (lambda: HNSW(4, ef_construction=0), "ef_construction"),
        (lambda: HNSW(4, metric="l1"), "metric"),
        (lambda: HNSW(4).search(x, 1), "empty"),
        (lambda: HNSW(4).trace(x[0], 1), "empty"),
        (lambda: index.add(x[:, :3]), "3 dimensions"),
        (lambda: index.add(x[0]), "x"),
        (lambda: index.add(np.where(x > 0, np.nan, x)), "NaN"),
        (lambda: index.add(x[:2], [50, 50]), "given twice"),
        (lambda: index.add(x[:2], [50, 5]), "id 5 is in the index"),
        (lambda: index.search(x, 0), "k is 0"),
        (lambda: index.search(x, 1, ef_search=0), "ef_search"),
        (lambda: index.search(x[:, :3], 1), "3 dimensions"),
        (lambda: index.search(np.full((1, 4), np.inf), 1), "infinity"),
        (lambda: index.neighbors(20, 0), "node is 20"),
        (lambda: index.neighbors(0, -1), "level is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert index.ntotal == 20 and (index.search(x, 1)[1][:, 0] == np.arange(20)).all()
