"""1.2 measured: what an analogy finds with and without its own inputs, and what is found without any arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.figures.vectors import rank_bars
from aieng.lesson.finding import Finding, experiment

Vocabulary = Mapping[str, NDArray[np.float32]]
# a, b, c and the expected word: family, capitals, grammar. Written down before they were measured; none was taken out for its result.
ANALOGIES: tuple[tuple[str, str, str, str], ...] = (
    ("king", "man", "woman", "queen"), ("uncle", "man", "woman", "aunt"), ("father", "man", "woman", "mother"),
    ("brother", "boy", "girl", "sister"), ("nephew", "boy", "girl", "niece"), ("prince", "man", "woman", "princess"),
    ("husband", "man", "woman", "wife"), ("actor", "man", "woman", "actress"), ("rome", "italy", "france", "paris"),
    ("paris", "france", "germany", "berlin"), ("tokyo", "japan", "china", "beijing"), ("cats", "cat", "dog", "dogs"),
    ("moscow", "russia", "italy", "rome"), ("london", "england", "spain", "madrid"), ("puppy", "dog", "cat", "kitten"),
    ("better", "good", "bad", "worse"), ("walked", "walk", "swim", "swam"), ("biggest", "big", "small", "smallest"),
)


@experiment
def rank_of_answer(analogy: Any, vocabulary: Vocabulary, a: str, b: str, c: str, answer: str, shown: int = 8) -> Finding:
    """The words nearest to a − b + c, inputs included, and the rank of the expected one.

    The numbers: `with_inputs`, `without_inputs` (ranks) and `no_arithmetic` (its rank among the neighbours of `a` alone).
    """
    ranking = analogy(a, b, c, vocabulary, k=len(vocabulary), exclude_inputs=False)
    whole, clean, alone = _ranks(analogy, vocabulary, a, b, c, answer)
    sentence = (
        f"Among all {len(vocabulary):,} words, *{answer}* is number **{whole}** nearest to {a} − {b} + {c}; once the three words that went "
        f"in are left out, it is number **{clean}**. First of all is *{ranking[0][0]}*"
        + (", one of those three: the sum has hardly left the place where it started" if ranking[0][0] in (a, b, c) else "") + ". "
        f"And without any arithmetic, among the neighbours of *{a}* alone, *{answer}* is number **{alone}**."
    )
    return Finding(sentence, rank_bars(f"{a} − {b} + {c}", ranking[:shown], inputs=(a, b, c)),
                   {"with_inputs": whole, "without_inputs": clean, "no_arithmetic": alone})


@experiment
def many_analogies(analogy: Any, vocabulary: Vocabulary, analogies: Sequence[tuple[str, str, str, str]] = ANALOGIES) -> Finding:
    """Ranks of the expected word over a list of analogies.

    The numbers: `first_with_inputs`, `first_without_inputs` and `first_no_arithmetic` (how many are first in each way), `of`.
    """
    rows = ["| analogy | expected | rank, inputs in | inputs out | neighbours of the first word only |", "|---|---|---|---|---|"]
    ranks = []
    for a, b, c, answer in analogies:
        ranks.append(_ranks(analogy, vocabulary, a, b, c, answer))
        rows.append(f"| {a} − {b} + {c} | {answer} | {' | '.join(str(rank) for rank in ranks[-1])} |")
    first = [sum(rank[way] == 1 for rank in ranks) for way in range(3)]
    rows.append(
        f"\nOf {len(ranks)} analogies, the expected word is first in {first[0]} with the inputs in, in {first[1]} with the inputs out, "
        f"and in {first[2]} with no arithmetic at all. The difference between the first two is what leaving out the inputs adds; the "
        "difference between the last two is what the arithmetic adds.")
    return Finding("\n".join(rows), data={"first_with_inputs": first[0], "first_without_inputs": first[1],
                                          "first_no_arithmetic": first[2], "of": len(ranks)})


def _ranks(analogy: Any, vocabulary: Vocabulary, a: str, b: str, c: str, answer: str) -> tuple[int, int, int]:
    """Rank of `answer`, counted from 1: inputs in, inputs out, and among the neighbours of `a` (b and c out as well)."""
    whole = [word for word, _ in analogy(a, b, c, vocabulary, k=len(vocabulary), exclude_inputs=False)]
    clean = [word for word, _ in analogy(a, b, c, vocabulary, k=len(vocabulary) - len({a, b, c}))]
    others = [word for word in vocabulary if word not in (a, b, c)]
    alone = np.stack([vocabulary[word] for word in others]) @ vocabulary[a]
    return whole.index(answer) + 1, clean.index(answer) + 1, int((alone > alone[others.index(answer)]).sum()) + 1
