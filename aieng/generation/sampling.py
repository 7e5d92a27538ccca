"""Choosing the next token: greedy, temperature, top-k and top-p, as steps that compose.

Every step maps logits (..., vocab_size) to logits of the same shape; a token that is out of the race has logit -inf.
The order used by `Sampler`, and by transformers, is temperature, then top-k, then top-p, then one draw.

Sources: Fan, Lewis, Dauphin 2018, "Hierarchical Neural Story Generation" (arXiv:1805.04833), for top-k; Holtzman et al.
2019, "The Curious Case of Neural Text Degeneration" (arXiv:1904.09751), for top-p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


def greedy(logits: Tensor) -> Tensor:
    """The likeliest token.

    Parameters
    ----------
    logits : Tensor (..., vocab_size)

    Returns
    -------
    Tensor (...), int64
        Of equal logits the smallest id.
    """
    return logits.argmax(dim=-1)


def scale_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Divide the logits by the temperature: below 1 the likely gets likelier, above 1 the distribution flattens.

    Parameters
    ----------
    logits : Tensor (..., vocab_size), floating point
    temperature : float > 0

    Returns
    -------
    Tensor, shape and dtype of logits

    Raises
    ------
    ValueError
        A temperature that is not a positive, finite number; `greedy` is its limit at 0.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it must be above 0 and finite. For the limit 0 use greedy.")
    return logits / temperature


def keep_top_k(logits: Tensor, top_k: int) -> Tensor:
    """Keep the k largest logits and set the others to -inf.

    Parameters
    ----------
    logits : Tensor (..., vocab_size), floating point
    top_k : int >= 1
        More than vocab_size keeps all.

    Returns
    -------
    Tensor, shape and dtype of logits
        Tokens whose logit equals the k-th largest are all kept, as in transformers, so more than k may stay.

    Raises
    ------
    ValueError
        top_k below 1 or not a whole number.
    """
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise ValueError(f"top_k is {top_k!r}; it must be a whole number from 1 on")
    if top_k >= logits.shape[-1]:
        return logits.clone()
    threshold = logits.topk(top_k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < threshold, -math.inf)


def keep_top_p(logits: Tensor, top_p: float) -> Tensor:
    """Keep the nucleus, the fewest likeliest tokens whose probabilities reach p together; the others become -inf.

    Parameters
    ----------
    logits : Tensor (..., vocab_size), floating point
    top_p : float in (0, 1]
        1 keeps all.

    Returns
    -------
    Tensor, shape and dtype of logits
        A token stays as long as the tokens before it, likeliest first, have less than p together; so the one that crosses
        p stays, and one always does. Tokens as likely as the last one that stays are kept too.

    Raises
    ------
    ValueError
        top_p outside (0, 1].
    """
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it must be above 0 and at most 1")
    if top_p == 1:
        return logits.clone()
    probabilities = torch.softmax(logits, dim=-1)
    # numpy sorts float32 with vector instructions, ten times as fast as torch sorts values together with their places.
    likeliest = np.sort(probabilities.detach().cpu().float().numpy(), axis=-1)[..., ::-1]
    before = np.cumsum(likeliest, axis=-1, dtype=np.float64) - likeliest  # the mass before a token, not with it
    size = (before < top_p).sum(axis=-1, keepdims=True)  # of the nucleus; at least 1, since before[0] is 0
    smallest = torch.from_numpy(np.take_along_axis(likeliest, size - 1, axis=-1)).to(logits.device)
    return logits.masked_fill(probabilities.float() < smallest, -math.inf)


def sample(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw one token per row from softmax(logits).

    Parameters
    ----------
    logits : Tensor (..., vocab_size), floating point
        -inf has probability 0; every row needs at least one finite logit.
    generator : torch.Generator, optional
        Makes the draw repeatable.

    Returns
    -------
    Tensor (...), int64
    """
    # Inverse transform sampling: a point of the unit interval falls into a token's share of it. Cumulated in float64, because
    # 49,152 shares added up in float32 would leave rounding errors larger than a rare token's own share.
    shares = torch.softmax(logits.double(), dim=-1).cumsum(dim=-1)
    points = torch.rand(shares.shape[:-1], dtype=torch.float64, generator=generator, device=logits.device) * shares[..., -1]
    return torch.searchsorted(shares, points[..., None], right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)


@dataclass
class Sampler:
    """The four steps in a row, as decoding wants them: a callable from logits to token ids.

    temperature : float >= 0; 0 means greedy
    top_k : int, optional; top_p : float, optional; None leaves the step out
    seed : int, optional; the same seed draws the same tokens
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    _generator: torch.Generator | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}; it must be 0 (greedy) or more")
        if self.seed is not None:
            self._generator = torch.Generator().manual_seed(self.seed)

    def __call__(self, logits: Tensor) -> int:
        """Choose one token id from logits (vocab_size,)."""
        return int(greedy(logits) if self.temperature == 0 else sample(self.process(logits), self._generator))

    def process(self, logits: Tensor) -> Tensor:
        """The logits after temperature, top-k and top-p, before the draw."""
        logits = scale_temperature(logits, self.temperature)
        if self.top_k is not None:
            logits = keep_top_k(logits, self.top_k)
        return logits if self.top_p is None else keep_top_p(logits, self.top_p)
