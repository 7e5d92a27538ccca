"""Traces with planted errors, and two reward models that differ in nothing but their labels.

A trace is a worked chain of clock arithmetic (`aieng.reasoning.scratchpad`). Some are right all through, some slip, and some slip twice so
that the errors cancel: right answer, wrong steps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from aieng.reasoning.scratchpad import OPERATIONS, Chain, apply, random_chain
from aieng.reasoning.verifiers import Step, StepNetwork

STEPS = 5
KINDS = ("sound", "slip", "cancelled")  # all right; an error; two errors that undo each other
MIX = (0.35, 0.4, 0.25)  # their shares
_NUMBER = {operation: i for i, operation in enumerate(OPERATIONS)}

Labeller = Callable[[Chain, Sequence[Step]], Sequence[bool]]


@dataclass(frozen=True)
class Trace:
    """A question and what somebody wrote down for it."""

    question: Chain
    steps: tuple[Step, ...]

    @property
    def answer(self) -> int:
        return self.steps[-1][2]

    @property
    def right_answer(self) -> bool:
        return self.answer == self.question.answer

    def __str__(self) -> str:
        return "; ".join(f"{before} {operation} = {after}" for before, operation, after in self.steps)


def write_trace(question: Chain, kind: str, rng: random.Random) -> Trace:
    """A trace of this kind for a question of at least two steps.

    An error is a wrong result, a value copied wrongly from the line before, or another operation than was asked for. A "cancelled" trace
    ends with the right digit although at least two of its steps are wrong.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}")
    length = len(question.operations)
    wrong = set() if kind == "sound" else {rng.randrange(length)} if kind == "slip" else set(rng.sample(range(length), 2))
    steps: list[Step] = []
    stands = question.start
    for i, operation in enumerate(question.operations):
        before, asked, after = stands, operation, apply(stands, operation)
        if i in wrong and kind == "cancelled" and i == max(wrong):
            after = question.values[i]  # the value that an error-free trace would hold here
        elif i in wrong:
            how = rng.choice(("result", "copy", "operation"))
            if how == "copy":
                before = (before + rng.randrange(1, 10)) % 10
            elif how == "operation":
                asked = rng.choice([o for o in OPERATIONS if apply(before, o) != after])
            after = (apply(before, operation) + rng.randrange(1, 10)) % 10 if how == "result" else apply(before, asked)
        steps.append((before, asked, after))
        stands = after
    return Trace(question, tuple(steps))


def make_traces(count: int, seed: int, question: Chain | None = None) -> list[Trace]:
    """`count` traces in the usual mix of kinds, of fresh questions or all of the same one."""
    rng = random.Random(seed)
    kinds = rng.choices(KINDS, MIX, k=count)
    return [write_trace(question or random_chain(rng, STEPS), kind, rng) for kind in kinds]


def trace_features(traces: Sequence[Trace]) -> Tensor:
    """What `StepNetwork` reads of each step: (traces, steps, 5), int64."""
    rows = []
    for t in traces:
        stands, row = t.question.start, []
        for asked, (before, operation, after) in zip(t.question.operations, t.steps, strict=True):
            row.append([stands, _NUMBER[asked], before, _NUMBER[operation], after])
            stands = after
        rows.append(row)
    return torch.tensor(rows)


def outcome_loss(step_logits: Tensor, right: Tensor) -> Tensor:
    """Binary cross entropy of "all steps right" against "the answer is right"; (traces, steps) and (traces,) to ().

    The probability of the trace is the product over its steps, as in the process model's score: the same network, told less.
    """
    log_all = functional.logsigmoid(step_logits).sum(dim=1).clamp(max=-1e-6)
    log_not_all = torch.log1p(-log_all.exp())
    return -(right * log_all + (~right) * log_not_all).mean()


def train_reward_models(
    traces: Sequence[Trace], step_labels: Labeller, process_loss: Callable[[Tensor, Tensor, Tensor], Tensor], *, steps: int = 600,
    batch: int = 64, seed: int = 0,
) -> dict[str, StepNetwork]:
    """{"outcome": ORM, "process": PRM}, trained on the same traces in the same order; only what they are told differs."""
    x = trace_features(traces)
    labels = torch.tensor([list(step_labels(t.question, t.steps)) for t in traces])
    right = torch.tensor([t.right_answer for t in traces])
    models = {}
    for name in ("outcome", "process"):
        net = StepNetwork(len(OPERATIONS), seed=seed)
        optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            rows = torch.randint(len(x), (batch,), generator=generator)
            logits = net(x[rows])
            mask = torch.ones_like(logits, dtype=torch.bool)
            loss = outcome_loss(logits, right[rows]) if name == "outcome" else process_loss(logits, labels[rows], mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        models[name] = net.eval()
    return models


@torch.no_grad()
def step_probabilities(model: StepNetwork, traces: Sequence[Trace]) -> Tensor:
    """The model's probability that each step is right: (traces, steps)."""
    return model(trace_features(traces)).sigmoid()
