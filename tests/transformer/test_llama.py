"""The assembled Llama against transformers' LlamaForCausalLM on random weights; cache, kernels, observation, training."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional

from aieng.transformer.attention import attention_weights, causal_mask
from aieng.transformer.kv_cache import KVCache
from aieng.transformer.llama import Kernels, Llama, LlamaConfig, init_weights, linear, weight_shapes
from aieng.transformer.positions import apply_rope

CONFIG = LlamaConfig(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, vocab_size=50,
                     head_dim=8, rope_theta=500.0, rms_norm_eps=1e-5, max_position_embeddings=64)
UNTIED = dataclasses.replace(CONFIG, tie_word_embeddings=False)


@pytest.fixture(scope="module")
def model():
    return Llama(CONFIG, init_weights(CONFIG, seed=1, std=0.3, requires_grad=False))


def tokens(batch, n, seed=0):
    return torch.randint(50, (batch, n), generator=torch.Generator().manual_seed(seed))


def transformers_model(config, weights):
    transformers = pytest.importorskip("transformers")
    sizes = dataclasses.asdict(config)
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        **{k: v for k, v in sizes.items() if k != "rope_theta"}, rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta}))
    missing, unexpected = theirs.load_state_dict(dict(weights), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}
    return theirs.eval()


@pytest.mark.parametrize("config", [CONFIG, UNTIED], ids=["tied", "untied"])
def test_logits_and_gradients_equal_transformers(config):
    weights = init_weights(config, seed=2, std=0.3)
    theirs = transformers_model(config, {name: w.detach().clone() for name, w in weights.items()})
    ids = tokens(3, 17)
    ours, expected = Llama(config, weights)(ids), theirs(ids).logits
    torch.testing.assert_close(ours, expected, atol=2e-5, rtol=1e-5)
    for logits in (ours, expected):
        functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(weights[name].grad, parameter.grad, atol=2e-5, rtol=1e-3)


def test_our_names_and_shapes_are_those_of_transformers():
    for config in (CONFIG, UNTIED):
        theirs = {name: tuple(p.shape) for name, p in transformers_model(config, init_weights(config)).named_parameters()}
        assert weight_shapes(config) == theirs


@pytest.mark.parametrize("prefill", [1, 2, 9, 16])
@pytest.mark.parametrize("batch", [1, 3])
def test_cached_equals_uncached_for_any_prefill(model, prefill, batch):
    ids = tokens(batch, 16, seed=prefill)
    whole = model(ids)
    cache = model.new_cache(batch, capacity=16)
    parts = [model(ids[:, :prefill], cache)]
    parts += [model(ids[:, t : t + 1], cache) for t in range(prefill, 16)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=2e-5, rtol=1e-5)
    assert cache.length == 16
    cache.truncate(5)
    torch.testing.assert_close(model(ids[:, 5:12], cache), whole[:, 5:12], atol=2e-5, rtol=1e-5)  # several tokens on a filled cache
    torch.testing.assert_close(model(ids, logits_to_keep=2), whole[:, -2:], atol=2e-5, rtol=1e-5)


def test_left_padding_by_mask_and_positions(model):
    short, long = tokens(1, 5, seed=3), tokens(1, 9, seed=4)
    ids = torch.cat([functional.pad(short, (4, 0)), long])
    positions = torch.stack([torch.arange(9) - 4, torch.arange(9)]).clamp_min(0)
    allowed = torch.ones(9, 9, dtype=torch.bool).tril().expand(2, 1, 9, 9).clone()
    allowed[0, :, :, :4] = False
    out = model(ids, positions=positions, mask=allowed)
    torch.testing.assert_close(out[0, 4:], model(short)[0], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(out[1], model(long)[0], atol=2e-5, rtol=1e-5)
    # One more token for both, through a cache, with a mask of one row.
    cache = model.new_cache(2, 10)
    model(ids, cache, positions=positions, mask=allowed)
    more = tokens(2, 1, seed=5)
    row = torch.cat([allowed[:, :, -1:], torch.ones(2, 1, 1, 1, dtype=torch.bool)], dim=-1)
    step = model(more, cache, positions=torch.tensor([[5], [9]]), mask=row)
    torch.testing.assert_close(step[0, 0], model(torch.cat([short, more[:1]], dim=1))[0, -1], atol=2e-5, rtol=1e-5)
    per_head = model(more, _cut(cache, 9), positions=torch.tensor([[5], [9]]), mask=row.expand(2, 6, 1, 10))
    torch.testing.assert_close(per_head, step, atol=2e-5, rtol=1e-5)


def _cut(cache, length):
    cache.truncate(length)
    return cache


def test_a_mask_replaces_the_causal_one(model):
    ids = tokens(1, 6)
    changed = ids.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 50
    torch.testing.assert_close(model(ids)[0, :5], model(changed)[0, :5], atol=1e-6, rtol=0)
    open_mask = torch.ones(6, 6, dtype=torch.bool)
    assert (model(ids, mask=open_mask)[0, :5] - model(changed, mask=open_mask)[0, :5]).abs().max() > 1e-2
    torch.testing.assert_close(model(ids, mask=causal_mask(6)), model(ids))


def test_attention_can_be_observed(model):
    ids, seen = tokens(2, 7), {}
    plain = model(ids)
    observed = model(ids, on_attention=lambda layer, weights: seen.update({layer: weights}))
    assert torch.equal(plain, observed)
    assert sorted(seen) == [0, 1, 2] and all(w.shape == (2, 6, 7, 7) for w in seen.values())
    for w in seen.values():
        torch.testing.assert_close(w.sum(-1), torch.ones(2, 6, 7))
        assert torch.equal(w.triu(1), torch.zeros_like(w))
    theirs = transformers_model(CONFIG, init_weights(CONFIG, seed=1, std=0.3, requires_grad=False))
    theirs.set_attn_implementation("eager")
    for layer, expected in enumerate(theirs(ids, output_attentions=True).attentions):
        torch.testing.assert_close(seen[layer], expected, atol=1e-5, rtol=0)
    cache = model.new_cache(2, 8)
    model(ids, cache)
    model(tokens(2, 1), cache, on_attention=lambda layer, weights: seen.update({layer: weights}))
    assert seen[2].shape == (2, 6, 1, 8)


def test_a_head_can_be_switched_off(model):
    ids, mask = tokens(2, 7), torch.ones(3, 6)
    torch.testing.assert_close(model(ids, head_mask=mask), model(ids))
    mask[1, 4] = 0
    weights = {name: w.clone() for name, w in model.weights.items()}
    weights["model.layers.1.self_attn.o_proj.weight"][:, 4 * 8 : 5 * 8] = 0  # what head 4 writes
    torch.testing.assert_close(model(ids, head_mask=mask), Llama(CONFIG, weights)(ids), atol=1e-5, rtol=1e-5)


def test_every_kernel_is_called_and_a_wrong_one_shows(model):
    ids, calls = tokens(2, 5), []

    def noted(name, kernel):
        return lambda *args, **kwargs: (calls.append(name), kernel(*args, **kwargs))[1]

    kernels = Kernels(**{f.name: noted(f.name, getattr(Kernels(), f.name)) for f in dataclasses.fields(Kernels)})
    ours = Llama(CONFIG, model.weights, kernels)
    torch.testing.assert_close(ours(ids, ours.new_cache(2, 5)), model(ids))
    assert {name: calls.count(name) for name in set(calls)} == {"rope": 3, "attention": 3, "norm": 7, "feed_forward": 3, "cache": 1,
                                                                "linear": 3 * 5 + 1}
    wrong = {
        "rope": lambda x, positions, theta: apply_rope(x, positions + 1, theta * 2),
        "attention": lambda q, k, v, mask: attention_weights(q, k, mask, scale=1.0) @ v,
        "norm": lambda x, weight, eps: x * weight,
        "feed_forward": lambda x, gate, up, down: down(gate(x) * up(x)),
    }
    for name, kernel in wrong.items():
        assert (Llama(CONFIG, model.weights, Kernels(**{name: kernel}))(ids) - model(ids)).abs().max() > 1e-3, name


def test_a_small_model_learns_and_held_weights_are_the_trained_ones():
    weights = init_weights(CONFIG, seed=3)
    model = Llama(CONFIG, weights)
    ids = (torch.arange(12)[None] + torch.arange(8)[:, None]) % 50
    optimiser = torch.optim.AdamW(weights.values(), lr=0.01)
    losses = []
    for _ in range(30):
        loss = functional.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 3.5 and losses[-1] < 0.5


def test_init_is_seeded():
    a, b, c = init_weights(CONFIG, 5), init_weights(CONFIG, 5), init_weights(CONFIG, 6)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["model.embed_tokens.weight"], c["model.embed_tokens.weight"])
    assert all(w.requires_grad for w in a.values())


def test_neighbouring_weights_are_multiplied_as_one():
    whole = torch.randn(10, 4)
    x = torch.randn(3, 4)
    parts = whole.split([5, 2, 3])
    joined = linear(*parts)
    assert joined.weight.data_ptr() == whole.data_ptr() and joined.weight.shape == (10, 4)
    torch.testing.assert_close(joined(x), x @ whole.T)
    for others in ((parts[0], parts[2]), (parts[1], parts[0]), tuple(p.clone() for p in parts),
                   tuple(torch.randn(10, 4, requires_grad=True).split([5, 2, 3])), (whole[:4].T, whole[4:])):
        torch.testing.assert_close(linear(*others)(x), x @ torch.cat(others).T)


def test_bfloat16_runs_close_to_float32(model):
    weights = {name: w.bfloat16() for name, w in model.weights.items()}
    half = Llama(CONFIG, weights)
    ids = tokens(1, 8)
    out = half(ids, half.new_cache(1, 8))
    assert out.dtype == torch.bfloat16
    assert functional.cosine_similarity(out.float(), model(ids), dim=-1).min() > 0.99


@pytest.mark.parametrize(("call", "message"), [
    (lambda m: m(torch.zeros(4, dtype=torch.int64)), r"expected \(batch, tokens\)"),
    (lambda m: m(torch.zeros(1, 4)), "dtype torch.float32"),
    (lambda m: m(torch.zeros(1, 0, dtype=torch.int64)), "no token to continue from"),
    (lambda m: m(torch.tensor([[0, 50]])), "token id 50 is outside the vocabulary, 0 … 49"),
    (lambda m: m(torch.tensor([[-1, 3]])), "token id -1 is outside"),
    (lambda m: m(tokens(1, 65)), "65 tokens, but the context holds 64"),
    (lambda m: m(tokens(2, 3), m.new_cache(1, 8)), "make it with new_cache"),
    (lambda m: m(tokens(1, 3), KVCache(2, 1, 2, 8, 8)), "this model and batch need"),
    (lambda m: m(tokens(1, 3), KVCache(3, 1, 2, 8, 8, torch.bfloat16)), "torch.bfloat16; this model"),
    (lambda m: m(tokens(1, 3), m.new_cache(1, 2)), "larger capacity"),
    (lambda m: m(tokens(1, 3), positions=torch.arange(4)), "positions has shape"),
    (lambda m: m(tokens(1, 3), head_mask=torch.ones(3, 2)), "head_mask has shape"),
    (lambda m: Llama(CONFIG, {}), "'model.embed_tokens.weight' is missing"),
    (lambda m: Llama(dataclasses.replace(CONFIG, hidden_size=12), m.weights), "the config says"),
    (lambda m: dataclasses.replace(CONFIG, num_key_value_heads=4), "cannot share 4"),
    (lambda m: dataclasses.replace(CONFIG, head_dim=7), "head_dim is 7"),
    (lambda m: dataclasses.replace(CONFIG, hidden_size=7, head_dim=0), "give head_dim"),
])
def test_bad_input(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_an_interrupted_pass_leaves_the_cache_usable(model):
    ids = tokens(1, 6)
    cache = model.new_cache(1, 8)
    model(ids[:, :3], cache)

    def stop(layer, _):
        if layer == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model(ids[:, 3:], cache, on_attention=stop)
    assert cache.length == 3
    torch.testing.assert_close(model(ids[:, 3:], cache), model(ids)[:, 3:], atol=2e-5, rtol=1e-5)
