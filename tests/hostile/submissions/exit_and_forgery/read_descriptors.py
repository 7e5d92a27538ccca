# Reads from every descriptor, where the tests may come by.
# expects: nothing
# seconds: 10

# %% before
import os, threading
def steal(fd):
    try:
        while data := os.read(fd, 1 << 16):
            print("LEAK", data)
    except OSError:
        pass
for fd in range(3, 64):
    threading.Thread(target=steal, args=(fd,), daemon=True).start()

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
