# Sleeps.
# expects: nothing
# says: did not finish
# seconds: 2

# %% before
import time

# %% answer
def knn(queries, database, k, metric="l2"):
    time.sleep(600)
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
