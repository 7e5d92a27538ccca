"""4.1 measured: how much of a cache's memory holds tokens under three ways of handing it out, and what sharing saves."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from aieng.figures.paging import sharing_bars, utilisation_over_time
from aieng.generation.batching import PagedEngine, beam_search
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.smollm2 import SmolLM2

MAX_TOKENS = 2048  # what a request may become, and what the first policy sets aside for it


@dataclass(eq=False)
class Job:
    """A request of the trace: tokens it begins with, tokens it will have in the end, tokens it has now."""

    prompt: int
    final: int
    length: int = 0


def request_trace(count: int, seed: int = 0) -> list[Job]:
    """Lengths as people's chats have them: many short, few very long (log-normal), at most 2,048 tokens in all.

    The means are near those that Kwon et al. (2023, section 6.1) give for ShareGPT: prompts of 161 tokens, answers of 338.
    """
    rng = np.random.default_rng(seed)
    prompts = np.clip(rng.lognormal(4.6, 1.0, count), 4, 1024).astype(int)
    answers = np.clip(rng.lognormal(5.4, 0.9, count), 4, 1024).astype(int)
    return [Job(int(p), int(p + a)) for p, a in zip(prompts, answers)]


@experiment
def memory_utilisation(
    allocator: Any, table: Any, *, requests: int = 600, pool_tokens: int = 16_384, block_size: int = 16, seed: int = 0,
) -> Finding:
    """Serve one trace of requests three times in the same memory: strips of the largest size, strips of exactly the final length (which
    nobody can know), and the learner's pages. Each step gives every running request one token.

    The numbers: `utilisation` ({policy: mean share of the pool that holds tokens, while requests wait}), `running` ({policy: mean
    requests at a time}), `steps` ({policy: steps to the end}), `worst_waste` (most empty slots in the blocks of a single table),
    `in_blocks` (share of the slots of taken blocks that hold tokens), `preempted`, and for the claims `measured` and `at_a_time`.
    """
    requests = requests // 4 if quick() else requests
    mine = f"{whose(allocator, table)} pages"
    runs = {
        "strips of 2,048": _strips(request_trace(requests, seed), pool_tokens, lambda job: MAX_TOKENS),
        "strips of the final length": _strips(request_trace(requests, seed), pool_tokens, lambda job: job.final),
        mine: _pages(request_trace(requests, seed), allocator(pool_tokens // block_size, block_size), table),
    }
    shares = {name: np.array([s for s, _, waiting in run.steps if waiting]) / pool_tokens for name, run in runs.items()}
    running = {name: float(np.mean([n for _, n, waiting in run.steps if waiting])) for name, run in runs.items()}
    utilisation = {name: float(s.mean()) for name, s in shares.items()}
    steps = {name: len(run.steps) for name, run in runs.items()}
    pages = runs[mine]
    first, exact, _ = utilisation
    sentence = (
        f"While requests are waiting, {utilisation[first]:.0%} of the memory holds tokens when every request gets a strip for the longest "
        f"possible text, {utilisation[exact]:.0%} with strips of exactly the right length (known in advance only here), and "
        f"{utilisation[mine]:.1%} with {mine}. That is {running[first]:.0f}, {running[exact]:.0f} and "
        f"{running[mine]:.0f} requests at a time, and {steps[first]:,}, {steps[exact]:,} and {steps[mine]:,} steps for "
        f"{requests} requests. In the blocks that are taken, {pages.in_blocks:.1%} of the slots hold a token; no table ever wasted more "
        f"than {pages.worst_waste} of them. {pages.preempted} times a request had to step back because the pool was full."
    )
    measured = (f"{utilisation[mine]:.1%} of the pool held tokens, against {utilisation[first]:.1%} with strips of the largest "
                f"size. What is left: up to {pages.worst_waste} slots in each sequence's last block, and blocks free at the moment.")
    data = {
        "measured": measured, "utilisation": utilisation, "running": running, "steps": steps, "worst_waste": pages.worst_waste,
        "in_blocks": pages.in_blocks, "preempted": pages.preempted,
        "at_a_time": f"{running[mine]:.0f} requests at a time, where {running[first]:.0f} strips of the largest size fit.",
    }
    return Finding(sentence, utilisation_over_time(shares, running), data)


@dataclass
class Run:
    """steps : (tokens held, requests running, whether others wait) of each step."""

    steps: list[tuple[int, int, bool]]
    worst_waste: int = 0
    in_blocks: float = 1.0
    preempted: int = 0


def _strips(jobs: list[Job], pool: int, size: Any) -> Run:
    """Contiguous strips, first fit; a strip is taken at the start and given back at the end."""
    waiting, run = deque(jobs), Run([])
    running: dict[Job, tuple[int, int]] = {}
    while waiting or running:
        while waiting:
            place = _first_fit([(start, length) for start, length in running.values()], size(waiting[0]), pool)
            if place is None:
                break
            job = waiting.popleft()
            job.length = job.prompt
            running[job] = (place, size(job))
        for job in running:
            job.length += 1
        run.steps.append((sum(j.length for j in running), len(running), bool(waiting)))
        running = {job: strip for job, strip in running.items() if job.length < job.final}
    return run


def _first_fit(taken: list[tuple[int, int]], size: int, pool: int) -> int | None:
    """The first gap of this size between the strips (start, length), or None."""
    end = 0
    for start, length in sorted(taken):
        if start - end >= size:
            return end
        end = start + length
    return end if pool - end >= size else None


def _pages(jobs: list[Job], allocator: Any, table: Any) -> Run:
    """The learner's tables; when the pool is full, the request that started last gives its blocks back and waits."""
    waiting, run = deque(jobs), Run([])
    tables: dict[Job, Any] = {}
    slots = held_slots = 0
    unique = iter(range(10**9))  # no two requests have a token in common: sharing is another experiment
    for job in jobs:
        job.length = job.prompt
    while waiting or tables:
        while waiting:
            try:
                tables[waiting[0]] = table(allocator, [next(unique) for _ in range(waiting[0].length)])
            except MemoryError:
                break
            waiting.popleft()
        grown: set[Job] = set()
        while len(grown) < len(tables):
            job = next(j for j in tables if j not in grown)
            try:
                tables[job].append(next(unique))
                job.length += 1
                grown.add(job)
            except MemoryError:
                last = next(reversed(tables))
                tables.pop(last).free()
                grown.discard(last)
                waiting.appendleft(last)
                run.preempted += 1
        run.steps.append((sum(len(t) for t in tables.values()), len(tables), bool(waiting)))
        for t in tables.values():
            slots += len(t.blocks) * allocator.block_size
            held_slots += len(t)
            run.worst_waste = max(run.worst_waste, len(t.blocks) * allocator.block_size - len(t))
        for job in [j for j in tables if j.length >= j.final]:
            tables.pop(job).free()
    run.in_blocks = held_slots / slots
    return run


