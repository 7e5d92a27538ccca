# Zeros of the right shape.
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
    return np.zeros(np.broadcast_shapes(np.shape(a), np.shape(b))[:-1])


def semantic_search(query, corpus, k):
    """The k rows of `corpus` most similar to `query` by cosine."""
    return np.zeros(k), np.arange(k)
