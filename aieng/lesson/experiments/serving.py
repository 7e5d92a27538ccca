"""4.2 measured: a decode step over pages beside one over strips, and SmolLM2 serving ragged requests in two ways."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from aieng.figures.paging import places_timeline
from aieng.generation.batching import PagedEngine, Request, static_batching
from aieng.generation.decoding import generate
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.smollm2 import SmolLM2
from aieng.transformer.attention import grouped_query_attention
from aieng.transformer.paged_attention import paged_attention as compiled


@experiment
def decode_step(paged_attention: Any, *, batch: int = 8, longest: int = 1024, block_size: int = 16, seed: int = 0) -> Finding:
    """One layer's attention of one step: strips of equal length, then ragged lengths, where strips are padded to the longest.

    The numbers: `milliseconds` ({(lengths, way): median}), `of_strips` ({lengths: the compiled kernel's time over that of strips}).
    """
    longest = longest // 4 if quick() else longest
    rng = np.random.default_rng(seed)
    medians: dict[tuple[str, str], float] = {}
    for case, lengths in (("equal", [longest] * batch), ("ragged", rng.integers(longest // 16, longest, batch).tolist())):
        q, keys, values, pool, tables, context_lens = _filled(lengths, block_size, seed)
        mask = None if case == "equal" else (torch.arange(keys.shape[2]) < context_lens[:, None])[:, None, None]
        runs: dict[str, Callable[[], Any]] = {
            "strips": functools.partial(grouped_query_attention, q[:, :, None], keys, values, mask),
            "yours": functools.partial(paged_attention, q, pool[0], pool[1], tables, context_lens),
            "compiled": functools.partial(compiled, q, pool[0], pool[1], tables, context_lens),
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for repeat in range(12):
            for name, run in runs.items():
                begin = time.perf_counter()
                run()
                if repeat > 1:
                    seconds[name].append(time.perf_counter() - begin)
        medians |= {(case, name): 1e3 * float(np.median(taken)) for name, taken in seconds.items()}
    ratio = {case: medians[case, "compiled"] / medians[case, "strips"] for case in ("equal", "ragged")}
    rows = "\n".join(f"| {case} | " + " | ".join(f"{medians[case, name]:.2f} ms" for name in ("strips", "yours", "compiled")) + " |"
                     for case in ("equal", "ragged"))
    sentence = (
        f"| lengths of {batch} sequences | strips, padded | {whose(paged_attention)} paged_attention | the course's, compiled |\n"
        f"|---|---|---|---|\n{rows}\n\n"
        "Copying a sequence's blocks together first, as plain torch must, reads and writes everything once more. The course's kernel reads "
        f"each block where it lies, with the running softmax of 4.4: {ratio['equal']:.2f} times the time of strips of equal length, and "
        f"{ratio['ragged']:.2f} times when the lengths differ, since it has no padding to compute."
    )
    return Finding(sentence, None, {"milliseconds": medians, "of_strips": ratio})


def _filled(lengths: Sequence[int], block_size: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """SmolLM2's shapes: q, padded keys and values, the pool of shuffled blocks, tables and lengths."""
    generator = torch.Generator().manual_seed(seed)
    batch, columns = len(lengths), -(-max(lengths) // block_size)
    padded = torch.randn(2, batch, 3, columns * block_size, 64, generator=generator)
    tables = torch.randperm(batch * columns, generator=generator).view(batch, columns)
    pool = torch.empty(2, batch * columns, 3, block_size, 64)
    for i, row in enumerate(tables):
        pool[:, row] = padded[:, i].unflatten(2, (columns, block_size)).transpose(1, 2)
    return torch.randn(batch, 9, 64, generator=generator), padded[0], padded[1], pool, tables, torch.tensor(lengths)


def ragged_requests(lm: SmolLM2, count: int = 16, seed: int = 0, most: int = 64) -> list[Request]:
    """Requests with beginnings of stories as prompts and very different numbers of new tokens, 2 to `most`."""
    rng = np.random.default_rng(seed)
    starts = ["Once upon a time, in a small house by the sea,", "The recipe for a good soup is", "Dear Sir or Madam,", "The river",
              "In the year 1905, a young clerk in the patent office of Bern", "My favourite animal is the", "Breaking news:",
              "To repair a bicycle tyre, first remove the wheel and then"]
    new = np.clip(rng.lognormal(2.6, 1.0, count), 2, most).astype(int)
    return [Request(lm.tokenizer.encode(starts[i % len(starts)]), int(n)) for i, n in enumerate(new)]


class _Recorder(PagedEngine):
    """Notes who took part in each step."""

    def __init__(self, *args: Any, **kernels: Any) -> None:
        super().__init__(*args, **kernels)
        self.batches: list[list[Any]] = []

    def step(self, running: Sequence[Any]) -> list[int]:
        self.batches.append(list(running))
        return super().step(running)


@experiment
def serve_smollm2(
    paged_attention: Any, continuous_batching: Any, allocator: Any, table: Any, lm: SmolLM2, *, count: int = 16, places: int = 4,
) -> Finding:
    """The learner's whole server against fixed, padded groups and against one request at a time; each gives greedy tokens.

    The numbers: `rate` ({way: new tokens a second}), `speedup` (continuous over static), `steps` ({way: passes over the model}),
    `identical` (requests whose tokens are those of one at a time), `count`, `tokens`.
    """
    count, most = (6, 16) if quick() else (count, 64)
    asked, padded, single = (ragged_requests(lm, count, most=most) for _ in range(3))
    longest = max(len(r.prompt) + r.max_new_tokens for r in asked)
    engine = _Recorder(lm.model, places * -(-longest // 16) + places, allocator=allocator, table=table, attention=paged_attention)
    generate(lm.model, asked[0].prompt, 2)  # the first pass reads the weights from disk
    tokens = sum(r.max_new_tokens for r in asked)
    seconds: dict[str, float] = {}
    begin = time.perf_counter()
    steps = {"continuous": continuous_batching(asked, engine, places)}
    seconds["continuous"] = time.perf_counter() - begin
    begin = time.perf_counter()
    steps["static"] = static_batching(lm.model, padded, places)
    seconds["static"] = time.perf_counter() - begin
    begin = time.perf_counter()
    for request in tqdm(single, unit="request", leave=False):
        request.output = generate(lm.model, request.prompt, request.max_new_tokens)
    seconds["one at a time"] = time.perf_counter() - begin
    rate = {way: tokens / s for way, s in seconds.items()}
    identical = sum(a.output == b.output for a, b in zip(asked, single))
    speedup = seconds["static"] / seconds["continuous"]
    server = paged_attention, continuous_batching, allocator, table
    sentence = (
        f"{count} requests, {tokens} new tokens, {places} places. {whose(*server).capitalize()} server: "
        f"{rate['continuous']:.3g} tokens a second in {steps['continuous']} steps; fixed groups with padding: "
        f"{rate['static']:.3g} in {steps['static']} passes; one at a time: {rate['one at a time']:.3g}. "
        f"Continuous batching is {speedup:.2f} times as fast as static. {identical} of {count} requests got exactly the tokens that they "
        "get alone."
    )
    figure = places_timeline({"static, in fixed groups": _fixed_places(padded, places),
                              f"continuous, {whose(*server, alone=True)}": _moving_places(asked, engine.batches, places)})
    measured = (f"{speedup:.2f} times the tokens per second of static batching with SmolLM2 on this machine, in {steps['continuous']} "
                f"steps in place of {steps['static']}; {identical} of {count} answers token-identical to one request at a time.")
    data = {"measured": measured, "rate": rate, "speedup": speedup, "steps": steps, "identical": identical, "count": count,
            "tokens": tokens}
    return Finding(sentence, figure, data)


def _fixed_places(requests: Sequence[Request], places: int) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(places)]
    for first in range(0, len(requests), places):
        group = requests[first : first + places]
        longest = max(len(r.output) for r in group)
        for place in range(places):
            made = len(group[place].output) if place < len(group) else 0
            number = first + place + 1
            rows[place] += [number] * made + [-number if made else 0] * (longest - made)
    return rows


def _moving_places(requests: Sequence[Request], batches: Sequence[Sequence[Any]], places: int) -> list[list[int]]:
    number = {r: i for i, r in enumerate(requests, 1)}
    rows: list[list[int]] = [[] for _ in range(places)]
    seat: dict[Any, int] = {}
    for batch in batches:
        seat = {r: p for r, p in seat.items() if r in batch}
        for request in batch:
            if request not in seat:
                seat[request] = next(p for p in range(places) if p not in seat.values())
        sitting = {p: number[r] for r, p in seat.items()}
        for place in range(places):
            rows[place].append(sitting.get(place, 0))
    return rows
