"""4.3 measured: Mixtral's parameters, a router with and without the balance loss, the cost of dispatch, and experts per batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from aieng.figures.experts import expert_loads, experts_touched_plot, parameter_bars
from aieng.lesson.environment import quick
from aieng.lesson.exercises.watching import one_thread
from aieng.lesson.finding import Finding, experiment, whose
from aieng.transformer.experts import MoELayer as CourseLayer


@dataclass(frozen=True)
class MoEConfig:
    """Sizes of a Transformer whose feed-forward networks are mixtures; the defaults are Mixtral 8x7B's published config.json."""

    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    vocab_size: int = 32000
    num_local_experts: int = 8
    num_experts_per_tok: int = 2

    def parameters(self) -> dict[str, tuple[int, int]]:
        """{part: (all, used by one token)}; the embedding and the output layer are counted whole in both, as is usual."""
        head_dim = self.hidden_size // self.num_attention_heads
        attention = self.hidden_size * head_dim * 2 * (self.num_attention_heads + self.num_key_value_heads)
        expert = 3 * self.hidden_size * self.intermediate_size
        other = self.num_hidden_layers * (self.num_local_experts * self.hidden_size + 2 * self.hidden_size) + self.hidden_size
        layers = self.num_hidden_layers
        return {
            "experts": (layers * self.num_local_experts * expert, layers * self.num_experts_per_tok * expert),
            "attention": (layers * attention, layers * attention),
            "embedding and output": (2 * self.vocab_size * self.hidden_size,) * 2,
            "routers and norms": (other, other),
        }


@experiment
def mixtral_parameters() -> Finding:
    """Total and active parameters from Mixtral's published sizes.

    The numbers: `total`, `active` (parameters), `flops` (per token, two for each active weight), `gigabytes` (in two bytes each),
    `dense_ratio` (total over active).
    """
    parts = MoEConfig().parameters()
    total, active = (sum(p[i] for p in parts.values()) for i in (0, 1))
    sentence = (f"{total / 1e9:.1f} billion parameters in all, {active / 1e9:.1f} billion take part in one token: {active / total:.0%}. A "
                f"token costs about {2 * active / 1e9:.0f} GFLOP, as in a dense model of {active / 1e9:.0f} billion; but all "
                f"{total / 1e9:.1f} billion have to lie in memory, {2 * total / 1e9:.0f} GB at two bytes each, since the next token may "
                "ask for any of them.")
    measured = (f"Arithmetic follows the active parameters, {active / 1e9:.1f} of {total / 1e9:.1f} billion; all "
                f"{2 * total / 1e9:.0f} GB (at two bytes) have to be in memory.")
    data = {"measured": measured, "total": total, "active": active, "flops": 2 * active, "gigabytes": 2 * total / 1e9,
            "dense_ratio": total / active}
    return Finding(sentence, parameter_bars(parts), data)


@dataclass(frozen=True)
class Trained:
    """A small mixture after training: router (experts, hidden), its load (share of the assignments), its loss."""

    router: Tensor
    load: Tensor
    error: float


