"""3.5 measured: time of a token with and without the cache, its bytes, and SmolLM2 on all of the learner's kernels."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from aieng.data.heldout import load_heldout
from aieng.figures.language import bars, curves
from aieng.lesson.environment import quick
from aieng.lesson.experiments.attention import unscaled
from aieng.lesson.experiments.beside import beside, table
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.smollm2 import SmolLM2, smollm2

# Published configurations: layers, query heads, key-value heads, head_dim.
MODELS = {
    "SmolLM2-135M": (30, 9, 3, 64), "Llama 2 7B": (32, 32, 32, 128), "Llama 3 8B": (32, 32, 8, 128), "Mistral 7B": (32, 32, 8, 128),
    "Llama 2 70B": (80, 64, 8, 128),
}


def words(most: int) -> int:
    """How many tokens a shown answer may have; few at the quick pace."""
    return min(most, 8) if quick() else most


@experiment
def time_per_token(cache_class: Any, lm: SmolLM2, *, lengths: tuple[int, ...] = (32, 128, 512, 1024)) -> Finding:
    """Seconds for one more token after `length` others, which are cached or not.

    The numbers: `lengths`, `with_cache`, `without` (seconds), `shortest`, `longest`, and at the longest `cached`, `uncached`, `speedup`,
    `cached_growth` (of the cached time, from the shortest length), `read_short`, `read_long` (bytes of the cache that one token reads),
    `weights` (bytes).
    """
    if quick():
        lengths = (16, 64)
    model = lm.with_kernels(cache=cache_class).model
    ids = torch.tensor([lm.tokenizer.encode(load_heldout()[:12_000])[: lengths[-1] + 1]])
    cached, uncached, read = [], [], []
    with torch.inference_mode():
        cache = model.new_cache(1, lengths[-1] + 1)
        model(ids[:, : lengths[-1]], cache, logits_to_keep=1)
        for length in reversed(lengths):
            def step(length: int = length) -> None:
                cache.truncate(length)
                model(ids[:, length : length + 1], cache, logits_to_keep=1)

            cached.append(_fastest(step, 5))
            uncached.append(_fastest(partial(model, ids[:, : length + 1], logits_to_keep=1), 2 if length <= 128 else 1))
            read.append(cache.nbytes // cache.capacity * (length + 1))
    cached, uncached, read = cached[::-1], uncached[::-1], read[::-1]
    weights = sum(w.nbytes for w in lm.model.weights.values())
    data = {"lengths": lengths, "with_cache": cached, "without": uncached, "shortest": lengths[0], "longest": lengths[-1],
            "cached": cached[-1], "uncached": uncached[-1], "speedup": uncached[-1] / cached[-1], "cached_growth": cached[-1] / cached[0],
            "read_short": read[0], "read_long": read[-1], "weights": weights}
    return Finding(
        f"With {whose(cache_class)} cache, one more token after {lengths[-1]:,} others takes {1e3 * cached[-1]:.0f} ms, without it "
        f"{1e3 * uncached[-1]:.0f} ms, {data['speedup']:.0f} times as long. From {lengths[0]} to {lengths[-1]:,} tokens, "
        f"{lengths[-1] / lengths[0]:.0f} times as many, the uncached time grows {uncached[-1] / uncached[0]:.1f}-fold and the cached one "
        f"{data['cached_growth']:.2f}-fold: at any length it reads {weights / 1e6:.0f} MB of weights, and of keys and values "
        f"{read[0] / 1e6:.1f} to {read[-1] / 1e6:.0f} MB.",
        curves("Time for one more token", "tokens before it", "seconds", list(lengths), {"with the cache": cached, "without": uncached},
               log_x=True, log_y=True, subtitle="SmolLM2, float32, one sequence"), data)


def _fastest(call: Callable[[], Any], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


@experiment
def bytes_by_formula(cache_class: Any, lm: SmolLM2, *, sizes: tuple[tuple[int, int], ...] = ((1, 100), (1, 1000), (8, 1000))) -> Finding:
    """nbytes of real caches beside the formula; then the formula for published models, with and without grouped-query attention.

    The numbers: `measured`, `formula` (one per (batch, tokens) of `sizes`), `per_token`, `full` (bytes at the full context), `weights`
    (bytes), `gqa` (query heads per key-value head).
    """
    c = lm.config
    per_token = cache_bytes(c.num_hidden_layers, c.num_key_value_heads, c.head_dim, 4)
    measured = [cache_class(c.num_hidden_layers, batch, c.num_key_value_heads, c.head_dim, tokens, torch.float32).nbytes
                for batch, tokens in sizes]
    formula = [per_token * batch * tokens for batch, tokens in sizes]
    rows = "\n".join(f"| {batch} | {tokens:,} | {f:,} | {m:,} | {'yes' if f == m else 'NO'} |"
                     for (batch, tokens), f, m in zip(sizes, formula, measured))
    shared = [1e-6 * 1000 * cache_bytes(layers, kv, dim, 2) for layers, _, kv, dim in MODELS.values()]
    own = [1e-6 * 1000 * cache_bytes(layers, heads, dim, 2) for layers, heads, _, dim in MODELS.values()]
    weights = sum(w.nbytes for w in lm.model.weights.values())
    gqa = c.num_attention_heads / c.num_key_value_heads
    return Finding(
        f"| batch | tokens | formula, bytes | nbytes of {whose(cache_class)} cache | equal |\n|---|---|---|---|---|\n{rows}\n\nOne token "
        f"of SmolLM2 in float32 is {per_token:,} bytes; its full context of {c.max_position_embeddings:,} tokens "
        f"{per_token * c.max_position_embeddings / 1e6:.0f} MB, beside {weights / 1e6:.0f} MB of weights. Its {c.num_attention_heads} "
        f"query heads share {c.num_key_value_heads} key-value heads, which makes the cache {gqa:.0f} times smaller.",
        bars("What 1,000 cached tokens weigh", "MB (10⁶ bytes, 16-bit numbers, one sequence)", list(MODELS),
             {"as published": shared, "one key-value head per query head": own}, form=",.0f", subtitle="from published configurations"),
        {"measured": measured, "formula": formula, "per_token": per_token, "full": per_token * c.max_position_embeddings,
         "weights": weights, "gqa": gqa})


def cache_bytes(layers: int, key_value_heads: int, head_dim: int, bytes_per_number: int) -> int:
    """Bytes of keys and values of one token."""
    return 2 * layers * key_value_heads * head_dim * bytes_per_number


def unmoved(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """RoPE that does nothing."""
    return x


@experiment
def side_by_side(
    prompt: str = "The three primary colours are red, blue and", *, rope: Any, attention: Any, norm: Any, feed_forward: Any, cache: Any,
    new_tokens: int = 12,
) -> Finding:
    """SmolLM2 on all given kernels, and with one of them spoiled at a time.

    The numbers: `yours` (largest difference of logits to the course's engine), `same` (whether the text is the same), `wrong`
    {what: difference}, `least_wrong`, `texts`.
    """
    if quick():
        new_tokens = 3
    kernels = {"rope": rope, "attention": attention, "norm": norm, "feed_forward": feed_forward, "cache": cache}

    def ungated(x: Tensor, gate: Any, up: Any, down: Any) -> Any:
        return down(torch.relu(gate(x)) * up(x))

    def uncentred(x: Tensor, weight: Tensor, eps: float) -> Any:
        return norm(x - x.mean(-1, keepdim=True), weight, eps)

    spoiled: dict[str, dict[str, Any]] = {
        "the other RoPE layout": {"rope": partial(rope, layout="interleaved")}, "no RoPE at all": {"rope": unmoved},
        "attention without 1/√d": {"attention": unscaled}, "a norm that takes the mean away": {"norm": uncentred},
        "ReLU in place of silu": {"feed_forward": ungated}}
    given = f"{whose(*kernels.values())} kernels"
    variants = {given: kernels, **{name: {**kernels, **change} for name, change in spoiled.items()}}
    found = beside(smollm2(progress=False), variants, prompt, new_tokens)
    by_name = {v.name: v for v in found}
    mine, wrong = by_name[given], {name: by_name[name].difference for name in spoiled}
    same = mine.text == found[0].text
    return Finding(
        f"{table(prompt, found)}\n\n{given.capitalize()} differ from the engine by {mine.difference:.2g} at "
        f"most{' and write the same text' if same else ', yet the text is another one'}; the mildest of the five mistakes moves a logit "
        f"by {min(wrong.values()):.2g}. A mistake need not end in nonsense: some of these models still write words, only worse ones.",
        None, {"yours": mine.difference, "same": same, "wrong": wrong, "least_wrong": min(wrong.values()),
               "texts": {v.name: v.text for v in found}})
