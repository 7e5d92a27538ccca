# One instruction that never ends and cannot be interrupted.
# expects: nothing
# says: did not finish|died|memory
# seconds: 2

# %% answer
def knn(queries, database, k, metric="l2"):
    x = 7
    for _ in range(60):
        x = x ** 7
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
