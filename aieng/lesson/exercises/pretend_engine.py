"""An engine for trying a scheduler on: it computes nothing, keeps a log, and complains when it is used wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aieng.generation.batching import Request
from aieng.lesson.checking import CheckFailed


class PretendEngine:
    """Memory for `capacity` tokens; the n-th token of a request with prompt [p] is 100 p + n.

    started, released : list of requests' first prompt tokens, in order
    batches : list of lists of the same, one per step
    overtaken : str, what happened where a request went ahead of one that had to give its place back
    """

    def __init__(self, capacity: int = 10**6) -> None:
        self.capacity = capacity
        self.held: dict[Any, int] = {}
        self.started: list[int] = []
        self.released: list[int] = []
        self.batches: list[list[int]] = []
        self.overtaken = ""
        self._kept: dict[Any, list[int]] = {}  # outputs of requests that had to give their place back

    def start(self, request: Any) -> bool:
        if request in self.held:
            raise CheckFailed(f"request {request.prompt[0]} was started while it was running already.")
        if request.done:
            raise CheckFailed(f"request {request.prompt[0]} was started although it is done.")
        if sum(self.held.values()) + len(request.tokens) > self.capacity:
            return False
        if self._kept.pop(request, request.output) != request.output:
            raise CheckFailed(f"request {request.prompt[0]} had output when it gave its place back, and came again without it.")
        ahead = [r.prompt[0] for r in self._kept if r.prompt[0] < request.prompt[0]]
        if ahead:
            self.overtaken = f"request {request.prompt[0]} was started while {min(ahead)}, which came before it, waited for its place back."
        self.held[request] = len(request.tokens)
        self.started.append(request.prompt[0])
        return True

    def has_room(self, running: Sequence[Any]) -> bool:
        self._known(running)
        return sum(self.held.values()) + len(running) <= self.capacity

    def step(self, running: Sequence[Any]) -> list[int]:
        running = list(running)
        self._known(running)
        if not running:
            raise CheckFailed("`engine.step` was called with no request: a step costs time even when it makes nothing.")
        if len(set(running)) < len(running):
            raise CheckFailed("a request stands twice in one step.")
        done = [r.prompt[0] for r in running if r.done]
        if done:
            raise CheckFailed(f"request {done[0]} is done, yet it took part in another step: its place could have gone to a waiting one.")
        if not self.has_room(running):
            raise CheckFailed("`engine.step` was called although `engine.has_room(running)` is False: take the request that was started "
                              "last out first.")
        for request in running:
            self.held[request] += 1
        self.batches.append([r.prompt[0] for r in running])
        return [100 * r.prompt[0] + len(r.output) for r in running]

    def release(self, request: Any) -> None:
        self._known([request])
        del self.held[request]
        if not request.done:
            self._kept[request] = list(request.output)
        self.released.append(request.prompt[0])

    def _known(self, requests: Sequence[Any]) -> None:
        for request in requests:
            if request not in self.held:
                raise CheckFailed(f"request {request.prompt[0]} is not running: it was never started, or has been released.")


def pretend_requests(lengths: Sequence[int], prompt_tokens: int = 1) -> list[Request]:
    """Requests 1, 2, 3, … that want this many tokens."""
    return [Request([i + 1] * prompt_tokens, n) for i, n in enumerate(lengths)]


def right_outputs(lengths: Sequence[int]) -> list[list[int]]:
    """What `PretendEngine` makes of them."""
    return [[100 * (i + 1) + j for j in range(n)] for i, n in enumerate(lengths)]
