# A cell before the tests never ends.
# expects: nothing
# says: did not finish|not run
# seconds: 2

# %% before
while True:
    pass

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
