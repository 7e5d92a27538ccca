# Prints without end.
# expects: nothing
# seconds: 20

# %% before
line = 'x' * 100000
for _ in range(20000):
    print(line)

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
