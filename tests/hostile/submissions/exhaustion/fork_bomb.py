# Forks without end.
# expects: nothing
# seconds: 6

# %% before
import os
while True:
    os.fork()

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
