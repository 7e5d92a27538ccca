# Breaks the arithmetic of the tests' oracle.
# expects: nothing

# %% before
np.argsort = np.argpartition = lambda a, *r, **k: np.zeros(np.shape(a), int)
np.linalg.norm = lambda *a, **k: 0.0
np.sort = np.take_along_axis = lambda a, *r, **k: np.zeros(np.shape(a))

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
