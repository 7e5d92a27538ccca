"""5.6 Sparse attention: visible properties and hints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from aieng.lesson.checking import expect, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, normal

hints(
    "5.6",
    "Positions as a column minus positions as a row give the distance of every query to every key, (tokens, tokens). Each rule is a "
    "comparison on that "
    "table. For the attention: take a block of queries. Which keys can the first of them see, which the last?",
    "Queries start … end - 1 see keys from start - window to end - 1, and the global ones in front. Cut these keys out, build the small "
    "mask from their "
    "positions, and let scaled_dot_product_attention do this block. Do not count a global token twice where the window holds it anyway.",
    "mask: d = i - j; (d % dilation == 0) & (|d| <= window · dilation); rows and columns of global tokens True; causal: & (d >= 0).\n"
    "blocks: first = max(0, start - window); keys = positions 0 … min(global_tokens, first) - 1 and first … end - 1; "
    "d = queries - keys; (d >= 0) & ((d <= window) | (keys < global_tokens)).",
)


def _dense(q: Tensor, k: Tensor, v: Tensor, window: int, global_tokens: int, scale: float | None = None) -> Tensor:
    position = torch.arange(q.shape[-2])
    distance = position[:, None] - position
    mask = (distance >= 0) & ((distance <= window) | (position < global_tokens))
    return scaled_dot_product_attention(q, k, v, mask, scale=scale)


class Watch(TorchFunctionMode):
    """Watches the torch functions called inside it.

    elements : numbers in the largest tensor that was made
    products : inner products of all matrix products, and the scores of torch's own attention
    """

    def __init__(self) -> None:
        super().__init__()
        self.elements = self.products = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        results = [r for r in (out if isinstance(out, tuple | list) else (out,)) if isinstance(r, Tensor)]
        self.elements = max([self.elements, *(r.numel() for r in results)])
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention":
            q, k = (*args, *(kwargs or {}).values())[:2]
            self.products += q.numel() // max(q.shape[-1], 1) * k.shape[-2]
        elif name in ("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "einsum", "baddbmm", "addmm", "tensordot", "inner"):
            self.products += results[0].numel()
        return out


def watched(call: Callable[..., Any], *args: Any) -> Watch:
    """What `call(*args)` did: the largest tensor and the inner products, counted while it ran."""
    with Watch() as watch:
        call(*args)
    return watch


@prop("5.6", "sliding window")
def sliding(mask: Any, attention: Any) -> None:
    got = expect_tensor(mask(7, 2), "sparse_mask(7, 2)", (7, 7), torch.bool, "Row: the query, column: the key.")
    seen = got[3].nonzero().flatten().tolist()
    expect(seen != [2, 3, 4], "Token 3 with window 2 sees 2, 3, 4: window counts neighbours on *each* side, so it sees 1, 2, 3, 4, 5.")
    expect(seen != [0, 6] and seen != [0, 5, 6], f"Token 3 sees {seen}: that is what it should *not* see. True means: may look.")
    expect(seen == [1, 2, 3, 4, 5], f"Token 3 with window 2 sees the tokens 1, 2, 3, 4, 5; yours: {seen}.")
    expect(got[0].nonzero().flatten().tolist() == [0, 1, 2], "At the edge nothing wraps round: token 0 sees 0, 1, 2; yours: "
           f"{got[0].nonzero().flatten().tolist()}.")
    expect(bool((mask(5, 0) == torch.eye(5, dtype=torch.bool)).all()), "window=0: every token sees itself only.")


@prop("5.6", "dilated")
def dilated(mask: Any, attention: Any) -> None:
    seen = mask(20, 2, 3)[9].nonzero().flatten().tolist()
    expect(seen != [9] and seen != [8, 9, 10], f"Token 9, window 2, dilation 3 sees {seen}: the window counts *neighbours*, which now are "
                                               f"3 apart.")
    expect(seen == [3, 6, 9, 12, 15], f"Token 9, window 2, dilation 3 sees 3, 6, 9, 12, 15; yours: {seen}.")


@prop("5.6", "causal")
def causal(mask: Any, attention: Any) -> None:
    got = mask(6, 2, causal=True)
    seen = got[3].nonzero().flatten().tolist()
    expect(seen != [3, 4, 5], "Token 3 sees the future: rows are queries, columns keys; keep the keys that are not later.")
    expect(seen == [1, 2, 3], f"Causal, window 2: token 3 sees 1, 2, 3; yours: {seen}.")


@prop("5.6", "global tokens")
def with_globals(mask: Any, attention: Any) -> None:
    got = mask(8, 1, 1, [4])
    expect(bool(got[:, 4].all()), "Every token looks at a global one: its whole column is True.")
    expect(bool(got[4].all()), "A global token looks at everybody: its whole row is True.")
    expect(int(got.sum()) == 32, f"8 tokens, window 1, token 4 global: 22 pairs in the window and 10 more; yours {int(got.sum())}.")
    got = mask(6, 1, 1, [0, 5], causal=True)
    expect(not bool(got.triu(1).any()), "With causal=True no token sees a later one, not even a global one.")
    expect(got[3].nonzero().flatten().tolist() == [0, 2, 3] and bool(got[5].all()),
           "Causal, global tokens 0 and 5: token 3 sees 0, 2, 3, and token 5 sees all before it.")
    expect(int(mask(5, 1).sum()) == 13, "Without global_tokens there are none.")


@prop("5.6", "attention in blocks equals dense attention with the mask")
def equal(mask: Any, attention: Any) -> None:
    for tokens, window, global_tokens, block in ((32, 8, 0, 8), (30, 5, 0, 7), (29, 3, 4, 8), (6, 20, 2, 4), (1, 0, 0, 4), (17, 0, 1, 5)):
        q, k, v = (normal(seed, 2, 3, tokens, 8) for seed in (1, 2, 3))
        with untouched(q=q, k=k, v=v):
            got = expect_tensor(attention(q, k, v, window, global_tokens, block), "block_sparse_attention", (2, 3, tokens, 8),
                                torch.float32)
        case = f"{tokens} tokens, window {window}, {global_tokens} global, blocks of {block}"
        off = (got - _dense(q, k, v, window, global_tokens)).abs().amax(-1)[0, 0]
        if not bool((off < 1e-4).all()):
            row = int((off > 1e-4).nonzero()[0]) if bool(torch.isfinite(off).all()) else -1
            one_less = window > 0 and bool(torch.allclose(got, _dense(q, k, v, window - 1, global_tokens), atol=1e-4))
            no_globals = global_tokens > 0 and bool(torch.allclose(got, _dense(q, k, v, window, 0), atol=1e-4))
            unscaled = bool(torch.allclose(got, _dense(q, k, v, window, global_tokens, 1.0), atol=1e-4))
            hint = ("The scores are not divided by √head_dim." if unscaled else
                    "You see one key less: window counts the earlier keys *besides* the query's own." if one_less else
                    "The global tokens are missing." if no_globals else
                    "nan came out: is there a query that sees nothing?" if row < 0 else
                    f"The first wrong row is {row}. " + ("Is a global token counted twice where the window holds it "
                                                         "anyway?" if global_tokens else
                                                         "Does each query of a block have its own limits, and the last block fewer "
                                                         "queries?"))
            expect(False, f"{case}: not what dense attention with this mask gives. {hint}")


@prop("5.6", "the work outside the window is skipped")
def skips(mask: Any, attention: Any) -> None:
    q = normal(4, 1, 1024, 16)
    watch = watched(attention, q, q, q, 32, 2, 32)
    pairs = 1024 * 1024
    expect(watch.elements < 0.9 * pairs, f"For 1,024 tokens and a window of 32 a tensor of {watch.elements:,} numbers was made: never "
                                         f"form all {pairs:,} "
           "pairs, not even as a mask.")
    expect(watch.products < pairs / 3, f"For 1,024 tokens and a window of 32 you computed about {watch.products:,} inner products; all "
                                       f"scores would be "
           f"{pairs:,}. Cut out the keys that a block of queries can see *before* you multiply: about tokens · (window + block) scores "
           f"are needed.")


@prop("5.6", "errors that say so")
def errors(mask: Any, attention: Any) -> None:
    q = torch.ones(1, 6, 4)
    for call, what in ((lambda: mask(5, -1), "window = -1"), (lambda: mask(5, 1, 0), "dilation = 0"),
                       (lambda: mask(5, 1, 1, [5]), "a global token "
                       "that does not exist"), (lambda: attention(q, q[:, :5], q, 2), "q and k of different shapes"),
                       (lambda: attention(q, q, q, -1), "window = -1 in the attention"), (lambda: attention(q, q, q, 2, 0, 0),
                                                                                          "block_size = 0")):
        expect_raises(ValueError, call, f"{what} should raise ValueError.")
