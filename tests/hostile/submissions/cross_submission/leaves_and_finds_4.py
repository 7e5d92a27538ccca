# Leaves a file in its home for the next submission, and looks for one that is there.
# expects: nothing

# %% before
import os
place = os.path.expanduser('~')
if os.path.exists(os.path.join(place, 'mark-of-eve')):
    print('LEAK')
try:
    open(os.path.join(place, 'mark-of-eve'), 'w').write('x')
except OSError:
    pass

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
