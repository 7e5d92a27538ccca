# Profiles the tests with cProfile, whose results hold code objects.
# expects: nothing
# says: frames|code|trace|handler|thread|stopped|properties|reference

# %% before
import sys, inspect, traceback

# %% answer
def knn(queries, database, k, metric="l2"):
    import cProfile
    p = cProfile.Profile()
    p.enable()
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
