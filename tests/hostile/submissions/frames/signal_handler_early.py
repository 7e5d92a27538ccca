# The same, installed before the tests.
# expects: nothing

# %% before
import signal
signal.signal(signal.SIGALRM, lambda s, f: print('LEAK', f.f_globals.keys()))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)

# %% answer
def knn(queries, database, k, metric="l2"):
    sum(range(10**6))
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
