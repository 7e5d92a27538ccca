"""Generation on a small random Llama: against transformers, with and without cache, interrupted, and with bad input."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from aieng.generation.decoding import generate, greedy
from aieng.transformer.llama import Kernels, Llama, LlamaConfig, init_weights

CONFIG = LlamaConfig(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=50,
                     max_position_embeddings=40)
PROMPT = [3, 1, 4, 1, 5]


@pytest.fixture(scope="module")
def model():
    return Llama(CONFIG, init_weights(CONFIG, seed=1, std=0.5, requires_grad=False))


def by_hand(model, ids, n):
    ids = list(ids)
    for _ in range(n):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[-n:]


def test_greedy_equals_transformers(model):
    transformers = pytest.importorskip("transformers")
    sizes = {k: v for k, v in dataclasses.asdict(CONFIG).items() if k != "rope_theta"}
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        **sizes, rope_parameters={"rope_type": "default", "rope_theta": CONFIG.rope_theta}, eos_token_id=None, bos_token_id=None))
    theirs.load_state_dict(dict(model.weights), strict=False)
    expected = theirs.generate(torch.tensor([PROMPT]), max_new_tokens=20, do_sample=False)[0, 5:].tolist()
    assert generate(model, PROMPT, 20) == expected == generate(model, PROMPT, 20, use_cache=False)
    assert len(set(expected)) > 3


def test_streams_in_order_and_stops_before_the_stop_token(model):
    whole = by_hand(model, PROMPT, 12)
    streamed = []
    assert generate(model, PROMPT, 12, on_token=streamed.append) == whole == streamed
    stop = whole[6]
    first = whole.index(stop)
    streamed.clear()
    assert generate(model, PROMPT, 12, stop_ids={stop}, on_token=streamed.append) == whole[:first] == streamed


def test_any_sampler(model):
    seen = []

    def least(logits):
        seen.append(logits)
        return logits.argmin()  # a tensor is welcome too

    made = generate(model, PROMPT, 3, sampler=least)
    assert all(isinstance(i, int) for i in made) and all(x.shape == (50,) for x in seen)
    assert made[0] == int(model(torch.tensor([PROMPT]))[0, -1].argmin())
    assert greedy(torch.tensor([0.0, 2.0, 2.0])) == 1


def test_a_given_cache_is_continued(model):
    cache = model.new_cache(1, 30)
    first = generate(model, PROMPT, 6, cache=cache)
    assert cache.length == len(PROMPT) + 5  # all but the last new token
    second = generate(model, first[-1:], 4, cache=cache)
    assert first + second == generate(model, PROMPT, 10)


@pytest.mark.parametrize("at", [0, 2])
def test_an_interrupt_in_the_callback_leaves_model_and_cache_usable(model, at):
    whole, got, cache = by_hand(model, PROMPT, 10), [], model.new_cache(1, 30)

    def stop(token):
        got.append(token)
        if len(got) == at + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(model, PROMPT, 10, cache=cache, on_token=stop)
    assert got == whole[: at + 1] and cache.length == len(PROMPT) + at
    assert got + generate(model, got[-1:], 9 - at, cache=cache) == whole
    assert generate(model, PROMPT, 10) == whole


def test_an_interrupt_within_a_pass_undoes_it_also_in_a_cache_that_grows_layer_by_layer(model):
    class Lists:  # what a learner may write: every layer has its own length
        def __init__(self, num_layers, *_):
            self.layers = [(torch.zeros(1, 2, 0, 6), torch.zeros(1, 2, 0, 6)) for _ in range(num_layers)]

        @property
        def length(self):
            return self.layers[0][0].shape[2]

        def append(self, layer, k, v):
            old = self.layers[layer]
            self.layers[layer] = torch.cat([old[0], k], 2), torch.cat([old[1], v], 2)
            return self.layers[layer]

        def truncate(self, length):
            self.layers = [(k[:, :, :length], v[:, :, :length]) for k, v in self.layers]

    armed = []

    def attention(q, k, v, mask):
        if armed and k.shape[2] == 8 and len(armed) == 2:
            armed.clear()
            raise KeyboardInterrupt
        armed.append(0) if armed and k.shape[2] == 8 else None
        return Kernels().attention(q, k, v, mask)

    ours = Llama(CONFIG, model.weights, Kernels(cache=Lists, attention=attention))
    cache, got = ours.new_cache(), []
    armed.append(0)  # the second layer of the pass that makes eight tokens
    with pytest.raises(KeyboardInterrupt):
        generate(ours, PROMPT, 10, cache=cache, on_token=got.append)
    assert cache.length == 7 and all(k.shape[2] == 7 for k, _ in cache.layers)
    assert got + generate(ours, got[-1:], 7, cache=cache) == by_hand(model, PROMPT, 10)


def test_ends_where_the_context_does(model):
    made = generate(model, PROMPT, 1000)
    assert len(made) == 36  # 35 more fit into the context; the last needs no place
    assert generate(model, list(range(40)), 5, use_cache=False) == generate(model, list(range(40)), 5) == by_hand(model, range(40), 1)
    assert generate(model, PROMPT, 0) == []


@pytest.mark.parametrize(("call", "message"), [
    (lambda m: generate(m, [], 5), "the prompt is empty"),
    (lambda m: generate(m, [1] * 41, 5), "the prompt has 41 tokens, the context holds 40"),
    (lambda m: generate(m, [1, 50], 5), "token id 50 is outside"),
    (lambda m: generate(m, [1], -1), "max_new_tokens is -1"),
    (lambda m: generate(m, [1], 5, cache=m.new_cache(1, 4)), "room for 4 tokens; 0 there, 1 of the prompt and 4 new"),
    (lambda m: generate(m, [1], 5, cache=m.new_cache(2, 9)), "make it with new_cache"),
    (lambda m: generate(m, [1], 5, cache=m.new_cache(1, 9), use_cache=False), "use_cache is False"),
])
def test_bad_input(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_training_goes_on_after_a_generation():
    weights = init_weights(CONFIG, seed=2)
    model = Llama(CONFIG, weights)
    generate(model, PROMPT, 4)
    model(torch.tensor([PROMPT])).sum().backward()
    assert weights["model.embed_tokens.weight"].grad is not None
