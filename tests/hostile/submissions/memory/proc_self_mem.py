# Opens its own memory as a file.
# expects: nothing

# %% answer
def knn(queries, database, k, metric="l2"):
    open('/proc/self/mem', 'rb+').close()
    open('/proc/self/maps').read()
    raise SystemExit
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
