"""The Game of 24: an exhaustive solver for the truth, and two small networks that stand for a model's intuition.

`Intuition` plays the two parts that a language model plays in Yao et al. 2023 (arXiv:2305.10601): it writes a next line in one go (policy),
and it says how hopeful a state looks (value). Both are trained on puzzles that the tests do not use, and both are often wrong; each use
counts as one call. ``assets/make_game24.py`` trained them.
"""

from __future__ import annotations

import json
import operator
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations, combinations_with_replacement
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from aieng.models.shipped import shipped
from aieng.reasoning.tree_search import GOAL, Numbers, propose

CHECKPOINT = Path(__file__).resolve().parents[2] / "assets" / "game24.safetensors"
RECORD = CHECKPOINT.with_suffix(".json")
LARGEST = 13  # numbers of a puzzle go from 1 to this
PAIRS = tuple(combinations(range(4), 2))
SIGNS = ("+", "−", "−'", "×", "÷", "÷'")  # with a tick: the other way round
HELD_OUT = 200  # puzzles that no training saw


def start(*numbers: int) -> Numbers:
    """A puzzle as a state."""
    return tuple(sorted(Fraction(n) for n in numbers))


def is_goal(numbers: Numbers) -> bool:
    """Whether 24 is all that is left."""
    return numbers == (GOAL,)


@cache
def solvable(numbers: Numbers) -> bool:
    """The oracle: whether 24 can be reached from here, by trying everything."""
    return is_goal(numbers) if len(numbers) == 1 else any(solvable(child) for child in propose(numbers))


def held_out() -> list[Numbers]:
    """The puzzles that no training saw, from the shipped file."""
    listed = json.loads(RECORD.read_text(encoding="utf-8"))["held_out"]
    return [start(*numbers) for numbers in listed]


@cache
def puzzles() -> tuple[tuple[Numbers, ...], tuple[Numbers, ...]]:
    """All puzzles that have a solution, shuffled and parted: (training, held out). Solves 1,820 puzzles: half a minute."""
    every = [p for p in (start(*n) for n in combinations_with_replacement(range(1, LARGEST + 1), 4)) if solvable(p)]
    random.Random(24).shuffle(every)
    return tuple(every[HELD_OUT:]), tuple(every[:HELD_OUT])


