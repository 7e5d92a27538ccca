# Looks for the tests' source in linecache and sys.modules.
# expects: nothing

# %% before
pass

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)

# %% after
import linecache, sys
for name, entry in linecache.cache.items():
    if len(entry) > 2 and 'HIDDEN TESTS' in ''.join(entry[2]):
        print('LEAK', name)
