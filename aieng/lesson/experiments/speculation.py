"""5.8 measured: SmolLM2 with drafts from the prompt, where they help and where they do not, and sampling by accept and replace."""

from __future__ import annotations

import time
from typing import Any

import torch
from scipy.stats import chisquare

from aieng.figures.tradeoffs import draft_length_curves, draft_trace, paired_bars
from aieng.generation.speculative import Speculation, expected_tokens, speculative_generate
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.smollm2 import SmolLM2, smollm2

TEXT = ("The old lighthouse keeper counted the ships every evening. On Monday he saw seven fishing boats and two tall sailing ships near "
        "the harbour. "
        "On Tuesday the fog was so thick that he saw nothing at all, but he heard the bell of the ferry from the island.")
TASKS = {
    "copying": f"Repeat this text word for word:\n\n{TEXT}",
    "explaining": "Explain how a rainbow forms.",
}


def _speculate(lm: SmolLM2, ids: list[int], tokens: int, drafts: int, prompt_lookup: Any, verify: Any) -> Speculation:
    cache = lm.model.new_cache(1, len(ids) + tokens + drafts + 1)
    return speculative_generate(lm.model, ids, tokens, cache, num_draft_tokens=drafts, draft=prompt_lookup, verify=verify)


@experiment
def two_tasks(prompt_lookup: Any, verify_greedy: Any, *, tokens: int | None = None, num_draft_tokens: int = 7) -> Finding:
    """Speed with and without drafts on a task that copies and on one that does not.

    The numbers, by task: {"same", "speedup", "acceptance", "per_pass"}; `trace`: the copying task's rounds.
    """
    lm = smollm2()
    tokens = tokens or (16 if quick() else 44)
    found: dict[str, Any] = {}
    rows = []
    for name, prompt in TASKS.items():
        ids = lm.chat_ids([{"role": "user", "content": prompt}])
        plain: list[float] = []
        fast: list[float] = []
        reference: list[int] = []
        for _ in range(1 if quick() else 2):
            started = time.perf_counter()
            reference = lm.generate(ids, tokens, stop_ids=()).new_ids
            plain.append(time.perf_counter() - started)
            started = time.perf_counter()
            out = _speculate(lm, ids, tokens, num_draft_tokens, prompt_lookup, verify_greedy)
            fast.append(time.perf_counter() - started)
        same = out.tokens == reference
        found[name] = {"same": same, "speedup": min(plain) / min(fast), "acceptance": out.acceptance_rate, "per_pass": out.tokens_per_pass}
        rows.append(f"| {name} | {'yes' if same else '**no**'} | {out.acceptance_rate:.0%} | {out.tokens_per_pass:.2f} | "
                    f"{found[name]['speedup']:.2f} |")
        if name == "copying":
            text = lm.tokenizer.decode
            trace = [([text([t]) for t in r.proposed], r.accepted, text([r.token])) for r in out.rounds]
    sentence = ("| task | same tokens as without | drafts kept | tokens per pass | speed-up |\n|---|---|---|---|---|\n" + "\n".join(rows) +
                f"\n\n{tokens} tokens each, drafts of up to {num_draft_tokens}, prompt included in the time, greedy decoding. The figure "
                f"shows the copying task.")
    return Finding(sentence, draft_trace(trace), {**found, "trace": trace})


@experiment
def draft_lengths(prompt_lookup: Any, verify_greedy: Any, *, lengths: tuple[int, ...] = (0, 1, 2, 4, 7, 11),
                  tokens: int | None = None) -> Finding:
    """Share of drafts kept and tokens per pass against the longest draft, beside the formulas with one probability for all.

    The numbers: `lengths`, `kept`, `kept_formula`, `measured`, `formula` (tokens per pass), `rate` (the probability a, from the longest
    drafts), `cost` (seconds of a pass over k + 1 tokens / of one token), `predicted` (speed-up).
    """
    lm = smollm2()
    lengths = lengths[:3] if quick() else lengths
    tokens = tokens or (12 if quick() else 40)
    ids = lm.chat_ids([{"role": "user", "content": TASKS["copying"]}])
    runs = [_speculate(lm, ids, tokens, k, prompt_lookup, verify_greedy) for k in lengths]
    rate = kept_probability(runs[-1])
    kept = [r.acceptance_rate if k else float("nan") for k, r in zip(lengths, runs)]
    kept_formula = [(expected_tokens(rate, k) - 1) / k if k else float("nan") for k in lengths]
    measured = [r.tokens_per_pass for r in runs]
    formula = [expected_tokens(rate, k) for k in lengths]
    cost = [_pass_seconds(lm, k + 1) for k in lengths]
    cost = [c / cost[0] for c in cost]
    predicted = [m / c for m, c in zip(measured, cost)]
    best = max(range(len(lengths)), key=lambda i: predicted[i])
    sentence = (f"Of the draft tokens that were looked at, {rate:.0%} agreed with the model: this is a. What stands behind a disagreement "
                f"is thrown away unread, so only {kept[-1]:.0%} of all proposed tokens are kept with drafts of up to {lengths[-1]}. The "
                f"formula takes the same a for each token, and a draft of full length in each pass; it gives {formula[-1]:.1f} tokens per "
                f"pass where {measured[-1]:.1f} are measured, since a lookup is right for long stretches and then wrong, and sometimes "
                f"finds nothing. A pass over {lengths[-1] + 1} tokens takes {cost[-1]:.2f} times as long as over one. Tokens per pass "
                f"divided by that: best at {lengths[best]} draft tokens, {predicted[best]:.1f} times as fast (without the prompt's time).")
    figure = draft_length_curves(lengths, kept, kept_formula, measured, formula, cost, predicted)
    return Finding(sentence, figure,
                   {"lengths": lengths, "kept": kept, "kept_formula": kept_formula, "measured": measured, "formula": formula, "cost": cost,
                    "predicted": predicted, "rate": rate})


