"""3.5 The key-value cache: visible properties and hints."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, expect_tuple, normal
from aieng.lesson.exercises.watching import one_thread
from aieng.transformer.llama import Kernels, Llama, LlamaConfig, init_weights

hints(
    "3.5",
    "Set aside the memory for all tokens at once, and remember how many places are taken. A new token's keys go to the next free place; "
    "what attention needs is everything up to there. When may `length` grow, if every layer of a step has to write to the same places?",
    "Two tensors (num_layers, batch, num_key_value_heads, capacity, head_dim). append writes `[layer, :, :, length : length + tokens]` "
    "and gives back `[layer, :, :, : length + tokens]`, a view; length grows with the last layer only. generate feeds the whole prompt "
    "once, and then the token just chosen.",
    "append: refuse a wrong layer, shape, dtype, too many tokens; stop = length + tokens; write; if last layer: length = stop; return the "
    "views.\n"
    "truncate: refuse beyond 0 … length; set length.\n"
    "generate: refuse an empty prompt; cache = model.new_cache(1, enough); fed = the prompt; repeat: logits = model(tensor([fed]), cache); "
    "token = argmax of the last position; stop token: end; keep it; fed = [token].",
)

SIZES = {"num_layers": 2, "batch": 3, "num_key_value_heads": 2, "head_dim": 4, "capacity": 20}
CONFIG = LlamaConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=29,
                     rope_theta=100.0, max_position_embeddings=64)


def pair(tokens: int, seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Keys and values of some tokens."""
    return normal(seed, 3, 2, tokens, 4).to(dtype), normal(seed + 1, 3, 2, tokens, 4).to(dtype)


