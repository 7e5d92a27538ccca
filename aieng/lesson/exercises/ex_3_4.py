"""3.4 The Transformer: visible properties and hints."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from aieng.lesson.checking import CheckFailed, expect, expect_close, prop, untouched
from aieng.lesson.checking import hints as register_hints
from aieng.lesson.exercises._tensors import expect_tensor, normal
from aieng.lesson.exercises.watching import one_thread
from aieng.transformer.attention import Linear
from aieng.transformer.llama import LlamaConfig, init_weights

register_hints(
    "3.4",
    "Everything is a sum: x + what a sublayer says. The three blocks differ in what the sublayers are (self-attention, attention to the "
    "memory, feed-forward) and in *where* the norm stands: after the sum (encoder, encoder–decoder) or on the sublayer's input "
    "(decoder-only).",
    "Both norms reduce over the last axis with keepdim. The variance divides by n, not n − 1, and eps goes under the root. llama_logits: "
    "embedding rows; then for each layer a DecoderOnlyBlock whose attention projects, splits, turns q and k, attends and merges; then the "
    "last norm; then the output layer, which is the embedding itself when tie_word_embeddings is set.",
    "EncoderBlock: x = attention_norm(x + attention(x, mask)); output_norm(x + down(gelu(up(x)))).\n"
    "CrossAttentionBlock: three times norm(x + sublayer(x)); cross_attention(x, memory_mask, memory); ReLU in between up and down.\n"
    "DecoderOnlyBlock: x = x + attention(attention_norm(x), **arguments); x + feed_forward(feed_forward_norm(x)).\n"
    "llama_logits: x = embedding[ids]; for i in range(num_hidden_layers): build the block from weights whose names begin with "
    "f\"model.layers.{i}.\" and call it; final norm; x @ output.mT.",
)

NAMES = ("layer_norm", "rms_norm", "gelu", "swiglu", "EncoderBlock", "CrossAttentionBlock", "DecoderOnlyBlock", "llama_logits")


@dataclass(frozen=True)
class Answer:
    """The learner's parts by name."""

    layer_norm: Any
    rms_norm: Any
    gelu: Any
    swiglu: Any
    EncoderBlock: Any
    CrossAttentionBlock: Any
    DecoderOnlyBlock: Any
    llama_logits: Any


def part(name: str) -> Callable[[Callable[[Answer], None]], Callable[..., None]]:
    """A property of all parts; torch on one thread."""

    def register(test: Callable[[Answer], None]) -> Callable[..., None]:
        return prop("3.4", name)(one_thread(lambda *parts: test(Answer(*parts))))

    return register


@part("layer_norm: mean 0, variance 1")
def layer_norms(a: Answer) -> None:
    x = torch.tensor([[1.0, 3.0, 5.0, 7.0]])
    got = expect_tensor(a.layer_norm(x, torch.ones(4), torch.zeros(4)), "layer_norm(x, weight, bias)", (1, 4), torch.float32)
    expect(not torch.allclose(got, (x - 4) / x.std(), atol=1e-3), "(1, 3, 5, 7) has the mean 4 and the variance 5; you divided by n − 1 "
                                                                  "and got 6.67: correction=0.")
    expect(not torch.allclose(got, (x - 4) / 5, atol=1e-3), "You divided by the variance; divide by its root.")
    expect_close(got, (x - 4) / math.sqrt(5), "(1, 3, 5, 7) minus 4, divided by √5.", 1e-4)
    x, weight, bias = 3 * normal(1, 2, 5, 8) + 2, normal(2, 8), normal(3, 8)
    with untouched(x=x, weight=weight, bias=bias):
        got = expect_tensor(a.layer_norm(x, weight, bias), "layer_norm of (2, 5, 8)", (2, 5, 8))
    expect_close(got, functional.layer_norm(x, (8,), weight, bias), "Every token is normalised over its own features (last axis), then "
                                                                    "times weight, plus bias.", 1e-4, 1e-5)
    small = 0.01 * normal(4, 3, 6)
    expect_close(a.layer_norm(small, torch.ones(6), torch.zeros(6), 0.01), functional.layer_norm(small, (6,), eps=0.01),
                 "With small numbers eps shows: it is added to the variance, under the root.", 1e-3, 1e-5)


