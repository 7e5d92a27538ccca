"""4.2 Paged attention and continuous batching: visible properties and hints."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from aieng.lesson.checking import expect, expect_close, expect_raises, expect_shape, hints, prop, untouched
from aieng.lesson.exercises.pretend_engine import PretendEngine, pretend_requests, right_outputs
from aieng.lesson.exercises.watching import one_thread

hints(
    "4.2",
    "Indexing a tensor with a tensor of block numbers, `key_cache[blocks]`, already fetches the blocks in the order of the table. What "
    "is left is to bring the axes into the order (heads, tokens, head_dim) and to cut after the sequence's length. For the scheduler: "
    "what has to happen between two steps?",
    "One sequence at a time: as many blocks as its length needs (round up); fetch; move the heads to the front, join blocks and slots; "
    "cut at the length. Let the query heads that share a key-value head stand together: (kv heads, group, head_dim), then ordinary "
    "attention. Scheduler: fill up from the waiting queue, make sure there is room, step, release what is done; repeat.",
    "paged_attention: ValueError unless num_heads % kv_heads == 0; zeros for the output; for each sequence with a length above 0: "
    "n = ceil(length / block_size); k = key_cache[table[:n]] → (n, kv, size, dim) → transpose to (kv, n, size, dim) → flatten → "
    "[:, :length]; the same for v; q → (kv, group, dim); softmax(q kᵀ / √dim) v; back to (heads, dim).\n"
    "continuous_batching: while anybody waits or runs: while there is a place and engine.start(first of the queue): move it over; "
    "while more than one runs and there is no room: release the last started, put it at the queue's head; nobody runs, or no room "
    "for the only one: MemoryError; step, append each token; release and remove those done.",
)


def scattered(
    lengths: list[int], heads: int = 4, kv_heads: int = 2, dim: int = 8, block_size: int = 4, seed: int = 0,
    dtype: torch.dtype = torch.float32, spare: float = math.nan,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """q, key_cache, value_cache, block_tables, context_lens, and the right answer; slots that belong to nobody hold `spare`."""
    generator = torch.Generator().manual_seed(seed)
    needed = [-(-n // block_size) for n in lengths]
    order = torch.randperm(sum(needed) + 2, generator=generator)
    pool = torch.full((2, len(order), kv_heads, block_size, dim), spare, dtype=dtype)
    tables = torch.full((len(lengths), max([1, *needed]) + 1), -1)
    q = torch.randn(len(lengths), heads, dim, generator=generator, dtype=dtype)
    want, taken = torch.zeros_like(q), 0
    for i, length in enumerate(lengths):
        kv = torch.randn(2, kv_heads, length, dim, generator=generator, dtype=dtype)
        blocks = order[taken : taken + needed[i]]
        tables[i, : needed[i]], taken = blocks, taken + needed[i]
        for j in range(length):
            pool[:, blocks[j // block_size], :, j % block_size] = kv[:, :, j]
        if length:
            want[i] = scaled_dot_product_attention(q[i].unflatten(0, (kv_heads, -1)), *kv).flatten(0, 1)
    return q, pool[0], pool[1], tables, torch.tensor(lengths), want


@prop("4.2", "the example by hand")
@one_thread
def by_hand(attend: Any, serve: Any) -> None:
    values = torch.tensor([[[[6.0], [50.0]]], [[[1.0], [2.0]]]])  # (2 blocks, 1 head, 2 slots, 1 number)
    keys = torch.tensor([[[[math.log(2.0)], [2.0]]], [[[0.0], [0.0]]]])
    got = attend(torch.ones(1, 1, 1), keys, values, torch.tensor([[1, 0]]), torch.tensor([3]))
    expect_shape(got, (1, 1, 1), "output", "(batch, num_heads, head_dim), as q.")
    value = float(got)
    # Weights 1, 1, 2 of the values 1, 2, 6.
    expect(abs(value - (12 + 50 * math.exp(2) + 1) / (3 + math.exp(2))) > 0.1,
           f"You gave {value:.4g}: you read the blocks in the pool's order, 0 then 1. The table says 1, then 0.")
    expect(abs(value - (12 + 50 * math.exp(2) + 3) / (4 + math.exp(2))) > 0.1,
           f"You gave {value:.4g}: the fourth slot took part, but the sequence has 3 tokens. Cut at context_lens.")
    expect_close(value, 3.75, "Three tokens with values 1, 2, 6 and weights 1, 1, 2 have the weighted mean 15 / 4 = 3.75.", rtol=1e-4)


@prop("4.2", "blocks in any order, lengths of any size")
@one_thread
def ragged(attend: Any, serve: Any) -> None:
    *inputs, want = scattered([1, 4, 7, 16, 29], heads=3, kv_heads=3, spare=0.5)
    got = attend(*inputs)
    expect_shape(got, tuple(want.shape), "output", "(batch, num_heads, head_dim), as q.")
    unscaled = attend(inputs[0] / math.sqrt(8), *inputs[1:])
    expect(not torch.allclose(unscaled, want, atol=1e-4), "Your scores lack the factor 1/√head_dim.")
    full = [i for i, n in enumerate((1, 4, 7, 16, 29)) if n % 4 == 0]
    right = [torch.allclose(got[i], want[i], atol=1e-4) for i in range(5)]
    expect(not (all(right[i] for i in full) and not all(right)),
           "Sequences whose length is a multiple of block_size are right, the others are not: look at the slots of the last block.")
    expect_close(got, want, "Some sequence's output is not attention over its own tokens.", rtol=1e-4, atol=1e-5)


@prop("4.2", "query heads share key-value heads")
@one_thread
def grouped(attend: Any, serve: Any) -> None:
    *inputs, want = scattered([5, 9], heads=6, kv_heads=3, seed=1, spare=0.5)
    got = attend(*inputs)
    expect_shape(got, tuple(want.shape), "output")
    q, *others = inputs
    wrong = attend(q[:, [0, 2, 4, 1, 3, 5]], *others)[:, [0, 3, 1, 4, 2, 5]]
    expect(not (torch.allclose(wrong, want, atol=1e-4) and not torch.allclose(got, want, atol=1e-4)),
           "Query head h reads key-value head h // group (heads 0 and 1 read head 0); you used h % kv_heads.")
    expect_close(got, want, "With 6 query and 3 key-value heads, heads 0 and 1 read key-value head 0, heads 2 and 3 head 1, …", rtol=1e-4,
                 atol=1e-5)
    expect_raises(ValueError, lambda: attend(q[:, :4], *others), "4 query heads for 3 key-value heads should raise ValueError.")


@prop("4.2", "what is nobody's is not read")
@one_thread
def not_read(attend: Any, serve: Any) -> None:
    *inputs, want = scattered([3, 8, 5], seed=2)
    got = attend(*inputs)
    expect(not got.isnan().any(),
           "Free slots held NaN here, as uninitialised memory may, and it reached your result. A weight of 0 does not help, 0 · NaN is "
           "NaN: cut the keys and values at the length before you multiply. Or did you follow the −1 that pads the table?")
    expect_close(got, want, "With NaN in the free slots the result changed.", rtol=1e-4, atol=1e-5)


@prop("4.2", "a sequence without tokens, and inputs as they were")
@one_thread
def edges(attend: Any, serve: Any) -> None:
    *inputs, want = scattered([0, 6], seed=3)
    q, keys, values, tables, lengths = inputs
    with untouched(q=q, key_cache=keys, value_cache=values, block_tables=tables, context_lens=lengths):
        got = attend(*inputs)
    expect(not got[0].any(), "A sequence with context_lens 0 has nothing to look at: its output is zeros.")
    expect_close(got, want, "With an empty sequence in the batch the other one changed.", rtol=1e-4, atol=1e-5)


@prop("4.2", "each request gets its own tokens")
@one_thread
def own_tokens(attend: Any, serve: Any) -> None:
    lengths = [3, 1, 4, 1, 5, 9, 2, 6]
    asked, engine = pretend_requests(lengths), PretendEngine()
    steps = serve(asked, engine, 3)
    outputs = [r.output for r in asked]
    expect(outputs == right_outputs(lengths), f"With 3 places, the requests got {outputs[:3]} …; expected {right_outputs(lengths)[:3]} …: "
                                              "append each step's tokens to the requests in the order that you passed them in.")
    expect(not engine.held and sorted(engine.released) == list(range(1, 9)),
           f"Each request is released once, when it is done; released were {engine.released}.")
    expect(steps == len(engine.batches), f"You returned {steps!r}; the engine made {len(engine.batches)} steps.")


@prop("4.2", "a finished request makes room at once")
@one_thread
def at_once(attend: Any, serve: Any) -> None:
    engine = PretendEngine()
    serve(pretend_requests([8, 1, 2, 3, 2]), engine, 2)
    expect(len(engine.batches) != 13, "13 steps: you waited for the longest request of each pair, 8 + 3 + 2. The place of a finished one "
                                      "is free for the next request one step later.")
    expect(len(engine.batches) == 8, f"Requests of 8, 1, 2, 3 and 2 tokens on two places take 8 steps; yours took {len(engine.batches)}.")
    widest = max(len(batch) for batch in engine.batches)
    expect(widest == 2, f"max_running is 2, but a step had {widest} requests.")
    expect(engine.started == [1, 2, 3, 4, 5], f"First come, first served: requests were started in the order {engine.started}.")


@prop("4.2", "when memory runs out, the newest waits")
@one_thread
def preempted(attend: Any, serve: Any) -> None:
    lengths = [6, 6, 6, 2]
    asked, engine = pretend_requests(lengths, prompt_tokens=2), PretendEngine(capacity=12)
    serve(asked, engine, 3)
    outputs = [r.output for r in asked]
    expect(outputs == right_outputs(lengths), "A request that had to give its place back keeps its output so far; "
                                              f"got {outputs}, expected {right_outputs(lengths)}.")
    first_back = engine.released[0]
    expect(first_back == 3, f"When there is no room for another token of everybody, the request started last (3) goes back; you released "
                            f"{first_back} first.")
    expect(not engine.overtaken, f"First come, first served, also for those who had to step back: {engine.overtaken} It waits at the "
                                 "*head* of the queue.")
    big = PretendEngine(capacity=5)
    expect_raises(MemoryError, lambda: serve(pretend_requests([9]), big, 2),
                  "A request that does not fit even alone should raise MemoryError.")
    expect_raises(MemoryError, lambda: serve(pretend_requests([1], prompt_tokens=9), PretendEngine(capacity=5), 2),
                  "A prompt that does not fit even alone should raise MemoryError, not wait forever.")
