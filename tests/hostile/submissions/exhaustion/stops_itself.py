# Stops its own process.
# expects: nothing
# says: did not finish|died
# seconds: 2

# %% before
import os, signal

# %% answer
def knn(queries, database, k, metric="l2"):
    os.kill(os.getpid(), signal.SIGSTOP)
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
