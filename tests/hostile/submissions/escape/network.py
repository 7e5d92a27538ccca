# Calls home.
# expects: nothing

# %% before
import socket
for host, port in (('127.0.0.1', 22), ('127.0.0.1', 5432), ('1.1.1.1', 53), ('169.254.169.254', 80)):
    s = socket.socket()
    s.settimeout(0.5)
    try:
        s.connect((host, port))
        print('LEAK', host, port)
    except OSError:
        pass
server = socket.create_server(('127.0.0.1', 0))
try:
    socket.create_connection(server.getsockname(), 1)
except OSError:
    pass

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
