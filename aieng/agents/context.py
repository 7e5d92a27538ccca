"""What to put into a limited context window: pick diverse passages, pack them into a budget, place and write them.

Sources: Carbonell, Goldstein 1998, "The Use of MMR, Diversity-Based Reranking" (SIGIR); for the placement, Liu et al. 2023, "Lost in the
Middle" (arXiv:2307.03172); for the question's likelihood as a reranker, Sachan et al. 2022 (arXiv:2204.07496); for the packing, the
0-1 knapsack by dynamic programming (Bellman 1957).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

INSTRUCTION = "Answer the question from the numbered passages."
ORDERS = ("best_first", "best_last", "edges")


def mmr(query: ArrayLike, candidates: ArrayLike, k: int, trade_off: float = 0.7) -> list[int]:
    """Maximal marginal relevance: pick one after the other what is near the query and unlike what was picked.

    Parameters
    ----------
    query : (dim,) float
    candidates : (n, dim) float
        Of any length; likeness is the cosine, 0 for a zero vector.
    k : int, 1 <= k <= n
    trade_off : float in [0, 1]
        1 looks at relevance only, 0 only at novelty.

    Returns
    -------
    list of k int
        Rows of `candidates`, in the order picked: each has the largest
        ``trade_off · cos(query, c) − (1 − trade_off) · max cos(c, picked)``, the maximum being 0 as long as nothing is picked. Among equals
        the first row.

    Raises
    ------
    ValueError
        k or trade_off out of range, or shapes that do not fit.
    """
    q, c = np.asarray(query, dtype=np.float64), np.asarray(candidates, dtype=np.float64)
    if c.ndim != 2 or q.shape != c.shape[1:]:
        raise ValueError(f"query {q.shape} and candidates {c.shape}: expected (dim,) and (n, dim)")
    if not 1 <= k <= len(c) or not 0 <= trade_off <= 1:
        raise ValueError(f"k={k}, trade_off={trade_off}: need 1 <= k <= {len(c)} and 0 <= trade_off <= 1")

    def unit(x: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(x, axis=-1, keepdims=True)
        return np.divide(x, length, out=np.zeros_like(x), where=length > 0)

    q, c = unit(q), unit(c)
    relevance = c @ q  # (n,)
    nearest = np.zeros(len(c))  # largest likeness to anything picked
    picked: list[int] = []
    for _ in range(k):
        score = trade_off * relevance - (1 - trade_off) * nearest
        score[picked] = -np.inf
        best = int(score.argmax())
        likeness = c @ c[best]
        nearest = np.maximum(nearest, likeness) if picked else likeness  # the first one's likeness may be negative
        picked.append(best)
    return picked


def pack_context(values: Sequence[float], costs: Sequence[int], budget: int) -> list[int]:
    """Which passages give the most value within a budget of tokens: the 0-1 knapsack, solved exactly.

    Parameters
    ----------
    values : sequence of float
        What each passage is worth; one that is worth 0 or less is never taken.
    costs : sequence of int >= 0
        Its tokens.
    budget : int >= 0
        Most tokens in all.

    Returns
    -------
    list of int
        Places of the chosen ones, ascending; no other choice within the budget is worth more, and none that is worth as much costs less.

    Raises
    ------
    ValueError
        Lengths that differ, a negative cost or budget.

    Notes
    -----
    O(n · budget) steps: ``best[t]`` is the best choice among the passages so far that costs at most t tokens. Budgets are walked from large
    to small, so that ``best[t − cost]`` still speaks of the passages before this one, and none is taken twice.
    """
    if len(values) != len(costs) or budget < 0 or any(cost < 0 for cost in costs):
        raise ValueError(f"{len(values)} values, {len(costs)} costs, budget {budget}: need as many costs as values, none of them negative")
    best: list[tuple[float, int, tuple[int, ...]]] = [(0.0, 0, ())] * (budget + 1)  # (value, −cost, places)
    for place, (value, cost) in enumerate(zip(values, costs, strict=True)):
        if value <= 0:
            continue
        for t in range(budget, cost - 1, -1):
            worth, spent, places = best[t - cost]
            taken = (worth + value, spent - cost, (*places, place))
            if taken[:2] > best[t][:2]:
                best[t] = taken
    return list(best[budget][2])


def compose(
    instruction: str, question: str, passages: Sequence[str], scores: Sequence[float], budget: int, count_tokens: Callable[[str], int],
    order: str = "edges",
) -> tuple[str, list[int]]:
    """Write the prompt: the best passages that fit, each once, placed where they will be read.

    Parameters
    ----------
    instruction, question : str
        Always in the prompt.
    passages : sequence of str
    scores : sequence of float
        One per passage; higher is better, and among equals the first.
    budget : int
        Most tokens of the whole prompt.
    count_tokens : callable
        Text to its number of tokens.
    order : "best_first", "best_last" or "edges"
        Edges: the best first, the second best last, and so inward: ranks 1, 3, 5, 4, 2. The weakest stand in the middle.

    Returns
    -------
    prompt : str
        Instruction, an empty line, a line ``[1] passage`` for each one used, an empty line, ``Question: …``, ``Answer:``. Without passages
        one empty line stands between instruction and question.
    placed : list of int
        The passages [1], [2], … by their place in `passages`. They are taken in order of score: each one with which the whole prompt,
        written in its final order, is still within the budget, unless its text is in the prompt already (capital letters and white space
        aside).

    Raises
    ------
    ValueError
        Unknown order, lengths that differ, or a prompt over budget even without passages.
    """
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; choose one of {', '.join(ORDERS)}")
    if len(passages) != len(scores):
        raise ValueError(f"{len(passages)} passages and {len(scores)} scores: give one score each")

    def arrange(ranked: list[int]) -> list[int]:
        return {"best_first": ranked, "best_last": ranked[::-1], "edges": ranked[::2] + ranked[1::2][::-1]}[order]

    def render(places: Sequence[int]) -> str:
        listed = "".join(f"[{number}] {passages[i]}\n" for number, i in enumerate(places, 1))
        return f"{instruction}\n\n{listed}{chr(10) if listed else ''}Question: {question}\nAnswer:"

    if count_tokens(render([])) > budget:
        raise ValueError(f"instruction and question need {count_tokens(render([]))} tokens, the budget is {budget}: raise it")
    used, seen = list[int](), set[str]()
    for i in sorted(range(len(passages)), key=lambda i: -scores[i]):
        text = " ".join(passages[i].split()).casefold()
        if text not in seen and count_tokens(render(arrange([*used, i]))) <= budget:
            used.append(i)
            seen.add(text)
    placed = arrange(used)
    return render(placed), placed


def question_likelihood(lm: Any, passage: str, question: str) -> float:
    """How likely a language model finds the question after the passage: a reranker that needs no training.

    Parameters
    ----------
    lm : object with ``tokenizer.encode(text)`` and ``logits(ids)`` to a Tensor (tokens, vocab_size), such as `SmolLM2`
    passage, question : str

    Returns
    -------
    float
        Mean log-probability (natural logarithm) of the question's tokens in ``passage\\nQuestion: question``. Higher is better; compare
        passages for one question only.
    """
    begin, end = lm.tokenizer.encode(f"{passage}\nQuestion:"), lm.tokenizer.encode(f" {question}")
    said = lm.logits([*begin, *end])[len(begin) - 1 : -1].float().log_softmax(-1)  # (question's tokens, vocab_size)
    return float(said[range(len(end)), end].mean())


def ndcg(relevant: ArrayLike, k: int = 10) -> float:
    """Normalised discounted cumulative gain of a ranking, best first (Järvelin, Kekäläinen 2002).

    Parameters
    ----------
    relevant : (n,) bool or gains >= 0, in the order of the ranking, of all candidates
    k : int
        Ranks that count.

    Returns
    -------
    float in [0, 1]
        1 with the best at the top; a single relevant one at rank r gives 1 / log2(1 + r). 0 where nothing is relevant.
    """
    gains = np.asarray(relevant, dtype=np.float64)
    discount = 1 / np.log2(np.arange(2, len(gains) + 2))
    discount[k:] = 0
    best = float((np.sort(gains)[::-1] * discount).sum())
    return float((gains * discount).sum()) / best if best > 0 else 0.0
