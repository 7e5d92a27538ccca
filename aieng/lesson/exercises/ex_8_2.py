"""8.2 Context engineering: visible properties and hints."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np

from aieng.lesson.checking import expect, expect_raises, hints, prop, untouched

hints(
    "8.2",
    "mmr: make all vectors unit length once, then every likeness is a dot product; keep for each candidate its largest likeness to "
    "anything picked so far. pack_context: do not try all subsets; solve it for every smaller budget first. compose: decide *which* "
    "passages by score and *where* they stand by order, two separate steps, and count the tokens of the text as it will really be.",
    "mmr: each round has one score for all candidates, trade_off · relevance − (1 − trade_off) · nearest, with the picked ones set to "
    "−inf. pack_context: best[t] is the best choice with at most t tokens; a passage of cost c makes best[t] = better of best[t] and "
    "best[t − c] + this passage. Walk t downwards, or a passage is taken twice. compose: for each passage, best score first, lay out "
    "the chosen ones together with it, count, and keep it if the whole fits.",
    "mmr: unit rows; relevance = c @ q; loop k times: argmax of the score, append, nearest = maximum(nearest, c @ c[best]) (the first "
    "time: just "
    "c @ c[best]).\n"
    "pack_context: a table of (value, −cost, places) for t = 0 … budget, all (0, 0, ()); for each passage with value > 0: for t from "
    "budget "
    "down to its cost: compare and replace; the answer is the last entry's places.\n"
    "compose: arrange(ranked) gives ranked, ranked reversed, or ranked[::2] + ranked[1::2][::-1]; render(places) writes the text; loop "
    "over "
    "sorted places, skip texts already seen (casefold, white space joined), try arrange(used + [i]).",
)

# A query to the east; candidate 1 is almost candidate 0; candidate 2 is less near, and different.
QUERY = np.array([1.0, 0.0])
POOL = np.array([[1.0, 0.1], [1.0, 0.12], [0.8, -0.6], [-1.0, 0.0]])


@prop("8.2", "mmr: relevance first, then novelty")
def mmr_order(mmr: Any, pack: Any, compose: Any) -> None:
    got = mmr(QUERY, POOL, 3, 1.0)
    expect(isinstance(got, list), f"mmr returns a list of rows; yours is a {type(got).__name__}.")
    expect(list(got) == [0, 1, 2], f"With trade_off 1 only relevance counts: [0, 1, 2]; yours {list(got)}.")
    got = list(mmr(QUERY, POOL, 4, 0.5))
    expect(got[:2] != [0, 1], "Candidate 1 is almost a copy of candidate 0; with trade_off 0.5 the second pick should be something new. "
                              "Do you "
                          "subtract the likeness to what is *picked*?")
    expect(got == [0, 2, 1, 3], f"With trade_off 0.5 the order is [0, 2, 1, 3]; yours {got}. The penalty is the likeness to the "
                                "*nearest* picked one.")
    got = list(mmr(QUERY, POOL, 2, 0.3))
    expect(got == [0, 3], f"With trade_off 0.3 the second pick is candidate 3: 0.3·(−1) − 0.7·(−0.995) = 0.40; yours {got}. Likeness to "
                          "what is picked may be negative: do not stop at 0.")
    turned = np.deg2rad([10, 70, 60, 30, -40])
    got = list(mmr(QUERY, np.stack([np.cos(turned), np.sin(turned)], axis=1), 4, 0.5))
    expect(got == [0, 4, 3, 2], "Five candidates at 10, 70, 60, 30 and −40 degrees from the query, trade_off 0.5: [0, 4, 3, 2]; yours "
                                f"{got}. The penalty is the likeness to the *nearest* of all picked ones, not their mean, their sum, or "
                                "the last one's.")
    expect(all(type(i) is int for i in got), "Rows are plain int.")


@prop("8.2", "mmr: cosine, ties, errors")
def mmr_edges(mmr: Any, pack: Any, compose: Any) -> None:
    scaled = POOL * np.array([[0.01], [5.0], [100.0], [3.0]])
    with untouched(query=QUERY, candidates=scaled):
        got = list(mmr(QUERY * 7, scaled, 4, 0.5))
    expect(got == [0, 2, 1, 3], f"Lengths of vectors should not matter (cosine); after scaling the order became {got}.")
    got = list(mmr(QUERY, np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]), 3, 0.5))
    expect(got[:1] == [2], f"A zero vector has likeness 0 to everything; yours picks {got}. Does a nan win?")
    got = list(mmr(QUERY, np.ones((3, 2)), 3, 0.3))
    expect(got == [0, 1, 2], f"Among equals the first row goes first: [0, 1, 2]; yours {got}.")
    for k, trade_off in ((0, 0.5), (5, 0.5), (2, -0.1), (2, 1.1)):
        expect_raises(ValueError, partial(mmr, QUERY, POOL, k, trade_off),
                      f"k={k}, trade_off={trade_off} with 4 candidates should raise ValueError.")


def _worth(values: Any, costs: Any, chosen: Any) -> tuple[float, int]:
    return sum(values[i] for i in chosen), sum(costs[i] for i in chosen)


@prop("8.2", "packing: the best set, not the best first")
def packing(mmr: Any, pack: Any, compose: Any) -> None:
    values, costs = [6.0, 5.0, 4.0], [5, 4, 3]
    got = pack(values, costs, 7)
    expect(isinstance(got, list), f"pack_context returns a list of places; yours is a {type(got).__name__}.")
    worth, spent = _worth(values, costs, got)
    expect(spent <= 7, f"Your choice {got} costs {spent} of 7 tokens.")
    expect(len(set(got)) == len(got), f"Your choice {got} takes a passage twice: walk the budgets from large to small.")
    expect(got != [0], "Values 6, 5, 4 and costs 5, 4, 3 in 7 tokens: taking the most valuable first leaves no room; 1 and 2 together "
                       "are worth 9.")
    expect(got == [1, 2], f"Values 6, 5, 4, costs 5, 4, 3, budget 7: the best is [1, 2], worth 9; yours {got}, worth {worth}.")
    got = pack([10.0, 9.0, 9.0], [6, 5, 5], 10)
    expect(list(got) == [1, 2], f"Values 10, 9, 9, costs 6, 5, 5, budget 10: [1, 2]; yours {list(got)}.")
    got = pack([3.0, 10.0], [1, 5], 5)
    expect(list(got) == [1], "Values 3, 10, costs 1, 5, budget 5: most value per token first takes the small one, and the large no "
                             f"longer fits. Best: [1]; yours {list(got)}.")
    got = pack([5.0, 5.0, 5.0], [3, 2, 4], 4)
    expect(list(got) == [1], f"Three passages worth 5 that cost 3, 2 and 4, budget 4: the cheapest of equal ones, [1]; yours {list(got)}.")


@prop("8.2", "packing: against all subsets")
def subsets(mmr: Any, pack: Any, compose: Any) -> None:
    rng = np.random.default_rng(3)
    for _ in range(25):
        n = int(rng.integers(0, 8))
        values, costs = [float(v) for v in rng.integers(-2, 9, n)], [int(c) for c in rng.integers(0, 9, n)]
        budget = int(rng.integers(0, 25))
        best = max((_worth(values, costs, s)[0], -_worth(values, costs, s)[1]) for r in range(n + 1)
                   for s in itertools.combinations(range(n), r) if _worth(values, costs, s)[1] <= budget)
        got = list(pack(values, costs, budget))
        worth, spent = _worth(values, costs, got)
        where = f"values {values}, costs {costs}, budget {budget}"
        expect(spent <= budget and len(set(got)) == len(got), f"{where}: {got} costs {spent}, or takes something twice.")
        expect(worth >= best[0], f"{where}: {got} is worth {worth}, the best set {best[0]}.")
        expect(all(values[i] > 0 for i in got), f"{where}: {got} takes a passage that is worth nothing.")
        expect(spent <= -best[1], f"{where}: {got} costs {spent}; the same value can be had for {-best[1]}.")
        expect(got == sorted(got), f"Places come in ascending order; yours {got}.")


@prop("8.2", "packing: errors")
def pack_errors(mmr: Any, pack: Any, compose: Any) -> None:
    expect(list(pack([], [], 5)) == [] and list(pack([1.0], [1], 0)) == [], "Nothing to choose from, or no budget: an empty list.")
    for values, costs, budget in (([1.0], [1, 2], 3), ([1.0], [-1], 3), ([1.0], [1], -1)):
        expect_raises(ValueError, partial(pack, values, costs, budget),
                      f"values {values}, costs {costs}, budget {budget} should raise ValueError.")


def _words(text: str) -> int:
    return len(text.split())


TEXTS = ["Ada wrote notes.", "Bo ran far and wide that day.", "Cy sang.", "ada  WROTE notes.", "Di slept."]
SCORES = [0.5, 0.9, 0.7, 0.8, 0.1]


@prop("8.2", "compose: form and order")
def form(mmr: Any, pack: Any, compose: Any) -> None:
    got = compose("Use them.", "Who?", TEXTS, SCORES, 100, _words)
    expect(isinstance(got, tuple) and len(got) == 2, "compose returns (prompt, placed).")
    prompt, placed = got[0], list(got[1])
    expect(not {0, 3} <= set(placed), "Passages 0 and 3 are the same text but for capital letters and white space: only the better one "
                                      "belongs in.")
    expect(placed == [1, 2, 4, 3], "Ranks by score: 1, 3, 2, 4 (0 repeats 3). Edges: best first, second best last: [1, 2, 4, 3]; yours "
                                   f"{placed}.")
    want = f"Use them.\n\n[1] {TEXTS[1]}\n[2] {TEXTS[2]}\n[3] {TEXTS[4]}\n[4] {TEXTS[3]}\n\nQuestion: Who?\nAnswer:"
    expect(prompt == want, f"The prompt should be\n{want}\nyours is\n{prompt}")
    for order, ids in (("best_first", [1, 3, 2, 4]), ("best_last", [4, 2, 3, 1])):
        placed = list(compose("Use them.", "Who?", TEXTS, SCORES, 100, _words, order)[1])
        expect(placed == ids, f"Order {order!r}: {ids}; yours {placed}.")
    nothing = compose("Use them.", "Who?", [], [], 100, _words)
    expect((nothing[0], list(nothing[1])) == ("Use them.\n\nQuestion: Who?\nAnswer:", []),
           f"Without passages one empty line stands between instruction and question; yours {nothing!r}")
    equal = list(compose("Use them.", "Who?", ["a", "b", "c"], [1.0, 1.0, 1.0], 100, _words, "best_first")[1])
    expect(equal == [0, 1, 2], f"Among equal scores the first passage goes first; yours {equal}.")


@prop("8.2", "compose: the budget, to the token")
def budget(mmr: Any, pack: Any, compose: Any) -> None:
    base = _words("Use them.\n\nQuestion: Who?\nAnswer:")
    for room in range(24):
        prompt, placed = compose("Use them.", "Who?", TEXTS, SCORES, base + room, _words, "best_last")
        expect(_words(prompt) <= base + room, f"A budget of {base + room} tokens, a prompt of {_words(prompt)}: count the whole prompt, "
                                              "numbers and question too.")
        want, total = list[int](), 0
        for i in (1, 3, 2, 4):
            if total + 1 + _words(TEXTS[i]) <= room:
                total += 1 + _words(TEXTS[i])
                want.append(i)
        expect(list(placed) == want[::-1], f"With room for {room} words the passages are {want} (best score first, each that still fits "
                                           f"whole), placed best last; yours {list(placed)}.")
    expect_raises(ValueError, lambda: compose("Use them.", "Who?", TEXTS, SCORES, base - 1, _words),
                  "A budget too small for instruction and question should raise ValueError.")


@prop("8.2", "compose: the text as it will be, errors")
def final(mmr: Any, pack: Any, compose: Any) -> None:
    # Counts a text by how it is cut: a long word in the first place costs more, as a tokenizer's joins may.
    def uneven(text: str) -> int:
        lines = [line for line in text.split("\n") if line.startswith("[")]
        return 10 * len(lines) + (5 if lines and "far" in lines[0] else 0)

    texts = ["near", "far", "wide"]
    got = list(compose("I.", "Q?", texts, [3.0, 2.0, 1.0], 24, uneven, "best_last")[1])
    expect(got == [2, 0], "With best_last the text is laid out anew for each passage that is tried, and this counter charges 5 more "
                          f"when a certain passage comes first: places 0 and 2 fit in 24, 0 and 1 do not. Yours: {got}. Count the prompt "
                          "in its final order.")
    with untouched(scores=np.array(SCORES)):
        before = list(TEXTS)
        compose("I.", "Q?", TEXTS, SCORES, 100, _words)
        expect(before == TEXTS, "compose changed the list of passages.")
    expect_raises(ValueError, lambda: compose("I.", "Q?", TEXTS, SCORES[:2], 100, _words),
                  "Two scores for five passages should raise ValueError.")
    expect_raises(ValueError, lambda: compose("I.", "Q?", TEXTS, SCORES, 100, _words, "middle"),
                  "An unknown order should raise ValueError.")