@part("rms_norm: the root of the mean square")
def rms_norms(a: Answer) -> None:
    x = torch.tensor([[1.0, 7.0]])
    got = expect_tensor(a.rms_norm(x, torch.ones(2)), "rms_norm(x, weight)", (1, 2), torch.float32)
    expect(not torch.allclose(got, torch.tensor([[-1.0, 1.0]]), atol=1e-3), "You took the mean away: rms_norm does not.")
    expect(not torch.allclose(got, x / math.sqrt(50), atol=1e-3), "You divided by the vector's length, √50; the *mean* of the squares is "
                                                                  "25, its root 5.")
    expect_close(got, x / 5, "(1, 7): the mean of the squares is 25, so divide by 5.", 1e-4)
    x, weight = 0.05 * normal(5, 2, 3, 6), normal(6, 6)
    with untouched(x=x, weight=weight):
        got = a.rms_norm(x, weight, 0.01)
    expect_close(got, functional.rms_norm(x, (6,), weight, 0.01), "rms_norm is x / √(mean of squares + eps) · weight, over the last "
                                                                  "axis.", 1e-3, 1e-5)
    half = 300 * torch.ones(1, 4, dtype=torch.float16)
    got = expect_tensor(a.rms_norm(half, torch.ones(4, dtype=torch.float16)), "rms_norm of float16", (1, 4), torch.float16,
                        "The result has x's dtype.")
    expect_close(got, torch.ones(1, 4), "float16 values of 300: their squares are beyond float16's largest number, 65,504. Square in "
                                        "float32.", 1e-2)


@part("gelu and swiglu")
def activations(a: Answer) -> None:
    x = torch.linspace(-4, 4, 33)
    got = expect_tensor(a.gelu(x), "gelu(x)", (33,), torch.float32)
    expect(float((got - functional.gelu(x, approximate="tanh")).abs().max()) > 1e-5,
           "That is the tanh approximation of GPT-2; BERT's gelu is exact: x · Φ(x), with torch.erf.")
    expect(not torch.allclose(got, functional.silu(x), atol=1e-3), "That is silu, x · sigmoid(x); gelu takes the normal distribution "
                                                                   "function.")
    expect_close(got, functional.gelu(x), "gelu(x) = x · Φ(x) = x · (1 + erf(x / √2)) / 2.", 1e-4)
    gate, up, down = (Linear(normal(7 + i, *shape)) for i, shape in enumerate(((5, 4), (5, 4), (4, 5))))
    h = normal(10, 2, 3, 4)
    got = expect_tensor(a.swiglu(h, gate, up, down), "swiglu(x, gate, up, down)", (2, 3, 4))
    g, u = h @ gate.weight.mT, h @ up.weight.mT
    mistakes = ((g * functional.silu(u), "silu goes over gate(x), not over up(x)."),
                (torch.sigmoid(g) * u, "silu is x · sigmoid(x); you used sigmoid alone."),
                (functional.gelu(g) * u, "You used gelu (that is GeGLU); SwiGLU takes silu."),
                (functional.silu(g) + u, "Gate and up are multiplied, not added."))
    for value, mistake in mistakes:
        expect(not torch.allclose(got, value @ down.weight.mT, atol=1e-4), mistake)
    expect_close(got, (functional.silu(g) * u) @ down.weight.mT, "swiglu is down(silu(gate(x)) · up(x)).", 1e-4, 1e-5)


def toy_norm(n: float) -> Callable[[Tensor], Tensor]:
    """Stands in for a norm; affine, so that it shows where it stood."""
    return lambda x: n * x + 1


def seen(got: Tensor, want: Tensor, mistakes: dict[str, Tensor], right: str) -> None:
    """Expect `want`; name the mistake that gave the same numbers."""
    for message, value in mistakes.items():
        expect(not torch.allclose(got, value, atol=1e-5), message)
    expect_close(got, want, right, 1e-4, 1e-5)


@part("encoder block: add, then normalise")
def encoder_block(a: Answer) -> None:
    x, asked = normal(11, 2, 3, 4), []

    def attention(h: Tensor, mask: Any) -> Tensor:
        asked.append(mask)
        return torch.sin(h)

    up, down, n1, n2 = Linear(normal(12, 6, 4)), Linear(normal(13, 4, 6)), toy_norm(0.5), toy_norm(0.25)
    block = a.EncoderBlock(attention=attention, attention_norm=n1, up=up, down=down, output_norm=n2)
    with untouched(x=x):
        got = expect_tensor(block(x, mask="the mask"), "EncoderBlock(…)(x, mask)", (2, 3, 4))
    expect(asked == ["the mask"], "attention should be called once, as attention(x, mask), with the mask that the block was given.")

    def feed(h: Tensor) -> Tensor:
        return down(functional.gelu(up(h)))

    h = n1(x + torch.sin(x))
    pre = x + torch.sin(n1(x))
    seen(got, n2(h + feed(h)), {
        "That is pre-norm: here the norm comes after the sum, norm(x + sublayer(x)).": pre + feed(n2(pre)),
        "The first residual is missing: attention's output is *added* to x.": n2(n1(torch.sin(x)) + feed(n1(torch.sin(x)))),
        "The second residual is missing: the feed-forward network's output is added to its input.": n2(feed(h)),
        "The feed-forward network was added to the block's input; add it to the output of the first norm.": n2(x + feed(h)),
        "The activation between up and down is gelu, here it is missing.": n2(h + down(up(h))),
        "The activation is gelu here, not ReLU.": n2(h + down(torch.relu(up(h)))),
    }, "An encoder block is x = norm(x + attention(x)), then norm(x + down(gelu(up(x)))).")


