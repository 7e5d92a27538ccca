"""What the experiments of section 04 count, against closed forms and hand-made cases; times are not tested."""

from __future__ import annotations

import pytest
import torch

from aieng.lesson.experiments import experts, memory, paging, serving, tiled_attention
from aieng.lesson.finding import Skipped
from aieng.transformer.experts import MoELayer, load_balancing_loss, top_k_router
from aieng.transformer.flash_attention import flash_attention_backward, flash_attention_forward
from aieng.transformer.paged_attention import paged_attention
from aieng.transformer.paged_cache import BlockAllocator, BlockTable


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setenv("AIENG_PACE", "quick")


def test_peak_bytes_counts_what_is_alive_at_once():
    def one_after_the_other():
        for _ in range(3):
            torch.empty(1_000_000)

    def together():
        return [torch.empty(1_000_000) for _ in range(3)]

    assert 4_000_000 <= memory.peak_bytes(one_after_the_other) < 4_100_000
    assert 12_000_000 <= memory.peak_bytes(together) < 12_100_000


def test_traffic_charges_reads_and_writes_of_slow_tensors_only():
    large, small = torch.ones(1000, 1000), torch.ones(10, 10)
    with memory.Traffic(100_000) as moved:
        part = large[:100] * 2  # reads 100 rows; the result is 400 kB, so it is written
        small @ small
        large[:, :10] = 0.0
        part.mT.unsqueeze(0)
    assert (moved.read, moved.written) == (400_000, 400_000 + 40_000)


def test_our_loops_traffic_is_its_formula():
    data = tiled_attention.slow_memory_traffic(flash_attention_forward).data
    for kib, counted in data["flash"].items():
        assert counted == pytest.approx(data["formula"][kib], rel=0.02)
    assert data["saving"] > 2


def test_tiles_need_less_memory_than_the_matrix():
    data = tiled_attention.time_and_memory(flash_attention_forward, sizes=(256, 512, 1024)).data
    assert data["bytes"]["yours"][-1] < data["bytes"]["naive"][-1] / 4
    assert data["difference"] < 1e-5
    assert tiled_attention.backward_memory(flash_attention_forward, flash_attention_backward).data["difference"] < 1e-4


def test_first_fit_finds_the_first_gap():
    assert paging._first_fit([(10, 5), (0, 4)], 6, 30) == 4
    assert paging._first_fit([(10, 5), (0, 4)], 7, 30) == 15
    assert paging._first_fit([(10, 5), (0, 4)], 16, 30) is None


def test_pages_use_the_memory_and_waste_less_than_a_block():
    data = paging.memory_utilisation(BlockAllocator, BlockTable).data
    first, exact, pages = data["utilisation"].values()
    assert first < exact < pages
    assert data["worst_waste"] <= 15 and data["in_blocks"] > 0.95


def test_mixtrals_parameters_are_the_published_ones():
    data = experts.mixtral_parameters().data
    assert data["total"] / 1e9 == pytest.approx(46.7, abs=0.05) and data["active"] / 1e9 == pytest.approx(12.9, abs=0.05)


def test_experts_touched_by_one_token_and_by_many():
    data = experts.experts_touched(top_k_router, batches=(1, 64)).data
    assert data["touched"][1] == 2 and data["touched"][64] > 7.5
    assert data["per_token"][64] < data["per_token"][1]


def test_the_balance_loss_balances():
    data = experts.balance_of_a_router(top_k_router, load_balancing_loss).data
    assert data["busiest"]["with the loss"] < data["busiest"]["without the loss"]
    assert experts.dispatch_time(MoELayer, tokens=64).data["ideal"] == 4


def test_a_decode_step_is_measured_for_equal_and_ragged_lengths():
    data = serving.decode_step(paged_attention, batch=3, longest=128).data
    assert set(data["of_strips"]) == {"equal", "ragged"}


def test_places_show_who_sat_where():
    asked = [serving.Request([1], n, output=[0] * n) for n in (3, 1, 2)]
    assert serving._fixed_places(asked, 2) == [[1, 1, 1, 3, 3], [2, -2, -2, 0, 0]]
    a, b, c = asked
    assert serving._moving_places(asked, [[a, b], [a, c], [a, c]], 2) == [[1, 1, 1], [2, 3, 3]]


def test_nothing_is_measured_while_grading(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert isinstance(experts.mixtral_parameters(), Skipped)
