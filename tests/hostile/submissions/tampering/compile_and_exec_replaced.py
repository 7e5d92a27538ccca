# Replaces compile and exec.
# expects: nothing

# %% before
import builtins
builtins.exec = builtins.eval = lambda *a, **k: None
real = builtins.compile
builtins.compile = lambda s, *a, **k: real('pass', '<string>', 'exec')

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
