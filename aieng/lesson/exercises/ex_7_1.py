"""7.1 Causal mask and masked attention: visible properties and hints."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from aieng.lesson.checking import expect, expect_close, expect_raises, expect_shape, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, normal
from aieng.lesson.exercises.watching import one_thread

hints(
    "7.1",
    "Where does query i stand among the keys? Without a cache at position i; with more keys than queries they are the last positions, so "
    "at keys − queries + i. It sees the keys up to its own position. For the softmax: subtract each row's largest score before `exp`, and "
    "think of the row whose largest score is −∞.",
    "`torch.arange(keys)[None, :] > position_of_query[:, None]` is True where a key is later; `masked_fill` puts −inf there (multiplying "
    "by −inf gives 0 · −∞ = NaN where nothing is hidden). Scores: `q @ k.mT / math.sqrt(head_dim)`, plus the mask if there is one. "
    "Weights: exponentials over their sum; where the sum is 0, divide by 1.",
    "causal_mask: refuse keys < queries; compare key numbers with query positions; zeros, −inf where later, in the dtype asked for.\n"
    "attention_weights: scores; add mask; highest = row maximum, replaced by 0 where it is −inf; e = exp(scores − highest); "
    "e / (row sum, replaced by 1 where it is 0).\n"
    "masked_attention: those weights @ v.",
)


def _qkv(*shape: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    return normal(seed, *shape), normal(seed + 1, *shape), normal(seed + 2, *shape)


def _hidden(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The truth, made without the learner's function."""
    later = torch.tensor([[j > i for j in range(n)] for i in range(n)])
    return torch.zeros(n, n, dtype=dtype).masked_fill(later, -math.inf)


@prop("7.1", "the mask of four tokens")
def four(causal_mask: Any, attention_weights: Any, masked_attention: Any) -> None:
    mask = expect_tensor(causal_mask(4), "causal_mask(4)", (4, 4))
    expect(mask.dtype != torch.bool, "`causal_mask` gave True and False; this mask is *added* to scores: 0 where a query may look, −inf "
                                     "where not.")
    expect(not mask.isnan().any(), "Your mask holds NaN: 0 · −inf is NaN. Fill −inf in where it belongs (`masked_fill`) instead of "
                                   "multiplying.")
    expect(bool(torch.isneginf(mask).any()), f"Nothing in your mask is −inf; its smallest number is {float(mask.min()):.3g}. "
           "A large negative number hides a key only as long as the scores are small.")
    hidden = torch.isneginf(mask)
    upper = torch.ones(4, 4, dtype=torch.bool).triu(1)
    expect(not torch.equal(hidden, upper.T), "Your mask hides the past and shows the future: rows are queries, columns are keys.")
    expect(not torch.equal(hidden, ~upper), "Your mask hides what it should show, and the other way round.")
    expect(not bool(hidden.diagonal().any()), "Your mask hides each token from itself, and leaves the first one nothing to look at: key "
                                              "i is not "
           "later than query i.")
    expect(not torch.equal(hidden, torch.ones(4, 4, dtype=torch.bool).triu(2)),
           "Your mask shows each query one token of the future: the very one that it has to predict.")
    expect(torch.equal(hidden, upper), f"Row i should hide the keys i + 1, i + 2, …; yours hides {hidden.int().tolist()} (1: hidden).")
    expect(not mask[~upper].any(), "Where a query may look, the mask is 0, so that the score stays as it is.")
    expect_tensor(causal_mask(1), "causal_mask(1)", (1, 1))
    for dtype in (torch.float64, torch.bfloat16):
        expect_tensor(causal_mask(3, dtype=dtype), f"causal_mask(3, dtype={dtype})", (3, 3), dtype)


@prop("7.1", "more keys than queries")
def cached(causal_mask: Any, attention_weights: Any, masked_attention: Any) -> None:
    mask = expect_tensor(causal_mask(2, 5), "causal_mask(2, 5)", (2, 5), hint="(queries, keys)")
    seen = (mask == 0).sum(-1).tolist()
    expect(seen != [1, 2], "With 2 queries and 5 keys, yours see 1 and 2 keys: you aligned top-left, as torch's `is_causal` does. The "
                           "queries are "
           "the *last* positions, so they see 4 and 5.")
    expect(seen == [4, 5] and bool((mask[0, :4] == 0).all()),
           f"With 2 queries and 5 keys, the queries stand at positions 3 and 4 and see 4 and 5 keys; yours see {seen}.")
    one = expect_tensor(causal_mask(1, 6), "causal_mask(1, 6)", (1, 6))
    expect(not one.any(), "One new query is the last position: it may look at all 6 keys.")
    expect_raises(ValueError, lambda: causal_mask(3, 2),
                  "3 queries and 2 keys should raise ValueError: the queries are among the keys' positions.")


