"""4.3 Mixture of experts: visible properties and hints."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from aieng.lesson.checking import expect, expect_close, expect_raises, expect_shape, hints, prop, untouched
from aieng.lesson.exercises.watching import one_thread, product_flops

hints(
    "4.3",
    "The router is a matrix product, a softmax over the experts and `topk`. For the layer, think of one list of tokens·k assignments "
    "(token, expert, weight): sorted by expert, it falls into one piece per expert.",
    "`chosen.flatten()` numbers the assignments token by token, so assignment i belongs to token i // k. A stable argsort of it groups "
    "them by expert and keeps the tokens' order; `torch.bincount(…, minlength=num_experts)` counts. Each expert computes its piece, the "
    "rows are multiplied by their weights and added to their tokens with `index_add`.",
    "top_k_router: ValueError unless 1 ≤ k ≤ experts; softmax(x routerᵀ) in float32; topk; divide by their sum.\n"
    "dispatch: stable argsort and bincount of the flattened choice.\n"
    "load_balancing_loss: f = bincount / tokens; P = mean over the tokens; experts · Σ f P.\n"
    "MoELayer: flatten to (tokens, hidden); route; dispatch; rows = order // k; split x[rows] by the counts; each expert on its piece; "
    "times weights.flatten()[order]; index_add into zeros; back to the input's shape.",
)


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def weights_of(experts: int, hidden: int, intermediate: int, seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Router, gate, up and down of a random layer."""
    return (random(experts, hidden, seed=seed, dtype=dtype),
            random(experts, intermediate, hidden, seed=seed + 1, dtype=dtype) / hidden**0.5,
            random(experts, intermediate, hidden, seed=seed + 2, dtype=dtype) / hidden**0.5,
            random(experts, hidden, intermediate, seed=seed + 3, dtype=dtype) / intermediate**0.5)


def token_by_token(x: Tensor, parts: tuple[Tensor, ...], top_k: int) -> Tensor:
    """The definition, one token and one expert at a time."""
    router, gate, up, down = parts
    out = []
    for token in x.reshape(-1, x.shape[-1]):
        shares, chosen = torch.softmax((router @ token).float(), 0).topk(top_k)
        out.append(sum(w * (down[e] @ (silu(gate[e] @ token) * (up[e] @ token))) for w, e in zip(shares / shares.sum(), chosen.tolist())))
    return torch.stack(out).reshape(x.shape)


@prop("4.3", "the router's example by hand")
@one_thread
def router_by_hand(route: Any, dispatch: Any, balance: Any, layer: Any) -> None:
    # Logits ln 2, ln 5, ln 10, ln 3: probabilities 0.1, 0.25, 0.5, 0.15.
    router = torch.log(torch.tensor([[2.0], [5.0], [10.0], [3.0]]))
    got = route(torch.ones(1, 1), router, 2)
    expect(isinstance(got, tuple) and len(got) == 3, "The router returns three tensors: weights, chosen, probabilities.")
    weights, chosen, probabilities = got
    expect_shape(weights, (1, 2), "weights", "(tokens, top_k)")
    expect_shape(chosen, (1, 2), "chosen", "(tokens, top_k)")
    expect_shape(probabilities, (1, 4), "probabilities", "(tokens, num_experts): over all experts, also those not chosen.")
    expect_close(probabilities, [[0.1, 0.25, 0.5, 0.15]],
                 "Logits ln 2, ln 5, ln 10, ln 3 are the probabilities 0.1, 0.25, 0.5, 0.15.", 1e-4)
    expect(chosen[0].tolist() == [2, 1], f"Experts 2 and 1 have the largest probabilities, 0.5 and 0.25; you chose {chosen[0].tolist()}.")
    expect(not torch.allclose(weights, torch.tensor([[0.5, 0.25]]), atol=1e-3),
           "The two chosen probabilities, 0.5 and 0.25, have to be divided by their sum 0.75, so that a token's weights make 1.")
    expect_close(weights, [[2 / 3, 1 / 3]], "The weights are 0.5 / 0.75 and 0.25 / 0.75.", 1e-4)


@prop("4.3", "every token has its own choice")
@one_thread
def router_properties(route: Any, dispatch: Any, balance: Any, layer: Any) -> None:
    x, router = random(40, 8, seed=0), random(6, 8, seed=1)
    with untouched(x=x, router=router):
        weights, chosen, probabilities = route(x, router, 3)
    expect_shape(chosen, (40, 3), "chosen")
    expect(chosen.dtype == torch.int64, f"`chosen` holds experts' numbers, int64; yours is {chosen.dtype}.")
    expect_close(weights.sum(-1), torch.ones(40), "Each token's weights should make 1.", 1e-4)
    expect_close(probabilities.sum(-1), torch.ones(40), "Each token's probabilities make 1: softmax along the experts, dim=-1.", 1e-4)
    best = torch.softmax(x @ router.mT, -1).sort(-1, descending=True)
    expect((chosen == best.indices[:, :3]).all(), "Some token's experts are not its three likeliest, likeliest first.")
    half = route(x.bfloat16(), router.bfloat16(), 3)
    expect(half[0].dtype == torch.float32 and half[2].dtype == torch.float32,
           f"For bfloat16 inputs the softmax should be computed in float32; yours came in {half[2].dtype}. With 8 bits of mantissa, close "
           "experts tie.")
    for k in (0, 7):
        expect_raises(ValueError, lambda k=k: route(x, router, k), f"top_k = {k} of 6 experts should raise ValueError.")  # type: ignore[misc]


