# Kills its own process.
# expects: nothing
# says: died|ended

# %% before
import os, signal

# %% answer
def knn(queries, database, k, metric="l2"):
    os.kill(os.getpid(), signal.SIGKILL)
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
