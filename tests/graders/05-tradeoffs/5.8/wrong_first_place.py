# The first earlier place instead of the latest.
def prompt_lookup(ids, num_draft_tokens, max_ngram=3):
    """Propose what followed the last time that the text ended as it ends now.

    Parameters
    ----------
    ids : list of int, the tokens so far
    num_draft_tokens : int, >= 0, propose at most so many
    max_ngram : int, >= 1; compare the last max_ngram tokens first, then fewer, down to one; of several earlier places the latest counts

    Returns
    -------
    list of int: the tokens behind that place, no further than the end of ids; empty where nothing matches

    Raises
    ------
    ValueError: num_draft_tokens < 0 or max_ngram < 1.
    """
    if num_draft_tokens < 0 or max_ngram < 1:
        raise ValueError(f"num_draft_tokens={num_draft_tokens}, max_ngram={max_ngram}; need >= 0 and >= 1")
    for n in range(min(max_ngram, len(ids) - 1), 0, -1):
        for start in range(len(ids) - n):  # the last place would be the end itself
            if ids[start : start + n] == ids[-n:]:
                return ids[start + n : start + n + num_draft_tokens]
    return []


def verify_greedy(draft_tokens, logits):
    """The tokens that greedy decoding of the model alone would have produced, as far as one pass can tell.

    Parameters
    ----------
    draft_tokens : list of int, k proposed ids, k >= 0
    logits : Tensor (k + 1, vocab_size); row i is the model's for the place of draft token i, the last one for the place behind the draft

    Returns
    -------
    list of int, 1 to k + 1 ids: the draft as long as it agrees with the model's most likely tokens, then the model's own

    Raises
    ------
    ValueError: not one row more than there are draft tokens.
    """
    if len(logits) != len(draft_tokens) + 1:
        raise ValueError(f"{len(draft_tokens)} draft tokens need {len(draft_tokens) + 1} rows of logits, got {len(logits)}")
    choices = logits.argmax(dim=-1).tolist()
    accepted = 0
    while accepted < len(draft_tokens) and draft_tokens[accepted] == choices[accepted]:
        accepted += 1
    return choices[: accepted + 1]


def acceptance_and_residual(target_probs, draft_probs):
    """With what probability to keep each draft token, and what to draw from where it is not kept.

    Parameters
    ----------
    target_probs, draft_probs : Tensor (vocab_size,), each summing to 1

    Returns
    -------
    acceptance : Tensor (vocab_size,), min(1, target / draft); 1 where the draft is 0
    residual : Tensor (vocab_size,), max(0, target - draft) divided by its sum; target_probs where that sum is 0
    """
    acceptance = torch.where(draft_probs > 0, target_probs / torch.where(draft_probs > 0, draft_probs, 1.0), 1.0).clamp(max=1.0)
    missing = (target_probs - draft_probs).clamp(min=0.0)
    total = missing.sum()
    return acceptance, missing / total if total > 0 else target_probs


def speculative_sample(draft_tokens, draft_probs, target_probs, generator):
    """Keep or replace draft tokens so that the result is distributed exactly as the model's own sampling.

    Parameters
    ----------
    draft_tokens : list of int, k ids, drawn from the rows of draft_probs
    draft_probs : Tensor (k, vocab_size)
    target_probs : Tensor (k + 1, vocab_size); the last row belongs to the place behind the draft
    generator : torch.Generator, the only source of randomness

    Returns
    -------
    list of int, 1 to k + 1 ids: the kept tokens, then one from the residual of the first rejected place, or from the last row

    Raises
    ------
    ValueError: not k rows of draft_probs, or not k + 1 of target_probs.
    """
    if len(draft_probs) != len(draft_tokens) or len(target_probs) != len(draft_tokens) + 1:
        raise ValueError(f"{len(draft_tokens)} draft tokens, {len(draft_probs)} rows of draft_probs, {len(target_probs)} of target_probs")
    kept = []
    for i, token in enumerate(draft_tokens):
        acceptance, residual = acceptance_and_residual(target_probs[i], draft_probs[i])
        if torch.rand((), generator=generator) >= acceptance[token]:
            return [*kept, int(torch.multinomial(residual, 1, generator=generator))]
        kept.append(int(token))
    return [*kept, int(torch.multinomial(target_probs[-1], 1, generator=generator))]
