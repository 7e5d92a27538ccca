def mmr(query, candidates, k, trade_off=0.7):
    """Maximal marginal relevance: pick one after the other what is near the query and unlike what was picked.

    Parameters
    ----------
    query : (dim,) float
    candidates : (n, dim) float, of any length; likeness is the cosine, 0 for a zero vector
    k : int, 1 <= k <= n
    trade_off : float in [0, 1]; 1 looks at relevance only, 0 only at novelty

    Returns
    -------
    list of k int
        Rows of `candidates` in the order picked: each has the largest
        trade_off * cos(query, c) - (1 - trade_off) * max cos(c, picked), the maximum being 0 as long as
        nothing is picked (later it may be negative). Among equals the first row.

    Raises
    ------
    ValueError: k or trade_off out of range.
    """
    raise NotImplementedError


def pack_context(values, costs, budget):
    """Which passages give the most value within a budget of tokens: the 0-1 knapsack, solved exactly.

    Parameters
    ----------
    values : sequence of float; a passage that is worth 0 or less is never taken
    costs : sequence of int >= 0, tokens
    budget : int >= 0

    Returns
    -------
    list of int
        Places of the chosen ones, ascending; no other choice within the budget is worth more, and none
        that is worth as much costs less. Takes about n * budget steps.

    Raises
    ------
    ValueError: lengths that differ, a negative cost or budget.
    """
    raise NotImplementedError


def compose(instruction, question, passages, scores, budget, count_tokens, order="edges"):
    """Write the prompt: the best passages that fit, each once, placed where they will be read.

    Parameters
    ----------
    instruction, question : str, always in the prompt
    passages : sequence of str
    scores : sequence of float, one each; higher is better, and among equals the first
    budget : int, most tokens of the whole prompt
    count_tokens : callable, text to its number of tokens
    order : "best_first", "best_last", or "edges": best first, second best last, and so inward
        (ranks 1, 3, 5, 4, 2)

    Returns
    -------
    prompt : str
        The instruction, an empty line, a line "[1] passage" for each one used, an empty line,
        "Question: …", "Answer:". Without passages a single empty line stands between instruction and question.
    placed : list of int
        The passages [1], [2], … by their place in `passages`. They are taken in order of score: each one
        with which the whole prompt, laid out in its final order, is still within the budget, unless its
        text is in the prompt already (capital letters and white space aside).

    Raises
    ------
    ValueError: unknown order, lengths that differ, or a prompt over budget even without passages.
    """
    raise NotImplementedError