@part("decoder block with cross-attention")
def cross_attention_block(a: Answer) -> None:
    x, memory, calls = normal(14, 2, 3, 4), normal(15, 2, 5, 4), []

    def own(h: Tensor, mask: Any = None, memory: Any = None) -> Tensor:
        calls.append(("self", mask, memory is None))
        return torch.sin(h)

    def across(h: Tensor, mask: Any = None, memory: Any = None) -> Tensor:
        if not isinstance(memory, Tensor):
            raise CheckFailed("cross_attention got no memory: its keys and values come from the encoder's output, cross_attention(x, "
                              "memory_mask, memory).")
        calls.append(("cross", mask, memory.shape[1] == 5))
        return torch.cos(h) + memory.mean(1, keepdim=True)

    up, down = Linear(normal(16, 6, 4)), Linear(normal(17, 4, 6))
    n1, n2, n3 = toy_norm(0.5), toy_norm(0.25), toy_norm(2.0)
    block = a.CrossAttentionBlock(own, n1, across, n2, up, down, n3)
    got = expect_tensor(block(x, memory, "causal", "padding"), "CrossAttentionBlock(…)(x, memory, mask, memory_mask)", (2, 3, 4))
    expect([c[0] for c in calls] == ["self", "cross"], "Each attention is called once: to itself first, then to the memory.")
    expect(calls[0] == ("self", "causal", True), "Self-attention gets `mask` and no memory: it looks at the decoder's own tokens.")
    expect(calls[1][1] != "causal", "Cross-attention got the causal mask; the whole input may be looked at, it gets `memory_mask`.")
    expect(calls[1] == ("cross", "padding", True), "Cross-attention gets `memory_mask` and the memory.")
    h = n1(x + torch.sin(x))
    g = n2(h + torch.cos(h) + memory.mean(1, keepdim=True))
    seen(got, n3(g + down(torch.relu(up(g)))), {
        "The paper's activation here is ReLU, not gelu.": n3(g + down(functional.gelu(up(g)))),
        "The last norm is missing.": g + down(torch.relu(up(g))),
        "The residual around the feed-forward network is missing.": n3(down(torch.relu(up(g)))),
    }, "Three sublayers, each as norm(x + sublayer(x)): self-attention, cross-attention, feed-forward with ReLU.")


@part("decoder-only block: normalise, then add")
def decoder_only_block(a: Answer) -> None:
    x, n1, n2 = normal(18, 2, 3, 4), toy_norm(0.5), toy_norm(0.25)
    given: dict[str, Any] = {}

    def attention(h: Tensor, **arguments: Any) -> Tensor:
        given.update(arguments)
        return torch.sin(h)

    with untouched(x=x):
        got = expect_tensor(a.DecoderOnlyBlock(n1, attention, n2, torch.cos)(x, mask=1, cache="c"), "DecoderOnlyBlock(…)(x)", (2, 3, 4))
    expect(given == {"mask": 1, "cache": "c"}, "Keyword arguments of the block go to attention, all of them: **attention_arguments.")
    h = x + torch.sin(n1(x))
    post = n1(x + torch.sin(x))
    seen(got, h + torch.cos(n2(h)), {
        "That is post-norm, as in the encoder; here the *input* of each sublayer is normalised and the sum stays as it "
        "is.": n2(post + torch.cos(post)),
        "The norm's output was added instead of x: the residual path goes around the norm, too.": n1(x) + torch.sin(n1(x)) + torch.cos(
            n2(n1(x) + torch.sin(n1(x)))),
        "The second sublayer is missing.": h,
        "The feed-forward network was added to the block's input; add it to what attention left.": x + torch.cos(n2(h)),
        "The feed-forward network got its input without the norm.": h + torch.cos(h),
    }, "A decoder-only block is x = x + attention(norm(x)), then x + feed_forward(norm(x)).")


