# torch's own cosine (its eps only matters below 1e-8) and topk.
import torch


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
    a, b = torch.as_tensor(np.ascontiguousarray(a)), torch.as_tensor(np.ascontiguousarray(b))
    if a.shape[-1] != b.shape[-1]:
        raise ValueError("the last dimensions differ")
    return torch.nn.functional.cosine_similarity(a, b, dim=-1, eps=1e-30).numpy()


def semantic_search(query, corpus, k):
    """The k rows of `corpus` most similar to `query` by cosine."""
    if getattr(query, "ndim", 0) != 1 or not 0 < k <= len(corpus):
        raise ValueError("query is one vector, k from 1 to the number of rows")
    scores, ids = torch.topk(torch.from_numpy(cosine_similarity(query[None], corpus)), k)
    return scores.numpy(), ids.numpy()
