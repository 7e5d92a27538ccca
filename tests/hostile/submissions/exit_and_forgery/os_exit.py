# Ends the process, successfully, in the middle of the tests.
# expects: nothing
# says: died

# %% before
import os

# %% answer
def knn(queries, database, k, metric="l2"):
    os._exit(0)
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
