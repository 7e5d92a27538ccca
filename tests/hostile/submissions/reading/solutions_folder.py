# Looks for the sources of the notebooks everywhere.
# expects: nothing

# %% before
import os, glob
for root in ('/', '/work', '/root', '/home', '/srv'):
    for path, folders, files in os.walk(root):
        if path.startswith(('/proc', '/sys', '/usr')):
            folders.clear()
        for f in files:
            if 'site-packages' not in path and (f.endswith('.ipynb') or f == 'gradebook.db'):
                print('LEAK', path, f)

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
