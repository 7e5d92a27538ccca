# One word at a time, the best by heapq.
import heapq


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
    if any(word not in vocabulary for word in [a, b, c]):
        raise ValueError("unknown word")
    ua, ub, uc = (np.asarray(vocabulary[w], dtype=float) / np.linalg.norm(vocabulary[w]) for w in (a, b, c))
    target = ua - ub + uc
    size = np.sqrt(target.dot(target))
    found = {}
    for word, vector in vocabulary.items():
        if exclude_inputs and word in {a, b, c}:
            continue
        vector = np.asarray(vector, dtype=float)
        found[word] = float(vector.dot(target) / size / np.sqrt(vector.dot(vector)))
    if k < 1 or k > len(found):
        raise ValueError("k")
    return heapq.nlargest(k, found.items(), key=lambda pair: pair[1])
