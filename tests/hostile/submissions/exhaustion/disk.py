# Fills the disk.
# expects: nothing
# seconds: 20

# %% before
i = 0
while True:
    with open(f'/tmp/{i}', 'wb') as f:
        f.write(bytes(32 << 20))
    i += 1

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
