"""4.4 FlashAttention: visible properties and hints."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, expect_shape, hints, prop, untouched
from aieng.lesson.exercises.watching import largest_tensor, numpy_bytes, one_thread

hints(
    "4.4",
    "softmax needs the largest score and the sum of the exponentials. Suppose you have both for the first half of the keys, and then a "
    "larger score turns up: by which one factor are all exponentials so far too large?",
    "exp(score − old) = exp(score − new) · exp(new − old), so sum and weighted values are multiplied by exp(old maximum − new maximum), "
    "and the new block's are added. Two loops: over tiles of queries, and inside over tiles of keys; at the end of the inner one, divide "
    "by the sum. The log-sum-exp is maximum + log(sum). With causal, query i sees keys up to keys − queries + i.",
    "online_softmax: new = max(highest, scores' row maximum); shift = new, but 0 where new is −inf; p = exp(scores − shift); "
    "c = exp(highest − shift); return new, total · c + Σ p, weighted · c + p @ values.\n"
    "forward: for each query tile: highest = −inf, total = 0, weighted = 0; for each key tile that any of its rows may see: scores = "
    "q kᵀ / √d; −inf where the key is later; online_softmax; then output = weighted / total, lse = highest + log total.\n"
    "backward: delta = rowsum(d_output · output); for each pair of tiles: p = exp(scores − lse); dv += pᵀ d_output; "
    "ds = p · (d_output vᵀ − delta); dq += ds k / √d; dk += dsᵀ q / √d.",
)


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def whole(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> tuple[Tensor, Tensor]:
    """Attention by the whole matrix: output and log-sum-exp."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(k.shape[-2] - q.shape[-2] + 1), -math.inf)
    return torch.softmax(scores, -1) @ v, torch.logsumexp(scores, -1)


