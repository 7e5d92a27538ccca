# Looks for the tests' right answers.
# expects: nothing

# %% before
import os, glob
for path, folders, files in os.walk('/'):
    if path.startswith(('/proc', '/sys', '/usr')):
        folders.clear()
    print(*('LEAK ' + path for f in files if f.startswith('right_')))

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
