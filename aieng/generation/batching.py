"""Serving many requests at once: continuous batching over a paged cache, static batching beside it, and beam search by fork.

Source: iteration-level scheduling and selective batching are Yu et al. 2022, "Orca" (OSDI); prompts in pieces beside decode steps are
Agrawal et al. 2023, "SARATHI" (arXiv:2308.16369); preemption by recomputation and forked decoding are Kwon et al. 2023
(arXiv:2309.06180), sections 4.4 and 4.5.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from aieng.transformer.attention import causal_mask, grouped_query_attention
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
        """Make room for a request's tokens; False, with nothing taken, where there is no room."""

    def has_room(self, running: Sequence[Any]) -> bool:
        """Whether each running request can get one more token."""

    def step(self, running: Sequence[Any]) -> list[int]:
        """The next token of each. What is not computed yet of their prompts is computed in the same pass."""

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

    A new request's prompt goes through the model together with the next step of the others: the linear layers, which read all weights,
    see one row per token, whoever's it is; only attention tells the requests apart.

    Parameters
    ----------
    model : Llama
    num_blocks, block_size : int
        Of the pool; it takes 2 · layers · key-value heads · head_dim · num_blocks · block_size numbers.
    max_prompt_tokens : int
        Most tokens of prompts in one pass; longer ones go through in pieces, so that the memory of a pass is bounded.
    allocator, table, attention
        The parts that a learner writes: `BlockAllocator`, `BlockTable` and `paged_attention`.
    """

    def __init__(
        self, model: Llama, num_blocks: int, block_size: int = 16, *, max_prompt_tokens: int = 512,
        allocator: Callable[[int, int], Any] = BlockAllocator, table: Callable[..., Any] = BlockTable,
        attention: Callable[..., Tensor] = paged_attention,
    ) -> None:
        if max_prompt_tokens < 1:
            raise ValueError(f"max_prompt_tokens is {max_prompt_tokens}; at least 1 is needed, or no prompt is ever computed")
        c = model.config
        self.model, self.attention, self._new_table = model, attention, table
        self.max_prompt_tokens = min(max_prompt_tokens, c.max_position_embeddings // 2)  # the other half is for the newest tokens
        self.allocator = allocator(num_blocks, block_size)
        self.device = model.embedding.device if isinstance(model.embedding, Tensor) else torch.device("cpu")
        self.memory = PagedKVCache(c.num_hidden_layers, num_blocks, block_size, c.num_key_value_heads, c.head_dim, model.dtype, self.device)
        self.tables: dict[Any, Any] = {}  # request -> its table
        self._prompts: dict[Any, list[_Piece]] = {}  # request -> what is not computed yet of its tokens
        self.computed = 0  # tokens that went through the model, recomputed ones included

    def start(self, request: Any) -> bool:
        """See `Engine.start`. ValueError for a request that is longer than the model's context."""
        if len(request.prompt) + request.max_new_tokens > self.model.config.max_position_embeddings:
            raise ValueError(f"{len(request.prompt)} tokens and {request.max_new_tokens} new ones do not fit into the context of "
                             f"{self.model.config.max_position_embeddings}")
        ids = request.tokens[:-1]
        try:
            table = self._new_table(self.allocator, ids)
        except MemoryError:
            return False
        if self.allocator.num_free <= len(self.tables):  # each of them, and this one, may need a block in the next step
            table.free()
            return False
        self.tables[request] = table
        ends = [*range(table.num_shared, len(ids), self.max_prompt_tokens), len(ids)]
        self._prompts[request] = [_Piece(table, ids[first:end], first) for first, end in pairwise(ends)]
        return True

    def fork(self, request: Any, twin: Any) -> None:
        """Let `twin`, which has the same tokens, share all blocks of `request`."""
        self._finish_prompt(request)
        self.tables[twin] = self.tables[request].fork()

    def has_room(self, running: Sequence[Any]) -> bool:
        """See `Engine.has_room`."""
        tables = [self.tables[r] for r in running]
        size = self.allocator.block_size
        return sum(len(t) % size == 0 or self.allocator.ref_count(t.blocks[-1]) > 1 for t in tables) <= self.allocator.num_free

    def step(self, running: Sequence[Any]) -> list[int]:
        """See `Engine.step`: the likeliest tokens."""
        return [int(i) for i in self.logits(running).argmax(-1)]

    def logits(self, running: Sequence[Any]) -> Tensor:
        """Scores (requests, vocab_size) of the token after each request's last one, which is stored on the way."""
        newest = []
        for request in running:
            table, token = self.tables[request], (request.output or request.prompt)[-1]
            copied = table.append(token)
            if copied is not None:
                self.memory.copy(*copied)
            newest.append(_Piece(table, [token], len(table) - 1))
        return self._forward(self._last_pieces(), newest)

    def release(self, request: Any) -> None:
        """See `Engine.release`."""
        table = self.tables.pop(request)
        own = table.blocks[table.num_shared // self.allocator.block_size :]
        if any(self.allocator.ref_count(block) > 1 for block in own):
            self._finish_prompt(request)  # others count on it
        self._prompts.pop(request, None)
        table.free()

    @property
    def used_tokens(self) -> int:
        """Slots that hold a token; one in a shared block counts once."""
        size = self.allocator.block_size
        filled: dict[int, int] = {}
        for table in self.tables.values():
            for i, block in enumerate(table.blocks):
                filled[block] = max(filled.get(block, 0), min(size, len(table) - i * size))
        return sum(filled.values())

    def _last_pieces(self) -> list[_Piece]:
        """Compute what is left of the prompts up to one pass's worth, and give back that rest."""
        due: list[_Piece] = []
        for request in list(self._prompts):
            for piece in self._prompts.pop(request):
                if sum(len(p.tokens) for p in due) + len(piece.tokens) > self.max_prompt_tokens:
                    self._forward(due, [])
                    due = []
                due.append(piece)
        return due

    def _finish_prompt(self, request: Any) -> None:
        for piece in self._prompts.pop(request, ()):
            self._forward([piece], [])

    @torch.inference_mode()
    def _forward(self, prompts: list[_Piece], newest: list[_Piece]) -> Tensor:
        """One pass over all these tokens, one row each. Scores (len(newest), vocab_size)."""
        pieces = [*prompts, *newest]
        rows = [token for piece in pieces for token in piece.tokens]
        positions = [p for piece in pieces for p in range(piece.first, piece.end)]
        self.computed += len(rows)
        view = _StepView(self.memory, prompts, newest, self.attention, self.device)
        logits = self.model(torch.tensor([rows], device=self.device), view, torch.tensor(positions, device=self.device),
                            logits_to_keep=max(len(newest), 1))
        return logits[0, -len(newest) :] if newest else logits[0, :0]


@dataclass(frozen=True)
class _Piece:
    """Tokens of one sequence, those at positions first … end - 1, whose keys and values are to be computed and stored."""

    table: Any
    tokens: Sequence[int]
    first: int

    @property
    def end(self) -> int:
        return self.first + len(self.tokens)


class _StepView:
    """The caches of many sequences in one pass; it attends itself, since their keys do not lie in one tensor.

    The rows are the prompts' tokens, one piece after the other, then the newest token of each running sequence.
    """

    length = 0  # the rows are no continuation of one sequence

    def __init__(
        self, memory: PagedKVCache, prompts: Sequence[_Piece], newest: Sequence[_Piece], attention: Callable[..., Tensor],
        device: torch.device,
    ) -> None:
        self.memory, self.attention = memory, attention
        slots = [p.table.slot(i) for p in (*prompts, *newest) for i in range(p.first, p.end)]
        self.blocks, self.offsets = torch.tensor(slots, device=device).unbind(1)
        size = memory.keys.shape[3]
        self.prompts = [(len(p.tokens), torch.tensor(p.table.blocks[: -(-p.end // size)], device=device), p.end) for p in prompts]
        self.num_newest = len(newest)
        self.lengths = torch.tensor([p.end for p in newest], device=device)
        columns = max((len(p.table.blocks) for p in newest), default=0)
        tables = [[*p.table.blocks, *[-1] * (columns - len(p.table.blocks))] for p in newest]
        self.tables = torch.tensor(tables, dtype=torch.int64, device=device)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store keys and values (1, heads, rows, head_dim), then let each row attend over its own sequence."""
        self.memory.write(layer, self.blocks, self.offsets, k[0].transpose(0, 1), v[0].transpose(0, 1))
        mixed = []
        first = 0
        for count, blocks, end in self.prompts:
            keys, values = self.memory.read(layer, blocks, end)
            mask = causal_mask(count, end, q.dtype, q.device) if count > 1 else None
            mixed.append(grouped_query_attention(q[:, :, first : first + count], keys[None], values[None], mask))
            first += count
        if self.num_newest:
            rows = q[0, :, first:].transpose(0, 1)  # (sequences, heads, head_dim)
            attended = self.attention(rows, self.memory.keys[layer], self.memory.values[layer], self.tables, self.lengths)
            mixed.append(attended.transpose(0, 1)[None])
        return torch.cat(mixed, 2) if len(mixed) > 1 else mixed[0]


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
