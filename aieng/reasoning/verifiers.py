"""Verifiers: judge a chain of thought by its end (outcome) or step by step (process), and choose the best of n.

Sources: Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems" (arXiv:2110.14168); Uesato et al. 2022 (arXiv:2211.14275);
Lightman et al. 2023, "Let's Verify Step by Step" (arXiv:2305.20050), whose process score is the product over the steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from aieng.reasoning.scratchpad import Chain, apply

Step = tuple[int, str, int]  # (value before, operation, value after), as written: "7 +5 = 2" is (7, "+5", 2)
REDUCTIONS = ("prod", "min", "last")


def step_labels(question: Chain, steps: Sequence[Step]) -> list[bool]:
    """Which steps of a trace are right, each judged by itself.

    Parameters
    ----------
    question : Chain
        ``start`` (a digit) and ``operations``.
    steps : sequence of (before, operation, after)
        As written by whoever solved it. May be shorter than the question, or longer.

    Returns
    -------
    list of bool, one a step
        Step i is right when it goes on from where the trace stands (the start, later the value that step i - 1 *wrote*), applies the
        question's i-th operation, and ``after`` is the last digit of the result. A right step after a wrong one is right. Steps beyond
        the question's last are wrong.
    """
    labels, stands = [], question.start
    for i, (before, operation, after) in enumerate(steps):
        asked = i < len(question.operations) and operation == question.operations[i]
        labels.append(bool(asked and before == stands and after == apply(before, operation)))
        stands = after
    return labels


def process_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Binary cross entropy of step scores against step labels, averaged over the steps that exist.

    Parameters
    ----------
    logits : Tensor (traces, steps), float
        Before the sigmoid; may be large.
    labels : Tensor (traces, steps), bool or float
        1 for a right step.
    mask : Tensor (traces, steps), bool
        True where the trace has a step; what stands elsewhere, NaN too, has no influence.

    Returns
    -------
    Tensor (), with a gradient to `logits`

    Raises
    ------
    ValueError
        No step exists, or the shapes differ.
    """
    if not logits.shape == labels.shape == mask.shape:
        raise ValueError(f"shapes differ: logits {tuple(logits.shape)}, labels {tuple(labels.shape)}, mask {tuple(mask.shape)}")
    mask = mask.bool()
    if not mask.any():
        raise ValueError("the mask is False everywhere: there is no step to learn from")
    return functional.binary_cross_entropy_with_logits(logits[mask], labels[mask].to(logits.dtype))


def trace_score(probabilities: Sequence[float], how: str = "prod") -> float:
    """One score of a trace from the probabilities that its steps are right.

    Parameters
    ----------
    probabilities : sequence of float, 0 … 1, at least one
    how : {"prod", "min", "last"}
        "prod": the probability that all steps are right, if they err independently; "min": the weakest step; "last": only the last.

    Raises
    ------
    ValueError
        No step, or another `how`.
    """
    if how not in REDUCTIONS:
        raise ValueError(f"how is {how!r}; choose one of {', '.join(REDUCTIONS)}")
    if len(probabilities) == 0:
        raise ValueError("a trace without steps has no score")
    p = [float(x) for x in probabilities]
    return math.prod(p) if how == "prod" else min(p) if how == "min" else p[-1]


def best_of_n(scores: Sequence[float], right: Sequence[bool], n: int) -> float:
    """The expected share of right picks when the best-scored of n candidates, drawn from the given ones without replacement, is taken.

    Parameters
    ----------
    scores : sequence of float, (candidates,)
    right : sequence of bool, (candidates,)
    n : int, 1 … candidates

    Returns
    -------
    float, 0 … 1
        Exact: the average over all subsets of size n. Among equally scored best candidates of a subset each is taken equally often.

    Raises
    ------
    ValueError
        n out of range, or not as many scores as labels.

    Notes
    -----
    Sort ascending. The candidate at place i (from 0) is the best of C(i, n − 1) of the C(N, n) subsets. Ties: a group of equal scores
    that ends before place j and begins at i holds the best in C(j, n) − C(i, n) subsets, shared evenly.
    """
    if len(scores) != len(right):
        raise ValueError(f"{len(scores)} scores, but {len(right)} labels; give one of each a candidate")
    if not 1 <= n <= len(scores):
        raise ValueError(f"n = {n} of {len(scores)} candidates; choose 1 to {len(scores)}")
    groups: dict[float, list[bool]] = {}
    for score, good in sorted(zip(map(float, scores), map(bool, right)), key=lambda pair: pair[0]):
        groups.setdefault(score, []).append(good)
    expected, begin = 0.0, 0
    for members in groups.values():
        end = begin + len(members)
        subsets = math.comb(end, n) - math.comb(begin, n)
        expected += subsets / math.comb(len(scores), n) * sum(members) / len(members)
        begin = end
    return expected


class StepNetwork(torch.nn.Module):
    """Reads one step: embeddings of (stands at, asked operation, before, operation, after) to a logit that it is right.

    Both reward models are made of it, so that they differ in their labels only.
    """

    def __init__(self, operations: int, width: int = 24, hidden: int = 96, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.digit = torch.nn.Embedding(10, width)
        self.operation = torch.nn.Embedding(operations + 1, width)  # the last: nothing was asked
        self.inner = torch.nn.Linear(5 * width, hidden)
        self.middle = torch.nn.Linear(hidden, hidden)
        self.outer = torch.nn.Linear(hidden, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                scale = 0.0 if parameter.ndim == 1 else 0.5 if parameter.shape[-1] == width else parameter.shape[-1] ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)

    def forward(self, features: Tensor) -> Tensor:
        """features (traces, steps, 5), int64, to logits (traces, steps)."""
        stands, asked, before, operation, after = features.unbind(-1)
        x = torch.cat([self.digit(stands), self.operation(asked), self.digit(before), self.operation(operation), self.digit(after)], -1)
        x = torch.relu(self.inner(x))
        x = torch.relu(self.middle(x))
        out: Tensor = self.outer(x).squeeze(-1)
        return out
