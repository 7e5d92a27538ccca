"""5.8 Speculative decoding: visible properties and hints."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, expect_tuple

hints(
    "5.8",
    "prompt_lookup compares lists: does `ids[start : start + n]` equal the last n tokens? verify_greedy walks along the draft while it "
    "agrees with the "
    "argmax of each row. In both, mind what happens at the very end.",
    "acceptance = min(1, target / draft). What the draft proposes too rarely is max(0, target - draft); divided by its sum it is the "
    "residual. In "
    "speculative_sample, a draft token is kept when a uniform number is below its acceptance; at the first rejection draw from the "
    "residual and stop.",
    "lookup: for n from max_ngram down to 1; for start from len(ids) - n - 1 down to 0; equal? return ids[start + n : start + n + k].\n"
    "verify: choices = argmax per row; count equal ones from the left; return choices[: count + 1].\n"
    "sample: for each draft token: u < acceptance[token]? keep; else return kept + [draw from residual]. All kept: draw from the last row.",
)


def _probs(seed: int, *shape: int) -> Tensor:
    scores = 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scores.softmax(-1)


def _tokens(value: Any, name: str) -> list[int]:
    expect(value is not None, f"`{name}` returned None: does it end without a `return`?")
    expect(isinstance(value, list | tuple) or hasattr(value, "tolist"), f"`{name}` returned a {type(value).__name__}; expected a list "
                                                                        f"of ids.")
    return [int(t) for t in value]


@prop("5.8", "prompt_lookup: what followed the last time")
def lookup(prompt_lookup: Any, verify: Any, rule: Any, sample: Any) -> None:
    ids = [5, 6, 7, 8, 5, 6]
    got = _tokens(prompt_lookup(ids, 2), "prompt_lookup")
    expect(got != [5, 6], "You returned the matching tokens themselves; what is wanted is what came *behind* them.")
    expect(got != [], "For 5 6 7 8 5 6 nothing was proposed: 5 6 occurred before. Or does your search find only the end itself?")
    expect(got == [7, 8], f"5 6 7 8 5 6 ends like its beginning, and there 7 8 followed; yours: {got}.")
    expect(ids == [5, 6, 7, 8, 5, 6], "prompt_lookup changed the list it was given.")
    got = _tokens(prompt_lookup([1, 2, 1, 3, 1], 5), "prompt_lookup")
    expect(got != [2, 1, 3, 1], "Of several places the *latest* counts; you took the first.")
    expect(got == [3, 1], f"1 2 1 3 1: the last earlier 1 is followed by 3 1; yours: {got}.")
    got = _tokens(prompt_lookup([5, 6, 7, 9, 6, 1, 5, 6], 3), "prompt_lookup")
    expect(got != [1, 5, 6], "The last two tokens, 5 6, occurred before; you matched only the last one. Try long n-grams first.")
    expect(got == [7, 9, 6], f"5 6 7 9 6 1 5 6: behind the earlier 5 6 stand 7 9 6; yours: {got}.")
    got = _tokens(prompt_lookup([1, 2, 3, 9, 2, 3, 8, 1, 2, 3], 2, max_ngram=2), "prompt_lookup")
    expect(got == [8, 1], f"max_ngram=2: only the last two tokens are compared, and the latest 2 3 is followed by 8 1; yours: {got}.")
    for ids in ([], [4], [1, 2, 3]):
        expect(_tokens(prompt_lookup(ids, 3), "prompt_lookup") == [], f"Nothing in {ids} repeats: an empty list is right.")
    expect(_tokens(prompt_lookup([4, 4], 3), "prompt_lookup") == [4], "4 4: the earlier 4 is followed by the last one. The list ends "
                                                                      "there.")
    expect(_tokens(prompt_lookup([1, 2, 1], 0), "prompt_lookup") == [], "num_draft_tokens=0: nothing to propose.")


@prop("5.8", "verify_greedy: as far as the model agrees")
def greedy(prompt_lookup: Any, verify: Any, rule: Any, sample: Any) -> None:
    logits = torch.full((4, 6), -1.0)
    for row, token in enumerate((2, 5, 0, 3)):
        logits[row, token] = 1.0
    with untouched(logits=logits):
        got = _tokens(verify([2, 5, 0], logits), "verify_greedy")
    expect(got != [2, 5, 0], "All three draft tokens are right, and the last row gives one more for free: [2, 5, 0, 3].")
    expect(got == [2, 5, 0, 3], f"The model says 2 5 0 3, the draft 2 5 0: the result is [2, 5, 0, 3]; yours: {got}.")
    got = _tokens(verify([2, 4, 0], logits), "verify_greedy")
    expect(got != [2, 4] and got != [2, 5, 0, 3], "After the first disagreement everything behind it was computed from a wrong token: put "
                                                  "the model's own "
                                                 "token there and stop.")
    expect(got != [2], "At the first disagreement the model's own token comes in: [2, 5]. Otherwise a pass might produce nothing at all.")
    expect(got == [2, 5], f"The model says 2 5 0 3, the draft 2 4 0: 2 is kept, then the model's 5; yours: {got}.")
    expect(_tokens(verify([1, 5, 0], logits), "verify_greedy") == [2], "A draft that is wrong at once: only the model's own token, [2].")
    expect(_tokens(verify([], logits[:1]), "verify_greedy") == [2], "No draft: plain decoding, one token from the only row.")


@prop("5.8", "accept and replace: by hand")
def by_hand(prompt_lookup: Any, verify: Any, rule: Any, sample: Any) -> None:
    target, draft = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.6, 0.2])
    with untouched(target=target, draft=draft):
        acceptance, residual = expect_tuple(rule(target, draft), "acceptance, residual")
    expect_tensor(acceptance, "acceptance", (3,))
    expect_tensor(residual, "residual", (3,))
    expect(not torch.allclose(acceptance, torch.tensor([0.4, 1.0, 1.0])), "You divided draft by target; it is target / draft.")
    expect_close(acceptance, [1.0, 0.5, 1.0], "target (0.5, 0.3, 0.2), draft (0.2, 0.6, 0.2): token 1 is proposed twice too often, so "
                                              "half is kept.")
    expect(not torch.allclose(residual, torch.tensor([0.3, 0.0, 0.0])), "The residual has to be divided by its sum: probabilities sum "
                                                                        "to 1.")
    expect(not torch.allclose(residual, target), "After a rejection you draw from the target again: then the tokens that the draft likes "
                                                 "come too often. "
                                                 "Draw from max(0, target - draft).")
    expect_close(residual, [1.0, 0.0, 0.0], "max(0, target - draft) = (0.3, 0, 0), which sums to 0.3: (1, 0, 0).")


@prop("5.8", "together they give the target, exactly")
def exact(prompt_lookup: Any, verify: Any, rule: Any, sample: Any) -> None:
    for seed in range(6):
        target, draft = _probs(seed, 7), _probs(seed + 50, 7)
        if seed == 3:
            draft[2], target[4] = 0, 0
            draft[5] = target[5] = 0
            target, draft = target / target.sum(), draft / draft.sum()
        acceptance, residual = rule(target, draft)
        expect(bool(torch.isfinite(acceptance).all() and torch.isfinite(residual).all()), "A token that the draft never proposes gave nan "
                                                                                          "or infinity: "
               "its acceptance is 1.")
        out = draft * acceptance + (1 - (draft * acceptance).sum()) * residual
        expect_close(out, target, "draft · acceptance + (share rejected) · residual should be the target.", rtol=0, atol=1e-10)
    p = _probs(9, 5)
    acceptance, residual = rule(p, p)
    expect(bool(torch.isfinite(residual).all()) and abs(float(residual.sum()) - 1) < 1e-9,
           "Where draft and target are equal, max(0, 0) sums to 0: do not "
           "divide by it; return the target.")
    expect_close(acceptance, torch.ones(5), "Where draft and target are equal, everything is accepted.")


@prop("5.8", "speculative_sample: where the tokens come from")
def cases(prompt_lookup: Any, verify: Any, rule: Any, sample: Any) -> None:
    eye = torch.eye(4)
    generator = torch.Generator().manual_seed(0)
    got = _tokens(sample([1, 2], eye[[1, 2]], eye[[1, 2, 3]], generator), "speculative_sample")
    expect(got == [1, 2, 3], f"Draft and target agree fully: both tokens are kept and one more comes from the last row, [1, 2, 3]; yours: "
                             f"{got}.")
    got = _tokens(sample([1, 2], eye[[1, 2]], eye[[1, 0, 3]], generator), "speculative_sample")
    expect(got == [1, 0], f"The target says 1, then 0; the draft 1, 2: the result is [1, 0], and nothing behind a rejection; yours: {got}.")
    got = _tokens(sample([], torch.zeros(0, 4), eye[[2]], generator), "speculative_sample")
    expect(got == [2], f"No draft: one token from the only row; yours: {got}.")
    state = torch.random.get_rng_state()
    runs = [[_tokens(sample([0, 1], _probs(1, 2, 6), _probs(2, 3, 6), g), "speculative_sample") for _ in range(20)]
            for g in (torch.Generator().manual_seed(5), torch.Generator().manual_seed(5), torch.Generator().manual_seed(6))]
    expect(runs[0] == runs[1], "The same generator seed gave different tokens: draw only with `generator=generator`.")
    expect(runs[0] != runs[2], "Another seed gave the same 20 results: is the generator used at all?")
    expect(bool(torch.equal(torch.random.get_rng_state(), state)), "You drew from torch's global generator: pass `generator=generator` to "
                                                                   "every draw.")


@prop("5.8", "speculative_sample: distributed as the target")
def distribution(prompt_lookup: Any, verify: Any, rule: Any, sample: Any) -> None:
    draft, target = torch.tensor([[0.1, 0.7, 0.2]]), torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    generator, proposals = torch.Generator().manual_seed(3), torch.Generator().manual_seed(4)
    drawn = torch.multinomial(draft[0], 1000, replacement=True, generator=proposals).tolist()
    first, second = torch.zeros(3), torch.zeros(3)
    for token in drawn:
        out = _tokens(sample([token], draft, target, generator), "speculative_sample")
        first[out[0]] += 1
        if len(out) > 1:
            second[out[1]] += 1
    share = first / first.sum()
    expect(float((share - target[0]).abs().max()) < 0.06, f"1,000 draws: the first token came out as "
                                                          f"{[round(x, 2) for x in share.tolist()]}, the target is "
           "[0.5, 0.3, 0.2], the draft [0.1, 0.7, 0.2].")
    kept = float(second.sum()) / 1000
    expect(abs(kept - 0.6) < 0.06, f"{kept:.0%} of the draft tokens were kept; Σ min(target, draft) = 60 % should be.")
    share = second / second.sum()
    expect(float((share - target[1]).abs().max()) < 0.06, "The token behind a fully accepted draft comes from the last row of "
                                                          "target_probs; yours is distributed "
           f"as {[round(x, 2) for x in share.tolist()]} instead of [0.1, 0.1, 0.8].")


@prop("5.8", "errors that say so")
def errors(prompt_lookup: Any, verify: Any, rule: Any, sample: Any) -> None:
    p, generator = _probs(3, 3, 5), torch.Generator()
    for call, what in ((lambda: prompt_lookup([1, 2], -1), "num_draft_tokens = -1"), (lambda: prompt_lookup([1, 2], 2, 0), "max_ngram = 0"),
                       (lambda: verify([1, 2], torch.zeros(2, 5)), "verify_greedy: 2 draft tokens and 2 rows"),
                       (lambda: sample([1, 2], p[:2], p[:2], generator), "speculative_sample: 2 draft tokens and 2 target rows"),
                       (lambda: sample([1, 2], p[:1], p, generator), "speculative_sample: 2 draft tokens and 1 draft row")):
        expect_raises(ValueError, call, f"{what} should raise ValueError.")
