"""7.2 Multi-head attention: visible properties and hints."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, normal
from aieng.lesson.exercises.watching import one_thread
from aieng.transformer.attention import Linear

hints(
    "7.2",
    "Cutting features into heads only renames places: a token's features stand one after the other, the first head_dim of them are head 0. "
    "`x.reshape(batch, tokens, heads, head_dim)` says exactly that. Attention wants (batch, heads, tokens, head_dim): which two axes "
    "have to be exchanged, and how is that undone?",
    "split: reshape to (batch, tokens, heads, features // heads), then `.transpose(1, 2)`. merge: the same backwards, first the "
    "transpose, then "
    "the reshape. `__call__`: three projections, split queries with num_heads, keys and values with num_key_value_heads, and give each "
    "query head its keys and values with `repeat_interleave(group, dim=1)` (not `repeat`, which deals them out in turn).",
    "__init__: shared = num_heads or what was given; ValueError unless it divides; keep everything.\n"
    "__call__: source = memory, or x; q = split(query(x)); k, v = split(key(source)), split(value(source)); repeat k and v for the heads "
    "of a group; output(merge(attention(q, k, v, mask))).",
)


def _torch_peer(hidden: int, heads: int, seed: int) -> tuple[torch.nn.MultiheadAttention, list[Linear]]:
    peer = torch.nn.MultiheadAttention(hidden, heads, batch_first=True)
    with torch.no_grad():
        for i, parameter in enumerate(peer.parameters()):
            parameter.copy_(0.4 * normal(seed + i, *parameter.shape))
    parts = [Linear(w, b) for w, b in zip(peer.in_proj_weight.detach().split(hidden), peer.in_proj_bias.detach().split(hidden))]
    return peer, [*parts, Linear(peer.out_proj.weight.detach(), peer.out_proj.bias.detach())]


def _causal(n: int) -> Tensor:
    return torch.full((n, n), -math.inf).triu(1)


def _plain(multi_head: Any, hidden: int, heads: int, **more: Any) -> Any:
    """Projections that change nothing: what comes out shows where the features went."""
    return multi_head(*[Linear(torch.eye(hidden))] * 4, heads, **more)


@prop("7.2", "split: neighbouring features are one head")
def split(multi_head: Any) -> None:
    x = torch.tensor([[[1.0, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]])  # one text, 3 tokens, 4 features
    got = expect_tensor(_plain(multi_head, 4, 2).split(x, 2), "split(x, 2)", hint="(batch, heads, tokens, head_dim)")
    expect(tuple(got.shape) != (1, 3, 2, 2), "split gave (batch, tokens, heads, head_dim); attention wants the heads before the tokens: "
                                             "transpose axes 1 and 2.")
    expect_tensor(got, "split(x, 2) of a (1, 3, 4) tensor", (1, 2, 3, 2), hint="(batch, heads, tokens, head_dim)")
    expect(not torch.equal(got, x.reshape(1, 2, 3, 2)),
           "Head 0 of the first text got the features 1, 2, 3, 4, 5, 6: its first two tokens' numbers ran together. A reshape straight "
           "to (batch, heads, tokens, head_dim) mixes tokens; reshape to (batch, tokens, heads, head_dim), then transpose.")
    expect(got[0, 0, 0].tolist() != [1, 3], "Head 0 of the first token got the features 1 and 3; neighbours belong together: 1 and 2.")
    expect(got[0, :, 0].tolist() == [[1, 2], [3, 4]] and got[0, 1, 2].tolist() == [11, 12],
           f"The first token (1, 2, 3, 4) in 2 heads is (1, 2) and (3, 4); yours {got[0, :, 0].tolist()}.")
    wide = normal(1, 2, 5, 12)
    for heads in (1, 3, 12):
        one = _plain(multi_head, 12, 3).split(wide, heads)
        expect_tensor(one, f"split(x, {heads})", (2, heads, 5, 12 // heads), hint="The number of heads is an argument here.")
        expect(torch.equal(one, torch.stack(wide.chunk(heads, -1), 1)), f"split(x, {heads}) put features into the wrong head.")


@prop("7.2", "merge undoes split")
def merge(multi_head: Any) -> None:
    heads = torch.tensor([[[[1.0, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]]]])  # 2 heads of 3 tokens
    got = expect_tensor(_plain(multi_head, 4, 2).merge(heads), "merge(x)", (1, 3, 4), hint="(batch, tokens, heads * head_dim)")
    expect(not torch.equal(got, heads.reshape(1, 3, 4)),
           "The first token got the numbers 1, 2, 3, 4: those of head 0's first two *tokens*. Transpose back before you reshape.")
    expect(got[0, 0].tolist() != [1, 7, 2, 8], "The heads' features are interleaved; they stand side by side: all of head 0, then all of "
                                               "head 1.")
    expect(got[0, 0].tolist() == [1, 2, 7, 8], f"The first token's heads (1, 2) and (7, 8) side by side are (1, 2, 7, 8); yours "
                                               f"{got[0, 0].tolist()}.")
    x = normal(2, 3, 5, 12)
    one = _plain(multi_head, 12, 3)
    expect(torch.equal(one.merge(one.split(x, 4)), x), "merge(split(x, 4)) should be x again.")


@prop("7.2", "equal to torch's, with the same weights")
@one_thread
def torch_equal(multi_head: Any) -> None:
    for heads in (1, 3):
        peer, parts = _torch_peer(12, heads, seed=10)
        x = normal(3, 2, 6, 12)
        for mask in (None, _causal(6)):
            want = peer(x, x, x, attn_mask=mask, need_weights=False)[0].detach()
            got = expect_tensor(multi_head(*parts, heads)(x, mask), "output", (2, 6, 12), hint="(batch, tokens, hidden_size)").detach()
            if mask is not None:
                free = peer(x, x, x, need_weights=False)[0].detach()
                expect(not torch.allclose(got, free, atol=1e-4), "The mask changed nothing: hand it on to `attention`.")
            expect(not torch.allclose(parts[3](got), want, atol=1e-4), "The output projection is missing.")
            expect(not (heads > 1 and torch.allclose(got, multi_head(*parts, 1)(x, mask).detach(), atol=1e-5)),
                   "3 heads gave the same as 1: you attend with all features at once. Split first; each head has a softmax of its own.")
            expect_close(got, want, f"With {heads} head{'s' * (heads > 1)} and the same weights, torch.nn.MultiheadAttention gives other "
                                    f"numbers.", rtol=1e-4, atol=1e-5)


@prop("7.2", "attention gets every head at once")
@one_thread
def calls(multi_head: Any) -> None:
    seen: list[tuple[Any, ...]] = []

    def recording(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        seen.append((q, k, v, mask))
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)

    x, mask = normal(4, 2, 5, 12), _causal(5)
    _plain(multi_head, 12, 4, attention=recording)(x, mask)
    expect(bool(seen), "The `attention` that was given was not called: later you will hand in your own of 7.1 there.")
    expect(len(seen) == 1, f"`attention` was called {len(seen)} times; all heads fit into one call with the axes (batch, heads, tokens, "
                           f"head_dim).")
    for name, t in zip("qkv", seen[0]):
        expect_tensor(t, f"the `{name}` that attention got", (2, 4, 5, 3), hint="(batch, num_heads, tokens, head_dim)")
    expect(seen[0][3] is not None and torch.equal(seen[0][3], mask), "`attention` should get the mask as it came.")
    for name, t in zip("qkv", seen[0]):
        expect_close(t.detach(), torch.stack(x.chunk(4, -1), 1),
                     f"The `{name}` that attention got is not the projection, cut into heads. Attention scales the scores itself.",
                     rtol=1e-4, atol=1e-5)


@prop("7.2", "heads that share keys and values")
@one_thread
def shared(multi_head: Any) -> None:
    q, o, x = normal(5, 12, 8), normal(6, 8, 12), normal(7, 2, 5, 8)
    for heads, kv in ((6, 3), (6, 1), (4, 2)):
        width = 12 // heads
        k, v = normal(8, kv * width, 8), normal(9, kv * width, 8)
        want = _grouped(x, q, k, v, o, heads, [h // (heads // kv) for h in range(heads)])
        try:
            made = multi_head(Linear(q), Linear(k), Linear(v), Linear(o), heads, kv)(x, _causal(5))
        except NotImplementedError:
            raise
        except RuntimeError as error:
            expect(False, f"{heads} query heads and {kv} key-value heads raised {type(error).__name__}: {error}. Split keys and values "
                          f"into num_key_value_heads, then repeat them so that each query head has its own.")
        got = expect_tensor(made, "output", (2, 5, 8)).detach()
        expect(kv == 1 or not torch.allclose(got, _grouped(x, q, k, v, o, heads, [h % kv for h in range(heads)]), atol=1e-4),
               f"With {heads} query and {kv} key-value heads, query head 1 read key-value head 1; heads 0 … {heads // kv - 1} share head "
               f"0. `repeat` deals them out in turn, `repeat_interleave` keeps neighbours together.")
        expect_close(got, want, f"{heads} query heads that share {kv} key-value heads gave wrong numbers.", rtol=1e-3, atol=1e-4)


def _grouped(x: Tensor, q: Tensor, k: Tensor, v: Tensor, o: Tensor, heads: int, reads: list[int]) -> Tensor:
    """The truth, head by head: query head h reads key-value head reads[h]."""
    width = q.shape[0] // heads
    total = torch.zeros(*x.shape[:2], o.shape[0])
    for h, kv in enumerate(reads):
        mine, theirs = slice(h * width, (h + 1) * width), slice(kv * width, (kv + 1) * width)
        head = scaled_dot_product_attention(x @ q[mine].T, x @ k[theirs].T, x @ v[theirs].T, attn_mask=_causal(x.shape[1]))
        total += head @ o[:, mine].T
    return total


@prop("7.2", "a memory of another length")
@one_thread
def memory(multi_head: Any) -> None:
    peer, parts = _torch_peer(12, 3, seed=20)
    x, other = normal(10, 2, 4, 12), normal(11, 2, 4, 12)
    same = multi_head(*parts, 3)(x, None, other).detach()
    expect(not torch.allclose(same, peer(x, other, x, need_weights=False)[0].detach(), atol=1e-4),
           "The keys come from the memory, the values from x; both belong to the memory.")
    expect(not torch.allclose(same, peer(x, x, other, need_weights=False)[0].detach(), atol=1e-4),
           "The values come from the memory, the keys from x; both belong to the memory.")
    other = normal(11, 2, 7, 12)
    want = peer(x, other, other, need_weights=False)[0].detach()
    got = expect_tensor(multi_head(*parts, 3)(x, None, other), "output", (2, 4, 12), hint="One output for each token of x.").detach()
    expect(not torch.allclose(got, multi_head(*parts, 3)(x).detach(), atol=1e-4),
           "The memory changed nothing: keys and values come from it.")
    expect_close(got, want, "With a memory, queries come from x, keys and values from the memory.", rtol=1e-4, atol=1e-5)


@prop("7.2", "trainable, and inputs as they were")
@one_thread
def trainable(multi_head: Any) -> None:
    weights = [normal(30 + i, 12, 12).requires_grad_(True) for i in range(4)]
    x = normal(34, 2, 4, 12)
    mha = multi_head(*map(Linear, weights), 3)
    with untouched(x=x):
        out = mha(x, _causal(4))
    out.square().sum().backward()
    for name, weight in zip(("query", "key", "value", "output"), weights):
        expect(weight.grad is not None and bool(weight.grad.any()),
               f"No gradient reaches the weights of `{name}`: compute with torch, without `.detach()`.")


@prop("7.2", "errors that say so")
def errors(multi_head: Any) -> None:
    for kv in (4, 12):
        expect_raises(ValueError, lambda kv=kv: _plain(multi_head, 12, 6, num_key_value_heads=kv),  # type: ignore[misc]
                      f"6 query heads cannot share {kv} key-value heads evenly: making the object should raise ValueError.")
    expect_raises(ValueError, lambda: _plain(multi_head, 12, 3).split(normal(40, 1, 2, 12), 5),
                  "12 features cannot be cut into 5 heads: split should raise ValueError.")
