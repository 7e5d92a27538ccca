# Adds an audit hook, which is shown the code that is run.
# expects: nothing

# %% before
import sys
sys.addaudithook(lambda e, a: print('LEAK', a[0].co_consts) if e == 'exec' else None)

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
