# Starts threads without end.
# expects: nothing
# seconds: 6

# %% before
import threading, time
while True:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