CONFIG = LlamaConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=19,
                     head_dim=6, rope_theta=70.0, rms_norm_eps=1e-3, max_position_embeddings=32)


def reference(ids: Tensor, weights: dict[str, Tensor], config: LlamaConfig, *, causal: bool = True, theta: float | None = None,
              turned: str = "qk", final_norm: bool = True) -> Tensor:
    """A Llama on torch's own parts, complex numbers for RoPE; the keywords make typical mistakes."""
    batch, tokens = ids.shape
    x = weights["model.embed_tokens.weight"][ids]
    dim = config.head_dim
    angles = torch.outer(torch.arange(tokens), (theta or config.rope_theta) ** (-torch.arange(0, dim, 2) / dim))
    turn = torch.polar(torch.ones_like(angles), angles)

    def rope(t: Tensor) -> Tensor:
        z = torch.complex(*t.chunk(2, -1)) * turn
        return torch.cat((z.real, z.imag), -1)

    for i in range(config.num_hidden_layers):
        w = {name.removeprefix(f"model.layers.{i}.").removesuffix(".weight"): t for name, t in weights.items() if f"layers.{i}." in name}
        h = functional.rms_norm(x, (config.hidden_size,), w["input_layernorm"], config.rms_norm_eps)
        q, k, v = ((h @ w[f"self_attn.{n}_proj"].mT).view(batch, tokens, -1, dim).transpose(1, 2) for n in "qkv")
        q, k = rope(q) if "q" in turned else q, rope(k) if "k" in turned else k
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
        x = x + mixed.transpose(1, 2).flatten(2) @ w["self_attn.o_proj"].mT
        h = functional.rms_norm(x, (config.hidden_size,), w["post_attention_layernorm"], config.rms_norm_eps)
        x = x + (functional.silu(h @ w["mlp.gate_proj"].mT) * (h @ w["mlp.up_proj"].mT)) @ w["mlp.down_proj"].mT
    if final_norm:
        x = functional.rms_norm(x, (config.hidden_size,), weights["model.norm.weight"], config.rms_norm_eps)
    return x @ weights["model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"].mT


def random_weights(config: LlamaConfig, seed: int) -> dict[str, Tensor]:
    """Weights large enough for every part to show; norms away from 1."""
    drawn = init_weights(config, seed, std=0.4, requires_grad=False)
    return {name: w if w.ndim > 1 else 1 + 0.3 * normal(seed + i, *w.shape) for i, (name, w) in enumerate(drawn.items())}


@part("llama_logits: a whole model")
def whole_model(a: Answer) -> None:
    weights, ids = random_weights(CONFIG, 20), torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
    with untouched(ids=ids):
        got = expect_tensor(a.llama_logits(ids, weights, CONFIG), "llama_logits(ids, weights, config)", (2, 5, 19), torch.float32,
                            "(batch, tokens, vocab_size)")
    seen(got, reference(ids, weights, CONFIG), {
        "The tokens see the future: pass the causal mask to attention.": reference(ids, weights, CONFIG, causal=False),
        "RoPE runs with theta = 10,000; this model has its own, config.rope_theta.": reference(ids, weights, CONFIG, theta=10000.0),
        "The queries are turned by their positions and the keys are not: both are.": reference(ids, weights, CONFIG, turned="q"),
        "The keys are turned by their positions and the queries are not: both are.": reference(ids, weights, CONFIG, turned="k"),
        "Nothing is turned by its position: apply_rope goes over q and k of every layer.": reference(ids, weights, CONFIG, turned=""),
        "The last norm, model.norm, is missing before the output layer.": reference(ids, weights, CONFIG, final_norm=False),
        "The norms run with eps = 1e-5; this model has its own, config.rms_norm_eps.":
            reference(ids, weights, replace(CONFIG, rms_norm_eps=1e-5)),
        "Only the first layer was computed.": reference(ids, weights, replace(CONFIG, num_hidden_layers=1)),
    }, "The logits are not those of a Llama with these weights.")
    untied = replace(CONFIG, tie_word_embeddings=False, num_hidden_layers=1)
    weights = random_weights(untied, 40)
    got = a.llama_logits(ids, weights, untied)
    seen(got, reference(ids, weights, untied), {
        "tie_word_embeddings is False here: the output layer is lm_head.weight, not the embedding.":
            reference(ids, weights, replace(untied, tie_word_embeddings=True)),
    }, "With an output layer of its own and one layer, the logits are wrong.")
