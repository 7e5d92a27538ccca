"""Serving many requests at once: continuous batching over a paged cache, static batching beside it, and beam search by fork.

Source: iteration-level scheduling is Yu et al. 2022, "Orca" (OSDI); preemption by recomputation and forked decoding are Kwon et al.
2023 (arXiv:2309.06180), sections 4.4 and 4.5.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from aieng.transformer.kv_cache import KVCache
from aieng.transformer.llama import Llama
from aieng.transformer.paged_attention import paged_attention
from aieng.transformer.paged_cache import BlockAllocator, BlockTable, PagedKVCache


@dataclass(eq=False)
class Request:
    """A prompt to be continued, and what came of it so far.

    prompt : list of int, at least one token
    max_new_tokens : int, at least 1
    stop_ids : tokens that end it; the one that did is the last of ``output``
    output : list of int, the new tokens
    """

    prompt: Sequence[int]
    max_new_tokens: int
    stop_ids: Collection[int] = ()
    output: list[int] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        """Prompt and output."""
        return [*self.prompt, *self.output]

    @property
    def done(self) -> bool:
        return len(self.output) >= self.max_new_tokens or (bool(self.output) and self.output[-1] in self.stop_ids)


class Engine(Protocol):
    """What a scheduler needs to know about the thing that computes."""

    def start(self, request: Any) -> bool:
        """Make room for a request and compute its tokens but the last; False, with nothing taken, where there is no room."""

    def has_room(self, running: Sequence[Any]) -> bool:
        """Whether each running request can get one more token."""

    def step(self, running: Sequence[Any]) -> list[int]:
        """The next token of each."""

    def release(self, request: Any) -> None:
        """Give back what a request holds; it may be started again later, from its tokens."""


def continuous_batching(requests: Sequence[Any], engine: Engine, max_running: int) -> int:
    """Serve requests in their order, a new one taking the place of a finished one after every single token.

    Parameters
    ----------
    requests : sequence of Request
        Their ``output`` is filled.
    engine : Engine
    max_running : int
        Most requests in one step.

    Returns
    -------
    int
        Number of steps.

    Raises
    ------
    MemoryError
        A request that alone does not fit.

    Notes
    -----
    When the engine runs out of room in the middle, the request that was started last gives its place back and waits at the head of the
    queue; its tokens so far are kept and computed again.
    """
    waiting, steps = deque(requests), 0
    running: list[Any] = []
    while waiting or running:
        while waiting and len(running) < max_running and engine.start(waiting[0]):
            running.append(waiting.popleft())
        while len(running) > 1 and not engine.has_room(running):
            waiting.appendleft(running.pop())
            engine.release(waiting[0])
        if not running or not engine.has_room(running):
            for request in running:
                engine.release(request)
            raise MemoryError("a request needs more memory than the engine has, even alone")
        for request, token in zip(running, engine.step(running)):
            request.output.append(token)
        steps += 1
        for request in [r for r in running if r.done]:
            engine.release(request)
            running.remove(request)
    return steps


class PagedEngine:
    """A Llama whose requests share one pool of blocks.

    Parameters
    ----------
    model : Llama
    num_blocks, block_size : int
        Of the pool; it takes 2 · layers · key-value heads · head_dim · num_blocks · block_size numbers.
    allocator, table, attention
        The parts that a learner writes: `BlockAllocator`, `BlockTable` and `paged_attention`.
    """

    def __init__(
        self, model: Llama, num_blocks: int, block_size: int = 16, *, allocator: Callable[[int, int], Any] = BlockAllocator,
        table: Callable[..., Any] = BlockTable, attention: Callable[..., Tensor] = paged_attention,
    ) -> None:
        c = model.config
        self.model, self.attention, self._new_table = model, attention, table
        self.allocator = allocator(num_blocks, block_size)
        self.device = model.embedding.device if isinstance(model.embedding, Tensor) else torch.device("cpu")
        self.memory = PagedKVCache(c.num_hidden_layers, num_blocks, block_size, c.num_key_value_heads, c.head_dim, model.dtype, self.device)
        self.tables: dict[Any, Any] = {}  # request -> its table
        self.computed = 0  # tokens that went through the model, recomputed ones included

    @torch.inference_mode()
    def start(self, request: Any) -> bool:
        """See `Engine.start`. ValueError for a request that is longer than the model's context."""
        if len(request.prompt) + request.max_new_tokens > self.model.config.max_position_embeddings:
            raise ValueError(f"{len(request.prompt)} tokens and {request.max_new_tokens} new ones do not fit into the context of "
                             f"{self.model.config.max_position_embeddings}")
        ids = request.tokens
        try:
            table = self._new_table(self.allocator, ids[:-1])
        except MemoryError:
            return False
        if self.allocator.num_free <= len(self.tables):  # each of them, and this one, may need a block in the next step
            table.free()
            return False
        new = ids[table.num_shared : -1]
        if new:
            self.model(torch.tensor([new], device=self.device), _PromptView(self.memory, table, self.device), logits_to_keep=1)
            self.computed += len(new)
        self.tables[request] = table
        return True

    def fork(self, request: Any, twin: Any) -> None:
        """Let `twin`, which has the same tokens, share all blocks of `request`."""
        self.tables[twin] = self.tables[request].fork()

    def has_room(self, running: Sequence[Any]) -> bool:
        """See `Engine.has_room`."""
        tables = [self.tables[r] for r in running]
        size = self.allocator.block_size
        return sum(len(t) % size == 0 or self.allocator.ref_count(t.blocks[-1]) > 1 for t in tables) <= self.allocator.num_free

    def step(self, running: Sequence[Any]) -> list[int]:
        """See `Engine.step`: the likeliest tokens."""
        return [int(i) for i in self.logits(running).argmax(-1)]

    @torch.inference_mode()
    def logits(self, running: Sequence[Any]) -> Tensor:
        """Scores (requests, vocab_size) of the token after each request's last one, which is stored on the way."""
        tables = [self.tables[r] for r in running]
        newest = [[(r.output or r.prompt)[-1]] for r in running]
        for table, (token,) in zip(tables, newest):
            copied = table.append(token)
            if copied is not None:
                self.memory.copy(*copied)
        view = _StepView(self.memory, tables, self.attention, self.device)
        positions = (view.lengths - 1)[:, None]
        self.computed += len(running)
        return self.model(torch.tensor(newest, device=self.device), view, positions)[:, -1]

    def release(self, request: Any) -> None:
        """See `Engine.release`."""
        self.tables.pop(request).free()

    @property
    def used_tokens(self) -> int:
        """Slots that hold a token; one in a shared block counts once."""
        size = self.allocator.block_size
        filled: dict[int, int] = {}
        for table in self.tables.values():
            for i, block in enumerate(table.blocks):
                filled[block] = max(filled.get(block, 0), min(size, len(table) - i * size))
        return sum(filled.values())


