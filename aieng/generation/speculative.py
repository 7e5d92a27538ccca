"""Speculative decoding: a cheap draft proposes several tokens, the model checks all of them in one pass.

Notation: `target_probs` belong to the model whose output is wanted (p in Leviathan et al.), `draft_probs` to the draft (q there; some
code has the letters the other way round).

Sources: Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding" (arXiv:2211.17192), sections 2 and 3;
Chen et al. 2023 (arXiv:2302.01318); Saxena 2023, "Prompt Lookup Decoding" for drafts copied from the text so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Draft = Callable[[list[int], int], list[int]]  # (all tokens so far, how many at most) -> proposed tokens


def prompt_lookup(ids: Sequence[int], num_draft_tokens: int, max_ngram: int = 3) -> list[int]:
    """Propose what followed the last time that the text ended as it ends now.

    Parameters
    ----------
    ids : token ids so far
    num_draft_tokens : int, >= 0
        Propose at most so many.
    max_ngram : int, >= 1
        Compare the last `max_ngram` tokens first, then fewer, down to one. Of several earlier places the latest counts.

    Returns
    -------
    list of int
        The tokens behind that place, at most `num_draft_tokens` and no further than the end of ids; empty where nothing matches.

    Raises
    ------
    ValueError
        num_draft_tokens < 0 or max_ngram < 1.
    """
    if num_draft_tokens < 0 or max_ngram < 1:
        raise ValueError(f"num_draft_tokens={num_draft_tokens}, max_ngram={max_ngram}; need >= 0 and >= 1")
    ids = list(ids)
    for n in range(min(max_ngram, len(ids) - 1), 0, -1):
        tail = ids[-n:]
        for start in range(len(ids) - n - 1, -1, -1):  # the last place is the tail itself: leave it out
            if ids[start : start + n] == tail:
                return ids[start + n : start + n + num_draft_tokens]
    return []


def verify_greedy(draft_tokens: Sequence[int], logits: Tensor) -> list[int]:
    """The tokens that greedy decoding of the model alone would have produced, as far as one pass can tell.

    Parameters
    ----------
    draft_tokens : k proposed ids, k >= 0
    logits : Tensor (k + 1, vocab_size)
        Row i: the model's logits for the place of draft token i, given the text and the draft tokens before it; the last row: for
        the place behind the draft.

    Returns
    -------
    list of int, 1 to k + 1 ids
        The draft as long as it agrees with the model's most likely tokens, then the model's own token.

    Raises
    ------
    ValueError
        logits has not one row more than there are draft tokens.
    """
    _check_rows("logits", logits, len(draft_tokens) + 1)
    choices: list[int] = logits.argmax(dim=-1).tolist()
    accepted = 0
    while accepted < len(draft_tokens) and draft_tokens[accepted] == choices[accepted]:
        accepted += 1
    return choices[: accepted + 1]


def acceptance_and_residual(target_probs: Tensor, draft_probs: Tensor) -> tuple[Tensor, Tensor]:
    """With what probability to keep each draft token, and what to draw from where it is not kept.

    Parameters
    ----------
    target_probs, draft_probs : Tensor (vocab_size,), each summing to 1

    Returns
    -------
    acceptance : Tensor (vocab_size,)
        min(1, target / draft) for each token; 1 where the draft gives it probability 0 (it never proposes it).
    residual : Tensor (vocab_size,), sums to 1
        max(0, target - draft), normalised: what the draft proposes too rarely. Where the two are equal nothing is ever rejected; the
        target itself is returned then.

    Together they give the target exactly: draft · acceptance + (1 - Σ draft · acceptance) · residual = target.
    """
    acceptance = torch.where(draft_probs > 0, target_probs / torch.where(draft_probs > 0, draft_probs, 1.0), 1.0).clamp(max=1.0)
    missing = (target_probs - draft_probs).clamp(min=0.0)
    total = missing.sum()
    return acceptance, missing / total if total > 0 else target_probs


def speculative_sample(
    draft_tokens: Sequence[int], draft_probs: Tensor, target_probs: Tensor, generator: torch.Generator
) -> list[int]:
    """Keep or replace draft tokens so that the result is distributed exactly as the model's own sampling.

    Parameters
    ----------
    draft_tokens : k ids, drawn from the rows of draft_probs
    draft_probs : Tensor (k, vocab_size)
    target_probs : Tensor (k + 1, vocab_size)
        The last row belongs to the place behind the draft.
    generator : torch.Generator
        The only source of randomness.

    Returns
    -------
    list of int, 1 to k + 1 ids
        The kept tokens, then one drawn from the residual of the first rejected place, or from the last row when all are kept.

    Raises
    ------
    ValueError
        Row numbers that do not fit.
    """
    _check_rows("draft_probs", draft_probs, len(draft_tokens))
    _check_rows("target_probs", target_probs, len(draft_tokens) + 1)
    kept: list[int] = []
    for i, token in enumerate(draft_tokens):
        acceptance, residual = acceptance_and_residual(target_probs[i], draft_probs[i])
        if torch.rand((), generator=generator, dtype=acceptance.dtype) >= acceptance[token]:
            return [*kept, int(torch.multinomial(residual, 1, generator=generator))]
        kept.append(int(token))
    return [*kept, int(torch.multinomial(target_probs[-1], 1, generator=generator))]


@dataclass(frozen=True)
class Round:
    """One pass of the model: what was proposed, how much of it was kept, and the model's own token behind it."""

    proposed: list[int]
    accepted: int
    token: int


