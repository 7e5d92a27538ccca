# Makes unit vectors first, then einsum; the search partitions before it sorts.
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
    def unit(x):
        x = np.asarray(x)
        length = np.sqrt(np.einsum("...d,...d->...", x, x))[..., None]
        return np.divide(x, length, out=np.zeros_like(x), where=length > 0)

    if np.shape(a)[-1] != np.shape(b)[-1]:
        raise ValueError(f"last dimensions differ: {np.shape(a)} and {np.shape(b)}")
    return np.einsum("...d,...d->...", unit(a), unit(b))


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
    if np.ndim(query) != 1:
        raise ValueError("query must be one vector")
    n = corpus.shape[0]
    if k < 1 or k > n:
        raise ValueError(f"k must be 1 to {n}")
    scores = cosine_similarity(corpus, query)
    ids = np.argpartition(scores, n - k)[n - k :]
    ids = ids[np.argsort(scores[ids])[::-1]]
    return np.float32(scores[ids]), ids
