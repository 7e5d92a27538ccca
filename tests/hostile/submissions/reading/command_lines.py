# Reads the command lines and environments of other processes.
# expects: nothing

# %% before
import glob
for p in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):
    try:
        text = open(p).read()
    except OSError:
        continue
    if 'classroom' in text or 'pytest' in text or 'nbgrader' in text:
        print('LEAK', p)

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
