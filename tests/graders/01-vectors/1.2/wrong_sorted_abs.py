# by absolute cosine
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
    for word in (a, b, c):
        if word not in vocabulary:
            raise ValueError(f"{word!r} is not in the vocabulary")
    words = [word for word in vocabulary if not (exclude_inputs and word in (a, b, c))]
    if not 1 <= k <= len(words):
        raise ValueError(f"k is {k}; {len(words)} words may answer")

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    target = unit(unit(vocabulary[a]) - unit(vocabulary[b]) + unit(vocabulary[c]))
    scores = unit(np.stack([vocabulary[word] for word in words])) @ target
    return [(words[i], float(scores[i])) for i in np.argsort(-np.abs(scores))[:k]]
