"""7.2 measured: what heads cost, what they buy, and SmolLM2 on the learner's class."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from IPython.display import Markdown, display
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from aieng.figures.heads import accuracy_lines
from aieng.lesson.environment import grading, quick
from aieng.lesson.experiments.single_thread import single_thread
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.smollm2 import SmolLM2
from aieng.training.loop import TrainingConfig, train
from aieng.transformer.attention import Linear, causal_mask
from aieng.transformer.modular import with_multi_head


def _weights(hidden: int, heads: int, shared: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    kv = hidden // heads * shared
    shapes = ((hidden, hidden), (kv, hidden), (kv, hidden), (hidden, hidden))
    return [torch.randn(shape, generator=generator) / hidden**0.5 for shape in shapes]


@experiment
@single_thread()
def cost_of_heads(multi_head: Any, masked_attention: Any, *, hidden: int = 576, tokens: int = 256, seed: int = 0) -> Finding:
    """Parameters, counted operations, exponentials, cache and time of one layer, cut into heads in different ways.

    The numbers: `rows` {(heads, key-value heads): (parameters, flops, exponentials, cache bytes a token, seconds)}; of one head and of nine
    `parameters_one`, `parameters_many`, `flops_…`, `softmax_…`; `time_ratio` (nine heads against one).
    """
    x = torch.randn(1, tokens, hidden, generator=torch.Generator().manual_seed(seed))
    mask = causal_mask(tokens)
    rows: dict[tuple[int, int], tuple[int, int, int, int, float]] = {}
    layers = {}
    for heads, shared in ((1, 1), (3, 3), (9, 9), (9, 3), (9, 1)):
        weights = _weights(hidden, heads, shared, seed)
        layer = layers[heads, shared] = multi_head(*map(Linear, weights), heads, shared, masked_attention)
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            layer(x, mask)
        rows[heads, shared] = (sum(w.numel() for w in weights), counted.get_total_flops(), heads * tokens * tokens,
                               2 * shared * (hidden // heads) * 4, float("inf"))
    with torch.no_grad():
        for _ in range(2 if quick() else 6):  # interleaved, the fastest of each
            for key, layer in layers.items():
                begin = time.perf_counter()
                layer(x, mask)
                rows[key] = (*rows[key][:4], min(rows[key][4], time.perf_counter() - begin))
    one, many, grouped = rows[1, 1], rows[9, 9], rows[9, 3]
    names = {(9, 3): " (GQA, as SmolLM2)", (9, 1): " (MQA)"}
    table = "\n".join(
        f"| {h}{names.get((h, s), '')} | {s} | {p:,} | {f / 1e6:,.0f} | {e:,} | {b:,} | {1e3 * t:.1f} "
        f"|" for (h, s), (p, f, e, b, t) in rows.items())
    return Finding(
        f"One layer of {hidden} features, {tokens} tokens:\n\n| query heads | key-value heads | parameters | million operations in "
        f"matrix products "
        "| exponentials | cache, bytes a token | ms |\n|---|---|---|---|---|---|---|\n" + table +
        f"\n\nNine heads have exactly the parameters and {'exactly' if one[1] == many[1] else f'{many[1] / one[1]:.2f} times'} the matrix "
        f"products of one wide head: nine products of 64 features instead of one of 576. What grows is the softmax, since each head has "
        f"a map of its own. "
        f"Three key-value heads save {1 - grouped[0] / many[0]:.0%} of the parameters and {1 - grouped[3] / many[3]:.0%} of the cache.",
        None, {"rows": rows, "parameters_one": one[0], "parameters_many": many[0], "flops_one": one[1], "flops_many": many[1],
               "softmax_one": one[2], "softmax_many": many[2], "time_ratio": many[4] / one[4]})


PLACES = (1, 3, 5, 7)


@experiment
@single_thread()
def heads_and_quality(
    multi_head: Any, masked_attention: Any, mask_of: Any, *, heads: tuple[int, ...] = (1, 2, 4, 8), seeds: tuple[int, ...] = (0, 1, 2),
    steps: int = 300, symbols: int = 12, hidden: int = 64, length: int = 20, batch: int = 32,
) -> Finding:
    """One attention layer has to name the symbols at four places before; the same weights, cut into more heads.

    The numbers: `accuracy` {heads: [one a seed]}, `chance`, `seconds`.
    """
    if quick():
        steps, seeds = 10, seeds[:1]
    begin = time.perf_counter()
    accuracy: dict[int, list[float]] = {h: [] for h in heads}
    mask = mask_of(length)
    with tqdm(total=len(heads) * len(seeds), unit="run", desc="training") as bar:
        for seed in seeds:
            for h in heads:
                accuracy[h].append(_one_run(partial(multi_head, num_heads=h, attention=masked_attention), mask, seed, steps, symbols,
                                            hidden, length,
                                            batch))
                bar.update()
    seconds = time.perf_counter() - begin
    mean = {h: sum(a) / len(a) for h, a in accuracy.items()}
    spread = {h: max(a) - min(a) for h, a in accuracy.items()}
    listed = ", ".join(f"{h}: {mean[h]:.0%}" for h in heads)
    return Finding(
        f"Right answers by number of heads, on sequences not seen in training: {listed}; guessing among {symbols} symbols gives "
        f"{1 / symbols:.0%}. "
        f"The largest spread among {len(seeds)} seeds is {max(spread.values()):.0%}; {len(heads) * len(seeds)} runs of {steps} steps, "
        f"{seconds:.0f} s.",
        accuracy_lines(heads, accuracy, chance=1 / symbols, places=PLACES),
        {"accuracy": accuracy, "mean": mean, "chance": 1 / symbols, "seconds": seconds})


def _one_run(make: Any, mask: Tensor, seed: int, steps: int, symbols: int, hidden: int, length: int, batch: int) -> float:
    """Train embeddings, positions, one attention layer and a read-out; the share of right answers on fresh sequences."""
    generator = torch.Generator().manual_seed(seed)

    def fresh(*shape: int, std: float) -> Tensor:
        return (std * torch.randn(*shape, generator=generator)).requires_grad_(True)

    names, positions = fresh(symbols, hidden, std=0.5), fresh(length, hidden, std=0.5)
    matrices = [fresh(hidden, hidden, std=hidden**-0.5) for _ in range(4)]
    read = fresh(len(PLACES) * symbols, hidden, std=hidden**-0.5)
    layer = make(*map(Linear, matrices))
    first = max(PLACES)

    def look(ids: Tensor) -> tuple[Tensor, Tensor]:
        out = layer(names[ids] + positions, mask)[:, first:]  # (batch, positions that have all four places, hidden)
        scores = (out @ read.mT).unflatten(-1, (len(PLACES), symbols))
        wanted = torch.stack([ids[:, first - p : length - p] for p in PLACES], dim=-1)
        return scores, wanted

    def loss_of(_: int) -> Tensor:
        scores, wanted = look(torch.randint(symbols, (batch, length), generator=generator))
        return cross_entropy(scores.flatten(0, 2), wanted.flatten())

    train([names, positions, *matrices, read], loss_of, TrainingConfig(steps, learning_rate=1e-2, weight_decay=0.0))
    with torch.no_grad():
        scores, wanted = look(torch.randint(symbols, (256, length), generator=generator))
    return float((scores.argmax(-1) == wanted).double().mean())


@dataclass(frozen=True)
class OnYourHeads(Finding):
    """The finding, the model it is about, and whose heads that has."""

    lm: Any = None
    who: str = "your"


@experiment
@single_thread()
def on_your_heads(lm: Any, multi_head: Any, masked_attention: Any, *, prompt: str = "The bank of the river is eroding because") -> Finding:
    """SmolLM2 with every attention layer an object of the learner's class, beside the model as it is.

    The numbers: `max_difference` of two scores, `same_top` (share of positions with the same first choice), `text`, `reference`.
    """
    yours = SmolLM2(with_multi_head(lm.model, multi_head, masked_attention), lm.tokenizer, lm.chat_template, lm.stop_id)
    theirs, mine = lm.logits(prompt), yours.logits(prompt)
    difference, same = float((mine - theirs).abs().max()), float((mine.argmax(-1) == theirs.argmax(-1)).double().mean())
    count = 4 if quick() else 16
    text, reference = yours.generate(prompt, count).text, lm.generate(prompt, count).text
    who = whose(multi_head, masked_attention)
    return OnYourHeads(
        f"Largest difference of any of {mine.numel():,} scores: {difference:.2g}; the same first choice at {same:.0%} of the positions.\n\n"
        f"| on {who} attention | {prompt} **{text.strip()}** |\n|---|---|\n| on the course's engine | {prompt} **{reference.strip()}** |",
        None, {"max_difference": difference, "same_top": same, "text": text, "reference": reference}, lm=yours, who=who)


@single_thread()
def chat_on(finding: Any, message: str, max_new_tokens: int = 40) -> str:
    """Stream an answer of the finding's model into the page; nothing while grading."""
    if grading():
        return ""
    asked = f"**You:** {message}\n\n**SmolLM2 on {finding.who} heads:** "
    shown = display(Markdown(f"{asked}…"), display_id=True)
    said: list[str] = []

    def on_text(text: str) -> None:
        said.append(text)
        shown.update(Markdown(asked + "".join(said)))

    begin = time.perf_counter()
    answer = str(finding.lm.chat(message, 8 if quick() else max_new_tokens, on_text=on_text))
    seconds = time.perf_counter() - begin
    display(Markdown(f"*{len(said)} pieces of text in {seconds:.1f} s, keys and values of all earlier tokens computed anew for each.*"))
    return answer