def small_task(tokens: int, generator: torch.Generator, hidden: int = 16, kinds: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and kind: tokens of eight kinds around eight centres; each kind has a linear map of its own from x to y."""
    fixed = torch.Generator().manual_seed(123)
    centres = torch.randn(kinds, hidden, generator=fixed)
    maps = torch.randn(kinds, hidden, hidden, generator=fixed) / hidden**0.5
    kind = torch.randint(kinds, (tokens,), generator=generator)
    x = centres[kind] + 0.3 * torch.randn(tokens, hidden, generator=generator)
    return x, torch.einsum("toh,th->to", maps[kind], x), kind


@one_thread
def train_small_mixture(route: Any, balance: Any, weight: float, steps: int, seed: int = 0, experts: int = 8, top_k: int = 2) -> Trained:
    """Train router and experts together on `small_task`, adding `weight` times the learner's balance loss."""
    generator = torch.Generator().manual_seed(seed)
    hidden = 16
    router = 0.5 * torch.randn(experts, hidden, generator=generator)
    router[:2] += 2.0 * small_task(512, generator)[0].mean(0)  # two experts begin a little ahead, as chance has it in practice
    gate, up = (0.3 * torch.randn(experts, 32, hidden, generator=generator) for _ in range(2))
    down = 0.3 * torch.randn(experts, hidden, 32, generator=generator)
    optimiser = torch.optim.Adam([p.requires_grad_() for p in (router, gate, up, down)], lr=5e-3)
    layer = CourseLayer(router, gate, up, down, top_k)
    for _ in range(steps):
        x, y, _ = small_task(256, generator)
        _, chosen, probabilities = route(x, router, top_k)
        loss = functional.mse_loss(layer(x), y) + weight * balance(probabilities, chosen)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, y, _ = small_task(2048, torch.Generator().manual_seed(seed + 1))
    with torch.no_grad():
        _, chosen, _ = route(x, router, top_k)
        error = float(functional.mse_loss(layer(x), y))
    load = torch.bincount(chosen.flatten(), minlength=experts) / chosen.numel()
    return Trained(router.detach(), load, error)


@experiment
def balance_of_a_router(top_k_router: Any, load_balancing_loss: Any, *, steps: int = 200, weight: float = 0.5) -> Finding:
    """Train a mixture of eight experts twice, with and without the balance loss; count who gets how much.

    The numbers: `load` ({name: share of the assignments of each expert}), `busiest` ({name: largest share}), `idle` ({name: experts
    below 1 %}), `error` ({name: mean squared error on new data}), `routers` ({name: Tensor}).
    """
    steps = steps // 5 if quick() else steps
    trained = {name: train_small_mixture(top_k_router, load_balancing_loss, w, steps)
               for name, w in (("without the loss", 0.0), ("with the loss", weight))}
    busiest = {name: float(t.load.max()) for name, t in trained.items()}
    idle = {name: int((t.load < 0.01).sum()) for name, t in trained.items()}
    error = {name: t.error for name, t in trained.items()}
    a, b = trained
    sentence = (f"After {steps} steps {a}, the busiest of 8 experts gets {busiest[a]:.0%} of the assignments and {idle[a]} get less than "
                f"1 %; {b}, {busiest[b]:.0%} and {idle[b]}. Even shares would be 12.5 %. The error on new data is {error[a]:.3f} "
                f"{a} and {error[b]:.3f} {b}.")
    return Finding(sentence, expert_loads({name: t.load.tolist() for name, t in trained.items()}),
                   {"load": {name: t.load.tolist() for name, t in trained.items()}, "busiest": busiest, "idle": idle, "error": error,
                    "routers": {name: t.router for name, t in trained.items()}})


@experiment
def dispatch_time(
    moe_layer: Any, *, tokens: int = 1024, hidden: int = 256, intermediate: int = 512, experts: int = 8, top_k: int = 2,
) -> Finding:
    """Milliseconds for the same outputs: the learner's layer, every expert on every token, and token by token.

    The numbers: `milliseconds` ({way: fastest of some runs}), `of_dense` (dense over yours), `ideal` (experts over top_k).
    """
    generator = torch.Generator().manual_seed(0)
    router, x = torch.randn(experts, hidden, generator=generator), torch.randn(tokens, hidden, generator=generator)
    gate, up = (torch.randn(experts, intermediate, hidden, generator=generator) / hidden**0.5 for _ in range(2))
    down = torch.randn(experts, hidden, intermediate, generator=generator) / intermediate**0.5
    layer, own = moe_layer(router, gate, up, down, top_k), CourseLayer(router, gate, up, down, top_k)
    everything = moe_layer(router, gate, up, down, experts)
    few = tokens // 16
    runs: dict[str, tuple[Callable[[], Any], float]] = {
        f"grouped by expert ({whose(moe_layer, alone=True)})": (lambda: layer(x), 1.0),
        "every expert on every token": (lambda: everything(x), 1.0),
        "token by token": (lambda: [own(x[i : i + 1]) for i in range(few)], tokens / few),
    }
    best = {name: float("inf") for name in runs}
    for _ in range(3):
        for name, (run, factor) in runs.items():
            begin = time.perf_counter()
            run()
            best[name] = min(best[name], 1e3 * factor * (time.perf_counter() - begin))
    mine, dense, single = best.values()
    rows = "\n".join(f"| {name} | {f'{ms:,.0f}' if ms >= 100 else f'{ms:.3g}'} ms |" for name, ms in best.items())
    sentence = (f"| {tokens:,} tokens, {experts} experts, top {top_k} | time |\n|---|---|\n{rows}\n\nComputing {top_k} of {experts} "
                f"experts saves a factor of {experts / top_k:.0f} of the arithmetic; measured, with sorting and adding: "
                f"{dense / mine:.1f}. One token at a time takes {single / mine:.0f} times as long as in groups: each weight is fetched for "
                f"one row.")
    return Finding(sentence, None, {"milliseconds": best, "of_dense": dense / mine, "ideal": experts / top_k})


@experiment
def experts_touched(top_k_router: Any, *, batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64), experts: int = 8, top_k: int = 2) -> Finding:
    """How many experts a batch of one-token steps needs, by a random router and by the formula for independent choices.

    The numbers: `touched` ({batch: mean number}), `formula` ({batch: E·(1 − (1 − k/E)^B)}), `gigabytes` ({batch: bytes of Mixtral's
    weights that a step reads, at two bytes}), `per_token` ({batch: the same per token}).
    """
    generator = torch.Generator().manual_seed(0)
    router = torch.randn(experts, 32, generator=generator)
    rounds = 200

    def needed(n: int) -> int:
        return len(top_k_router(torch.randn(n, 32, generator=generator), router, top_k)[1].unique())

    touched = {n: sum(needed(n) for _ in range(rounds)) / rounds for n in batches}
    formula = {n: experts * (1 - (1 - top_k / experts) ** n) for n in batches}
    parts = MoEConfig().parameters()
    rest = sum(p[0] for name, p in parts.items() if name != "experts")
    gigabytes = {n: 2 * (rest + parts["experts"][0] * touched[n] / experts) / 1e9 for n in batches}
    per_token = {n: g / n for n, g in gigabytes.items()}
    eight = 8 if 8 in touched else batches[-1]
    sentence = (f"One token touches {touched[batches[0]]:.0f} of {experts} experts, a batch of {eight} already {touched[eight]:.1f}, one "
                f"of {batches[-1]} {touched[batches[-1]]:.1f}. With Mixtral's sizes a step for one token reads "
                f"{gigabytes[batches[0]]:.0f} GB of weights, a step for {eight} reads {gigabytes[eight]:.0f} GB. Generating is bound by "
                "reading, so a mixture keeps its full advantage for a single user, and loses it in the middle: many experts are read, "
                "each for few tokens. In large batches reading is shared, and the saved arithmetic counts again.")
    data = {"measured": f"A batch of {eight} tokens touches {touched[eight]:.1f} of {experts} experts.", "touched": touched,
            "formula": formula, "gigabytes": gigabytes, "per_token": per_token}
    return Finding(sentence, experts_touched_plot(touched, formula, per_token), data)


def example_tokens(count: int, seed: int = 5) -> tuple[list[str], Tensor]:
    """Tokens of `small_task` sorted by kind, with labels such as "kind 3"."""
    x, _, kind = small_task(count, torch.Generator().manual_seed(seed))
    order = kind.argsort(stable=True)
    return [f"kind {int(k)}" for k in kind[order]], x[order]
