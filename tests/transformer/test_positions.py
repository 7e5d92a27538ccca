"""Sinusoids against their formula, RoPE against transformers' Llama and against what defines it."""

from __future__ import annotations

import math

import pytest
import torch

from aieng.transformer.positions import apply_rope, embed_tokens, rope_frequencies, sinusoidal_positions


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_sinusoids_follow_the_formula():
    table = sinusoidal_positions(50, 12)
    assert table.shape == (50, 12) and table.dtype == torch.float32
    for p in (0, 1, 7, 49):
        for i in range(6):
            angle = p / 10000 ** (2 * i / 12)
            assert table[p, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-7)
            assert table[p, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-7)
    assert sinusoidal_positions(0, 4).shape == (0, 4)


def test_embed_tokens_adds_the_row_of_the_place():
    words, places = randn(11, 6, seed=1), randn(5, 6, seed=2)
    ids = torch.tensor([[3, 3, 10], [0, 7, 3]])
    expected = torch.nn.functional.embedding(ids, words) + torch.nn.functional.embedding(torch.arange(3), places)
    torch.testing.assert_close(embed_tokens(ids, words, places), expected)
    torch.testing.assert_close(embed_tokens(torch.arange(5), words, places), words[:5] + places)
    with pytest.raises(ValueError, match="ends after 5 positions"):
        embed_tokens(torch.zeros(6, dtype=torch.int64), words, places)
    with pytest.raises(ValueError, match="6 features, positions 1"):
        embed_tokens(ids, words, places[:, :1])


@pytest.mark.parametrize("theta", [1e4, 1e5])
def test_rope_equals_transformers(theta):
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    from transformers import LlamaConfig

    config = LlamaConfig(hidden_size=128, num_attention_heads=2, head_dim=64, rope_parameters={"rope_type": "default", "rope_theta": theta})
    positions = torch.tensor([[0, 1, 5, 100, 2047], [3, 4, 5, 6, 7]])
    q, k = randn(2, 2, 5, 64, seed=1), randn(2, 1, 5, 64, seed=2)
    cos, sin = llama.LlamaRotaryEmbedding(config)(q, positions)
    for ours, theirs in zip((apply_rope(x, positions[:, None], theta) for x in (q, k)), llama.apply_rotary_pos_emb(q, k, cos, sin)):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_by_hand():
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # one pair, frequency 1: position 1 is an angle of one radian
    torch.testing.assert_close(apply_rope(x, torch.arange(2)), torch.tensor([[1.0, 0.0], [math.cos(1.0), math.sin(1.0)]]))
    torch.testing.assert_close(rope_frequencies(4, 100.0), torch.tensor([1.0, 0.1]))


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_lengths_stay_and_products_depend_on_the_distance_only(layout):
    q, k = randn(1, 16, seed=3, dtype=torch.float64), randn(1, 16, seed=4, dtype=torch.float64)

    def at(x, position):
        return apply_rope(x, torch.tensor([position]), layout=layout)[0]

    assert torch.equal(at(q, 0), q[0])
    assert at(q, 77).norm().item() == pytest.approx(q.norm().item(), abs=1e-12)
    products = {d: [float(at(q, m + d) @ at(k, m)) for m in (0, 3, 200)] for d in (0, 1, 9)}
    for values in products.values():
        assert max(values) - min(values) < 1e-11
    assert abs(products[1][0] - products[9][0]) > 0.1


def test_the_two_layouts_differ_by_a_permutation():
    x, positions = randn(2, 3, 7, 10, seed=5), torch.arange(7)
    order = torch.arange(10).view(5, 2).T.flatten()  # 0 2 4 6 8 1 3 5 7 9
    torch.testing.assert_close(apply_rope(x, positions, layout="interleaved")[..., order], apply_rope(x[..., order], positions))


def test_bfloat16_turns_in_float32_and_fractions_are_positions():
    x = randn(1, 2, 64, seed=6)
    positions = torch.tensor([4000, 4001])
    exact = apply_rope(x.bfloat16().float(), positions)
    rounded = apply_rope(x.bfloat16(), positions)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, atol=0.02, rtol=0)
    torch.testing.assert_close(apply_rope(x, positions * 0.5), apply_rope(x, torch.tensor([2000.0, 2000.5])))


def test_the_input_is_not_changed_and_gradients_pass():
    x = randn(2, 3, 4, seed=7).requires_grad_()
    before = x.detach().clone()
    apply_rope(x, torch.arange(3)).square().sum().backward()
    assert torch.equal(x.detach(), before)
    torch.testing.assert_close(x.grad, 2 * before)  # a rotation keeps the length


def test_errors():
    with pytest.raises(ValueError, match="head_dim is 5"):
        apply_rope(torch.zeros(2, 5), torch.arange(2))
    with pytest.raises(ValueError, match="3 tokens"):
        apply_rope(torch.zeros(3, 4), torch.arange(2))
    with pytest.raises(ValueError, match="layout is 'neox'"):
        apply_rope(torch.zeros(3, 4), torch.arange(3), layout="neox")
    with pytest.raises(ValueError, match="theta is 0"):
        rope_frequencies(4, 0)
    with pytest.raises(ValueError, match="dim=3"):
        sinusoidal_positions(2, 3)
