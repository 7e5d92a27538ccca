# Leaves an atexit hook that prints full points.
# expects: nothing

# %% before
import atexit
atexit.register(lambda: print('11.0'))
atexit.register(__import__('os')._exit, 0)

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
