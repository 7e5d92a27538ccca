"""The mixture of experts against transformers' Mixtral block and its balance loss."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.mixtral.configuration_mixtral import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock, load_balancing_loss_func

from aieng.transformer.experts import MoELayer, dispatch, load_balancing_loss, top_k_router


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def layer(experts=8, hidden=16, intermediate=24, top_k=2, dtype=torch.float32):
    return MoELayer(random(experts, hidden, seed=1, dtype=dtype), random(experts, intermediate, hidden, seed=2, dtype=dtype) / 4,
                    random(experts, intermediate, hidden, seed=3, dtype=dtype) / 4,
                    random(experts, hidden, intermediate, seed=4, dtype=dtype) / 4, top_k)


def mixtral(ours: MoELayer) -> MixtralSparseMoeBlock:
    """transformers' block with the same weights."""
    experts, intermediate, hidden = ours.gate.shape
    block = MixtralSparseMoeBlock(MixtralConfig(hidden_size=hidden, intermediate_size=intermediate, num_local_experts=experts,
                                                num_experts_per_tok=ours.top_k))
    with torch.no_grad():
        block.gate.weight.copy_(ours.router)
        block.experts.gate_up_proj.copy_(torch.cat([ours.gate, ours.up], 1))
        block.experts.down_proj.copy_(ours.down)
    return block.eval()


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_layer_is_mixtrals(top_k):
    ours, x = layer(top_k=top_k), random(3, 17, 16)
    with torch.no_grad():
        theirs = mixtral(ours)(x)
    torch.testing.assert_close(ours(x), theirs[0] if isinstance(theirs, tuple) else theirs, atol=1e-5, rtol=1e-5)


def test_all_experts_chosen_is_the_dense_mixture():
    ours, x = layer(top_k=8), random(30, 16)
    dense = sum(torch.softmax(x @ ours.router.mT, -1)[:, e, None] * ours.expert(e, x) for e in range(8))
    torch.testing.assert_close(ours(x), dense, atol=1e-5, rtol=1e-5)


def test_each_expert_computes_only_its_own_tokens():
    ours, x = layer(), random(64, 16)
    with FlopCounterMode(display=False) as count:
        ours(x)
    assert count.get_total_flops() == 2 * (64 * 8 * 16 + 64 * 2 * 3 * 16 * 24)


def test_gradients_reach_every_weight_used():
    ours = layer(dtype=torch.float64)
    weights = [w.requires_grad_() for w in (ours.router, ours.gate, ours.up, ours.down)]
    x = random(20, 16, dtype=torch.float64)

    def dense():
        weight, chosen, _ = top_k_router(x, ours.router, 2)
        full = torch.zeros(20, 8, dtype=torch.float64).scatter(1, chosen, weight)
        return sum(full[:, e, None] * ours.expert(e, x) for e in range(8))

    for mine, want in zip(torch.autograd.grad(ours(x).square().sum(), weights), torch.autograd.grad(dense().square().sum(), weights)):
        torch.testing.assert_close(mine, want)


def test_router_takes_the_largest_and_gives_shares():
    weights, chosen, probabilities = top_k_router(random(50, 16), random(8, 16, seed=1), 3)
    assert torch.equal(chosen, (random(50, 16) @ random(8, 16, seed=1).mT).argsort(-1, descending=True)[:, :3])
    torch.testing.assert_close(weights.sum(-1), torch.ones(50))
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(50))
    assert (weights.diff() <= 0).all() and chosen.dtype == torch.int64
    assert top_k_router(random(4, 16).bfloat16(), random(8, 16).bfloat16(), 2)[0].dtype == torch.float32


@pytest.mark.parametrize("top_k", [0, 9])
def test_router_refuses(top_k):
    with pytest.raises(ValueError, match="of 8 experts"):
        top_k_router(random(5, 16), random(8, 16), top_k)


def test_dispatch_groups_by_expert_in_the_order_of_the_tokens():
    order, counts = dispatch(torch.tensor([[2, 0], [2, 3], [0, 2]]), 5)
    assert order.tolist() == [1, 4, 0, 2, 5, 3] and counts.tolist() == [2, 0, 3, 1, 0]


@pytest.mark.parametrize("top_k", [1, 2])
def test_balance_loss_is_transformers(top_k):
    x, router = random(200, 16), random(8, 16, seed=1)
    _, chosen, probabilities = top_k_router(x, router, top_k)
    theirs = load_balancing_loss_func((x @ router.mT,), 8, top_k)
    torch.testing.assert_close(load_balancing_loss(probabilities, chosen), theirs)


def test_balance_loss_at_its_ends():
    even = torch.full((8, 4), 0.25)
    assert load_balancing_loss(even, torch.arange(8)[:, None] % 4) == 1
    one = torch.eye(4)[torch.zeros(8, dtype=torch.long)]
    assert load_balancing_loss(one, torch.zeros(8, 1, dtype=torch.long)) == 4


def test_no_tokens_and_an_unused_expert():
    ours = layer()
    assert ours(random(0, 16)).shape == (0, 16)
    assert ours(random(1, 16)).shape == (1, 16)
