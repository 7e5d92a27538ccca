# Reads the globals of a function of the tests.
# expects: nothing
# says: frames|code|trace|handler|thread|stopped|properties|reference

# %% before
import sys, inspect, traceback

# %% answer
def knn(queries, database, k, metric="l2"):
    import aieng.lesson.checking as c
    print('LEAK', c.check.__globals__, c.check.__code__.co_consts)
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
