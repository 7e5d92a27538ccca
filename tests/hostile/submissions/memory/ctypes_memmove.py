# Writes into memory with ctypes.
# expects: nothing
# says: memory

# %% before
import ctypes

# %% answer
def knn(queries, database, k, metric="l2"):
    ctypes.memmove(id(True), id(False), 8)
    ctypes.c_long.from_address(id(1) + 24).value = 2
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