@prop("7.1", "the example by hand")
@one_thread
def by_hand(causal_mask: Any, attention_weights: Any, masked_attention: Any) -> None:
    q, k = torch.ones(1, 1), torch.tensor([[math.log(2.0)], [0.0], [math.log(5.0)]])
    free = expect_tensor(attention_weights(q, k), "attention_weights(q, k)", (1, 3), hint="(queries, keys)")
    expect_close(free.detach(), [[0.25, 0.125, 0.625]],
                 "The scores (ln 2, 0, ln 5) without a mask give the weights 2/8, 1/8, 5/8.", rtol=1e-4)
    got = expect_tensor(attention_weights(q, k, torch.tensor([[0.0, 0.0, -math.inf]])), "attention_weights with a mask", (1, 3))
    expect(not torch.allclose(got, free), "The mask changed nothing: add it to the scores before the softmax.")
    expect(not torch.allclose(got[0, :2], free[0, :2]),
           "The hidden key got 0, but the other two still have 2/8 and 1/8: you set weights to 0 after the softmax, "
           "and the row no longer adds up to 1. Add the mask before the softmax.")
    expect_close(got.detach(), [[2 / 3, 1 / 3, 0]], "With the third key hidden, the weights are 2/3, 1/3 and 0.", rtol=1e-4)
    mixed = expect_tensor(masked_attention(q, k, torch.tensor([[3.0], [6.0], [100.0]]), torch.tensor([[0.0, 0.0, -math.inf]])), "output",
                          (1, 1))
    expect_close(mixed.detach(), [[4.0]], "Weights 2/3, 1/3, 0 of the values 3, 6, 100 give 4.", rtol=1e-4)


@prop("7.1", "weights: scaled, and rows that add up to 1")
@one_thread
def rows(causal_mask: Any, attention_weights: Any, masked_attention: Any) -> None:
    q, k, _ = _qkv(2, 3, 6, 16, seed=20)
    want = torch.softmax(q @ k.mT / 4 + _hidden(6), -1)
    got = expect_tensor(attention_weights(q, k, _hidden(6)), "weights", (2, 3, 6, 6), hint="(batch, heads, queries, keys)")
    unscaled = torch.softmax(q @ k.mT + _hidden(6), -1)
    expect(not torch.allclose(got, unscaled, atol=1e-4), "Your scores lack the factor 1/√head_dim.")
    expect(not torch.allclose(got, torch.softmax(q @ k.mT / 16 + _hidden(6), -1), atol=1e-4),
           "You divided by head_dim; divide by its square root.")
    expect(not torch.allclose(got, torch.softmax((q @ k.mT + _hidden(6)) / math.sqrt(6), -1), atol=1e-4),
           "You divided by the root of the number of keys; it is the root of head_dim, the last axis of q.")
    sums = got.sum(-1)
    expect(not torch.allclose(got.sum(-2), torch.ones(2, 3, 6), atol=1e-3),
           "Your columns add up to 1: the softmax goes over the keys, the last axis.")
    expect_close(sums.detach(), torch.ones(2, 3, 6), "Each row of weights adds up to 1.", rtol=1e-4)
    expect(not got[..., _hidden(6) < 0].any(), "A hidden key has some weight left; exp(−inf) is exactly 0.")
    expect_close(got.detach(), want, "Some weights differ from softmax(q kᵀ / √head_dim + mask).", rtol=1e-4, atol=1e-6)


@prop("7.1", "attention over values, any leading axes")
@one_thread
def output(causal_mask: Any, attention_weights: Any, masked_attention: Any) -> None:
    for shape in ((5, 8), (3, 5, 8), (2, 3, 5, 8)):
        q, k, v = _qkv(*shape, seed=30)
        v = v[..., :3]
        got = masked_attention(q, k, v, _hidden(5))
        expect_shape(got, (*shape[:-1], 3), f"output for q of shape {shape}", "(..., queries, value_dim)")
        expect_close(got.detach(), scaled_dot_product_attention(q, k, v, is_causal=True),
                     "The output is not causal attention over the values.", rtol=1e-4, atol=1e-5)
    q, k, v = _qkv(2, 3, 5, 8, seed=40)
    expect_close(masked_attention(q, k, v).detach(), scaled_dot_product_attention(q, k, v),
                 "Without a mask every query sees every key; is yours always masked?",
                 rtol=1e-4, atol=1e-5)
    one = torch.zeros(2, 1, 1, 5)
    one[1, ..., 3:] = -math.inf
    expect_close(masked_attention(q, k, v, one).detach(), scaled_dot_product_attention(q, k, v, attn_mask=one),
                 "A mask of shape (2, 1, 1, 5) hides the last two keys of the second text, for all heads and "
                 "queries.", rtol=1e-4, atol=1e-5)
    bias = torch.linspace(-1, 1, 5)
    expect_close(attention_weights(q, k, bias).detach(), torch.softmax(q @ k.mT / math.sqrt(8) + bias, -1),
                 "A mask may hold other numbers too. They are added to the scaled scores as they are, and not scaled "
                 "themselves.", rtol=1e-4, atol=1e-5)
    wide = [x.double() for x in (q, k, v)]
    expect(masked_attention(*wide, _hidden(5, torch.float64)).dtype == torch.float64, "float64 inputs should give a float64 output.")