@experiment
def sharing(allocator: Any, table: Any, lm: SmolLM2, *, block_size: int = 16) -> Finding:
    """Blocks in use with and without sharing: a common instruction, several samples of one prompt, and a real beam search.

    The numbers: `blocks` ({case: (shared, apart)}), `megabytes` (of SmolLM2's cache, {case: (shared, apart)}), `best` (text of the best
    beam).
    """
    def apart(length: int) -> int:
        return -(-length // block_size)

    pool = allocator(4096, block_size)
    instruction = list(range(1000, 1200))
    tables = [table(pool, [*instruction, *range(2000 + 100 * i, 2040 + 100 * i)]) for i in range(20)]
    cases = {"20 requests, one instruction of 200 tokens": (pool.num_blocks - pool.num_free, 20 * apart(240))}
    for t in tables:
        t.free()
    first = table(pool, range(100))
    samples = [first, *(first.fork() for _ in range(5))]
    for step in range(60):
        for i, sample in enumerate(samples):
            sample.append(10_000 + 100 * step + i)
    cases["6 samples of 60 tokens, one prompt of 100"] = (pool.num_blocks - pool.num_free, 6 * apart(160))
    prompt, width, new = lm.tokenizer.encode("Once upon a time, in a village by the sea, there lived a girl who"), 4, 4 if quick() else 12
    engine = PagedEngine(lm.model, 256, block_size, allocator=allocator, table=table)
    peak = 0

    def look() -> None:
        nonlocal peak
        peak = max(peak, engine.allocator.num_blocks - engine.allocator.num_free)

    best = beam_search(engine, prompt, width, new, on_step=look)[0][1]
    cases[f"beam search, {width} beams of {new} tokens, a prompt of {len(prompt)}"] = (peak, width * apart(len(prompt) + new))
    c = lm.config
    block_megabytes = 2 * c.num_hidden_layers * c.num_key_value_heads * c.head_dim * 4 * block_size / 1e6
    megabytes = {name: (a * block_megabytes, b * block_megabytes) for name, (a, b) in cases.items()}
    text = lm.tokenizer.decode(best)
    told = "; ".join(f"{name}: {a} blocks in place of {b} ({1 - a / b:.0%} less)" for name, (a, b) in cases.items())
    sentence = (f"{told}. A block of {block_size} tokens is {block_megabytes:.2f} MB of SmolLM2's cache. The best beam reads “…{text}”.")
    return Finding(sentence, sharing_bars(megabytes), {"blocks": cases, "megabytes": megabytes, "best": text})
