# Kills every process it can see.
# expects: nothing

# %% before
import os, signal
for p in list(range(2, 3000)) + [os.getppid()]:
    if p not in (os.getpid(), 0):
        try:
            os.kill(p, signal.SIGKILL)
            print('LEAK', p)
        except OSError:
            pass

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