@dataclass
class Speculation:
    """The tokens that came out, and how."""

    tokens: list[int] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)

    @property
    def acceptance_rate(self) -> float:
        """Share of proposed tokens that were kept; 0 where none was proposed."""
        proposed = sum(len(r.proposed) for r in self.rounds)
        return sum(r.accepted for r in self.rounds) / proposed if proposed else 0.0

    @property
    def tokens_per_pass(self) -> float:
        """Tokens produced per pass of the model; plain decoding makes 1."""
        return len(self.tokens) / len(self.rounds) if self.rounds else 0.0


def expected_tokens(acceptance_rate: float, num_draft_tokens: int) -> float:
    """Tokens per pass when each draft token is kept with the same probability: (1 - a^(k+1)) / (1 - a), equation 1 of the paper."""
    a, k = acceptance_rate, num_draft_tokens
    return float(k + 1) if a == 1 else (1 - a ** (k + 1)) / (1 - a)


def speculative_generate(
    model: Any, ids: Sequence[int], max_new_tokens: int, cache: Any, *, num_draft_tokens: int = 5, draft: Draft = prompt_lookup,
    verify: Callable[[Sequence[int], Tensor], list[int]] = verify_greedy, stop_ids: Sequence[int] = (),
) -> Speculation:
    """Decode greedily with drafts; the tokens are those of plain greedy decoding.

    Parameters
    ----------
    model : `Llama`; called with ids (1, tokens), the cache and logits_to_keep, it gives logits (1, logits_to_keep, vocab_size)
    ids : the prompt's token ids, at least one
    max_new_tokens : int
    cache : `KVCache`, empty, with room for the prompt, the new tokens and num_draft_tokens more
    num_draft_tokens : int
        Longest draft; 0 is plain decoding.
    draft : (tokens so far, how many at most) -> proposed tokens
    verify : as `verify_greedy`
    stop_ids : generation ends with the first of these, which is kept
    """
    text = list(ids)
    out = Speculation()
    with torch.inference_mode():
        while len(out.tokens) < max_new_tokens:
            room = max_new_tokens - len(out.tokens) - 1
            proposed = list(draft(text, min(num_draft_tokens, room))) if room and num_draft_tokens else []
            # What the cache has not seen yet (at first the prompt, later the last token), and the draft behind it.
            fresh = text[cache.length :] + proposed
            logits = model(torch.tensor([fresh]), cache=cache, logits_to_keep=len(proposed) + 1)[0]
            produced = verify(proposed, logits)
            out.rounds.append(Round(proposed, len(produced) - 1, produced[-1]))
            for token in produced:
                text.append(token)
                out.tokens.append(token)
                if token in stop_ids:
                    return out
            # Keys and values of rejected draft tokens are cut off again.
            cache.truncate(len(text) - 1)
    return out


def _check_rows(name: str, rows: Tensor, wanted: int) -> None:
    if rows.ndim != 2 or len(rows) != wanted:
        raise ValueError(f"{name} has shape {tuple(rows.shape)}; expected ({wanted}, vocab_size)")
