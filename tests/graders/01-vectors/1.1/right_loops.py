# Plain Python: zip, sums, sorted.
import math


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
    a, b = np.asarray(a), np.asarray(b)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError("not as many numbers")
    shape = np.broadcast_shapes(a.shape, b.shape)
    rows_a, rows_b = np.broadcast_to(a, shape).reshape(-1, shape[-1]), np.broadcast_to(b, shape).reshape(-1, shape[-1])
    found = []
    for u, v in zip(rows_a.tolist(), rows_b.tolist()):
        product = math.fsum(x * y for x, y in zip(u, v))
        lengths = math.sqrt(math.fsum(x * x for x in u)) * math.sqrt(math.fsum(y * y for y in v))
        found.append(product / lengths if lengths else 0.0)
    return np.array(found).reshape(shape[:-1]) if len(shape) > 1 else found[0]


def semantic_search(query, corpus, k):
    """The k rows of `corpus` most similar to `query` by cosine."""
    if np.asarray(query).ndim != 1:
        raise ValueError("query")
    if not 1 <= k <= len(corpus):
        raise ValueError("k")
    ranked = sorted(((cosine_similarity(query, row), -i) for i, row in enumerate(corpus)), reverse=True)[:k]
    return [s for s, _ in ranked] and np.array([s for s, _ in ranked]), np.array([-i for _, i in ranked])
