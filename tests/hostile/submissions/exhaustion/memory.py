# Takes all the memory.
# expects: nothing
# says: memory|Memory|died
# seconds: 20

# %% answer
def knn(queries, database, k, metric="l2"):
    hoard = []
    while True:
        hoard.append(np.ones(10**7))
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
