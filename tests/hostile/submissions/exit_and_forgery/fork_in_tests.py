# Forks; the child goes on with the tests, the parent waits.
# expects: nothing
# says: fork

# %% before
import os

# %% answer
def knn(queries, database, k, metric="l2"):
    if os.fork():
        os.waitpid(-1, 0)
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
