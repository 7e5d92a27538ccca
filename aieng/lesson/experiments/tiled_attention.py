"""4.4 measured: time, memory and traffic of attention with and without the matrix of scores."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from aieng.figures.tiled_attention import cost_curves, traffic_bars
from aieng.lesson.environment import quick
from aieng.lesson.exercises.watching import one_thread
from aieng.lesson.experiments.memory import Traffic, peak_bytes
from aieng.lesson.finding import Finding, experiment, whose


def gpu_or_cpu() -> str:
    """"cuda" where torch sees a graphics card, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def naive_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> Tensor:
    """Attention as it is usually written, with the whole matrix of scores."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(hidden, -math.inf)
    return torch.softmax(scores, dim=-1) @ v


def random_qkv(tokens: int, heads: int = 4, head_dim: int = 64, device: str = "cpu", seed: int = 0) -> list[Tensor]:
    """q, k and v of normal numbers, (1, heads, tokens, head_dim) float32."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, heads, tokens, head_dim, generator=generator).to(device) for _ in range(3)]


@experiment
def time_and_memory(
    flash_forward: Any, *, sizes: tuple[int, ...] = (256, 512, 1024, 2048, 4096), device: str = "cpu",
) -> Finding:
    """Causal attention, 4 heads of 64, float32: seconds and peak bytes against the number of tokens.

    The numbers: `sizes`, `seconds` and `bytes` ({name: one number per size}), `times_naive`, `of_sdpa` (speed ratios at the largest
    size), `memory_share` (extra bytes as a share of naive's), `difference` (largest absolute difference to naive's output).
    """
    sizes = sizes[:3] if quick() else sizes
    runs: dict[str, Callable[..., Any]] = {
        "naive": lambda q, k, v: naive_attention(q, k, v, causal=True),
        "yours": lambda q, k, v: flash_forward(q, k, v, causal=True)[0],
        "torch's fused": lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    peaks: dict[str, list[int]] = {name: [] for name in runs}
    difference = 0.0
    for n in sizes:
        qkv = random_qkv(n, device=device)
        difference = max(difference, float((runs["yours"](*qkv) - runs["naive"](*qkv)).abs().max()))
        calls: dict[str, Callable[[], Any]] = {name: functools.partial(run, *qkv) for name, run in runs.items()}
        for name, taken in _interleaved(calls, device).items():
            seconds[name].append(taken)
            peaks[name].append(peak_bytes(calls[name], device))
    times_naive, of_sdpa = seconds["naive"][-1] / seconds["yours"][-1], seconds["torch's fused"][-1] / seconds["yours"][-1]
    share = peaks["yours"][-1] / peaks["naive"][-1]
    who = whose(flash_forward)
    sentence = (
        f"At {sizes[-1]:,} tokens {who} tiles take {1e3 * seconds['yours'][-1]:.3g} ms: {times_naive:.1f} times the speed of the matrix, "
        f"and {of_sdpa:.2f} times the speed of torch's fused kernel, which is the same idea in compiled code. At their peak they hold "
        f"{_megabytes(peaks['yours'][-1])} (the output included) where naive attention holds {_megabytes(peaks['naive'][-1])}: "
        f"{share:.1%}. Twice the tokens cost naive attention {peaks['naive'][-1] / peaks['naive'][-2]:.1f} times the memory and "
        f"{who} tiles {peaks['yours'][-1] / peaks['yours'][-2]:.1f} times. The outputs differ by at most {difference:.1g}: rounding."
    )
    data = {
        "measured_speed": f"At {sizes[-1]:,} tokens on this machine, {who} tiles run at {times_naive:.1f} times the speed of the whole "
                          f"matrix, torch's fused kernel at {times_naive / of_sdpa:.1f} times; it depends on length and machine.",
        "measured_memory": f"Peak memory {share:.1%} of naive attention's.",
        "measured_difference": f"Largest difference to naive attention {difference:.1g} in float32: rounding.",
        "sizes": sizes, "seconds": seconds, "bytes": peaks, "times_naive": times_naive, "of_sdpa": of_sdpa, "memory_share": share,
        "difference": difference,
    }
    names = {"yours": whose(flash_forward, alone=True)}  # of the curves
    shown = ({names.get(name, name): values for name, values in measured.items()} for measured in (seconds, peaks))
    return Finding(sentence, cost_curves(sizes, *shown), data)


@experiment
@one_thread
def slow_memory_traffic(
    flash_forward: Any, *, tokens: int = 1024, head_dim: int = 64, sram_kib: tuple[int, ...] = (24, 48, 96),
) -> Finding:
    """Bytes through slow memory, counted while the functions run on one head, for several sizes of fast memory.

    The model is `Traffic`'s. The tile's rows are those of the FlashAttention paper, M / 4d; our loop keeps a tile of queries in fast
    memory and passes all keys and values by it, so it should move N·d·(2 + 2·N / block_m) numbers.

    The numbers: `naive`, `flash` ({KiB: bytes counted}), `formula` ({KiB: bytes from our loop's formula}), `paper` ({KiB: N² d² / M
    numbers, the paper's order of growth}), `saving` (naive over flash at the largest fast memory).
    """
    tokens = tokens // 2 if quick() else tokens
    q, k, v = random_qkv(tokens, heads=1, head_dim=head_dim)
    naive: dict[int, int] = {}
    flash: dict[int, int] = {}
    formula: dict[int, float] = {}
    paper: dict[int, float] = {}
    for kib in sram_kib:
        numbers = kib * 1024 // 4  # float32 numbers that fit: the paper's M
        rows = max(1, numbers // (4 * head_dim))
        with Traffic(kib * 1024) as moved:
            naive_attention(q, k, v)
        naive[kib] = moved.read + moved.written
        with Traffic(kib * 1024) as moved:
            flash_forward(q, k, v, rows, rows)
        flash[kib] = moved.read + moved.written
        formula[kib] = 4 * tokens * head_dim * (2 + 2 * math.ceil(tokens / rows))
        paper[kib] = 4 * (tokens * head_dim) ** 2 / numbers
    most = sram_kib[-1]
    saving = naive[most] / flash[most]
    sentence = (
        f"For {tokens:,} tokens and {most} KiB of fast memory, {whose(flash_forward)} loop moves {_megabytes(flash[most])}; "
        f"naive attention moves {_megabytes(naive[most])}, {saving:.0f} times as much: its matrix goes out and in again with every "
        f"operation. The formula of our loop, N·d·(2 + 2·N/block_m) numbers, says {_megabytes(formula[most])}. Four times the fast memory "
        f"({sram_kib[0]} → {most} KiB) cut the traffic by {flash[sram_kib[0]] / flash[most]:.1f}. The paper's N²d²/M is an order of "
        "growth: it says 4, and leaves out the constant, which is 8 for our loop with tiles of M/4d rows."
    )
    data = {"measured": f"Counted traffic through slow memory {saving:.0f} times less.", "naive": naive, "flash": flash,
            "formula": formula, "paper": paper, "saving": saving}
    return Finding(sentence, traffic_bars(naive, flash, formula, paper, tokens, head_dim, whose(flash_forward, alone=True)), data)


@experiment
def backward_memory(flash_forward: Any, flash_backward: Any, *, tokens: int = 2048) -> Finding:
    """Peak bytes of a forward and a backward pass, by autograd through the whole matrix and in tiles.

    The numbers: `naive`, `tiled` (bytes), `difference` (largest absolute difference of a gradient).
    """
    tokens = tokens // 4 if quick() else tokens
    q, k, v = random_qkv(tokens, heads=2)
    grad = random_qkv(tokens, heads=2, seed=1)[0]

    def by_autograd() -> tuple[Tensor, ...]:
        a, b, c = (t.clone().requires_grad_() for t in (q, k, v))
        return torch.autograd.grad(naive_attention(a, b, c, causal=True), (a, b, c), grad)

    def in_tiles() -> tuple[Tensor, ...]:
        output, lse = flash_forward(q, k, v, causal=True)
        return flash_backward(grad, q, k, v, output, lse, causal=True)

    difference = max(float((a - b).abs().max()) for a, b in zip(by_autograd(), in_tiles()))
    naive, tiled = peak_bytes(by_autograd), peak_bytes(in_tiles)
    sentence = (f"Forward and backward over {tokens:,} tokens, 2 heads: autograd through the matrix holds {_megabytes(naive)} at its peak, "
                f"the tiles {_megabytes(tiled)}, {naive / tiled:.1f} times less. The gradients differ by at most {difference:.1g}.")
    return Finding(sentence, None, {"naive": naive, "tiled": tiled, "difference": difference})


def _interleaved(runs: dict[str, Callable[[], Any]], device: str, rounds: int = 3) -> dict[str, float]:
    """Seconds of the fastest of some runs of each, taken in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            if device != "cpu":
                torch.cuda.synchronize()
            begin = time.perf_counter()
            run()
            if device != "cpu":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - begin)
    return {name: min(taken) for name, taken in seconds.items()}


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.3g} MB" if count < 1e9 else f"{count / 1e9:.3g} GB"
