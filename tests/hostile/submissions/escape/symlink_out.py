# Plants links in its folder that lead outside.
# expects: nothing

# %% before
import os
for target in ('/etc/shadow', '/proc/1/root', '/'):
    try:
        os.symlink(target, f'link{len(target)}')
    except OSError:
        pass
for name in os.listdir('.'):
    try:
        print('LEAK', open(os.path.join(name, 'etc/shadow')).read(5))
    except OSError:
        pass

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
