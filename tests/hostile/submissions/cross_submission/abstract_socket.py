# Talks to other submissions over an abstract socket.
# expects: nothing

# %% before
import socket
s = socket.socket(socket.AF_UNIX)
try:
    s.connect('\0eve')
    print('LEAK')
except OSError:
    pass
s = socket.socket(socket.AF_UNIX)
s.bind('\0eve')
s.listen()

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
