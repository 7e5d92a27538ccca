# Blocks of rows, the best k so far merged with each block; cosine through the product of unit vectors in float64.
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

    sign = 1.0 if metric == "l2" else -1.0
    q = queries.astype(np.float64)
    best = np.empty((len(q), 0))
    ids = np.empty((len(q), 0), dtype=np.int64)
    for start in range(0, len(database), 512):
        x = database[start:start + 512].astype(np.float64)
        cost = np.einsum("qd,nd->qn", q, x)
        if metric == "l2":
            cost = np.einsum("qd,qd->q", q, q)[:, None] + np.einsum("nd,nd->n", x, x) - 2 * cost
        elif metric == "cosine":
            cost /= np.maximum(np.linalg.norm(q, axis=1), 1e-30)[:, None] * np.maximum(np.linalg.norm(x, axis=1), 1e-30)
        best = np.hstack([best, sign * cost])
        ids = np.hstack([ids, np.broadcast_to(np.arange(start, start + len(x)), cost.shape)])
        keep = np.argsort(best, axis=1)[:, :k]
        best, ids = np.take_along_axis(best, keep, 1), np.take_along_axis(ids, keep, 1)
    best = sign * best
    if metric == "l2":
        best = np.maximum(best, 0)
    return best.astype(np.float32), ids
