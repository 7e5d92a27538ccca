"""6.2 Process supervision: visible properties and hints."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.reasoning.scratchpad import Chain

hints(
    "6.2",
    "Each step is judged by itself, from what the line before *wrote*, not from what it should have written. In the loss, steps that do "
    "not exist "
    "must not only weigh nothing: what stands there may be NaN, and 0 · NaN is NaN.",
    "`logits[mask]` and `labels[mask]` leave the padding out altogether; `binary_cross_entropy_with_logits` is stable where "
    "log(sigmoid(x)) is not. For best_of_n sort by score: the candidate at place i (from 0) of N is the best of a set of n exactly when "
    "the other "
    "n − 1 come from the i below it, `math.comb(i, n - 1)` of `math.comb(N, n)` sets.",
    "step_labels: keep `stands` (the start, then each line's after); a step is right when before == stands, its operation is the "
    "question's, and "
    "after == apply(before, operation); lines beyond the question's last are wrong.\n"
    "best_of_n: group equal scores, ascending; a group from place a to place b holds the best in comb(b, n) - comb(a, n) sets, and its "
    "share of "
    "right ones counts for all of them.",
)

Fns = Any


def _question(start: int, *operations: str) -> Chain:
    return Chain(start, operations)


@prop("6.2", "a sound trace, and one wrong step")
def labels_by_hand(step_labels: Fns, process_loss: Fns, trace_score: Fns, best_of_n: Fns) -> None:
    question = _question(7, "+5", "*3", "-8")
    got = list(step_labels(question, [(7, "+5", 2), (2, "*3", 6), (6, "-8", 8)]))
    expect(len(got) == 3, f"Three steps have three labels; you gave {len(got)}.")
    expect(got == [True, True, True], f"7 +5 = 2, 2 *3 = 6, 6 -8 = 8 (only the last digit is kept) is right throughout; yours: {got}.")
    got = list(step_labels(question, [(7, "+5", 2), (2, "*3", 7), (7, "-8", 9)]))
    expect(got != [True, False, False], "2 *3 = 7 is wrong, but 7 -8 = 9 is right: a step is judged from the value that the line before "
                                        "wrote. That "
                                        "is the partial credit.")
    expect(got == [True, False, True], f"7 +5 = 2, 2 *3 = 7, 7 -8 = 9: only the second step is wrong; yours: {got}.")


@prop("6.2", "wrong copies, wrong operations, errors that cancel")
def labels_of_errors(step_labels: Fns, process_loss: Fns, trace_score: Fns, best_of_n: Fns) -> None:
    question = _question(7, "+5", "*3", "-8")
    got = list(step_labels(question, [(7, "+5", 2), (4, "*3", 2), (2, "-8", 4)]))
    expect(got == [True, False, True], f"The line before wrote 2, the second step goes on from 4: a wrong copy, though 4 *3 = 2 is right "
                                       f"by itself; "
                                       f"yours: {got}.")
    got = list(step_labels(question, [(7, "+5", 2), (2, "+3", 5), (5, "-8", 7)]))
    expect(got == [True, False, True], f"*3 was asked for and +3 was done: that step is wrong; yours: {got}.")
    got = list(step_labels(question, [(7, "+5", 3), (3, "*3", 6), (6, "-8", 8)]))
    expect(got == [False, False, True], f"7 +5 = 3 and 3 *3 = 6 are both wrong, although the last line holds the right answer, 8; yours: "
                                        f"{got}. The "
                                        "answer is no evidence for the steps.")
    got = list(step_labels(question, [(6, "+5", 1), (1, "*3", 3), (3, "-8", 5)]))
    expect(got == [False, True, True], f"The question starts at 7, the trace at 6: the first step is wrong; yours: {got}.")


@prop("6.2", "short and long traces")
def labels_of_lengths(step_labels: Fns, process_loss: Fns, trace_score: Fns, best_of_n: Fns) -> None:
    question = _question(1, "+1", "+1")
    expect(list(step_labels(question, [(1, "+1", 2)])) == [True], "A trace that stops early is judged as far as it goes.")
    expect(list(step_labels(question, [])) == [], "No steps, no labels.")
    got = list(step_labels(question, [(1, "+1", 2), (2, "+1", 3), (3, "+1", 4)]))
    expect(got == [True, True, False], f"The question has two operations, so a third step is wrong; yours: {got}.")


@prop("6.2", "the loss by hand")
def loss_by_hand(step_labels: Fns, process_loss: Fns, trace_score: Fns, best_of_n: Fns) -> None:
    every = torch.ones(1, 2, dtype=torch.bool)
    got = process_loss(torch.zeros(1, 2), torch.tensor([[True, False]]), every)
    expect(isinstance(got, torch.Tensor) and got.ndim == 0, "process_loss returns one number, a tensor without axes.")
    expect(abs(float(got) - 2 * math.log(2)) > 1e-6, "You summed over the steps: average.")
    expect_close(float(got), math.log(2), "A logit of 0 is a probability of one half: the loss of each step is ln 2 = 0.693.")
    logits = torch.tensor([[2.0, -1.0]])
    want = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    got = float(process_loss(logits, torch.tensor([[1.0, 0.0]]), every))
    expect(abs(got - (2 + math.log(1 + math.exp(-2)) + 1 + math.log(1 + math.exp(-1))) / 2) > 1e-6,
           "Your loss is that of the opposite labels: 1 means the step is right, and a high logit says so.")
    expect_close(got, want, "Logits 2 and −1 for a right and a wrong step.")
    large = float(process_loss(torch.tensor([[120.0, -120.0]]), torch.tensor([[False, True]]), every))
    expect(math.isfinite(large), f"Logits of ±120 gave {large}: sigmoid became 0 or 1 and its logarithm infinite. Use a form on logits.")
    expect_close(large, 120.0, "A logit of 120 for a wrong step costs 120.", rtol=1e-4)


@prop("6.2", "only steps that exist count")
def loss_mask(step_labels: Fns, process_loss: Fns, trace_score: Fns, best_of_n: Fns) -> None:
    logits = torch.tensor([[0.0, 0.0, 9.0], [0.0, 9.0, 9.0]], requires_grad=True)
    labels, mask = torch.zeros(2, 3, dtype=torch.bool), torch.tensor([[1, 1, 0], [1, 0, 0]], dtype=torch.bool)
    got = process_loss(logits, labels, mask)
    expect(abs(float(got.detach()) - 3 * math.log(2) / 6) > 1e-5, "You divided by all places; three steps exist, so divide by three.")
    expect_close(float(got.detach()), math.log(2), "Three steps exist, each with loss ln 2.")
    with torch.no_grad():
        logits[0, 2] = math.nan
        logits[1, 2] = math.inf
    loss = process_loss(logits, labels, mask)
    expect(math.isfinite(float(loss.detach())), "NaN stands where no step exists, and your loss became NaN: 0 · NaN is NaN. Select, do not "
                                       "multiply.")
    (gradient,) = torch.autograd.grad(loss, logits)
    expect(bool(gradient.isfinite().all()), "The loss is finite, its gradient is not: what stands in the padding reaches it. Select before "
                                            "computing.")
    expect(bool((gradient[~mask] == 0).all()), "Padding got a gradient.")
    expect_close(gradient[mask], [1 / 6] * 3, "The gradient of each of three steps with logit 0 and label wrong is ½ / 3.")
    per_trace = process_loss(torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.zeros(2, 2), torch.tensor([[True, True], [True, False]]))
    expect_close(float(per_trace), (2 * math.log(2) + math.log(1 + math.exp(3))) / 3, "One mean over all steps of all traces; a mean of "
                                                                                      "the traces' "
                                                                                      "means weighs steps of short traces more.")


@prop("6.2", "one score for a trace")
def score(step_labels: Fns, process_loss: Fns, trace_score: Fns, best_of_n: Fns) -> None:
    p = [0.9, 0.5, 0.8]
    expect_close(trace_score(p), 0.36, "By default the product: 0.9 · 0.5 · 0.8 = 0.36.")
    for how, want in (("prod", 0.36), ("min", 0.5), ("last", 0.8)):
        expect_close(trace_score(p, how), want, f"how = {how!r} of 0.9, 0.5, 0.8 is {want}.")
    expect_close(trace_score(torch.tensor(p), "min"), 0.5, "A tensor of probabilities works as well.")
    expect_raises(ValueError, partial(trace_score, [], "prod"), "A trace without steps should raise ValueError.")
    expect_raises(ValueError, partial(trace_score, p, "mean"), "how = 'mean' is not on the list: ValueError.")


@prop("6.2", "the best of n, by hand")
def best_by_hand(step_labels: Fns, process_loss: Fns, trace_score: Fns, best_of_n: Fns) -> None:
    scores, right = [0.1, 0.9, 0.5], [True, True, False]
    expect_close(best_of_n(scores, right, 1), 2 / 3, "n = 1 takes any candidate: two of three are right.")
    expect_close(best_of_n(scores, right, 3), 1.0, "n = 3 takes the best of all, 0.9, which is right.")
    got = best_of_n(scores, right, 2)
    expect_close(got, 2 / 3, "n = 2: {0.1, 0.9} and {0.9, 0.5} pick a right one, {0.1, 0.5} picks 0.5, a wrong one: 2 of 3.")
    expect_close(best_of_n([3.0, 2.0, 1.0], [False, True, True], 2), 1 / 3, "Scores 3 (wrong), 2, 1: only {2, 1} picks a right one. Is the "
                                                                            "*largest* "
                                                                            "score the best, and are subsets drawn without replacement?")


@prop("6.2", "equal scores")
def best_ties(step_labels: Fns, process_loss: Fns, trace_score: Fns, best_of_n: Fns) -> None:
    got = [best_of_n([1.0, 1.0], order, 2) for order in ([True, False], [False, True])]
    expect(abs(got[0] - got[1]) < 1e-9, f"Two candidates with the same score, one right: {got[0]:g} when the right one stands first, "
                                        f"{got[1]:g} when last. "
                                        "Equal scores are taken equally often, whatever their order.")
    expect_close(got[0], 0.5, "Two candidates with the same score, one right: one half.")
    expect_close(best_of_n([0.0, 1.0, 1.0, 1.0], [True, True, False, False], 2), 1 / 3, "0 loses against any 1; of the three equal ones "
                                                                                        "one is right.")


@prop("6.2", "inputs and errors")
def errors(step_labels: Fns, process_loss: Fns, trace_score: Fns, best_of_n: Fns) -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    labels, mask = torch.ones(3, 4), torch.ones(3, 4, dtype=torch.bool)
    with untouched(logits=logits, labels=labels):
        process_loss(logits, labels, mask)
    scores, right = [0.3, 0.1, 0.2], [True, False, False]
    best_of_n(scores, right, 2)
    expect(scores == [0.3, 0.1, 0.2] and right == [True, False, False], "best_of_n sorted the caller's lists in place.")
    expect_raises(ValueError, partial(process_loss, logits, labels, ~mask),
                  "A mask without any step should raise ValueError.")
    expect_raises(ValueError, partial(process_loss, logits, labels[:1], mask), "Labels (1, 4) for logits (3, 4) should raise ValueError, "
                                                                               "not broadcast.")
    for n in (0, 4):
        expect_raises(ValueError, partial(best_of_n, scores, right, n), f"n = {n} of 3 candidates should raise ValueError.")
    expect_raises(ValueError, partial(best_of_n, scores, right[:2], 1), "3 scores with 2 labels should raise ValueError.")
