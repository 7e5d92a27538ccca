# Closes every descriptor.
# expects: nothing

# %% before
import os

# %% answer
def knn(queries, database, k, metric="l2"):
    os.closerange(0, 256)
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
