"""Retrieval-augmented generation: find passages for a question and put them, numbered, into a prompt of limited length.

Source: Lewis et al. 2020, "Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks" (arXiv:2005.11401); here without its
joint training: a fixed retriever and a prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

INSTRUCTION = "Answer the question from the numbered passages."


def retrieve(
    question: str, embed: Callable[[list[str]], Any], search: Callable[[Any, int], tuple[Any, Any]], k: int, min_score: float = -1.0
) -> list[tuple[int, float]]:
    """The passages nearest to a question.

    Parameters
    ----------
    question : str
    embed : callable
        List of n texts to an (n, dim) array.
    search : callable
        (queries (n, dim), k) to (scores, ids), both (n, k), best first; an id of -1 stands for "none found".
    k : int >= 1
        Passages wanted at most.
    min_score : float
        Passages that score less are left out: better none than a wrong one.

    Returns
    -------
    list of (id, score)
        Best first; empty where nothing is near enough.

    Raises
    ------
    ValueError
        k below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least one passage")
    scores, ids = search(embed([question]), k)
    return [(int(i), float(score)) for score, i in zip(scores[0], ids[0]) if i >= 0 and score >= min_score]


def build_prompt(
    question: str, passages: Sequence[str], budget: int, count_tokens: Callable[[str], int], instruction: str = INSTRUCTION
) -> tuple[str, list[int]]:
    """A prompt with numbered passages, question last, that keeps to a budget of tokens.

    Parameters
    ----------
    question : str
    passages : sequence of str
        Best first.
    budget : int
        Most tokens that the whole prompt may have.
    count_tokens : callable
        Text to its number of tokens.
    instruction : str
        The first line.

    Returns
    -------
    prompt : str
        The instruction, an empty line, a line ``[1] passage`` for each one used, an empty line, ``Question: …``, ``Answer:``.
        Without passages one empty line stands between instruction and question.
    used : list of int
        Places in `passages` of [1], [2], …: every passage in turn that still fits whole (one that does not is passed over), each text
        once.

    Raises
    ------
    ValueError
        The prompt does not fit even without passages.
    """

    def render(chosen: Sequence[int]) -> str:
        listed = "".join(f"[{number}] {passages[i]}\n" for number, i in enumerate(chosen, 1))
        return f"{instruction}\n\n{listed}{chr(10) if listed else ''}Question: {question}\nAnswer:"

    prompt, used = render([]), list[int]()
    if count_tokens(prompt) > budget:
        raise ValueError(f"the prompt needs {count_tokens(prompt)} tokens without any passage, the budget is {budget}: raise it")
    for i, passage in enumerate(passages):
        if passage in (passages[j] for j in used):
            continue
        longer = render([*used, i])
        if count_tokens(longer) <= budget:
            prompt, used = longer, [*used, i]
    return prompt, used
