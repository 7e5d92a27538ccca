"""Interactive pictures of section 04; the kernels they run come in as arguments.

Each function returns a widget; while a grader runs the notebook it returns the still figure of the same beginning.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor

from aieng.figures.experts import token_flow
from aieng.figures.paging import block_pool
from aieng.figures.theme import CourseFigure, alt_text
from aieng.figures.tiled_attention import tile_steps
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.finding import drawn
from aieng.lesson.widgets.explorer import Explorer, guarded, live, redraw, slider, stepped

_MAX_TABLES = 6


class _Pool:
    """Tables on a small pool with a memory of words beside it."""

    def __init__(self, allocator: Any, table: Any, num_blocks: int, block_size: int) -> None:
        self.allocator, self.new_table = allocator(num_blocks, block_size), table
        self.tables: dict[str, Any] = {}
        self.words: dict[str, list[str]] = {}
        self.memory: dict[int, list[str]] = {}
        self.numbers: dict[str, int] = {}
        self.names = iter(itertools.chain("ABCDEFGHIJKLMNOPQRSTUVWXYZ", (f"T{i}" for i in itertools.count(1))))

    def start(self, words: Sequence[str]) -> str:
        """A new table that begins with these words."""
        if len(self.tables) == _MAX_TABLES:
            return f"There are {_MAX_TABLES} tables already: free one first"
        table = self.new_table(self.allocator, [self._number(w) for w in words])
        name = next(self.names)
        self.tables[name], self.words[name] = table, list(words)
        for i in range(table.num_shared, len(words)):
            self._write(table, i, words[i])
        found = f", {table.num_shared} of them in blocks that it shares" if table.num_shared else ""
        return f"Table {name} starts with {len(words)} tokens{found}"

    def append(self, name: str, word: str) -> str:
        """One more word."""
        table = self.tables[name]
        copied = table.append(self._number(word))
        if copied is not None:
            self.memory[copied[1]] = list(self.memory[copied[0]])
        self.words[name].append(word)
        self._write(table, len(self.words[name]) - 1, word)
        what = f"; block {copied[0]} was shared, so its content is copied to block {copied[1]} first" if copied is not None else ""
        return f"Table {name} gets “{word}”{what}"

    def fork(self, name: str) -> str:
        """A twin that shares all blocks."""
        if len(self.tables) == _MAX_TABLES:
            return f"There are {_MAX_TABLES} tables already: free one first"
        twin = next(self.names)
        self.tables[twin], self.words[twin] = self.tables[name].fork(), list(self.words[name])
        return f"Table {twin} is a fork of {name}: no block is taken"

    def free(self, name: str) -> str:
        """Give a table's blocks back."""
        before = self.allocator.num_free
        self.tables.pop(name).free()
        self.words.pop(name)
        return f"Table {name} is freed; {self.allocator.num_free - before} of its blocks had no other holder"

    def picture(self, did: str) -> CourseFigure:
        """The pool as it is now."""
        holders: list[list[int]] = [[] for _ in range(self.allocator.num_blocks)]
        contents: list[list[str]] = [[] for _ in range(self.allocator.num_blocks)]
        for number, (name, table) in enumerate(self.tables.items()):
            for i, block in enumerate(table.blocks):
                holders[block].append(number)
                inside = len(self.words[name]) - i * self.allocator.block_size
                contents[block] = self.memory.get(block, [])[: max(len(contents[block]), min(inside, self.allocator.block_size))]
        blocks = {name: [int(b) for b in table.blocks] for name, table in self.tables.items()}
        return block_pool(contents, holders, blocks, self.allocator.block_size, did=did, columns=4, max_tables=_MAX_TABLES)

    def _write(self, table: Any, position: int, word: str) -> None:
        block, offset = table.slot(position)
        slots = self.memory.setdefault(block, [])
        slots[offset:] = [word]

    def _number(self, word: str) -> int:
        return self.numbers.setdefault(word, len(self.numbers))


@drawn
def block_explorer(allocator: Any, table: Any, *, num_blocks: int = 12, block_size: int = 4) -> Explorer | CourseFigure:
    """Physical blocks under buttons: start a sequence, append, fork, free.

    Parameters
    ----------
    allocator, table : the learner's `BlockAllocator` and `BlockTable`
    num_blocks, block_size : of the pool shown
    """
    pool = _Pool(allocator, table, num_blocks, block_size)
    did = pool.start(["you", "are", "a", "kind", "bot", "tell", "me"])
    still = pool.picture(did)
    if not interactive_allowed():
        return still
    figure = live(still)
    words = itertools.cycle(["a", "story", "about", "the", "sea", "and", "one", "old", "ship"])

    def button(text: str, icon: str, tip: str) -> widgets.Button:
        return widgets.Button(description=text, icon=icon, tooltip=tip, layout=widgets.Layout(width="auto"))

    which = widgets.Dropdown(options=list(pool.tables), description="table:", tooltip="Which table the buttons act on",
                             layout=widgets.Layout(width="130px"), style={"description_width": "initial"})
    start = button("Start a sequence", "plus", "A new request with the same instruction; it shares full blocks")
    append = button("Append a token", "pencil", "One more token for the chosen table")
    fork = button("Fork", "code-fork", "A second table that shares all blocks of the chosen one")
    free = button("Free", "trash", "Give the chosen table's blocks back")
    explorer = Explorer([which, start, append, fork, free], [figure], "Physical blocks of a paged cache")

    def act(do: Callable[[], str]) -> Callable[[Any], None]:
        def run() -> None:
            try:
                happened = do()
            except MemoryError:
                happened = "No block is free: free a table first"
            fresh = pool.picture(happened)
            redraw(figure, fresh)
            chosen = which.value
            which.options = list(pool.tables)
            if chosen in pool.tables:
                which.value = chosen
            explorer.say(alt_text(fresh))

        return guarded(explorer, run)

    def chosen(do: Callable[[str], str]) -> Callable[[], str]:
        return lambda: "There is no table: start a sequence first" if which.value is None else do(which.value)

    start.on_click(act(lambda: pool.start(["you", "are", "a", "kind", "bot", next(words)])))
    append.on_click(act(chosen(lambda name: pool.append(name, next(words)))))
    fork.on_click(act(chosen(pool.fork)))
    free.on_click(act(chosen(pool.free)))
    return explorer


