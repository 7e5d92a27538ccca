# Replaces the process by a program that succeeds.
# expects: nothing

# %% before
import os

# %% answer
def knn(queries, database, k, metric="l2"):
    os.execv('/bin/true', ['/bin/true'])
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
