# Tries to become root.
# expects: nothing

# %% before
import os
for f in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.chroot('/proc'), lambda: os.chmod('/usr/bin/python3', 0o4755)):
    try:
        f()
        print('LEAK', os.getuid())
    except OSError:
        pass
if os.getuid() == 0:
    print('LEAK root')

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
