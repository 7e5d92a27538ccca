# Follows references backwards from its own function.
# expects: nothing
# says: reference

# %% before
import gc

# %% answer
def knn(queries, database, k, metric="l2"):
    for o in gc.get_referrers(knn):
        print('LEAK', type(o))
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
