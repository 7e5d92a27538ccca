# Reads disks and kernel memory.
# expects: nothing

# %% before
import glob
for p in glob.glob('/dev/[svnhm]d*') + ['/dev/mem', '/dev/kmsg', '/proc/kcore', '/dev/vda', '/dev/sda']:
    try:
        print('LEAK', p, open(p, 'rb').read(10))
    except OSError:
        pass

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
