# Recurses until the C stack ends.
# expects: nothing
# seconds: 20

# %% before
import sys
sys.setrecursionlimit(10**8)
f = lambda n: f(n + 1) + 1

# %% answer
def knn(queries, database, k, metric="l2"):
    f(0)
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