class Watched:
    """A tiny Llama that writes down how many tokens each call was given."""

    def __init__(self, cache: Any, seed: int = 1) -> None:
        self.model = Llama(CONFIG, init_weights(CONFIG, seed, std=0.5, requires_grad=False), Kernels(cache=cache))
        self.config = CONFIG
        self.calls: list[int] = []
        self.cached: list[bool] = []

    def new_cache(self, batch: int = 1, capacity: int | None = None) -> Any:
        return self.model.new_cache(batch, capacity)

    def __call__(self, ids: Tensor, cache: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        self.calls.append(ids.shape[1])
        self.cached.append(cache is not None)
        return self.model(ids, cache, *args, **kwargs)


def alone(model: Llama, ids: list[int], new: int) -> list[int]:
    """Greedy tokens by whole passes, without a cache."""
    row = list(ids)
    with torch.inference_mode():
        for _ in range(new):
            row.append(int(model(torch.tensor([row]))[0, -1].argmax()))
    return row[len(ids):]


def appended(cache: Any, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = expect_tuple(cache.append(layer, k, v), "keys, values")
    return keys, values


@prop("3.5", "what goes in comes out")
@one_thread
def stored(cache_class: Any, generate: Any) -> None:
    cache = cache_class(**SIZES)
    expect(cache.length == 0, f"A new cache is empty: length 0, yours {cache.length}.")
    parts = [[pair(n, 10 * n + layer) for layer in range(2)] for n in (5, 1, 1, 3)]
    for step, part in enumerate(parts):
        for layer, (k, v) in enumerate(part):
            with untouched(k=k, v=v):
                keys, values = appended(cache, layer, k, v)
            want_k, want_v = (torch.cat([p[layer][i] for p in parts[: step + 1]], dim=2) for i in range(2))
            expect_tensor(keys, "keys", tuple(want_k.shape), torch.float32,
                          "All tokens so far, the new ones included: (batch, heads, tokens, head_dim).")
            expect_tensor(values, "values", tuple(want_v.shape), torch.float32)
            expect(not torch.equal(keys, want_v), "Keys and values have changed places.")
            other = torch.cat([p[1 - layer][0] for p in parts[: step + 1]], dim=2)
            expect(not torch.equal(keys, other), "The layers share one store: each layer has keys of its own.")
            expect_close(keys, want_k, f"Step {step}, layer {layer}: the keys are not those appended so far, in order.")
            expect_close(values, want_v, f"Step {step}, layer {layer}: the values are not those appended so far, in order.")
        total = sum(p[0][0].shape[2] for p in parts[: step + 1])
        expect(cache.length == total, f"After {total} tokens in both layers the length is {cache.length}: count tokens once, not once per "
                                      "layer.")


@prop("3.5", "the length grows with the last layer")
@one_thread
def last_layer(cache_class: Any, generate: Any) -> None:
    cache = cache_class(**SIZES)
    for layer in range(2):
        appended(cache, layer, *pair(4, layer))
    appended(cache, 0, *pair(2, 5))
    expect(cache.length == 4, f"Layer 0 of 2 took up two more tokens, and the length is {cache.length} already: it grows when the *last* "
                              "layer of the step is appended, so that an interrupted step leaves no half token.")
    k, v = pair(1, 7)
    keys, _ = appended(cache, 0, k, v)
    expect_tensor(keys, "keys", (3, 2, 5, 4), None, "The interrupted step is overwritten.")
    expect_close(keys[:, :, 4:], k, "After an interrupted step the next one begins at the same place.")


@prop("3.5", "memory set aside once, views handed out")
@one_thread
def views(cache_class: Any, generate: Any) -> None:
    cache = cache_class(**SIZES)
    first, second = (appended(cache, 0, *pair(n, n)) for n in (4, 1))
    for a, b, name in zip(first, second, ("keys", "values")):
        expect(a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr(),
               f"Two appends gave {name} in two places: everything so far was copied (torch.cat does that). Write the new tokens into "
               "memory that is set aside at the beginning, and give back a view.")
    expect(cache.capacity == 20, f"capacity should be 20, yours is {cache.capacity}.")
    for dtype, size in ((torch.float32, 4), (torch.bfloat16, 2)):
        got, want = cache_class(**SIZES, dtype=dtype).nbytes, 2 * 2 * 3 * 2 * 20 * 4 * size
        expect(got != want // 2, f"nbytes is half of what it should be, {got}: keys *and* values.")
        expect(got == want, f"2 (keys, values) · 2 layers · 3 sequences · 2 heads · 20 places · 4 numbers · {size} bytes = {want} bytes; "
                            f"yours {got}.")


@prop("3.5", "each cache has memory of its own")
@one_thread
def own_memory(cache_class: Any, generate: Any) -> None:
    (k, v), one, two = pair(2, 1), cache_class(**SIZES), cache_class(**SIZES)
    kept = appended(one, 0, k, v)[0]
    appended(two, 0, 2 * k, v)
    expect_close(kept, k, "Filling a second cache changed the first: the memory belongs into `self`, made in __init__.")


@prop("3.5", "truncate forgets the end")
@one_thread
def truncated(cache_class: Any, generate: Any) -> None:
    cache = cache_class(**SIZES)
    k, v = pair(6, 1)
    for layer in range(2):
        appended(cache, layer, k, v)
    cache.truncate(4)
    expect(cache.length == 4, f"After truncate(4) the length is 4, yours {cache.length}.")
    new, _ = pair(1, 5)
    keys, _ = appended(cache, 0, new, new)
    expect_close(keys, torch.cat((k[:, :, :4], new), 2), "After truncate(4), a new token follows the fourth.")
    expect_raises(ValueError, lambda: cache.truncate(5), "truncate(5) of 4 tokens should raise ValueError: what was forgotten does not "
                                                         "come back.")
    expect_raises(ValueError, lambda: cache.truncate(-1), "truncate(-1) should raise ValueError.")


@prop("3.5", "cached logits are the uncached ones, for any prefill and batch")
@one_thread
def same_logits(cache_class: Any, generate: Any) -> None:
    model = Watched(cache_class).model
    for batch, prefill in ((1, 1), (3, 4), (2, 9)):
        ids = torch.randint(29, (batch, 10), generator=torch.Generator().manual_seed(prefill))
        with torch.inference_mode():
            want = model(ids)
            cache = model.new_cache(batch, 10)
            parts = [model(ids[:, :prefill], cache), *(model(ids[:, i : i + 1], cache) for i in range(prefill, 10))]
        expect_close(torch.cat(parts, 1), want, f"A prefill of {prefill} tokens (batch {batch}), then token by token: the logits are not "
                                                "those of one pass without a cache.", 1e-3, 1e-4)


@prop("3.5", "generate: the prompt once, then one token a step")
@one_thread
def feeding(cache_class: Any, generate: Any) -> None:
    model = Watched(cache_class)
    prompt = [3, 1, 4, 1, 5, 9]
    want = alone(model.model, prompt, 8)
    with untouched(prompt=prompt):
        got = generate(model, prompt, 8)
    expect(isinstance(got, list), f"generate returns a list of token ids; yours is a {type(got).__name__}.")
    expect(got != [*prompt, *want], "You returned the prompt, too; return the new tokens only.")
    expect(len(got) == 8, f"max_new_tokens = 8 without a stop token gives 8 tokens; yours {len(got)}.")
    expect([int(t) for t in got] == want, f"Greedy decoding gives {want}, yours {[int(t) for t in got]}. Is it the *last* position's "
                                          "largest logit, and is each token fed once?")
    expect(all(model.cached), "The model was called without a cache: make one with model.new_cache and pass it on.")
    expect(model.calls[0] == 6, f"The first call should be given the whole prompt (6 tokens) at once; yours was given {model.calls[0]}.")
    expect(all(n == 1 for n in model.calls[1:]), f"After the prompt, each call is given one token; yours were given {model.calls[1:]}. The "
                                                 "cache has the others.")


@prop("3.5", "stop tokens, and nothing to do")
@one_thread
def stopping(cache_class: Any, generate: Any) -> None:
    model = Watched(cache_class)
    prompt = [7, 8]
    made = alone(model.model, prompt, 8)
    stop = next(t for t in made if t != made[0])
    want = made[: made.index(stop)]
    expect(generate(model, prompt, 8, stop_ids=(stop,)) == want, "At a stop token the text ends, and the stop token is not part of it.")
    expect(generate(model, prompt, 0) == [], "max_new_tokens = 0 gives an empty list.")
    expect_raises(ValueError, lambda: generate(model, [], 3), "An empty prompt should raise ValueError.")


@prop("3.5", "errors that say so")
@one_thread
def errors(cache_class: Any, generate: Any) -> None:
    cache = cache_class(**SIZES)
    for layer in range(2):
        appended(cache, layer, *pair(18, layer))
    expect_raises(ValueError, lambda: cache.append(0, *pair(3, 9)), "18 of 20 places taken: 3 more tokens should raise ValueError.")
    appended(cache, 0, *pair(2, 9))
    cache = cache_class(**SIZES)
    for layer in (2, -1):
        expect_raises(ValueError, partial(cache.append, layer, *pair(1, 1)), f"Layer {layer} of 2 should raise ValueError.")
    k, v = pair(2, 1)
    expect_raises(ValueError, lambda: cache.append(0, k[:1], v[:1]), "Keys for 1 sequence in a cache for 3 should raise ValueError: torch "
                                                                     "would stretch them silently.")
    expect_raises(ValueError, lambda: cache.append(0, k, v[:, :, :1]), "2 keys and 1 value should raise ValueError.")
    expect_raises(ValueError, lambda: cache.append(0, k.double(), v.double()), "float64 keys in a float32 cache should raise ValueError.")
