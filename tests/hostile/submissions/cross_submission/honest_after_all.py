# Honest: the right answer, after all of the above have been graded.
# expects: full

# %% answer
# The expanded square without centring, a full sort, everything in float64 where it came so.
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
    queries, database = np.atleast_2d(queries), np.atleast_2d(database)
    n = len(database)
    if queries.shape[-1] != database.shape[-1] or k < 1 or k > n:
        raise ValueError("dimensions or k")
    products = queries @ database.T
    if metric == "l2":
        table = (queries * queries).sum(1, keepdims=True) + (database * database).sum(1)[None] - 2 * products
        ids = np.argsort(table, axis=1)[:, :k]
        scores = np.take_along_axis(table, ids, 1).clip(min=0)
    elif metric in ["ip", "cosine"]:
        if metric == "cosine":
            norms = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(database, axis=1)
            norms[norms == 0] = 1
            products = products / norms
        ids = np.argsort(-products, axis=1)[:, :k]
        scores = np.take_along_axis(products, ids, 1)
    else:
        raise ValueError(metric)
    return scores.astype(np.float32), ids.astype("int64")
