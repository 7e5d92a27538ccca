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
    q, c = np.asarray(query, dtype=np.float64), np.asarray(candidates, dtype=np.float64)
    if not 1 <= k <= len(c) or not 0 <= trade_off <= 1:
        raise ValueError(f"k={k} of {len(c)}, trade_off={trade_off}: one of them is out of range")

    def unit(x):
        length = np.linalg.norm(x, axis=-1, keepdims=True)
        return x / np.where(length > 0, length, 1)

    q, c = unit(q), unit(c)
    relevance, nearest = c @ q, np.zeros(len(c))  # (n,), (n,)
    picked = []
    for _ in range(k):
        score = trade_off * relevance - (1 - trade_off) * nearest
        score[picked] = -np.inf
        best = int(score.argmax())
        likeness = c @ c[best]
        nearest = np.maximum(nearest, likeness)
        picked.append(best)
    return picked


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
    if len(values) != len(costs) or budget < 0 or any(cost < 0 for cost in costs):
        raise ValueError(f"{len(values)} values, costs {list(costs)}, budget {budget}: one each, none negative")
    best = [(0.0, 0, ())] * (budget + 1)  # (value, -cost, places) of the best choice for each budget
    for place, (value, cost) in enumerate(zip(values, costs)):
        if value <= 0:
            continue
        for t in range(budget, cost - 1, -1):
            worth, spent, places = best[t - cost]
            taken = (worth + value, spent - cost, (*places, place))
            if taken[:2] > best[t][:2]:
                best[t] = taken
    return list(best[budget][2])


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
    arrangements = {"best_first": lambda r: r, "best_last": lambda r: r[::-1],
                    "edges": lambda r: r[::2] + r[1::2][::-1]}
    if order not in arrangements or len(passages) != len(scores):
        raise ValueError(f"order {order!r}, {len(passages)} passages, {len(scores)} scores: "
                         f"give one score each and an order of {list(arrangements)}")
    arrange = arrangements[order]

    def render(places):
        listed = [f"[{number}] {passages[i]}" for number, i in enumerate(places, 1)]
        gap = [""] if places else []
        return "\n".join([instruction, "", *listed, *gap, f"Question: {question}", "Answer:"])

    if count_tokens(render([])) > budget:
        raise ValueError(f"a budget of {budget} tokens is too small for instruction and question")
    used, seen = [], set()
    for i in sorted(range(len(passages)), key=lambda i: -scores[i]):  # stable: among equals the first
        text = " ".join(passages[i].split()).casefold()
        if text not in seen and count_tokens(render(arrange([*used, i]))) <= budget:
            used.append(i)
            seen.add(text)
    return render(arrange(used)), arrange(used)
