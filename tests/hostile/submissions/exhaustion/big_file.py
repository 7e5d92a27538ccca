# Writes one endless file.
# expects: nothing
# seconds: 20

# %% before
with open('/tmp/big', 'wb') as f:
    while True:
        f.write(bytes(1 << 24))

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
