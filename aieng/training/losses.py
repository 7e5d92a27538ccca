"""What a language model is trained to make small: cross entropy over next tokens, everywhere or on responses only.

The convention of transformers and torch: a label of -100 does not count.
"""

from __future__ import annotations

import torch
from torch import Tensor

IGNORE = -100


def cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int = IGNORE) -> Tensor:
    """Mean of -log p(target), in nats, over the targets that count.

    Parameters
    ----------
    logits : Tensor (..., vocab_size), floating point
    targets : Tensor (...), int64
        The right token of each row, 0 to vocab_size - 1, or ignore_index.
    ignore_index : int
        Rows with this target count neither in the sum nor in the number it is divided by.

    Returns
    -------
    Tensor, scalar
        NaN where no target counts, as in torch.

    Raises
    ------
    ValueError
        The leading axes of logits and targets differ, or a target is out of range.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits {tuple(logits.shape)} need targets of shape {tuple(logits.shape[:-1])}, got {tuple(targets.shape)}")
    counts = targets != ignore_index
    outside = counts & ((targets < 0) | (targets >= logits.shape[-1]))
    if bool(outside.any()):
        raise ValueError(f"targets hold {int(targets[outside][0])}; allowed are 0 to {logits.shape[-1] - 1} and {ignore_index}")
    rows, wanted = logits[counts], targets[counts]  # (counted, vocab_size), (counted,)
    # log p = logit - log(sum of exp); the largest logit is taken out first, so that exp() cannot overflow.
    highest = rows.amax(dim=-1, keepdim=True)
    log_total = highest.squeeze(-1) + (rows - highest).exp().sum(dim=-1).log()
    return (log_total - rows.gather(-1, wanted[:, None]).squeeze(-1)).mean()


def perplexity(logits: Tensor, targets: Tensor, ignore_index: int = IGNORE) -> float:
    """exp(cross entropy): among how many equally likely tokens the model would be as unsure.

    vocab_size for a model that knows nothing, 1 for one that is certain and right. Arguments and errors as `cross_entropy`.
    """
    return float(cross_entropy(logits, targets, ignore_index).exp())


def bigram_probabilities(ids: Tensor, vocab_size: int, smoothing: float = 1.0) -> Tensor:
    """P(next token | this token), counted from a text.

    Parameters
    ----------
    ids : Tensor (tokens,), int64
    vocab_size : int
    smoothing : float >= 0
        Added to every count (Laplace), so that an unseen pair is not impossible.

    Returns
    -------
    Tensor (vocab_size, vocab_size), float32
        Row: this token; column: the next. Rows sum to 1; a row without any count is uniform.

    Raises
    ------
    ValueError
        Negative smoothing.
    """
    if smoothing < 0:
        raise ValueError(f"smoothing is {smoothing}; it must be 0 or more")
    pairs = ids[:-1] * vocab_size + ids[1:]
    counts = torch.bincount(pairs, minlength=vocab_size**2).reshape(vocab_size, vocab_size) + smoothing
    total = counts.sum(dim=-1, keepdim=True)
    return torch.where(total > 0, counts / total.clamp(min=1e-30), torch.full_like(counts, 1 / vocab_size, dtype=torch.float)).float()


def sft_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of the response's tokens: position i predicts label i + 1.

    Parameters
    ----------
    logits : Tensor (batch, tokens, vocab_size)
    labels : Tensor (batch, tokens), int64
        Aligned with the input ids; -100 on prompt and padding.

    Returns
    -------
    Tensor, scalar
        Mean over all response tokens of the batch, so a long answer weighs more than a short one.

    Source: Ouyang et al. 2022, "Training language models to follow instructions with human feedback" (arXiv:2203.02155), section 3.
    """
    return cross_entropy(logits[:, :-1], labels[:, 1:])
