"""3.2 measured: RoPE in a real model, over distances, and past the length that a model was trained on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from aieng.data.corpus import load_corpus
from aieng.figures.language import curves
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.smollm2 import SmolLM2
from aieng.models.tiny_gpt import as_ids, fused_attention, load_tiny_gpt, split_texts
from aieng.transformer.attention import causal_mask
from aieng.transformer.llama import Kernels, Llama

TRAINED = 64  # tokens of the windows that the tiny GPT was trained on, see assets/make_tiny_gpt.py
# Its second half says the first half's things again: whoever remembers the first, reads the second easily. Our own text.
STORY = (
    "The lighthouse stands on a narrow rock in the north of the island. Its keeper, a woman named Marta Lindqvist, climbs the ninety-nine "
    "steps every evening and lights the lamp. When the fog comes in from the sea, she also rings the bronze bell that her grandfather "
    "brought from Bergen. In winter the supply boat cannot land, and she lives on dried fish, potatoes and the letters that came in "
    "autumn.",
    " Marta Lindqvist, the keeper of the lighthouse, was asked once whether she felt lonely on the narrow rock. She laughed, climbed the "
    "ninety-nine steps and rang the bronze bell that her grandfather brought from Bergen. The supply boat cannot land in winter, she "
    "said, but dried fish, potatoes and the letters that came in autumn are enough.")

Rope = Callable[[Tensor, Tensor, float], Tensor]


def interpolated(apply_rope: Any, factor: float) -> Rope:
    """Positions squeezed together (Chen et al. 2023, arXiv:2306.15595)."""
    return lambda x, positions, theta: apply_rope(x, positions / factor, theta)


def ntk_scaled(apply_rope: Any, factor: float) -> Rope:
    """A larger base: the slowest pair is slowed down by the factor, the fastest keeps its pace (bloc97 2023)."""
    return lambda x, positions, theta: apply_rope(x, positions, theta * factor ** (x.shape[-1] / (x.shape[-1] - 2)))


@experiment
def in_the_model(apply_rope: Any, lm: SmolLM2, prompt: str = "Once upon a time there was a king who had three daughters. The eldest", *,
                 new_tokens: int = 12) -> Finding:
    """SmolLM2 with all positions moved, and with the other layout.

    The numbers: `reference` (difference to the course's engine), `shifted`, `interleaved` (largest difference of logits to the learner's
    plain run), `text`, `interleaved_text`.
    """
    mine, other = lm.with_kernels(rope=apply_rope), lm.with_kernels(rope=partial(apply_rope, layout="interleaved"))
    ids = torch.tensor([lm.tokenizer.encode(prompt)])
    plain, reference = mine.logits(prompt), lm.logits(prompt)
    with torch.inference_mode():
        moved = mine.model(ids, positions=torch.arange(ids.shape[1]) + 1000)[0]
    wrong = other.logits(prompt)
    found = {"reference": float((plain - reference).abs().max()), "shifted": float((moved - plain).abs().max()),
             "interleaved": float((wrong - plain).abs().max())}
    text, nonsense = (" ".join(m.generate(prompt, new_tokens).text.split()) for m in (mine, other))
    return Finding(
        f"On {whose(apply_rope)} RoPE, SmolLM2's logits are within {found['reference']:.1g} of the course's engine. All positions 1,000 "
        f"further on: within {found['shifted']:.1g} (rounding of large angles; logits here reach {float(plain.abs().max()):.0f}). The "
        f"other layout: off by {found['interleaved']:.0f}.\n\n| layout | {prompt} … |\n|---|---|\n| half | {text} |\n| interleaved | "
        f"{_flat(nonsense)} |",
        None, found | {"text": text, "interleaved_text": nonsense})


@experiment
def decay(
    apply_rope: Any, *, thetas: tuple[float, ...] = (100.0, 10_000.0, 100_000.0), head_dim: int = 64, vectors: int = 64, seed: int = 0,
) -> Finding:
    """What is left of q · k at a distance when q = k, averaged over random vectors.

    The numbers: `distances`, `left` ({theta: one share per distance}).
    """
    x = torch.randn(vectors, 1, head_dim, generator=torch.Generator().manual_seed(seed))
    distances = sorted({round(d) for d in torch.logspace(0, 4, 60).tolist()})
    positions = torch.tensor(distances)
    left = {}
    for theta in thetas:
        turned = apply_rope(x.expand(-1, len(distances), -1).contiguous(), positions, theta)
        left[theta] = (turned * x).sum(-1).mean(0).div(x.square().sum(-1).mean()).tolist()
    near, far = distances.index(min(distances, key=lambda d: abs(d - 100))), len(distances) - 1
    said = "; ".join(f"theta = {t:,.0f}: {left[t][near]:.2f} at a distance of {distances[near]}, {left[t][far]:.2f} at "
                     f"{distances[far]:,}" for t in thetas)
    return Finding(
        f"The product of a vector with itself, turned: {said}. With a larger base more pairs turn slowly, so more of the product survives "
        "a long way: that is why models for long contexts have a large theta. It falls in waves, and it is no law that near tokens win: a "
        "trained head can put its weight on pairs that suit it.",
        curves("How much of q · k is left at a distance (q = k)", "distance (tokens)", "share of the product at distance 0",
               distances, {f"theta = {t:,.0f}": left[t] for t in thetas}, log_x=True, markers=False),
        {"distances": distances, "left": left})


@experiment
def beyond_training(apply_rope: Any, *, length: int = 512, windows: int = 20) -> Finding:
    """Perplexity of the tiny GPT along windows that are longer than those it was trained on, on held-out definitions.

    The control sees the last 64 tokens only, so that no distance is new to it; every variant predicts the same tokens.
    The numbers: `perplexity` {variant: one number per stretch of 64}, `ratio`, `inside` (plain, first stretch), and of the last half
    `plain_last`, `interpolated_last`, `ntk_last`, `window_last`.
    """
    if quick():
        length, windows = 256, 8
    gpt = load_tiny_gpt()
    unseen = as_ids(gpt.tokenizer, split_texts(load_corpus().texts)[1])
    ids = unseen[: len(unseen) // length * length].reshape(-1, length)[:windows]
    config = dataclasses.replace(gpt.model.config, max_position_embeddings=length)
    factor = length / TRAINED
    near = causal_mask(length - 1).masked_fill(torch.ones(length - 1, length - 1, dtype=torch.bool).tril(-TRAINED), -math.inf)
    variants: dict[str, tuple[Rope, Tensor | None]] = {
        "plain": (apply_rope, None), "interpolated": (interpolated(apply_rope, factor), None),
        "NTK-scaled": (ntk_scaled(apply_rope, factor), None), "control: sees 64 back": (apply_rope, near)}
    losses = {}
    with torch.inference_mode():
        for name, (rope, mask) in variants.items():
            model = Llama(config, gpt.weights, Kernels(rope=rope, attention=fused_attention))
            loss = functional.cross_entropy(model(ids[:, :-1], mask=mask).mT, ids[:, 1:], reduction="none")  # (windows, length - 1)
            losses[name] = loss.mean(0)
    found = {name: [math.exp(part.mean()) for part in loss.split(TRAINED)] for name, loss in losses.items()}
    last = {name: math.exp(loss[length // 2:].mean()) for name, loss in losses.items()}
    places = [TRAINED * i + TRAINED / 2 for i in range(len(found["plain"]))]
    plain, squeezed, ntk, control = (last[name] for name in variants)
    worst = (f"Plain RoPE needs {plain:.0f} there, {plain / control:.2f} times the control's {control:.0f}: distances that it never met in "
             "training disturb it" if plain > 1.02 * control else f"Plain RoPE needs {plain:.0f} there, about the control's {control:.0f}")
    blurred = (": squeezed positions blur even neighbours, and without the fine-tuning that its authors add, that costs more than it "
               "brings here"
               if squeezed > plain else "")
    return Finding(
        f"Trained on {TRAINED} tokens, read for {length}. What counts is the second half of the windows (the text itself is harder in some "
        f"stretches than in others, hence the control). {worst}. Interpolated {squeezed:.0f}{blurred}. NTK-scaled {ntk:.0f}. None of the "
        "three teaches the model to *use* what is far away: that is learned, not turned.",
        curves(f"A model trained on {TRAINED} tokens reads on", "position in the window (tokens)", "perplexity", places, found,
               subtitle="mean of stretches of 64 tokens, text not trained on"),
        {"perplexity": found, "ratio": factor, "inside": found["plain"][0], "plain_last": plain, "interpolated_last": squeezed,
         "ntk_last": ntk, "window_last": control})


@experiment
def hole(apply_rope: Any, lm: SmolLM2, *, holes: tuple[int, ...] = (0, 2_000, 8_000, 16_000, 32_000)) -> Finding:
    """SmolLM2's perplexity on the second half of a story, when a hole is left in the positions between the halves.

    The numbers: `holes`, `perplexity` {variant: one per hole}, `alone` (the second half without the first), `widest`, and there `plain`,
    `interpolated`, `ntk`.
    """
    if quick():
        holes = (0, 16_000)
    first, second = (lm.tokenizer.encode(part) for part in STORY)
    limit = lm.config.max_position_embeddings
    found: dict[str, list[float]] = {"plain": [], "interpolated": [], "NTK-scaled": []}
    for width in holes:
        factor = max(1.0, (width + len(first) + len(second)) / limit)
        found["plain"].append(_perplexity(lm, apply_rope, first, second, width))
        for name, make in (("interpolated", interpolated), ("NTK-scaled", ntk_scaled)):  # inside the context both are plain RoPE
            found[name].append(_perplexity(lm, make(apply_rope, factor), first, second, width) if factor > 1 else found["plain"][-1])
    alone = _perplexity(lm, apply_rope, [], second, 0)
    plain, squeezed, ntk = (values[-1] for values in found.values())
    inside = [(width, p) for width, p in zip(holes, found["plain"]) if 0 < width < limit]
    even = (f"A hole costs even within the {limit:,} positions that SmolLM2 was trained on ({inside[-1][1]:,.0f} at {inside[-1][0]:,}), "
            "for no text in training had holes. " if inside and inside[-1][1] > found["plain"][0] else "")
    return Finding(
        f"Read in one go, the second half has a perplexity of {found['plain'][0]:.1f}, since it repeats the first; alone it has "
        f"{alone:.0f}. {even}At {holes[-1]:,}, beyond the {limit:,}, plain RoPE gives {plain:,.0f}, {plain / alone:.1f} times what it is "
        f"without having read the first half at all. Interpolated {squeezed:,.0f}, NTK-scaled {ntk:,.0f}.",
        curves("A hole in the positions between two halves of a story", "width of the hole (positions)", "perplexity of the second half",
               list(holes), {**found, "second half alone": [alone] * len(holes)}, log_y=True,
               subtitle=f"SmolLM2, trained on {limit:,} positions"),
        {"holes": holes, "perplexity": found, "alone": alone, "widest": holes[-1], "plain": plain, "interpolated": squeezed, "ntk": ntk})


@torch.inference_mode()
def _perplexity(lm: SmolLM2, rope: Rope, first: list[int], second: list[int], width: int) -> float:
    """Of the second part's tokens but its first."""
    ids = torch.tensor([[*first, *second]])
    positions = torch.arange(ids.shape[1])
    positions[len(first):] += width
    logits = lm.with_kernels(rope=rope).model(ids, positions=positions, logits_to_keep=len(second))[0]
    return math.exp(functional.cross_entropy(logits[:-1], torch.tensor(second[1:])))


def _flat(text: str) -> str:
    return text.replace("|", "¦") or "(nothing)"
