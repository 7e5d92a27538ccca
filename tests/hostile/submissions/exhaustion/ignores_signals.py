# Ignores every signal and never ends.
# expects: nothing
# says: did not finish|not run
# seconds: 2

# %% before
import signal
for s in range(1, 32):
    try:
        signal.signal(s, signal.SIG_IGN)
    except Exception:
        pass
while True:
    pass

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
