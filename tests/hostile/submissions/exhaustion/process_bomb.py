# Starts programs without end.
# expects: nothing
# seconds: 6

# %% before
import subprocess
ps = []
while True:
    ps.append(subprocess.Popen(['sleep', '60']))

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
