# A negative k slips through and slices from the end.
def cosine_similarity(a, b):
    """Cosine of the angle between vectors, row by row.

    Parameters
    ----------
    a, b : (..., dim) float arrays; leading dimensions broadcast against each other, as numpy's do

    Returns
    -------
    similarity : (...) floats, -1 to 1 up to rounding; one number for two single vectors. A zero vector has similarity 0 to everything.

    Raises
    ------
    ValueError: the last dimensions differ (also where one of them is 1).
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"a has vectors of {a.shape[-1]} numbers, b of {b.shape[-1]}")
    products = (a * b).sum(axis=-1)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return products / np.where(lengths > 0, lengths, 1)


def semantic_search(query, corpus, k):
    """The k rows of `corpus` most similar to `query` by cosine.

    Parameters
    ----------
    query : (dim,) float array
    corpus : (n, dim) float array
    k : int, 1 <= k <= n

    Returns
    -------
    scores : (k,) floats, the cosines, largest first
    ids : (k,) integers, rows of `corpus`, each at most once; equal scores in any order

    Raises
    ------
    ValueError: k out of range, another dim, or `query` is not one vector.
    """
    query, corpus = np.asarray(query), np.asarray(corpus)
    if query.ndim != 1:
        raise ValueError(f"query has shape {query.shape}; give one vector (dim,)")
    if k == 0 or k > len(corpus):
        raise ValueError(f"k is {k}; with {len(corpus)} rows it can be 1 to {len(corpus)}")
    scores = cosine_similarity(query, corpus)
    ids = np.argsort(-scores, kind="stable")[:k]
    return scores[ids], ids