def kept_probability(run: Speculation) -> float:
    """The share of right ones among the draft tokens that were compared: all accepted ones, and the first wrong one of each pass."""
    accepted = sum(r.accepted for r in run.rounds)
    wrong = sum(r.accepted < len(r.proposed) for r in run.rounds)
    return accepted / (accepted + wrong) if accepted + wrong else 0.0


def _pass_seconds(lm: SmolLM2, tokens: int, past: int = 100) -> float:
    """Seconds of one pass over `tokens` tokens behind `past` others."""
    cache = lm.model.new_cache(1, past + tokens)
    best = float("inf")
    with torch.inference_mode():
        lm.model(torch.full((1, past), 30), cache=cache, logits_to_keep=1)
        for _ in range(4):
            started = time.perf_counter()
            lm.model(torch.full((1, tokens), 30), cache=cache)
            best = min(best, time.perf_counter() - started)
            cache.truncate(past)
    return best


@experiment
def sampled(speculative_sample: Any, *, draws: int | None = None, top: int = 12, seed: int = 0) -> Finding:
    """Tokens drawn by accept-and-replace from a real next-token distribution, with a flattened one as the draft.

    The numbers: `p` (chi-square, of the learner's first tokens against the target), `kept` and `expected` (share of drafts kept), `draft_p`
    (the same test for the draft's own tokens).
    """
    lm = smollm2()
    draws = draws or (2_000 if quick() else 20_000)
    logits = lm.logits("On the table there was a")[-1].double()
    best = logits.topk(top).indices
    target, draft = logits[best].softmax(-1), (logits[best] / 2).softmax(-1)
    target_rows, draft_rows = torch.stack([target, target]), draft[None]
    generator, proposals = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)
    drawn = torch.multinomial(draft, draws, replacement=True, generator=proposals).tolist()
    counts, kept = torch.zeros(top, dtype=torch.float64), 0
    for token in drawn:
        out = speculative_sample([token], draft_rows, target_rows, generator)
        counts[out[0]] += 1
        kept += len(out) > 1
    p = float(chisquare(counts.numpy(), draws * target.numpy()).pvalue)
    own = torch.bincount(torch.tensor(drawn), minlength=top).double()
    draft_p = float(chisquare(own.numpy(), draws * target.numpy()).pvalue)
    expected = float(torch.minimum(target, draft).sum())
    draft_word = "p < 0.001" if draft_p < 1e-3 else f"p = {draft_p:.2f}"
    words = [lm.tokenizer.decode([int(i)]).strip() or "␣" for i in best]
    sentence = (f"{draws:,} tokens after “On the table there was a”, drafted at temperature 2, wanted at temperature 1 ({top} most likely "
                f"tokens). A chi-square test of "
                f"{whose(speculative_sample)} tokens against the wanted distribution gives p = {p:.2f}"
                + (": no difference can be seen. " if p > 0.01 else ": **they differ**. ")
                + f"For the draft's own tokens {draft_word}. Kept: {kept / draws:.1%}; expected, Σ min(target, draft): "
                  f"{expected:.1%}.")
    shares = {"wanted": target.tolist(), whose(speculative_sample, alone=True): (counts / draws).tolist(), "the draft": draft.tolist()}
    figure = paired_bars([f"{i + 1}. {w}" for i, w in enumerate(words)], shares,
                         "Accept and replace gives the wanted distribution", "probability or share")
    return Finding(sentence, figure, {"p": p, "kept": kept / draws, "expected": expected, "draft_p": draft_p})
