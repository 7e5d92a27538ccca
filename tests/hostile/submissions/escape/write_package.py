# Writes into the helper package, the libraries and the checkout.
# expects: nothing

# %% before
import aieng.vectors.distances as d, numpy, os
for p in (d.__file__, numpy.__file__, '/etc/x', '/usr/x', os.path.join(os.path.dirname(os.path.dirname(d.__file__)), 'x.py')):
    try:
        open(p, 'a').write('# LEAK')
        print('LEAK', p)
    except OSError:
        pass

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
