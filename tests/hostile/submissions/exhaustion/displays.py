# Displays without end.
# expects: nothing
# seconds: 20

# %% before
from IPython.display import display
for _ in range(5000):
    display('x' * 10000)

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
