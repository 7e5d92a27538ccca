"""The cache against plain lists, under random appends and cuts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aieng.transformer.kv_cache import KVCache


def cache(**changes):
    return KVCache(**({"num_layers": 2, "batch": 3, "num_key_value_heads": 2, "head_dim": 4, "capacity": 20} | changes))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(st.tuples(st.just("add"), st.integers(1, 6)), st.tuples(st.just("cut"), st.integers(0, 20)),
                          st.tuples(st.just("half"), st.integers(1, 6))), max_size=12))
def test_holds_what_was_appended(steps):
    ours, expected = cache(), [torch.zeros(2, 3, 2, 0, 4) for _ in range(2)]
    generator = torch.Generator().manual_seed(0)
    for kind, n in steps:
        if kind == "cut":
            n = min(n, ours.length)
            ours.truncate(n)
            expected = [x[:, :, :, :n] for x in expected]
            continue
        k, v = (torch.randn(2, 3, 2, n, 4, generator=generator) for _ in range(2))
        if ours.length + n > 20:
            with pytest.raises(ValueError, match="larger capacity"):
                ours.append(0, k[0], v[0])
            continue
        if kind == "half":  # an interrupt after the first layer
            ours.append(0, k[0], v[0])
            continue
        got = [ours.append(layer, k[layer], v[layer]) for layer in range(2)]
        expected = [torch.cat(pair, dim=3) for pair in zip(expected, (k, v))]
        for layer in range(2):
            assert torch.equal(got[layer][0], expected[0][layer]) and torch.equal(got[layer][1], expected[1][layer])
        assert ours.length == expected[0].shape[3]


def test_gives_views_and_counts_its_bytes():
    ours = cache(dtype=torch.bfloat16)
    assert ours.nbytes == 2 * 2 * 3 * 2 * 20 * 4 * 2  # keys and values, layers, batch, heads, capacity, head_dim, bytes
    assert ours.capacity == 20 and ours.num_layers == 2
    k, _ = ours.append(0, *torch.ones(2, 3, 2, 5, 4, dtype=torch.bfloat16))
    assert k.untyped_storage().data_ptr() == ours.keys.untyped_storage().data_ptr()


@pytest.mark.parametrize(("shape", "dtype", "message"), [
    ((2, 2, 1, 4), torch.float32, r"this cache takes \(3, 2, tokens, 4\)"),
    ((3, 1, 1, 4), torch.float32, r"this cache takes \(3, 2, tokens, 4\)"),
    ((3, 2, 1, 5), torch.float32, r"this cache takes \(3, 2, tokens, 4\)"),
    ((3, 2, 4), torch.float32, "this cache takes"),
    ((3, 2, 1, 4), torch.float64, "the cache holds torch.float32"),
    ((3, 2, 21, 4), torch.float32, "0 of 20 tokens; 21 more"),
])
def test_refuses_what_does_not_fit(shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        cache().append(0, torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype))


def test_other_errors():
    with pytest.raises(ValueError, match="layer 2 of a cache with 2"):
        cache().append(2, *torch.zeros(2, 3, 2, 1, 4))
    with pytest.raises(ValueError, match="cannot cut to 1"):
        cache().truncate(1)
    with pytest.raises(ValueError, match="capacity is 0"):
        cache(capacity=0)
