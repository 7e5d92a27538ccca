"""2.3 measured: what temperature does to the entropy, how large the nucleus is, and how much greedy text repeats itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aieng.figures.language import bars, curves, nucleus_strip
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment

CONTEXTS = ("The sun rises in the", "My favourite thing about the summer is", "Two plus two is")
PROMPTS = ("The old house at the end of the street", "A good soup begins with", "On the first day of the voyage")


def distinct_share(ids: list[int], n: int = 3) -> float:
    """Different runs of n tokens, as a share of all runs: 1 where nothing repeats."""
    runs = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return len(set(runs)) / max(len(runs), 1)


def sampler_of(scale_temperature: Any, keep_top_k: Any, keep_top_p: Any, sample: Any, *, temperature: float = 1.0, top_k: int | None = None,
               top_p: float | None = None, seed: int = 0) -> Callable[[Tensor], int]:
    """The learner's steps in a row, as `lm.generate(sampler=…)` wants them."""
    generator = torch.Generator().manual_seed(seed)

    def choose(logits: Tensor) -> int:
        logits = scale_temperature(logits, temperature)
        logits = logits if top_k is None else keep_top_k(logits, top_k)
        logits = logits if top_p is None else keep_top_p(logits, top_p)
        return int(sample(logits, generator=generator))

    return choose


@experiment
def entropy_against_temperature(scale_temperature: Any, lm: Any) -> Finding:
    """Entropy of SmolLM2's next-token distribution against the temperature, for three contexts.

    The numbers: `temperatures`, `entropy` {context: bits}, `cold`, `warm` (means at 0.5 and 1.5), `one` (at 1).
    """
    temperatures = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0]
    entropy: dict[str, list[float]] = {}
    for context in CONTEXTS:
        logits = lm.logits(context)[-1]
        entropy[f"“{context} …”"] = [float(torch.distributions.Categorical(logits=scale_temperature(logits, t)).entropy()) / np.log(2)
                                     for t in temperatures]
    mean = np.mean(list(entropy.values()), axis=0)
    return Finding(
        f"Averaged over the three contexts, the choice is worth {mean[3]:.1f} bits at T = 1, {mean[1]:.1f} at 0.5 and {mean[5]:.1f} at 1.5 "
        f"(all {lm.config.vocab_size:,} tokens alike would be {np.log2(lm.config.vocab_size):.1f}). The order of the tokens never "
        f"changes; only "
        "how strongly the first ones lead.",
        curves("Temperature is a knob for entropy", "temperature", "entropy of the next token (bits)", temperatures, entropy),
        {"temperatures": temperatures, "entropy": entropy, "cold": float(mean[1]), "one": float(mean[3]), "warm": float(mean[5])})


@experiment
def nucleus_along_a_text(keep_top_p: Any, lm: Any, *, p: float = 0.95, k: int = 20,
                         text: str = "The capital of France is Paris. When I was a child, my grandmother used to tell us about a dragon "
                                     "who") -> Finding:
    """How many tokens top-p keeps before each token of a text.

    The numbers: `sizes`, `smallest`, `largest`, `median`, `within` (share of steps with 2 to 20 tokens).
    """
    ids = lm.tokenizer.encode(text)
    sizes = np.asarray(keep_top_p(lm.logits(text), p).isfinite().sum(-1))[:-1]
    tokens = [lm.tokenizer.decode([i]) for i in ids[1:]]
    within = float(((sizes >= 2) & (sizes <= 20)).mean())
    return Finding(
        f"With p = {p:g} the nucleus holds {int(sizes.min())} token{'s' if sizes.min() > 1 else ''} where the model is surest and "
        f"{int(sizes.max()):,} where it is not; half of the steps have {int(np.median(sizes))} or more. A fixed k = {k} would let too "
        f"many in at "
        f"{int((sizes < k).sum())} of {len(sizes)} steps and cut the nucleus at {int((sizes > k).sum())}. Only {within:.0%} of the steps "
        "have between 2 and 20 tokens.",
        nucleus_strip(tokens, sizes, p, k),
        {"sizes": sizes.tolist(), "smallest": int(sizes.min()), "largest": int(sizes.max()), "median": float(np.median(sizes)),
         "within": within})


@experiment
def greedy_repeats(
    greedy: Any, scale_temperature: Any, keep_top_k: Any, keep_top_p: Any, sample: Any, lm: Any, *, tokens: int = 80,
) -> Finding:
    """Distinct 3-token runs in SmolLM2's continuations (about 20 s): greedy beside the learner's samplers.

    The numbers: `distinct` {name: share}, `greedy`, `nucleus`.
    """
    prompts: tuple[str, ...] = PROMPTS
    if quick():
        prompts, tokens = PROMPTS[:1], 16
    steps = (scale_temperature, keep_top_k, keep_top_p, sample)
    samplers: dict[str, Callable[[int], Callable[[Tensor], int]]] = {
        "greedy": lambda seed: (lambda logits: int(greedy(logits))),
        "T = 0.8, top-p 0.95": lambda seed: sampler_of(*steps, temperature=0.8, top_p=0.95, seed=seed),
        "T = 1.5, nothing cut": lambda seed: sampler_of(*steps, temperature=1.5, seed=seed),
    }
    distinct: dict[str, float] = {}
    shown: dict[str, str] = {}
    for name, make in samplers.items():
        runs = [lm.generate(prompt, tokens, make(seed), stop_ids=()) for seed, prompt in enumerate(prompts)]
        distinct[name] = float(np.mean([distinct_share(run.new_ids) for run in runs]))
        shown[name] = re.sub(r"[`\s]+", " ", prompts[0] + runs[0].text)[:280]
    texts = "\n\n".join(f"**{name}:** `{text} …`" for name, text in shown.items())
    return Finding(
        f"Of all runs of three tokens, {distinct['greedy']:.0%} are different in greedy text, {distinct['T = 0.8, top-p 0.95']:.0%} with "
        f"temperature 0.8 and top-p 0.95, {distinct['T = 1.5, nothing cut']:.0%} at temperature 1.5 "
        f"({len(prompts)} prompt{'s' * (len(prompts) > 1)}, {tokens} tokens each). "
        f"Read the three beginnings: variety alone is no quality.\n\n{texts}",
        bars("How much of the text is "
             "new", "different 3-token runs (share of all)", list(distinct), {"share": list(distinct.values())}, as_percent=True),
        {"distinct": distinct, "greedy": distinct["greedy"], "nucleus": distinct["T = 0.8, top-p 0.95"]})