def result(numbers: Numbers, action: int) -> Numbers | None:
    """What remains after an action (pair number times 6 + sign number), or None where it is impossible."""
    (i, j), sign = PAIRS[action // 6], SIGNS[action % 6]
    if j >= len(numbers):
        return None
    a, b = numbers[i], numbers[j]
    if (sign == "÷" and b == 0) or (sign == "÷'" and a == 0):
        return None
    if sign.endswith("'"):
        a, b = b, a
    made = {"+": operator.add, "−": operator.sub, "×": operator.mul, "÷": operator.truediv}[sign[0]](a, b)
    return tuple(sorted([made, *(x for k, x in enumerate(numbers) if k not in (i, j))]))


def step_text(before: Numbers, after: Numbers) -> str:
    """The operation between two states, such as "10 − 4 = 6"."""
    for action in range(36):
        if result(before, action) == after:
            (i, j), sign = PAIRS[action // 6], SIGNS[action % 6]
            a, b = (before[j], before[i]) if sign.endswith("'") else (before[i], before[j])
            rest = list(after)
            for k, x in enumerate(before):
                if k not in (i, j):
                    rest.remove(x)
            return f"{a} {sign[0]} {b} = {rest[0]}"
    raise ValueError(f"no operation leads from {shown(before)} to {shown(after)}")


def shown(numbers: Numbers) -> str:
    """The numbers of a state, for people."""
    return " ".join(map(str, numbers))


_LEFT, _RIGHT = np.array(PAIRS).T
_FITTING = np.array([1, 2, 3, 4, 6, 8, 12, 24])


def features(numbers: Sequence[Fraction]) -> NDArray[np.float32]:
    """A state as numbers for a network, (344,) float32: what each number is, and what each operation on two of them would make."""
    each = np.zeros((4, 41), dtype=np.float32)
    for row, x in zip(each, numbers):
        value = float(x)
        row[:4] = 1, np.sign(value) * np.log1p(abs(value)), min(abs(value - 24) / 24, 4), x.denominator == 1
        if row[3]:
            whole = abs(x.numerator)
            row[4:11] = [whole % d == 0 for d in (2, 3, 4, 5, 6, 8, 12)]
            if whole < 30:
                row[11 + whole] = 1
    values = np.full(4, np.nan)
    values[: len(numbers)] = [float(x) for x in numbers]
    a, b = values[_LEFT], values[_RIGHT]  # (6 pairs,)
    with np.errstate(divide="ignore", invalid="ignore"):
        made = np.stack([a + b, a - b, b - a, a * b, a / b, b / a], 1)  # the order of SIGNS
    possible = np.isfinite(made)
    made = np.where(possible, made, 0.0)
    fits = (np.abs(made[..., None] - _FITTING) < 1e-9).any(-1)
    whole = np.abs(made - made.round()) < 1e-9
    pairs = (
        np.stack([possible, np.sign(made) * np.log1p(np.abs(made)) / 3, np.minimum(np.abs(made - 24) / 24, 2), fits, whole], -1)
        * possible[..., None]
    )
    return np.concatenate([each.ravel(), pairs.ravel().astype(np.float32)])


@dataclass
class Intuition:
    """The trained networks, and how often they were asked.

    layers : {"value": [(weight, bias), …], "policy": […]}, float32, weights (out, in)
    """

    layers: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]]
    calls: int = 0

    def _run(self, network: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self.calls += 1
        *inner, (weight, bias) = self.layers[network]
        for w, b in inner:
            x = np.maximum(w @ x + b, 0)
        return weight @ x + bias

    def value(self, numbers: Numbers) -> float:
        """One call: how likely it seems that 24 can be reached, 0 … 1. A single number is compared with 24, which is no call."""
        if len(numbers) == 1:
            return float(is_goal(numbers))
        return float(1 / (1 + np.exp(-self._run("value", features(numbers))[0])))

    def rank(self, numbers: Numbers, thoughts: Sequence[Numbers]) -> list[Numbers]:
        """One call: the next states, the one that the policy likes best first."""
        likes = self._run("policy", features(numbers))
        best: dict[Numbers | None, float] = {}
        for action in range(36):
            after = result(numbers, action)
            best[after] = max(best.get(after, -np.inf), float(likes[action]))
        return sorted(thoughts, key=lambda thought: -best.get(thought, -np.inf))

    def chain(self, numbers: Numbers, rng: np.random.Generator, temperature: float = 0.5) -> list[Numbers]:
        """A whole chain, one call a line: each operation is drawn from the policy, nothing is taken back."""
        path = [numbers]
        while len(path[-1]) > 1:
            likes = self._run("policy", features(path[-1])).astype(np.float64)
            after = [result(path[-1], action) for action in range(36)]
            likes[[a is None for a in after]] = -np.inf
            odds = np.exp((likes - likes.max()) / temperature)
            chosen = after[int(rng.choice(36, p=odds / odds.sum()))]
            assert chosen is not None
            path.append(chosen)
        return path


def load_intuition(path: Path = CHECKPOINT) -> Intuition:
    """The shipped networks, with a counter at 0.

    Raises
    ------
    FileNotFoundError
        The file is not beside the package.
    """
    tensors = load_file(shipped(path))
    layers = {
        name: [(tensors[f"{name}.{i}.weight"].astype(np.float32), tensors[f"{name}.{i}.bias"].astype(np.float32)) for i in range(3)]
        for name in ("value", "policy")
    }
    return Intuition(layers)
