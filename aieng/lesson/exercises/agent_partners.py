"""Partners for the tests of 8.4: tools, a scripted model, an exact index, and an encoder of words without a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def act(tool: str, thought: str = "hm", **arguments: Any) -> str:
    """What a model would write: a thought and a call."""
    return f" {thought}\nAction: {json.dumps({'tool': tool, 'arguments': arguments})}"


class Scripted:
    """A model that says its lines in order, the last one for ever, and keeps the prompts it got."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines, self.prompts = list(lines), list[str]()

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        if len(self.prompts) > 200:
            raise RuntimeError("the model was asked more than 200 times: does the loop stop after max_steps?")
        return self.lines[min(len(self.prompts), len(self.lines)) - 1]


class Pad:
    """A scratchpad that keeps everything and shows only how much there is."""

    def __init__(self) -> None:
        self.steps: list[Any] = []

    def render(self) -> str:
        return f"{len(self.steps)} steps"

    def add(self, step: Any) -> None:
        self.steps.append(step)


class Desk:
    """Tools that note each call. outcomes: {"look a": ["up", TimeoutError()]}: what the calls of look(what="a") give, the last for ever."""

    def __init__(self, outcomes: dict[str, list[Any]] | None = None) -> None:
        self.outcomes, self.calls = dict(outcomes or {}), list[str]()

    @property
    def tools(self) -> dict[str, Callable[..., Any]]:
        return {"look": self.look, "add": self.add}

    def look(self, what: str, near: str = "here") -> Any:
        """Look at something."""
        name = f"look {what}"
        planned = self.outcomes.get(name, [f"a {what} {near}"])
        outcome = planned[min(self.calls.count(name), len(planned) - 1)]
        self.calls.append(name)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        self.calls.append(f"add {a} {b}")
        return a + b


class ExactIndex:
    """An index like section 01's: cosine by one matrix product, best first, -1 where there is no more; empty ones refuse to search."""

    def __init__(self, dim: int = 64) -> None:
        self.vectors: NDArray[np.float32] = np.zeros((0, dim), np.float32)

    @property
    def ntotal(self) -> int:
        return len(self.vectors)

    def add(self, x: Any) -> None:
        x = np.asarray(x, np.float32)
        if x.ndim != 2 or x.shape[1] != self.vectors.shape[1]:
            raise ValueError(f"add takes vectors of shape (n, {self.vectors.shape[1]}), got {x.shape}")
        self.vectors = np.concatenate([self.vectors, x])

    def search(self, queries: Any, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2:
            raise ValueError(f"search takes queries of shape (n, dim), got {queries.shape}")
        if not self.ntotal:
            raise ValueError("the index is empty; add vectors before searching")
        scores = queries @ self.vectors.T
        ids = np.argsort(-scores, axis=1)[:, :k]
        best = np.take_along_axis(scores, ids, axis=1)
        short = ((0, 0), (0, max(k - ids.shape[1], 0)))
        return np.pad(best, short, constant_values=-np.inf), np.pad(ids, short, constant_values=-1)


class WordEncoder:
    """Texts to unit vectors (n, 64): one random direction a word, from the word itself, added up. Counts the texts that it was given."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        if isinstance(texts, str):
            raise TypeError("encode takes a list of texts; put the one text in a list")
        self.encoded += texts
        rows = np.zeros((len(texts), 64))
        for row, text in zip(rows, texts):
            for word in text.lower().replace(".", " ").replace("?", " ").split():
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
                row += np.random.default_rng(seed).normal(size=64)
            row /= max(float(np.linalg.norm(row)), 1e-9)
        return rows.astype(np.float32)
