# Never returns.
# expects: nothing
# says: did not finish
# seconds: 2

# %% answer
def knn(queries, database, k, metric="l2"):
    while True:
        pass
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
