# Calls the interpreter's C functions.
# expects: nothing
# says: memory

# %% before
import ctypes

# %% answer
def knn(queries, database, k, metric="l2"):
    frame = ctypes.pythonapi.PyEval_GetFrame
    frame.restype = ctypes.py_object
    print('LEAK', frame().f_back)
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