class _PromptView:
    """One sequence's cache while its prompt is computed: what `Llama` needs of a cache, on blocks."""

    def __init__(self, memory: PagedKVCache, table: Any, device: torch.device) -> None:
        self.memory, self.length, self.total = memory, table.num_shared, len(table)
        self.blocks = torch.tensor(table.blocks, device=device)
        slots = [table.slot(i) for i in range(table.num_shared, len(table))]
        self.new_blocks, self.offsets = torch.tensor(slots, device=device).unbind(1)

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k and v (1, key-value heads, tokens, head_dim); give back those of the whole sequence."""
        self.memory.write(layer, self.new_blocks, self.offsets, k[0].transpose(0, 1), v[0].transpose(0, 1))
        keys, values = self.memory.read(layer, self.blocks, self.total)
        return keys[None], values[None]


class _StepView:
    """The caches of many sequences in a decode step; it attends itself, since their keys do not lie in one tensor."""

    def __init__(self, memory: PagedKVCache, tables: Sequence[Any], attention: Callable[..., Tensor], device: torch.device) -> None:
        self.memory, self.attention = memory, attention
        self.length = max(len(t) for t in tables) - 1
        self.lengths = torch.tensor([len(t) for t in tables], device=device)
        self.blocks, self.offsets = torch.tensor([t.slot(len(t) - 1) for t in tables], device=device).unbind(1)
        columns = max(len(t.blocks) for t in tables)
        self.tables = torch.tensor([[*t.blocks, *[-1] * (columns - len(t.blocks))] for t in tables], device=device)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store the newest keys and values (batch, heads, 1, head_dim), then attend over everything stored."""
        self.memory.write(layer, self.blocks, self.offsets, k[:, :, 0], v[:, :, 0])
        return self.attention(q[:, :, 0], self.memory.keys[layer], self.memory.values[layer], self.tables, self.lengths)[:, :, None]


