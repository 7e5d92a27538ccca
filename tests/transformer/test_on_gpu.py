"""Section 04's kernels on a graphics card give what they give on the processor, and its experiment runs there."""

from __future__ import annotations

import pytest
import torch

from aieng.transformer.experts import MoELayer
from aieng.transformer.flash_attention import flash_attention, flash_attention_forward
from aieng.transformer.paged_attention import paged_attention

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("tokens", [1, 130, 1000])
def test_flash_attention_forward(tokens, causal):
    q, k, v = (draw(2, 3, tokens, 64, seed=s) for s in range(3))
    for here, there in zip(flash_attention_forward(q, k, v, causal=causal),
                           flash_attention_forward(q.cuda(), k.cuda(), v.cuda(), causal=causal), strict=True):
        assert there.is_cuda
        torch.testing.assert_close(there.cpu(), here, rtol=1e-4, atol=1e-5)


def test_flash_attention_gradients():
    grad = draw(1, 2, 300, 64, seed=9)
    found = []
    for device in ("cpu", "cuda"):
        leaves = [draw(1, 2, 300, 64, seed=s).to(device).requires_grad_() for s in range(3)]
        found.append([g.cpu() for g in torch.autograd.grad(flash_attention(*leaves, causal=True), leaves, grad.to(device))])
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)


def test_paged_attention():
    q, keys, values = draw(4, 9, 64), draw(20, 3, 16, 64, seed=1), draw(20, 3, 16, 64, seed=2)
    tables, lengths = torch.randperm(20, generator=torch.Generator().manual_seed(3)).view(4, 5), torch.tensor([80, 3, 17, 64])
    there = paged_attention(q.cuda(), keys.cuda(), values.cuda(), tables.cuda(), lengths.cuda())
    torch.testing.assert_close(there.cpu(), paged_attention(q, keys, values, tables, lengths), rtol=1e-4, atol=1e-5)


def test_mixture_of_experts():
    weights = [draw(8, 64, seed=0), draw(8, 96, 64, seed=1) / 8, draw(8, 96, 64, seed=2) / 8, draw(8, 64, 96, seed=3) / 10]
    x = draw(2, 50, 64, seed=4)
    there = MoELayer(*(w.cuda() for w in weights), 2)(x.cuda())
    torch.testing.assert_close(there.cpu(), MoELayer(*weights, 2)(x), rtol=1e-4, atol=1e-4)


def test_the_experiment_of_4_4_runs_there(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    from aieng.lesson.experiments.tiled_attention import time_and_memory

    found = time_and_memory(flash_attention_forward, device="cuda")
    assert found.data["difference"] < 1e-4 and found.data["memory_share"] < 0.5