@prop("4.3", "dispatch groups by expert")
@one_thread
def grouped(route: Any, dispatch: Any, balance: Any, layer: Any) -> None:
    got = dispatch(torch.tensor([[2, 0], [2, 3], [0, 2]]), 5)
    expect(isinstance(got, tuple) and len(got) == 2, "dispatch returns two tensors: order, counts.")
    order, counts = got
    expect_shape(counts, (5,), "counts", "One for each expert, also for those that nobody chose.")
    expect(counts.tolist() == [2, 0, 3, 1, 0], f"Experts 0 … 4 were chosen 2, 0, 3, 1, 0 times; your counts are {counts.tolist()}.")
    expect_shape(order, (6,), "order", "One entry per assignment.")
    expect(order.tolist() == [1, 4, 0, 2, 5, 3],
           "Flattened, the choice is 2 0 2 3 0 2: expert 0 stands at 1 and 4, expert 2 at 0, 2 and 5, expert 3 at 3, so order is "
           f"[1, 4, 0, 2, 5, 3]; yours is {order.tolist()}. A stable sort keeps the tokens' order.")


@prop("4.3", "the balance loss")
@one_thread
def balanced(route: Any, dispatch: Any, balance: Any, layer: Any) -> None:
    even = torch.full((8, 4), 0.25)
    got = balance(even, torch.arange(8)[:, None] % 4)
    expect(isinstance(got, Tensor) and got.ndim == 0, "The loss is a tensor with one number, so that `.backward()` works.")
    expect(abs(float(got) - 0.25) > 1e-3, "Perfect balance of 4 experts gave 0.25: multiply by the number of experts, so that it gives 1.")
    expect_close(got, 1.0, "Perfect balance with one expert a token gives 1.", 1e-4)
    sure = torch.tensor([[1.0, 0, 0, 0]]).expand(8, 4)
    expect_close(balance(sure, torch.zeros(8, 1, dtype=torch.long)), 4.0, "All tokens to one of 4 experts, with certainty, gives 4.", 1e-4)
    pairs = torch.stack([torch.arange(8) % 4, (torch.arange(8) + 1) % 4], 1)
    expect_close(balance(even, pairs), 2.0, "With two experts a token f counts two assignments a token: perfect balance gives 2.", 1e-4)
    # By hand: f = (3/4, 1/4, 0), P = (0.6, 0.3, 0.1).
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.3, 0.6, 0.1]])
    expect_close(balance(probabilities, torch.tensor([[0], [0], [0], [1]])), 3 * (0.75 * 0.6 + 0.25 * 0.3),
                 "f = (3/4, 1/4, 0) and P = (0.6, 0.3, 0.1) give 3 · (0.45 + 0.075) = 1.575.", 1e-4)
    leaf = probabilities.clone().requires_grad_()
    loss = balance(leaf, torch.tensor([[0], [0], [0], [1]]))
    expect(loss.requires_grad, "The loss has no gradient: it has to follow from `probabilities` by torch operations, without detach.")
    loss.backward()
    slope = torch.zeros(4, 3) if leaf.grad is None else leaf.grad
    expect(slope.any(), "No gradient reaches the probabilities: the router could not learn.")
    expect_close(slope[0], [3 * 0.75 / 4, 3 * 0.25 / 4, 0], "The gradient of one token's probabilities is experts · f / tokens.", 1e-4)


@prop("4.3", "the layer is the sum over the chosen experts")
@one_thread
def layer_is_the_sum(route: Any, dispatch: Any, balance: Any, layer: Any) -> None:
    parts = weights_of(5, 8, 12, seed=10)
    x = random(3, 7, 8, seed=20)
    for k in (1, 2, 5):
        with untouched(x=x):
            got = layer(*parts, k)(x)
        expect_shape(got, (3, 7, 8), "the layer's output", "The same shape as the input, whatever its leading axes.")
        want = token_by_token(x, parts, k)
        if k > 1:
            share = sum(token_by_token(x, parts, 1).flatten() * got.flatten()) / token_by_token(x, parts, 1).square().sum()
            expect(not torch.allclose(got, token_by_token(x, parts, 1), atol=1e-4),
                   f"With top_k = {k} you gave each token's best expert only (share {float(share):.2f}).")
        expect_close(got, want, f"With top_k = {k} the output is not Σ weight · expert(token). Did each row go back to its own token, "
                                "times its own weight?", rtol=1e-4, atol=1e-5)
    empty = layer(*parts, 2)(x[:0])
    expect_shape(empty, (0, 7, 8), "the output for no tokens")
    one = layer(*parts, 2)(x[0, 0])
    expect_close(one, token_by_token(x[0, 0][None], parts, 2)[0], "A single token of shape (hidden_size,): two experts get one token, "
                                                                  "the others none.", rtol=1e-4, atol=1e-5)


@prop("4.3", "an expert computes its own tokens only")
@one_thread
def sparse(route: Any, dispatch: Any, balance: Any, layer: Any) -> None:
    parts = weights_of(8, 16, 32, seed=30)
    x = random(64, 16, seed=40)
    needed = 2 * (64 * 8 * 16 + 64 * 2 * 3 * 16 * 32)  # the router, and two experts of three products for each token
    dense = needed + 2 * 64 * 6 * 3 * 16 * 32
    flops = product_flops(layer(*parts, 2), x)
    expect(flops < 0.9 * dense, f"Your layer made {flops:,} floating-point operations; every expert on every token takes {dense:,}, "
                                f"the chosen ones {needed:,}. Select an expert's rows before the products.")
    expect(flops <= 1.3 * needed, f"Your layer made {flops:,} floating-point operations; router and two experts a token take {needed:,}. "
                                  "Which rows are computed twice, or for nothing?")
