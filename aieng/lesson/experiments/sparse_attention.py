"""5.6 measured: time and scores of block-sparse attention beside dense attention."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from aieng.figures.tradeoffs import lines
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment, whose


@experiment
def time_against_tokens(block_sparse_attention: Any, *, window: int = 256, block_size: int = 128, heads: int = 2,
                        head_dim: int = 64) -> Finding:
    """Milliseconds of dense attention with the mask and of the learner's function, for longer and longer texts.

    The numbers: `tokens`, `dense` and `sparse` (ms,
                                                 one per size), `ratio` (dense / sparse at the largest), `difference` (largest of the
    results), `share` (scores computed, of all tokens², at the largest).
    """
    sizes = (512, 1024) if quick() else (512, 1024, 2048, 4096, 8192)
    found: dict[str, list[float]] = {"dense": [], "sparse": []}
    difference = 0.0
    for n in sizes:
        q, k, v = (torch.randn(1, heads, n, head_dim, generator=torch.Generator().manual_seed(s)) for s in range(3))
        position = torch.arange(n)
        distance = position[:, None] - position
        mask = (distance >= 0) & (distance <= window)
        runs: dict[str, Callable[[], Any]] = {
            "dense": partial(scaled_dot_product_attention, q, k, v, mask),
            "sparse": partial(block_sparse_attention, q, k, v, window, 0, block_size),
        }
        seconds: dict[str, list[float]] = {"dense": [], "sparse": []}
        for _ in range(2 if n > 4000 else 4):
            for name, run in runs.items():
                started = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - started)
        for name, times in seconds.items():
            found[name].append(1e3 * min(times))
        difference = max(difference, float((runs["dense"]() - runs["sparse"]()).abs().max()))
    n = sizes[-1]
    computed = sum((min(s + block_size, n) - s) * (min(s + block_size, n) - max(0, s - window)) for s in range(0, n, block_size))
    ratio = found["dense"][-1] / found["sparse"][-1]
    sentence = (f"{n:,} tokens, window {window}: dense attention with the mask {found['dense'][-1]:.0f} ms, "
                f"{whose(block_sparse_attention)} block-sparse attention {found['sparse'][-1]:.0f} ms, {ratio:.1f} times as fast, "
                f"and the same numbers to within {difference:.0e}. It computes {computed:,} scores, {computed / n**2:.1%} of {n:,}². "
                f"Between {sizes[-2]:,} and {n:,} tokens dense takes {found['dense'][-1] / found['dense'][-2]:.1f} times as long, sparse "
                f"{found['sparse'][-1] / found['sparse'][-2]:.1f} times.")
    series = {"dense with mask": (sizes, found["dense"]), whose(block_sparse_attention, alone=True): (sizes, found["sparse"])}
    figure = lines(series, "Time of attention against length", "tokens", "time (ms)",
                   log_x=True, log_y=True, subtitle=f"window {window}, {heads} heads of {head_dim}, causal")
    return Finding(sentence, figure, {"tokens": sizes, **found, "ratio": ratio, "difference": difference, "share": computed / n**2})
