"""2.3 Sampling: visible properties and hints."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, expect_shape, hints, prop, untouched

hints(
    "2.3",
    "A token is ruled out by the logit -inf, because exp(-inf) = 0. Every step returns logits, so that steps can follow each other; "
    "softmax comes once, at the end, in `sample`.",
    "top-k: `torch.topk(logits, k).values[..., -1:]` is each row's threshold; what is below it goes. top-p: sort the probabilities, "
    "largest first; `cumsum` minus the token's own share is the mass *before* it; a token stays while that is below p. Then carry the "
    "decision back to the unsorted places (`scatter`, or a threshold).",
    "scale_temperature: refuse what is not positive; divide.\n"
    "keep_top_k: refuse k < 1; k >= vocabulary: everything stays; masked_fill below the k-th value.\n"
    "keep_top_p: refuse p outside (0, 1]; softmax; sort; mass before < p; -inf for the rest, on a copy.\n"
    "sample: softmax, `torch.multinomial(rows, 1, generator=generator)`, leading axes restored.",
)

Fns = Any


def _logits(shape: tuple[int, ...], seed: int, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _same_form(got: Any, logits: Tensor, name: str) -> Tensor:
    expect(isinstance(got, Tensor), f"{name} should return a tensor; yours is a {type(got).__name__}.")
    expect_shape(got, tuple(logits.shape), name, "Every token keeps its place; the ruled out ones get -inf.")
    expect(got.dtype == logits.dtype, f"{name} gave {got.dtype} for {logits.dtype} logits.")
    return got


@prop("2.3", "greedy takes the likeliest")
def greedy_is_argmax(greedy: Fns, scale_temperature: Fns, keep_top_k: Fns, keep_top_p: Fns, sample: Fns) -> None:
    logits = _logits((3, 9), 1)
    got = greedy(logits)
    expect_shape(got, (3,), "greedy(logits)", "One id per row.")
    expect_close(got, logits.argmax(-1), "greedy returns the id of each row's largest logit.")
    expect(int(greedy(torch.tensor([0.0, 5.0, 1.0]))) == 1, "For logits (vocab_size,) greedy returns that one id.")


@prop("2.3", "temperature divides")
def temperature(greedy: Fns, scale_temperature: Fns, keep_top_k: Fns, keep_top_p: Fns, sample: Fns) -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    got = _same_form(scale_temperature(logits, 0.5), logits, "scale_temperature")
    expect(not torch.allclose(got, logits * 0.5), "You multiplied by the temperature: T = 0.5 should make (2, 1, 0) steeper, (4, 2, 0).")
    expect(not torch.allclose(got.sum(-1), torch.ones(1)), "You returned probabilities; each step returns logits, or softmax would be "
                                                           "taken "
                                                           "twice.")
    expect_close(got, [[4, 2, 0]], "Logits divided by T = 0.5 are (4, 2, 0).")
    expect_close(scale_temperature(logits, 1.0), logits, "T = 1 changes nothing.")


@prop("2.3", "top-k by hand, and ties")
def top_k(greedy: Fns, scale_temperature: Fns, keep_top_k: Fns, keep_top_p: Fns, sample: Fns) -> None:
    logits = torch.tensor([[1.0, 4.0, 2.0, 3.0], [9.0, 6.0, 7.0, 8.0]])
    got = _same_form(keep_top_k(logits, 2), logits, "keep_top_k")
    expect(not bool((got == 0).any()), "You set the others to 0; a logit of 0 is still drawn (exp(0) = 1). Use -inf.")
    inf = math.inf
    expect(got.tolist() == [[-inf, 4, -inf, 3], [9, -inf, -inf, 8]],
           f"k = 2 of (1, 4, 2, 3) and (9, 6, 7, 8) keeps 4, 3 and 9, 8 in their places; yours: {got.tolist()}. Each row has its own "
           "threshold.")
    tied = keep_top_k(torch.tensor([1.0, 2.0, 2.0, 0.0]), 1)
    expect(tied.tolist() == [-inf, 2, 2, -inf], f"Two tokens share the largest logit: k = 1 keeps both (as transformers does); yours "
                                                f"{tied.tolist()}.")
    for k in (4, 50):
        expect_close(keep_top_k(logits, k), logits, f"k = {k} of 4 tokens keeps them all.")


@prop("2.3", "top-p by hand")
def top_p(greedy: Fns, scale_temperature: Fns, keep_top_k: Fns, keep_top_p: Fns, sample: Fns) -> None:
    shares = torch.tensor([0.1, 0.45, 0.15, 0.3])
    logits = shares.log() + 3  # a constant changes no probability
    for p, want in ((0.5, [1, 3]), (0.44, [1]), (0.8, [1, 2, 3]), (0.95, [0, 1, 2, 3])):
        got = _same_form(keep_top_p(logits.clone(), p), logits, "keep_top_p")
        kept = got.isfinite().nonzero().flatten().tolist()
        expect(kept, f"p = {p} ruled out every token: the likeliest always stays, or nothing could be drawn.")
        if p == 0.5:
            expect(kept != [1], "p = 0.5 with shares 0.45, 0.3, …: 0.45 alone does not reach 0.5, so the token that crosses it (0.3) stays "
                                "too. Ask for the mass *before* a token.")
            expect(kept != [1, 2, 3], "p = 0.5: 0.45 and 0.3 reach 0.75 together; you kept one token too many.")
        expect(kept == want, f"Shares 0.1, 0.45, 0.15, 0.3 and p = {p}: the nucleus is tokens {want}; yours {kept}.")
        expect_close(got[kept], logits[kept], "The logits that stay keep their values.")


@prop("2.3", "each row has its own nucleus, in its own places")
def rows(greedy: Fns, scale_temperature: Fns, keep_top_k: Fns, keep_top_p: Fns, sample: Fns) -> None:
    logits = torch.stack([_logits((30,), 2, 6.0), _logits((30,), 3, 0.3)])
    got = keep_top_p(logits.clone(), 0.9)
    sizes = got.isfinite().sum(-1).tolist()
    alone = [int(keep_top_p(row.clone(), 0.9).isfinite().sum()) for row in logits]
    expect(sizes == alone, f"Two rows together have nuclei of {sizes} tokens, one by one {alone}: rows must not mix.")
    expect(sizes[0] < sizes[1], f"A peaked and a flat row have nuclei of {sizes} tokens: top-p adapts to the distribution.")
    for row, kept in zip(logits, got):
        mass = float(row.softmax(-1)[kept.isfinite()].sum())
        expect(mass >= 0.9 - 1e-5, f"What stays has probability {mass:.3f} together, below p = 0.9. Are the kept places sorted ones?")
        low, high = row[kept.isfinite()].min(), row[~kept.isfinite()].max()
        expect(low >= high, "A token was ruled out that is likelier than one that stays: the decision belongs to sorted places, carry it "
                            "back to the original ones.")


@prop("2.3", "steps compose")
def compose(greedy: Fns, scale_temperature: Fns, keep_top_k: Fns, keep_top_p: Fns, sample: Fns) -> None:
    logits = _logits((4, 50), 5)
    step = keep_top_k(scale_temperature(logits, 0.7), 10)
    both = keep_top_p(step, 0.8)
    expect(bool(both[step.isneginf()].isneginf().all()), "keep_top_p after keep_top_k brought a token back.")
    expect(not bool(both.isnan().any()), "A logit of -inf from the step before became nan.")
    for row, before in zip(both, step):
        mass = float(before.softmax(-1)[row.isfinite()].sum())
        expect(mass >= 0.8 - 1e-5, f"After top-k the ten tokens that are left share the whole probability; what you kept has {mass:.3f} of "
                                   "it, below p = 0.8. Take the softmax of the logits you are given.")
    expect_close(keep_top_p(logits, 1.0), logits, "p = 1 keeps everything.")


@prop("2.3", "sample follows the probabilities")
def drawn(greedy: Fns, scale_temperature: Fns, keep_top_k: Fns, keep_top_p: Fns, sample: Fns) -> None:
    shares = torch.tensor([0.5, 0.0, 0.3, 0.2])
    n = 4000
    generator = torch.Generator().manual_seed(11)
    ids = sample(shares.log().expand(n, 4), generator=generator)
    expect_shape(ids, (n,), "sample(logits)", "One id per row.")
    counts = torch.bincount(torch.as_tensor(ids), minlength=4)
    expect(counts[1] == 0, f"A token with logit -inf was drawn {int(counts[1])} times.")
    expect(int(counts.max()) < n, "4,000 draws were all the same token: draw from the probabilities, do not take the largest.")
    statistic = float((((counts - n * shares) ** 2)[shares > 0] / (n * shares)[shares > 0]).sum())
    expect(statistic < 20, f"4,000 draws from (0.5, 0, 0.3, 0.2) came out as {[round(c / n, 3) for c in counts.tolist()]}, which chance "
                           f"does "
                           "once in 10,000 times. Are you drawing from softmax(logits)?")
    expect_shape(sample(_logits((2, 3, 5), 1), generator=generator), (2, 3), "sample of (2, 3, 5) logits", "All leading axes stay.")
    one = sample(torch.tensor([0.0, 50.0, 0.0]), generator=generator)
    expect(int(one) == 1, "For logits (vocab_size,) sample returns one id.")


@prop("2.3", "the same seed draws the same")
def seeded(greedy: Fns, scale_temperature: Fns, keep_top_k: Fns, keep_top_p: Fns, sample: Fns) -> None:
    logits = _logits((200, 12), 7, 1.0)
    first, second = (torch.as_tensor(sample(logits, generator=torch.Generator().manual_seed(3))) for _ in range(2))
    expect(torch.equal(first, second), "Two generators with the same seed drew different tokens: pass the generator on to the draw.")
    generator = torch.Generator().manual_seed(3)
    third, fourth = (torch.as_tensor(sample(logits, generator=generator)) for _ in range(2))
    expect(not torch.equal(third, fourth), "One generator drew the same 200 tokens twice: do not seed inside `sample`.")
    sample(logits)


@prop("2.3", "inputs and errors")
def errors(greedy: Fns, scale_temperature: Fns, keep_top_k: Fns, keep_top_p: Fns, sample: Fns) -> None:
    logits = _logits((2, 8), 8)
    with untouched(logits=logits):
        greedy(logits)
        scale_temperature(logits, 0.5)
        keep_top_k(logits, 3)
        keep_top_p(logits, 0.5)
        sample(logits)
    for bad in (0.0, -1.0):
        expect_raises(ValueError, partial(scale_temperature, logits, bad), f"Temperature {bad} should raise "
                                                                              f"ValueError.")
    for k in (0, -2):
        expect_raises(ValueError, partial(keep_top_k, logits, k), f"top_k = {k} should raise ValueError.")
    for p in (0.0, 1.5, -0.1):
        expect_raises(ValueError, partial(keep_top_p, logits, p), f"top_p = {p} should raise ValueError.")
