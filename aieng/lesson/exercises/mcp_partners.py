"""Partners for the tests of 8.3: tools, and a server that says all kinds of things before it answers.

The tools are here because the grader wraps the functions of a graded cell, and `describe` could not read their annotations any more.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

calls_made: list[tuple[float, int]] = []


def scale(x: float, times: int = 3, label: str | None = None) -> dict[str, Any]:
    """Multiply a number.

    x: what is multiplied
    """
    calls_made.append((x, times))
    return {"label": label, "value": x * times}


def echo(words: list[str]) -> str:
    """Say the words again, a line each."""
    return "\n".join(words)


def fragile(n: int) -> int:
    """Works for even numbers only."""
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n


def strange() -> Any:
    """Give something that JSON has no word for."""
    return {1, 2}


def nowhere() -> float:
    """Give no number."""
    return float("nan")


KIT: dict[str, Callable[..., Any]] = {"scale": scale, "echo": echo, "fragile": fragile}


class Noisy:
    """Both streams of a client whose server mixes notifications, its own requests and foreign answers in, from a seed.

    got : what the client wrote, in order
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.out: list[dict[str, Any]] = []
        self.got: list[dict[str, Any]] = []

    def write(self, text: str) -> int:
        for line in text.splitlines():
            message = json.loads(line)
            self.got.append(message)
            if "method" in message and "id" in message:
                extras: list[dict[str, Any]] = [
                    {"method": "notifications/progress", "params": {}}, {"id": message["id"] + 1, "result": {}},
                    {"id": str(message["id"]), "result": {}}, {"id": self.rng.randrange(99), "method": "ping"},
                    {"id": message["id"], "method": "roots/list"}, {"id": None, "error": {"code": -32700, "message": "?"}}]
                self.out += self.rng.sample(extras, self.rng.randrange(len(extras) + 1))
                self.out.append({"id": message["id"], "result": {"n": len(self.got)}})
        return len(text)

    def flush(self) -> None:
        """Every line is read at once."""

    def readline(self) -> str:
        return json.dumps({"jsonrpc": "2.0"} | self.out.pop(0)) + "\n" if self.out else ""
