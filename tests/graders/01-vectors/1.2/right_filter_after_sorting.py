# Sorts all words, then drops the inputs, then takes k.
def analogy(a, b, c, vocabulary, k=1, exclude_inputs=True):
    """The k words nearest to a − b + c: "king" − "man" + "woman".

    Parameters
    ----------
    a, b, c : str, words of the vocabulary
    vocabulary : dict, word to (dim,) float array of any length above 0; it stays as it is
    k : int, number of words to return
    exclude_inputs : leave a, b and c out of the answer

    Returns
    -------
    words : list of k pairs (word, cosine to unit(a) − unit(b) + unit(c)), largest cosine first

    Raises
    ------
    ValueError: a word is not in the vocabulary; k < 1, or more than there are words that may answer.
    """
    try:
        vectors = {w: vocabulary[w] / np.sqrt(np.sum(np.square(vocabulary[w]))) for w in (a, b, c)}
    except KeyError as missing:
        raise ValueError(f"{missing} is no word of the vocabulary") from missing
    target = vectors[a] + vectors[c] - vectors[b]
    table = np.array([v for v in vocabulary.values()])
    scores = table @ target / np.linalg.norm(table, axis=1) / np.linalg.norm(target)
    ranking = sorted(zip(vocabulary, scores.tolist()), key=lambda pair: pair[1], reverse=True)
    if exclude_inputs:
        ranking = [pair for pair in ranking if pair[0] not in (a, b, c)]
    if not 1 <= k <= len(ranking):
        raise ValueError(f"k is {k}, {len(ranking)} words are left")
    return ranking[:k]
