"""The decision table: its arithmetic, what it rules out, and that a change of the workload moves it the right way."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aieng.vectors.databases import Workload, recommend
from aieng.vectors.databases.recommend import Prices, sizes

SMALL = Workload(n_vectors=20_000, dim=384, needs_filters=True, updates_per_second=1.0)
LARGE = Workload(n_vectors=50_000_000, dim=768, queries_per_second=400, updates_per_second=300, needs_filters=True,
                 memory_budget_gb=128, budget_per_month=5_000, ops_team=True, must_be_local=True)


def rows(workload, prices=None):
    return {row.engine: row for row in recommend(workload, prices)}


def test_sizes_by_hand():
    million = sizes(Workload(n_vectors=1_000_000, dim=1536))
    assert million.raw == pytest.approx(6.144)
    assert million.hnsw == pytest.approx(6.144 + 1e6 * 4 * (32 + 16 / 15) / 1e9)
    assert million.ivf_flat == pytest.approx(6.144 + 0.008 + 4 * 1536 * 4000 / 1e9)
    assert million.ivf_pq == pytest.approx(0.192 + 0.008 + (4 * 1536 * 4000 + 256 * 1536 * 4) / 1e9)


def test_every_engine_has_one_row_and_the_possible_come_first():
    for workload in (SMALL, LARGE, Workload()):
        found = recommend(workload)
        assert sorted(r.engine for r in found) == ["Chroma", "FAISS", "Milvus", "Milvus Lite", "Pinecone", "Weaviate"]
        assert [r.possible for r in found] == sorted((r.possible for r in found), reverse=True)
        scores = [r.score for r in found if r.possible]
        assert scores == sorted(scores, reverse=True)
        assert all(r.score == 0 and r.reasons[0].startswith("ruled out") for r in found if not r.possible)


def test_a_small_job_stays_in_one_process_and_a_large_one_leaves_it():
    assert recommend(SMALL)[0].engine in ("Chroma", "Milvus Lite")
    assert recommend(replace(SMALL, needs_filters=False, updates_per_second=0.0))[0].engine == "FAISS"
    assert recommend(LARGE)[0].engine == "Milvus"
    assert recommend(LARGE)[0].machines == 2
    assert recommend(replace(LARGE, linked_objects=True))[0].engine == "Weaviate"
    nobody = replace(LARGE, n_vectors=5_000_000, queries_per_second=0.5, updates_per_second=1, ops_team=False, must_be_local=False,
                     memory_budget_gb=8, budget_per_month=2_000)
    assert recommend(nobody)[0].engine == "Pinecone"


def test_what_rules_out():
    assert not rows(replace(SMALL, must_be_local=True))["Pinecone"].possible
    assert not rows(replace(SMALL, budget_per_month=49))["Pinecone"].possible, "its minimum is more"
    assert not rows(replace(SMALL, n_vectors=4_000_000, memory_budget_gb=64))["Milvus Lite"].possible
    full = rows(replace(SMALL, n_vectors=4_000_000, memory_budget_gb=4))
    assert not full["Chroma"].possible
    assert full["FAISS"].index == "ivf_pq"


def test_the_bill_by_hand():
    work = Workload(n_vectors=1_000_000, dim=1000, queries_per_second=1, updates_per_second=2, budget_per_month=1e6)
    month = 30 * 24 * 3600
    wanted = 4 * 0.33 + 4 * month / 1e6 * 16 + 4 * 2 * month / 1e6 * 4
    assert rows(work)["Pinecone"].cost_per_month == pytest.approx(wanted, abs=0.01)
    assert rows(work, Prices(1, 1, 1, 1, 10_000))["Pinecone"].cost_per_month == 10_000


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 10**10), dim=st.integers(1, 4096), queries=st.floats(0, 1e5), updates=st.floats(0, 1e5), filters=st.booleans(),
       objects=st.booleans(), memory=st.floats(0.1, 1e4), budget=st.floats(0, 1e6), ops=st.booleans(), local=st.booleans())
def test_any_workload_gets_finite_rows(n, dim, queries, updates, filters, objects, memory, budget, ops, local):
    workload = Workload(n, dim, queries, updates, filters, objects, memory, budget, ops, local)
    for row in recommend(workload):
        assert 0 <= row.score <= 100
        assert math.isfinite(row.memory_gb)
        assert row.cost_per_month <= budget or not row.possible
        assert not (local and row.engine == "Pinecone" and row.possible)
    richer = rows(replace(workload, budget_per_month=budget + 1e5, ops_team=True))
    for name, row in rows(workload).items():
        assert richer[name].score >= row.score, f"{name}: money and people never make it worse"


@pytest.mark.parametrize(("field", "value"), [
    ("n_vectors", 0), ("n_vectors", 1e6), ("n_vectors", True), ("dim", -3), ("queries_per_second", -1), ("updates_per_second", math.nan),
    ("budget_per_month", math.inf), ("memory_budget_gb", 0), ("memory_budget_gb", "8")])
def test_bad_workloads_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        Workload(**{field: value})


def test_only_a_workload():
    with pytest.raises(TypeError, match="Workload"):
        recommend({"n_vectors": 5})