@prop("7.1", "the future stays out")
@one_thread
def no_leak(causal_mask: Any, attention_weights: Any, masked_attention: Any) -> None:
    q, k, v = _qkv(2, 8, 4, seed=50)
    mask = causal_mask(8)
    before = masked_attention(q, k, v, mask)
    changed = [x.clone() for x in (q, k, v)]
    for x in changed:
        x[:, 5:] += 1.0
    after = masked_attention(*changed, mask)
    noticed = (before != after).any(-1).any(0).nonzero().flatten().tolist()
    expect(noticed == [] or noticed[0] >= 5, f"Tokens 5, 6, 7 were changed, and your output at token {noticed[0] if noticed else ''} "
                                             f"noticed. With your mask no output may depend on "
           "anything later.")
    expect(noticed == [5, 6, 7], f"Tokens 5, 6, 7 were changed, and only the outputs {noticed} noticed.")
    changed[1][:, 5:] = 1e4 * q[:, 4:5]  # scores of the fifth query with the future: very large
    loud = masked_attention(*changed, mask)[:, :5]
    expect(bool(torch.isfinite(loud).all()) and torch.allclose(loud, before[:, :5], atol=1e-5),
           "Very large scores in the future changed outputs of the past (or made them NaN). Did you take the softmax over everything and "
           "remove the future afterwards? Its large score then takes all the weight. Add the mask before the softmax.")
    inputs = [x.clone().requires_grad_(True) for x in (q, k, v)]
    masked_attention(*inputs, mask)[:, 3].sum().backward()
    for name, x in zip("qkv", inputs):
        expect(x.grad is not None, f"No gradient reaches {name}: compute with torch, without `.detach()`, `.item()` or numpy.")
        assert x.grad is not None
        expect(bool(torch.isfinite(x.grad).all()), f"The gradient of {name} is not finite.")
        expect(not x.grad[:, 4:].any(), f"A gradient flows from output 3 to {name} of a later token.")


@prop("7.1", "a query that may see nothing")
@one_thread
def nothing(causal_mask: Any, attention_weights: Any, masked_attention: Any) -> None:
    q, k, v = _qkv(2, 1, 4, 8, seed=60)
    mask = _hidden(4) + torch.tensor([[0.0, 0, 0, 0], [-math.inf, -math.inf, 0, 0]])[:, None, None, :]
    got = attention_weights(q, k, mask)
    expect(not got.isnan().any(), "Two padding tokens on the left see nothing, and their weights are NaN (0/0, or −inf minus −inf). They "
                                  "should be 0.")
    expect(not got[1, :, :2].any(), "A query that may look at no key has weights 0; yours looks at keys that are all hidden.")
    out = masked_attention(q, k, v, mask)
    expect(not out.isnan().any() and not out[1, :, :2].any(), "The output of a query that may look at no key is 0.")
    expect_close(out[0].detach(), scaled_dot_product_attention(q[0], k[0], v[0], is_causal=True),
                 "The other text of the batch, without padding, should be as before.", rtol=1e-4, atol=1e-5)


@prop("7.1", "scores of any size")
@one_thread
def large(causal_mask: Any, attention_weights: Any, masked_attention: Any) -> None:
    for q, k in ((torch.full((3, 4), 30.0), torch.full((3, 4), 30.0)), (torch.full((3, 4), 30.0), torch.full((3, 4), -30.0))):
        got = attention_weights(q, k, _hidden(3))
        expect_close(got.detach(), [[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3],
                     f"Equal scores of {float(q[0] @ k[0]) / 2:.0f} should give equal weights. exp() of that overflows, or vanishes: "
                     f"subtract each row's largest score first.", rtol=1e-4, atol=1e-6)


@prop("7.1", "inputs stay as they were")
@one_thread
def inputs_untouched(causal_mask: Any, attention_weights: Any, masked_attention: Any) -> None:
    q, k, v = _qkv(2, 4, 8, seed=70)
    mask = _hidden(4)
    with untouched(q=q, k=k, v=v, mask=mask):
        attention_weights(q, k, mask)
        masked_attention(q, k, v, mask)
