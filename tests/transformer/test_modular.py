"""A Llama on a MultiHeadAttention class computes what Llama does, with and without a cache."""

import pytest
import torch

from aieng.generation.decoding import generate
from aieng.transformer.attention import scaled_dot_product_attention
from aieng.transformer.llama import Llama, LlamaConfig, init_weights
from aieng.transformer.modular import InputCache, with_multi_head

CONFIG = LlamaConfig(hidden_size=24, intermediate_size=32, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, vocab_size=30,
                     max_position_embeddings=40)


@pytest.fixture
def models():
    model = Llama(CONFIG, init_weights(CONFIG, seed=3, std=0.3, requires_grad=False))
    return model, with_multi_head(model)


def test_same_scores(models):
    model, other = models
    ids = torch.randint(30, (2, 9), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(other(ids), model(ids), rtol=1e-4, atol=1e-5)


def test_same_scores_token_by_token(models):
    model, other = models
    ids = torch.randint(30, (1, 12), generator=torch.Generator().manual_seed(1))
    cache, parts = other.new_cache(), []
    for start, stop in ((0, 5), (5, 6), (6, 10), (10, 12)):
        parts.append(other(ids[:, start:stop], cache))
    torch.testing.assert_close(torch.cat(parts, 1), model(ids), rtol=1e-4, atol=1e-5)
    cache.truncate(7)
    torch.testing.assert_close(other(ids[:, 7:9], cache), model(ids)[:, 7:9], rtol=1e-4, atol=1e-5)


def test_generates_the_same(models):
    model, other = models
    assert generate(other, [1, 2, 3], 12) == generate(model, [1, 2, 3], 12)


def test_the_given_attention_is_used(models):
    calls = []

    def attention(q, k, v, mask):
        calls.append(q.shape)
        return scaled_dot_product_attention(q, k, v, mask)

    with_multi_head(models[0], attention=attention)(torch.tensor([[1, 2, 3]]))
    assert calls == [(1, 6, 3, 4)] * 3


def test_what_it_cannot_do_is_refused(models):
    ids = torch.tensor([[1, 2]])
    with pytest.raises(ValueError, match="head_mask"):
        models[1](ids, head_mask=torch.ones(3, 6))
    with pytest.raises(ValueError, match="cannot cut"):
        InputCache(1, 1, 1, 2, 4, torch.float32).truncate(1)
