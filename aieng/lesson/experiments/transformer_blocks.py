"""3.4 measured: the learner's assembly on SmolLM2's weights, MiniLM rebuilt, and where parameters and operations are."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from aieng.figures.language import bars
from aieng.lesson.environment import quick
from aieng.lesson.exercises.watching import product_flops
from aieng.lesson.experiments.beside import quoted
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.minilm import load_minilm
from aieng.models.smollm2 import SmolLM2
from aieng.transformer.attention import scaled_dot_product_attention
from aieng.transformer.llama import Llama, linear

# What the names of a part's tensors contain.
PARTS = {"embedding": ("embed_tokens",), "q and k": ("q_proj", "k_proj"), "v and o": ("v_proj", "o_proj"), "feed-forward": ("mlp",),
         "norms": ("norm",)}


@experiment
def assembled(llama_logits: Any, lm: SmolLM2, prompt: str = "Water boils at a temperature of 100 degrees", *, top: int = 5) -> Finding:
    """The learner's whole model on SmolLM2's weights, beside the course's engine.

    The numbers: `difference` (largest, of two logits), `same_top` (share of positions), `next` (likeliest next tokens).
    """
    ids = torch.tensor([lm.tokenizer.encode(prompt)])
    with torch.inference_mode():
        mine = llama_logits(ids, lm.model.weights, lm.config)[0]
    engine = lm.logits(prompt)
    difference = float((mine - engine).abs().max())
    same = float((mine.argmax(-1) == engine.argmax(-1)).double().mean())
    shares = mine[-1].softmax(-1).topk(top)
    following = [lm.tokenizer.decode([int(i)]) for i in shares.indices]
    listed = ", ".join(f"{quoted(t)} {float(p):.0%}" for t, p in zip(following, shares.values))
    return Finding(
        f"{len(ids[0])} tokens, {mine.shape[1]:,} logits each: the largest difference between {whose(llama_logits)} assembly and the "
        f"engine is {difference:.2g} (logits here reach {float(engine.abs().max()):.0f}); the first choice is the same at {same:.0%} of "
        f"the positions. After “{prompt}” it puts {listed}.", None, {"difference": difference, "same_top": same, "next": following})


@experiment
def minilm_rebuilt(block: Any, texts: tuple[str, ...] = ("A dog runs through the snow.", "A puppy races across a white field.",
                                                        "Interest rates were raised again.")) -> Finding:
    """MiniLM with every layer an instance of the learner's EncoderBlock.

    The numbers: `difference` (largest, of any number of a sentence vector), `similar`, `unrelated` (cosines).
    """
    minilm = load_minilm(progress=False)
    expected = minilm.encode(list(texts))
    rebuilt = copy.copy(minilm)
    rebuilt.encoder = copy.copy(minilm.encoder)
    rebuilt.encoder.blocks = tuple(
        block(attention=b.attention, attention_norm=b.attention_norm, up=b.up, down=b.down, output_norm=b.output_norm)
        for b in minilm.encoder.blocks)
    vectors = rebuilt.encode(list(texts))
    difference = float(abs(vectors - expected).max())
    similar, unrelated = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    return Finding(
        f"MiniLM on {len(rebuilt.encoder.blocks)} of {whose(block)} encoder blocks: its sentence vectors differ from the original's by at "
        f"most {difference:.1g}. “{texts[0]}” and “{texts[1]}” have the cosine {similar:.2f}, the first and “{texts[2]}” {unrelated:.2f}.",
        None, {"difference": difference, "similar": similar, "unrelated": unrelated})


@experiment
def costs_by_part(lm: SmolLM2, *, tokens: int = 128) -> Finding:
    """Parameters of each part, and the operations of its matrix products in one pass (a multiply-add counts as two).

    The numbers: `counts`, `operations` ({part: number}), `parameters`, `tokens`, `flops_per_token`, `per_parameter`, `attentions` (per
    layer), `cross` (tensors that belong to cross-attention).
    """
    if quick():
        tokens = 16
    weights = lm.model.weights
    counts: Counter[str] = Counter()
    for name, weight in weights.items():
        counts[_part(name)] += weight.numel()
    owner = {weight.data_ptr(): _part(name) for name, weight in weights.items()}
    owner[weights["model.embed_tokens.weight"].data_ptr()] = "output layer (the embedding again)"
    operations: Counter[str] = Counter()

    def counted(part: str, call: Any, *args: Any) -> Tensor:
        made: list[Tensor] = []
        operations[part] += product_flops(lambda: made.append(call(*args)))
        return made[0]

    def one(weight: Tensor) -> Any:
        product = linear(weight)
        return lambda x: counted(owner[weight.data_ptr()], product, x)

    def counting(*given: Tensor) -> Any:
        products = [one(w) for w in given]
        return lambda x: torch.cat([product(x) for product in products], dim=-1)

    def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return counted("scores and weighted sums", scaled_dot_product_attention, q, k, v, mask)

    model = Llama(lm.config, weights, replace(lm.model.kernels, linear=counting, attention=attention))
    with torch.no_grad():  # inference mode would hide the products inside of matmul
        model(torch.arange(tokens)[None] + 100)
    parameters, flops = sum(counts.values()), sum(operations.values()) / tokens
    layers = {name.split(".")[3] for name in weights if name.startswith("model.layers.0.")}
    attentions, cross = sum("attn" in part for part in layers), sum("cross" in name or "encoder" in name for name in weights)
    names = list(dict.fromkeys([*counts, *operations]))
    shares = {"parameters": [counts[n] / parameters for n in names],
              f"operations ({tokens} tokens)": [operations[n] / tokens / flops for n in names]}
    biggest = max((n for n in names if n != "embedding"), key=lambda n: counts[n])
    return Finding(
        f"{parameters / 1e6:.1f} million parameters; a pass over {tokens} tokens takes {flops / 1e6:.0f} million operations a token, "
        f"{flops / parameters:.2f} a parameter. The {biggest} layers hold {counts[biggest] / parameters:.0%} of the parameters, the "
        f"embedding {counts['embedding'] / parameters:.0%}, all of attention's matrices "
        f"{(counts['q and k'] + counts['v and o']) / parameters:.0%}. Scores and weighted sums have no parameters and take "
        f"{operations['scores and weighted sums'] / tokens / flops:.1%} of the operations at this length; their share grows with it.",
        bars("Where SmolLM2's parameters and operations are", "share", names, shares, as_percent=True),
        {"counts": dict(counts), "operations": dict(operations), "parameters": parameters, "tokens": tokens, "flops_per_token": flops,
         "per_parameter": flops / parameters, "attentions": attentions, "cross": cross})


def _part(name: str) -> str:
    for part, marks in PARTS.items():
        if any(mark in name for mark in marks):
            return part
    return "output layer"