@drawn
def tile_player(
    online_softmax: Callable[..., tuple[Tensor, Tensor, Tensor]], q: Tensor, k: Tensor, v: Tensor, *, block_m: int = 4, block_n: int = 6,
    causal: bool = True, interval: int = 700,
) -> Explorer | CourseFigure:
    """Tiles of FlashAttention lighting up one after another, with each row's running maximum and sum: play, pause, step.

    Parameters
    ----------
    online_softmax : the learner's
    q, k, v : (tokens, head_dim), one small head
    block_m, block_n : rows and columns of a tile
    interval : milliseconds per tile while playing
    """
    scores = (q @ k.mT) / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape, dtype=torch.bool).triu(k.shape[0] - q.shape[0] + 1), -math.inf)
    order, states = _tiles(online_softmax, scores, v, block_m, block_n)
    shown = np.where(np.isfinite(scores.numpy()), scores.numpy(), np.nan)

    def picture(step: int) -> CourseFigure:
        highest, total = states[step]
        return tile_steps(shown, block_m, block_n, step, highest, total, order)

    return stepped(picture, len(order), "tile", "Which tile is in fast memory; arrow keys step", "FlashAttention, tile by tile",
                   interval=interval)


def _tiles(
    online_softmax: Callable[..., tuple[Tensor, Tensor, Tensor]], scores: Tensor, v: Tensor, block_m: int, block_n: int,
) -> tuple[list[tuple[int, int]], list[tuple[np.ndarray, np.ndarray]]]:
    """First row and column of each tile that somebody may see, and (highest, total) of all rows after it."""
    queries, keys = scores.shape
    highest, total = torch.full((queries,), -math.inf), torch.zeros(queries)
    order, states = [], []
    for m in range(0, queries, block_m):
        weighted = torch.zeros(scores[m : m + block_m].shape[0], v.shape[1])
        for n in range(0, keys, block_n):
            tile = scores[m : m + block_m, n : n + block_n]
            if not tile.isfinite().any():
                continue  # the whole tile lies in the future
            rows = slice(m, m + block_m)
            highest[rows], total[rows], weighted = online_softmax(highest[rows], total[rows], weighted, tile, v[n : n + block_n])
            order.append((m, n))
            states.append((highest.numpy().copy(), total.numpy().copy()))
    return order, states


@drawn
def expert_explorer(
    top_k_router: Callable[..., tuple[Tensor, Tensor, Tensor]], load_balancing_loss: Callable[..., Tensor], routers: Mapping[str, Tensor],
    x: Tensor, labels: Sequence[str], *, max_k: int = 4,
) -> Explorer | CourseFigure:
    """Which token goes to which expert: choose a router and how many experts a token gets.

    Parameters
    ----------
    top_k_router, load_balancing_loss : the learner's
    routers : name -> (experts, hidden_size)
    x : (tokens, hidden_size); labels : one for each token
    max_k : largest top_k of the slider
    """
    if not routers:
        raise ValueError("no router; give at least one {name: Tensor}")

    def picture(name: str, top_k: int) -> CourseFigure:
        weights, chosen, probabilities = top_k_router(x, routers[name], top_k)
        loss = float(load_balancing_loss(probabilities, chosen))
        return token_flow(labels, chosen.numpy(), weights.numpy(), len(routers[name]), loss=loss, max_k=max_k)

    names = list(routers)
    still = picture(names[0], 2)
    if not interactive_allowed():
        return still
    figure = live(still)
    which = widgets.ToggleButtons(options=names, value=names[0], description="router:", tooltips=[f"Router trained {n}" for n in names],
                                  style={"description_width": "initial"})
    which.tooltip = "Which trained router"
    top_k = slider("top_k, experts per token:", 2, 1, max_k, tooltip="How many experts each token is sent to")
    explorer = Explorer([which, top_k], [figure], "Tokens and their experts")

    def update() -> None:
        fresh = picture(which.value, top_k.value)
        redraw(figure, fresh)
        explorer.say(alt_text(fresh))

    handler = guarded(explorer, update)
    which.observe(handler, "value")
    top_k.observe(handler, "value")
    return explorer
