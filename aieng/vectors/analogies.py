"""Analogies by vector arithmetic: king − man + woman (Mikolov et al. 2013, arXiv:1301.3781)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def analogy(a: str, b: str, c: str, vocabulary: Mapping[str, Any], k: int = 1, exclude_inputs: bool = True) -> list[tuple[str, float]]:
    """The k words nearest to a − b + c: "king" − "man" + "woman".

    Parameters
    ----------
    a, b, c : words of the vocabulary
    vocabulary : word to (dim,) vector
    k : number of words, at least 1
    exclude_inputs : leave a, b and c out of the answer, as is customary

    Returns
    -------
    words : list of (word, cosine similarity to unit(a) − unit(b) + unit(c)), best first

    Raises
    ------
    ValueError: a word that is not in the vocabulary, k < 1 or more than there are words left.
    """
    unknown = [word for word in (a, b, c) if word not in vocabulary]
    if unknown:
        raise ValueError(f"not in the vocabulary: {', '.join(unknown)}")
    words = [word for word in vocabulary if not (exclude_inputs and word in (a, b, c))]
    if not 1 <= k <= len(words):
        raise ValueError(f"k is {k}; there are {len(words)} words to choose from")

    def unit(rows):
        lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
        return rows / np.where(lengths > 0, lengths, 1)

    vectors = unit(np.stack([np.asarray(vocabulary[word], dtype=np.float64) for word in words]))
    start, away, towards = (unit(np.asarray(vocabulary[word], dtype=np.float64)) for word in (a, b, c))
    scores = vectors @ unit(start - away + towards)
    order = np.argsort(-scores, kind="stable")[:k]
    return [(words[i], float(scores[i])) for i in order]
