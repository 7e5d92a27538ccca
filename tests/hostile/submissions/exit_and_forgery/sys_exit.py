# Raises SystemExit in the tests.
# expects: nothing

# %% before
import sys

# %% answer
def knn(queries, database, k, metric="l2"):
    sys.exit(0)
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
