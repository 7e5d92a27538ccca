"""An imaginary annotator for section 02's alignment experiment: what it likes, and the choices that it makes.

It prefers definitions that say what a thing is used for, made of or like, and it is bored by repetition. Nothing of this is human data.
"""

from __future__ import annotations

import torch
from torch import Tensor

LIKED = (" used", " made", " worn", " with", " having", " from")  # each is one token of the tiny vocabulary, or is left out


def liked_ids(vocabulary: dict[bytes, int]) -> list[int]:
    """Ids of the liked words in a vocabulary."""
    return [vocabulary[word.encode()] for word in LIKED if word.encode() in vocabulary]


def true_preference(tokens: Tensor, mask: Tensor, liked: list[int]) -> Tensor:
    """How much the annotator likes responses.

    Parameters
    ----------
    tokens : Tensor (batch, tokens), int64
    mask : Tensor (batch, tokens), bool
    liked : ids of liked tokens

    Returns
    -------
    Tensor (batch,)
        The number of *different* liked words, two at most, minus three times the share of tokens that repeat an earlier one.
    """
    scores = []
    for row, kept in zip(tokens, mask):
        said = row[kept].tolist()
        different = set(said)
        scores.append(min(len(different & set(liked)), 2) - 3 * (1 - len(different) / max(len(said), 1)))
    return torch.tensor(scores)


def choose(first: Tensor, second: Tensor, generator: torch.Generator, sharpness: float = 2.0) -> Tensor:
    """Which of two responses is picked: bool (pairs,), True for the first, with probability sigmoid(sharpness · difference)."""
    return torch.rand(first.shape, generator=generator) < torch.sigmoid(sharpness * (first - second))
