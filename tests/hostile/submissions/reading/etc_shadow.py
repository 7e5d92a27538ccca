# Reads the machine's password file.
# expects: nothing

# %% before
for p in ('/etc/shadow', '/etc/passwd', '/root/.ssh/id_rsa', '/root/.bashrc'):
    try:
        print('LEAK', open(p).read()[:50])
    except OSError:
        pass

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
