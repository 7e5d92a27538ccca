# Changes the libraries for whoever comes next.
# expects: nothing

# %% before
import numpy as np
np.zeros = lambda *a, **k: 1 / 0
import builtins
builtins.print = None

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
