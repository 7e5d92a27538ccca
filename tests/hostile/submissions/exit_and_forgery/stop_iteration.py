# Raises StopIteration and GeneratorExit in the tests.
# expects: nothing

# %% answer
def knn(queries, database, k, metric="l2"):
    raise GeneratorExit
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