def nothing_yet(*rows: int, value_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """The state before the first block."""
    return torch.full(rows, -math.inf), torch.zeros(rows), torch.zeros(*rows, value_dim)


@prop("4.4", "online softmax, the example by hand")
@one_thread
def online_by_hand(fold: Any, forward: Any, backward: Any) -> None:
    first, second = torch.log(torch.tensor([[2.0]])), torch.log(torch.tensor([[6.0]]))
    state = fold(*nothing_yet(1, value_dim=1), first, torch.tensor([[4.0]]))
    expect(isinstance(state, tuple) and len(state) == 3, "online_softmax returns three tensors: highest, total, weighted.")
    expect(all(isinstance(s, Tensor) and bool(s.isfinite().all()) for s in state),
           "After the first block something is not finite: exp(−inf − new maximum) is 0, but −inf − (−inf) is NaN. Which one do you have?")
    expect_close(state[0], [math.log(2)], "After one score ln 2 the highest is ln 2.", 1e-4)
    expect_close(state[1], [1.0], "exp(ln 2 − ln 2) = 1 is the total after the first score.", 1e-4)
    state = fold(*state, second, torch.tensor([[8.0]]))
    expect_shape(state[1], (1,), "total")
    expect_shape(state[2], (1, 1), "weighted")
    expect(abs(float(state[1]) - 2) > 1e-3, "The total is 2: the sum so far was not brought to the new maximum. Multiply it by "
                                            "exp(old highest − new highest) = 2 / 6.")
    expect(abs(float(state[1]) - 4) > 1e-3, "The total is 4: the factor is exp(old − new), not exp(new − old).")
    expect_close(state[1], [4 / 3], "Scores ln 2, then ln 6: the total relative to ln 6 is 2/6 + 1 = 4/3.", 1e-4)
    expect_close(state[2], [[4 / 3 + 8]], "Values 4 and 8: weighted is 4 · 2/6 + 8 · 1 = 28/3. The sum of values is rescaled too.", 1e-4)
    expect_close(state[2] / state[1][:, None], [[7.0]], "Weights 2 and 6 of values 4 and 8 have the mean (8 + 48) / 8 = 7.", 1e-4)


@prop("4.4", "blocks in any cut give the same")
@one_thread
def online_any_cut(fold: Any, forward: Any, backward: Any) -> None:
    scores, values = 3 * random(2, 5, 24, seed=0), random(2, 24, 3, seed=1)
    scores[:, 1, :10] = -math.inf
    want = torch.softmax(scores, -1) @ values
    for cuts in ([24], [1, 23], [10, 10, 4], [5, 5, 5, 5, 4]):
        state = nothing_yet(2, 5, value_dim=3)
        for s, x in zip(scores.split(cuts, -1), values.split(cuts, -2)):
            with untouched(highest=state[0], total=state[1], weighted=state[2], scores=s, values=x):
                new = fold(*state, s, x)
            state = new
        expect(bool(state[2].isfinite().all()), "A row whose first blocks hold only −inf (nothing visible yet) became NaN: −inf − (−inf). "
                                                "Shift such a row by 0.")
        expect_close(state[2] / state[1][..., None], want, f"Blocks of {cuts} columns gave another result than one softmax.", 1e-4, 1e-5)
        expect_close(state[0], scores.amax(-1), "`highest` is not the largest score seen.", 1e-4)


@prop("4.4", "the output is exact, for tiles of any size")
@one_thread
def exact(fold: Any, forward: Any, backward: Any) -> None:
    q, k, v = random(2, 3, 20, 8, seed=2), random(2, 3, 33, 8, seed=3), random(2, 3, 33, 5, seed=4)
    want, lse = whole(q, k, v)
    for block_m, block_n in ((20, 33), (4, 11), (7, 5), (64, 64), (1, 1)):
        with untouched(q=q, k=k, v=v):
            got = forward(q, k, v, block_m, block_n)
        expect(isinstance(got, tuple) and len(got) == 2, "flash_attention_forward returns two tensors: output, lse.")
        expect_shape(got[0], (2, 3, 20, 5), "output", "(batch, heads, queries, value_dim)")
        expect_shape(got[1], (2, 3, 20), "lse", "One number per query.")
        divides = 20 % block_m == 0 and 33 % block_n == 0
        where = "" if divides else " These do not divide the number of tokens: look at the last tile."
        expect(not torch.allclose(got[0], whole(q * math.sqrt(8), k, v)[0], atol=1e-4), "Your scores lack the factor 1/√head_dim.")
        for other, what in ((1 / 8, "head_dim without its root"), (33**-0.5, "the root of the number of keys"),
                            (20**-0.5, "the root of the number of queries"), (5**-0.5, "the root of value_dim"),
                            (block_n**-0.5, "the root of block_n"), (block_m**-0.5, "the root of block_m")):
            expect(abs(other - 8**-0.5) < 1e-3 or not torch.allclose(got[0], whole(q * (math.sqrt(8) * other), k, v)[0], atol=1e-5),
                   f"Your scores are divided by {what}; it should be √head_dim, here √8.")
        expect_close(got[0], want, f"Tiles of {block_m} x {block_n}: the output is not attention's.{where}", 1e-4, 1e-5)
        expect_close(got[1], lse, f"Tiles of {block_m} x {block_n}: lse is not log Σ exp(score), that is highest + log(total).", 1e-4, 1e-5)


@prop("4.4", "causal: nobody sees the future")
@one_thread
def causal(fold: Any, forward: Any, backward: Any) -> None:
    for queries, keys in ((24, 24), (6, 24)):
        q, k, v = (random(1, 2, n, 8, seed=5 + i) for i, n in enumerate((queries, keys, keys)))
        want, lse = whole(q, k, v, causal=True)
        for block_m, block_n in ((8, 8), (5, 7), (4, 16)):
            got = forward(q, k, v, block_m, block_n, True)
            expect(bool(got[0].isfinite().all()), f"Tiles of {block_m} x {block_n}, causal: NaN or infinity. Is there a row that sees "
                                                  "nothing of a tile?")
            expect(not torch.allclose(got[0], whole(q, k, v)[0], atol=1e-4), "causal=True changed nothing.")
            hint = " The queries are the last positions: query i sees keys 0 … keys − queries + i." if queries < keys else ""
            expect_close(got[0], want, f"{queries} queries, {keys} keys, tiles of {block_m} x {block_n}: a causal output is wrong.{hint}",
                         1e-4, 1e-5)
            expect_close(got[1], lse, "lse counts visible keys only.", 1e-4, 1e-5)


@prop("4.4", "the matrix is never there")
@one_thread
def no_matrix(fold: Any, forward: Any, backward: Any) -> None:
    tokens, dim = 512, 8
    q, k, v = (random(1, 1, tokens, dim, seed=8 + i) for i in range(3))
    for flag in (False, True):
        largest = largest_tensor(forward, q, k, v, 64, 64, flag)
        expect(largest < tokens * tokens, f"For {tokens} tokens something of {largest:,} numbers was made: that is the whole matrix of "
                                          f"{tokens} x {tokens} scores (or a mask of that size). Only tiles of 64 x 64 may exist.")
        expect(largest <= 2 * tokens * dim, f"The largest thing made had {largest:,} numbers; the output has {tokens * dim:,}, a tile "
                                            f"4,096. Something still has rows x {tokens} numbers: cut the keys as well as the queries.")
    expect(numpy_bytes(forward, q, k, v, 64, 64) < 2 * tokens * tokens,
           f"numpy held an array about as large as the whole matrix of {tokens} x {tokens} scores. Only tiles may exist.")


@prop("4.4", "large scores, and errors that say so")
@one_thread
def extremes(fold: Any, forward: Any, backward: Any) -> None:
    q, k, v = (random(1, 1, 40, 4, seed=11 + i) for i in range(3))
    got = forward(1000 * q, k, v, 16, 16)
    expect(bool(got[0].isfinite().all() and got[1].isfinite().all()),
           "Scores of about ±1000 gave infinity or NaN: subtract the running maximum before exp.")
    expect_close(got[0], whole(1000 * q, k, v)[0], "With scores of about ±1000 the output is wrong.", 1e-3, 1e-4)
    double = forward(q.double(), k.double(), v.double(), 16, 16)
    expect(double[0].dtype == torch.float64, f"float64 inputs give a float64 output; yours is {double[0].dtype}.")
    expect_raises(ValueError, lambda: forward(q, k[..., :20, :], v, 16, 16), "20 keys and 40 values should raise ValueError.")
    expect_raises(ValueError, lambda: forward(q, k, v, 0, 16), "block_m = 0 should raise ValueError.")
    expect_raises(ValueError, lambda: forward(q, k[..., :20, :], v[..., :20, :], 16, 16, True),
                  "Causal with 40 queries and 20 keys should raise ValueError: the queries are the last positions.")


@prop("4.4", "extra (5 points): the backward pass, or its stub left as it is")
@one_thread
def gradients(fold: Any, forward: Any, backward: Any) -> None:
    q, k, v = (random(1, 2, n, 8, seed=14 + i).requires_grad_() for i, n in enumerate((18, 23, 23)))
    grad = random(1, 2, 18, 8, seed=17)
    for flag in (False, True):
        output, lse = whole(q, k, v, flag)
        want = torch.autograd.grad(output, (q, k, v), grad)
        given = [t.detach() for t in (q, k, v, output, lse)]
        try:
            with untouched(**dict(zip(("q", "k", "v", "output", "lse"), given))):
                got = backward(grad, *given, 5, 7, flag)
        except NotImplementedError:
            return
        expect(isinstance(got, tuple) and len(got) == 3, "flash_attention_backward returns three tensors: dq, dk, dv.")
        for name, mine, theirs in zip(("dq", "dk", "dv"), got, want):
            expect_shape(mine, tuple(theirs.shape), name)
            ratio = float((mine * theirs).sum() / theirs.square().sum())
            scaled = min(abs(ratio - math.sqrt(8)), abs(ratio - 1 / math.sqrt(8))) < 0.02
            advice = f" It is {ratio:.3g} times the right one: where does 1/√head_dim belong?" if scaled else ""
            expect_close(mine, theirs, f"{name} differs from autograd's{' (causal)' if flag else ''}.{advice} To keep the points of the "
                                       "forward pass while you work on it, put `raise NotImplementedError` back.", 1e-3, 1e-4)
