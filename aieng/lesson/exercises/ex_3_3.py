"""3.3 Scaled dot-product attention: visible properties and hints."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, normal

hints(
    "3.3",
    "exp(1000) is infinite, but softmax does not change when the same number is taken from all scores. Which number makes every exponent "
    "at most 0? And what happens to it when every score is −inf?",
    "softmax: take away the maximum along dim (0 where it is −inf), exp, divide by the sum (by 1 where it is 0). Attention is three "
    "steps: scores = q @ k.mT times the scale; the mask (where a boolean one is False put −inf, a float one is added); weights @ v.",
    "softmax: highest = amax(dim, keepdim); replace −inf by 0; e = exp(scores − highest); total = sum(dim, keepdim); e / total, with "
    "1 for a total of 0.\n"
    "attention: refuse q and k of different width, k and v of different number; scale = 1/√(last axis of q) unless given; scores; mask; "
    "softmax over the keys (last axis); times v.",
)


def weights(scores: Tensor) -> Tensor:
    """Softmax over the last axis by its definition in float64; rows of −inf only give zeros."""
    wide = scores.double()
    e = (wide - wide.amax(-1, keepdim=True).nan_to_num(neginf=0.0)).exp()
    total = e.sum(-1, keepdim=True)
    return e / total.where(total > 0, torch.ones_like(total))


def attend(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None = None, scale: float | None = None) -> Tensor:
    """The truth, in float64."""
    scores = torch.einsum("...id,...jd->...ij", q.double(), k.double()) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if allowed is not None:
        scores = torch.where(allowed, scores, torch.full((), -math.inf, dtype=torch.float64))
    return weights(scores) @ v.double()


@prop("3.3", "softmax by hand")
def softmax_by_hand(softmax: Any, attention: Any) -> None:
    scores = torch.log(torch.tensor([[1.0, 2.0, 5.0], [3.0, 3.0, 2.0]]))
    got = expect_tensor(softmax(scores), "softmax(scores)", (2, 3), torch.float32)
    expect(not torch.allclose(got.sum(0), torch.ones(3), atol=1e-4), "Your columns sum to 1: softmax runs along the last axis when none "
                                                                     "is given.")
    expect(abs(float(got.sum()) - 1) > 1e-3, "All six numbers together sum to 1; each row should: sum over dim only, keepdim=True.")
    expect_close(got, [[0.125, 0.25, 0.625], [0.375, 0.375, 0.25]], "The scores ln 1, ln 2, ln 5 have the weights 1/8, 2/8, 5/8.", 1e-4)
    other = softmax(scores.T.contiguous(), dim=0)
    expect_close(other, got.T, "With dim=0 the columns sum to 1, as the rows do with dim=-1.", 1e-4)
    expect_close(softmax(normal(1, 2, 3, 4), 1), torch.softmax(normal(1, 2, 3, 4), 1), "dim=1 of three axes.", 1e-4)


@prop("3.3", "softmax of large scores")
def large(softmax: Any, attention: Any) -> None:
    scores = torch.tensor([[1000.0, 999.0, 0.0], [-1000.0, -1001.0, -2000.0]])
    got = expect_tensor(softmax(scores), "softmax(scores)", (2, 3))
    expect(bool(got.isfinite().all()), "Scores of ±1000 gave NaN or infinity: exp(1000) overflows, and exp(−1000) is 0 for a whole row. "
                                       "Subtract the row's largest score first.")
    want = [1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0]
    expect_close(got, [want, want], "Only differences of scores count: (1000, 999, 0) has the weights 0.731, 0.269, 0.", 1e-4)
    apart = softmax(torch.tensor([[0.0, 1.0], [500.0, 501.0]]))
    expect(bool(apart.isfinite().all()) and torch.allclose(apart[0], apart[1], atol=1e-5),
           "Two rows with the same differences got other weights: subtract each row's own largest score, not that of the whole tensor.")


@prop("3.3", "nothing to choose from")
def nothing(softmax: Any, attention: Any) -> None:
    scores = torch.tensor([[0.0, -math.inf, 0.0], [-math.inf] * 3])
    got = expect_tensor(softmax(scores), "softmax(scores)", (2, 3))
    expect(not bool(got.isnan().any()), "A row of −inf only became NaN: −inf − (−inf) is not a number. Shift such a row by 0, and do not "
                                        "divide by 0.")
    expect_close(got, [[0.5, 0, 0.5], [0, 0, 0]], "−inf gets exactly 0, and a row of −inf only gets zeros: there is nothing to attend to.")
    mask = torch.tensor([[True, True], [False, False]])
    out = expect_tensor(attention(torch.ones(2, 4), torch.ones(2, 4), torch.tensor([[1.0], [3.0]]), mask), "attention", (2, 1))
    expect(not bool(out.isnan().any()), "A query that may look at no key gave NaN; it gives zeros.")
    expect_close(out, [[2], [0]], "A query that may look at no key gives zeros; the other one the mean of 1 and 3.")


@prop("3.3", "attention by hand")
def by_hand(softmax: Any, attention: Any) -> None:
    q = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    k = torch.tensor([[math.log(3.0), 0.0, 0.0, 0.0], [0.0, 5.0, 0.0, 0.0]])
    v = torch.tensor([[4.0, 0.0], [0.0, 8.0]])
    got = expect_tensor(attention(q, k, v), "attention(q, k, v)", (1, 2), torch.float32, "(queries, value_dim)")
    expect(not torch.allclose(got, torch.tensor([[3.6, 0.8]]), atol=1e-3),
           "The factor 1/√head_dim is missing: with head_dim 4, scores are halved.")
    expect(not torch.allclose(got, attend(q, k, v, scale=0.25).float(), atol=1e-3),
           "You divided by head_dim = 4; it is its square root, 2.")
    expect(not torch.allclose(got, attend(q, k, v, scale=2.0).float(), atol=1e-3), "You multiplied by √head_dim; divide.")
    expect_close(got, [[3, 2]], "Scores 2 ln 3 / 2 = ln 3 and 0: the weights are 3/4 and 1/4, the result (3/4 · 4, 1/4 · 8) = (3, "
                                "2).", 1e-4)


@prop("3.3", "batches, heads, and other sizes of keys and values")
def shapes(softmax: Any, attention: Any) -> None:
    q, k, v = normal(2, 2, 3, 5, 8), normal(3, 2, 3, 7, 8), normal(4, 2, 3, 7, 6)
    with untouched(q=q, k=k, v=v):
        got = expect_tensor(attention(q, k, v), "attention(q, k, v)", (2, 3, 5, 6), torch.float32, "(batch, heads, queries, value_dim)")
    wrong = torch.softmax(q @ k.mT / math.sqrt(8), dim=-2) @ v
    expect(not torch.allclose(got, wrong, atol=1e-4), "Your weights sum to 1 over the queries; each *query* shares out 1 among the keys "
                                                      "(the last axis).")
    expect(not torch.allclose(got, attend(q, k, v, scale=1 / math.sqrt(7)).float(), atol=1e-4),
           "The scale comes from the width of a head (last axis), not from the number of keys.")
    expect_close(got, attend(q, k, v), "The result is not softmax(q kᵀ / √head_dim) v.", 1e-4, 1e-5)
    expect_close(attention(q[0, 0], k[0, 0], v[0, 0]), attend(q, k, v)[0, 0], "Without batch and heads: (queries, head_dim).", 1e-4, 1e-5)
    expect_close(attention(q, k, v, scale=0.1), attend(q, k, v, scale=0.1), "scale = 0.1 replaces 1/√head_dim.", 1e-4, 1e-5)
    expect_tensor(attention(q.double(), k.double(), v.double()), "attention of float64", (2, 3, 5, 6), torch.float64)


@prop("3.3", "masks, boolean and added")
def masks(softmax: Any, attention: Any) -> None:
    q, k, v = normal(5, 2, 3, 5, 4), normal(6, 2, 3, 5, 4), normal(7, 2, 3, 5, 4)
    allowed = torch.ones(5, 5, dtype=torch.bool).tril()
    want = attend(q, k, v, allowed)
    with untouched(allowed=allowed):
        got = expect_tensor(attention(q, k, v, allowed), "attention(q, k, v, mask)", (2, 3, 5, 4))
    expect(not torch.allclose(got, attend(q, k, v).float(), atol=1e-4), "The mask changed nothing.")
    expect(not torch.allclose(got, attend(q, k, v, ~allowed).float(), atol=1e-4),
           "The mask works the wrong way round: True means *may look*.")
    after = weights(q @ k.mT / 2) * allowed @ v.double()
    expect(not torch.allclose(got.double(), after, atol=1e-4), "You hid keys after softmax, so the other weights no longer sum to 1: put "
                                                               "−inf into the scores before it.")
    expect_close(got, want, "Boolean mask: hidden keys count as if they were not there.", 1e-4, 1e-5)
    added = torch.zeros(5, 5).masked_fill(~allowed, -math.inf)
    expect_close(attention(q, k, v, added), want, "A float mask is added to the scores: 0 allows, −inf forbids.", 1e-4, 1e-5)
    bias = normal(8, 2, 1, 1, 5)
    expect_close(attention(q, k, v, bias), weights(q.double() @ k.double().mT / 2 + bias) @ v.double(),
                 "A float mask of other numbers is added to the *scaled* scores, and (batch, 1, 1, keys) broadcasts over heads and "
                 "queries.", 1e-4, 1e-5)


@prop("3.3", "the order of the keys does not matter, large scores do no harm")
def order(softmax: Any, attention: Any) -> None:
    q, k, v = normal(9, 1, 2, 3, 4), normal(10, 1, 2, 6, 4), normal(11, 1, 2, 6, 4)
    turned = torch.tensor([4, 1, 5, 0, 3, 2])
    expect_close(attention(q, k[:, :, turned], v[:, :, turned]), attention(q, k, v),
                 "Keys and values in another order gave another result.", 1e-4, 1e-5)
    got = expect_tensor(attention(300 * q, 300 * k, v), "attention(q, k, v)", (1, 2, 3, 4))
    expect(bool(got.isfinite().all()), "Scores of about 100,000 gave NaN or infinity.")
    expect_close(got, attend(300 * q, 300 * k, v), "With large scores the result is wrong.", 1e-3, 1e-4)


@prop("3.3", "errors that say so")
def errors(softmax: Any, attention: Any) -> None:
    q, k = normal(12, 3, 4), normal(13, 5, 4)
    expect_raises(ValueError, lambda: attention(q, k[:, :3], k), "Queries of 4 and keys of 3 features should raise ValueError.")
    expect_raises(ValueError, lambda: attention(q, k, k[:4]), "5 keys and 4 values should raise ValueError.")
