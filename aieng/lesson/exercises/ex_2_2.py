"""2.2 Cross entropy, perplexity and the bigram model: visible properties and hints."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, expect_shape, hints, prop, untouched

hints(
    "2.2",
    "log softmax of the target is logit[target] - log(sum of exp(logits)). `torch.logsumexp` computes the second term without overflow "
    "(or subtract the row's maximum first, yourself). Then pick out the rows that count, and only then take the mean.",
    "`counts = targets != ignore_index` is a mask that selects rows: `logits[counts]`, `targets[counts]`. `gather` picks one logit per "
    "row. Perplexity is exp of the *mean* loss. For bigrams, `torch.bincount` of this · vocab_size + next counts all pairs at once.",
    "cross_entropy: compare shapes, check the range of the counted targets, keep counted rows, logsumexp - gathered logit, mean.\n"
    "perplexity: math.exp of it, as a float.\n"
    "bigram: counts (vocab_size, vocab_size) with row = this token, column = next; add smoothing; divide each row by its sum; rows "
    "whose sum is 0 get 1 / vocab_size.",
)


def _case(shape: tuple[int, ...], vocab: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(*shape, vocab, generator=generator), torch.randint(vocab, shape, generator=generator)


def _value(loss: Any, name: str) -> float:
    expect(isinstance(loss, Tensor), f"{name} should return a tensor with one number; yours is a {type(loss).__name__}.")
    expect_shape(loss, (), name, "One number for the whole batch: the mean.")
    return float(loss)


@prop("2.2", "the example by hand")
def by_hand(cross_entropy: Any, perplexity: Any, bigram_probabilities: Any) -> None:
    loss = _value(cross_entropy(torch.zeros(3, 8), torch.tensor([0, 3, 7])), "cross_entropy")
    expect(loss > 0, f"A loss of {loss:.4f}: cross entropy is *minus* log p, so it is positive.")
    expect(abs(loss - 3) > 1e-3, "8 equal logits cost log 8 = 2.079 nats; you gave 3, which is in bits: use the natural logarithm.")
    expect_close(loss, math.log(8), "8 equal logits cost log 8 each, whichever token is right.")
    expect_close(perplexity(torch.zeros(3, 8), torch.tensor([0, 3, 7])), 8, "Its perplexity is 8: as unsure as among 8 equal tokens.")


@prop("2.2", "minus the log probability of the target")
def formula(cross_entropy: Any, perplexity: Any, bigram_probabilities: Any) -> None:
    logits, targets = _case((6,), 11, 1)
    log_p = logits.double().log_softmax(-1)
    want = -log_p[torch.arange(6), targets].mean()
    got = _value(cross_entropy(logits, targets), "cross_entropy")
    expect(abs(got - 6 * float(want)) > 1e-3, f"You gave {got:.4f}, the sum over the 6 rows; the loss is their mean, {float(want):.4f}.")
    expect(abs(got + float(logits[torch.arange(6), targets].mean())) > 1e-4,
           "You took minus the logit itself: a logit is no log probability before log(sum of exp) is subtracted.")
    probabilities = logits.double().softmax(-1)
    twice = -probabilities.log_softmax(-1)[torch.arange(6), targets].mean()
    expect(abs(got - float(twice)) > 1e-4, f"You gave {got:.4f}, which is what comes out when softmax is applied twice.")
    expect_close(got, want, "The loss is the mean of -log softmax(logits)[target].")


@prop("2.2", "any leading axes")
def axes(cross_entropy: Any, perplexity: Any, bigram_probabilities: Any) -> None:
    logits, targets = _case((3, 5), 7, 2)
    got = _value(cross_entropy(logits, targets), "cross_entropy")
    want = torch.nn.functional.cross_entropy(logits.reshape(-1, 7), targets.reshape(-1))
    expect_close(got, want, "For (batch, tokens, vocab_size) the mean runs over batch and tokens, the softmax over the vocabulary.")


@prop("2.2", "ignored targets count nowhere")
def ignored(cross_entropy: Any, perplexity: Any, bigram_probabilities: Any) -> None:
    logits, targets = _case((4, 6), 9, 3)
    hidden = targets.clone()
    hidden[:, :4] = -100
    want = float(torch.nn.functional.cross_entropy(logits[:, 4:].reshape(-1, 9), targets[:, 4:].reshape(-1)))
    got = _value(cross_entropy(logits, hidden), "cross_entropy")
    expect(abs(got - want / 3) > 1e-4, f"You divided by all 24 positions: the loss is {want:.4f} over the 8 that count, you gave "
                                       f"{got:.4f}. "
                                       "Otherwise a longer prompt would make a smaller loss.")
    expect_close(got, want, "Rows whose target is -100 count neither in the sum nor in the number it is divided by.")
    moved = logits.clone()
    moved[:, :4] += torch.randn(4, 4, 9, generator=torch.Generator().manual_seed(0))
    expect_close(cross_entropy(moved, hidden), got, "Other logits at ignored positions changed your loss.")
    named = hidden.masked_fill(hidden == -100, 0)
    by_zero = torch.nn.functional.cross_entropy(logits.reshape(-1, 9), named.reshape(-1), ignore_index=0)
    expect_close(cross_entropy(logits, named, ignore_index=0), by_zero, "The target to ignore is the argument ignore_index.")


@prop("2.2", "large logits do not overflow")
def stable(cross_entropy: Any, perplexity: Any, bigram_probabilities: Any) -> None:
    logits, targets = _case((5,), 6, 4)
    for shift in (1e4, -1e4):
        got = _value(cross_entropy(logits.double() + shift, targets), "cross_entropy")
        expect(math.isfinite(got), f"Logits around {shift:g} gave {got}: exp() ran out of range. Subtract each row's largest logit first.")
        expect_close(got, torch.nn.functional.cross_entropy(logits.double(), targets),
                     "A constant added to all logits of a row changes nothing.", rtol=1e-6)
    sure = torch.tensor([[200.0, 0.0]])
    expect_close(cross_entropy(sure, torch.tensor([1])), 200, "Logits 200 and 0 with the second right: the loss is 200, not infinity. "
                                                              "Do not take the log of a probability that has become 0.")


@prop("2.2", "gradients flow")
def gradient(cross_entropy: Any, perplexity: Any, bigram_probabilities: Any) -> None:
    logits, targets = _case((4,), 5, 5)
    logits.requires_grad_(True)
    loss = cross_entropy(logits, targets)
    expect(loss.requires_grad, "The loss has lost its gradient: stay in torch (no .item(), no numpy) until it is returned.")
    (grad,) = torch.autograd.grad(loss, logits)
    want = (logits.detach().softmax(-1) - torch.nn.functional.one_hot(targets, 5)) / 4
    expect_close(grad, want, "The gradient of the loss is (softmax - one-hot) / rows.", rtol=1e-4)


@prop("2.2", "perplexity is exp of the mean")
def of_the_mean(cross_entropy: Any, perplexity: Any, bigram_probabilities: Any) -> None:
    logits, targets = _case((40,), 30, 6)
    each = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    got = float(perplexity(logits, targets))
    expect(abs(got - float(each.exp().mean())) > 1e-2, f"You gave {got:.2f}, the mean of the exponentials; perplexity is the exponential "
                                                       f"of "
                                                       f"the mean loss, {float(each.mean().exp()):.2f}.")
    expect_close(got, each.mean().exp(), "Perplexity is exp(cross entropy).", rtol=1e-4)
    targets[:30] = -100
    expect_close(perplexity(logits, targets), each[30:].mean().exp(), "Ignored targets count nowhere in perplexity either.", rtol=1e-4)
    got = perplexity(logits, targets.masked_fill(targets == -100, 77), ignore_index=77)
    expect_close(got, each[30:].mean().exp(), "perplexity has to pass its ignore_index on.", rtol=1e-4)


@prop("2.2", "bigrams: counted, smoothed, divided")
def bigrams(cross_entropy: Any, perplexity: Any, bigram_probabilities: Any) -> None:
    ids = torch.tensor([0, 1, 0, 1, 0, 2])
    plain = bigram_probabilities(ids, 4, smoothing=0.0)
    expect_shape(plain, (4, 4), "bigram_probabilities", "Row: this token, column: the next.")
    first = torch.as_tensor(plain)[0]
    expect(not torch.allclose(torch.as_tensor(plain)[:, 0].double(), torch.tensor([0, 2 / 3, 1 / 3, 0]).double(), atol=1e-4),
           "Your table is turned round: row = this token, column = the next one.")
    expect_close(first, [0, 2 / 3, 1 / 3, 0], "In 0 1 0 1 0 2 the token 0 is followed by 1 twice and by 2 once.")
    expect_close(torch.as_tensor(plain)[3], [0.25] * 4, "Token 3 never occurs: with nothing counted its row is uniform, not 0 or nan.")
    smooth = torch.as_tensor(bigram_probabilities(ids, 4, smoothing=1.0))
    expect_close(smooth[0], [1 / 7, 3 / 7, 2 / 7, 1 / 7], "Smoothing 1 adds 1 to every count before dividing: (0+1, 2+1, 1+1, 0+1) / 7.")
    expect_close(smooth.sum(-1), [1] * 4, "Each row sums to 1.")
    expect(smooth.is_floating_point(), "Probabilities are floats.")


@prop("2.2", "inputs and errors")
def errors(cross_entropy: Any, perplexity: Any, bigram_probabilities: Any) -> None:
    logits, targets = _case((4,), 5, 7)
    targets[1] = -100
    with untouched(logits=logits, targets=targets):
        cross_entropy(logits, targets)
        perplexity(logits, targets)
    expect_raises(ValueError, lambda: cross_entropy(logits, targets[:3]), "4 rows of logits and 3 targets should raise ValueError.")
    expect_raises(ValueError, lambda: cross_entropy(logits, torch.tensor([0, 1, 2, 5])),
                  "Target 5 of a vocabulary of 5 (0 to 4) should raise ValueError.")
    expect_raises(ValueError, lambda: cross_entropy(logits, torch.tensor([0, 1, 2, -1])),
                  "Target -1 should raise ValueError; indexing from the end would quietly take the last token.")
    expect_raises(ValueError, lambda: bigram_probabilities(torch.tensor([0, 1]), 3, smoothing=-1.0),
                  "Negative smoothing should raise ValueError.")
