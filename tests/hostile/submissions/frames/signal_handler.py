# A signal handler is handed the frame that it interrupts.
# expects: nothing
# says: frames|code|trace|handler|thread|stopped|properties|reference

# %% before
import sys, inspect, traceback

# %% answer
def knn(queries, database, k, metric="l2"):
    import signal
    signal.signal(signal.SIGALRM, lambda s, f: print('LEAK', f.f_back.f_globals.keys()))
    signal.setitimer(signal.ITIMER_REAL, 0.0001)
    sum(range(10**6))
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