@torch.inference_mode()
def static_batching(model: Llama, requests: Sequence[Any], batch_size: int) -> int:
    """Serve requests in fixed groups, padded on the left to the longest prompt, each group until its longest answer is done.

    Fills each request's ``output`` and returns the number of passes over the model, prompts included.
    """
    passes = 0
    for first in range(0, len(requests), batch_size):
        group = requests[first : first + batch_size]
        width = max(len(r.prompt) for r in group)
        padding = torch.tensor([width - len(r.prompt) for r in group])
        ids = torch.tensor([[0] * (width - len(r.prompt)) + list(r.prompt) for r in group])
        c = model.config
        longest = max(r.max_new_tokens for r in group)
        cache = KVCache(c.num_hidden_layers, len(group), c.num_key_value_heads, c.head_dim, width + longest, model.dtype)
        while True:
            places = torch.arange(cache.length + ids.shape[1])
            visible = places >= padding[:, None]  # (batch, tokens so far)
            mask = visible[:, None, None, :] & (places <= places[-ids.shape[1]:, None])
            positions = (places[-ids.shape[1]:] - padding[:, None]).clamp(min=0)
            chosen = model(ids, cache, positions, mask, logits_to_keep=1)[:, -1].argmax(-1)
            passes += 1
            for request, token in zip(group, chosen.tolist()):
                if not request.done:
                    request.output.append(token)
            if all(r.done for r in group):
                break
            ids = chosen[:, None]
    return passes


@torch.inference_mode()
def beam_search(
    engine: PagedEngine, prompt: Sequence[int], width: int, max_new_tokens: int, on_step: Callable[[], None] | None = None
) -> list[tuple[float, list[int]]]:
    """The `width` likeliest continuations that a search with that many beams finds; beams share blocks until they differ.

    `on_step` is called after each step, while all beams hold their blocks.

    Returns
    -------
    list of (log-probability, tokens), best first
    """
    beams = [(0.0, Request(list(prompt), max_new_tokens))]
    if not engine.start(beams[0][1]):
        raise MemoryError(f"the prompt of {len(prompt)} tokens does not fit into the pool")
    for _ in range(max_new_tokens):
        scores = torch.log_softmax(engine.logits([r for _, r in beams]), -1) + torch.tensor([[s] for s, _ in beams], device=engine.device)
        best, places = scores.flatten().topk(width)
        grown = []
        for score, place in zip(best.tolist(), places.tolist()):
            parent, token = beams[place // scores.shape[1]][1], place % scores.shape[1]
            child = Request(parent.prompt, max_new_tokens, output=[*parent.output, token])
            engine.fork(parent, child)
            grown.append((score, child))
        for _, parent in beams:
            engine.release(parent)
        beams = grown
        if on_step is not None:
            on_step()
    for _, request in beams:
        engine.release(request)
    return [(score, request.output) for score, request in beams]
