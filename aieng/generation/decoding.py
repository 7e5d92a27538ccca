"""Generation: feed the prompt, choose a token from the last scores, feed it, and so on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, SupportsInt

import torch
from torch import Tensor
from tqdm.auto import tqdm

from aieng.transformer.llama import Llama

Sampler = Callable[[Tensor], SupportsInt]  # logits (vocab_size,) to a token id


def greedy(logits: Tensor) -> int:
    """The token with the highest score (the lowest id among equals); logits (vocab_size,)."""
    return int(logits.argmax())


@torch.inference_mode()
def generate(
    model: Llama, ids: Sequence[int], max_new_tokens: int, sampler: Sampler = greedy, stop_ids: Collection[int] = (), cache: Any = None,
    on_token: Callable[[int], None] | None = None, *, use_cache: bool = True, progress: bool = False,
) -> list[int]:
    """Continue a sequence of tokens.

    Parameters
    ----------
    model : Llama
    ids : sequence of int
        The prompt; with a cache that holds tokens already, what follows them. At least one.
    max_new_tokens : int
        Fewer come when a stop token does, or when the context is full.
    sampler : callable
        ``sampler(logits)`` with logits (vocab_size,) gives a token id.
    stop_ids : collection of int
        Tokens that end the generation; they are not part of the result.
    cache : optional
        From ``model.new_cache()``. Afterwards it holds the prompt and all new tokens but the last.
    on_token : callable, optional
        Called with each new id at once, to stream.
    use_cache : bool
        False computes the whole sequence again for every token.
    progress : bool
        Show a progress bar.

    Returns
    -------
    list of int
        The new tokens.

    Raises
    ------
    ValueError
        An empty prompt, one that is longer than the context, ids outside the vocabulary, or a cache without room.

    Notes
    -----
    An interrupt (Ctrl-C, the notebook's stop button, an exception in `on_token`) leaves the model as it is and the cache with exactly the
    tokens whose passes were finished.
    """
    ids = [int(i) for i in ids]
    past = 0 if cache is None else cache.length
    room = model.config.max_position_embeddings - past - len(ids)
    if not ids:
        raise ValueError("the prompt is empty: there is no token to continue from; give at least a start token")
    if room < 0:
        raise ValueError(f"the prompt has {past + len(ids)} tokens, the context holds {model.config.max_position_embeddings}: shorten it")
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; it must be at least 0")
    if cache is not None and not use_cache:
        raise ValueError("a cache was given, but use_cache is False")
    new_tokens = min(max_new_tokens, room + 1)  # the last one need not be fed
    capacity = len(ids) + max(new_tokens - 1, 0)
    held = getattr(cache, "capacity", None)
    if held is not None and past + capacity > held:
        raise ValueError(f"the cache has room for {held} tokens; {past} there, {len(ids)} of the prompt and {new_tokens - 1} new ones do "
                         "not fit: make it with a larger capacity, or lower max_new_tokens")
    if cache is None and use_cache:
        with torch.inference_mode(False):  # a plain tensor, which may outlive this function
            cache = model.new_cache(1, capacity)
    made: list[int] = []
    fed = ids
    with tqdm(total=new_tokens, unit="token", disable=not progress) as bar:
        for _ in range(new_tokens):
            length = 0 if cache is None else cache.length
            try:
                logits = model(torch.tensor([fed]), cache, logits_to_keep=1)
            except BaseException:
                if cache is not None:
                    cache.truncate(length)  # a learner's cache may have taken up some layers
                raise
            token = int(sampler(logits[0, -1]))
            if token in stop_ids:
                break
            made.append(token)
            fed = [token] if use_cache else [*fed, token]
            bar.update()
            if on_token is not None:
                on_token(token)
    return made
