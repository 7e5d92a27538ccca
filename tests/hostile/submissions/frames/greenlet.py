# A greenlet exposes the frame of the one that started it.
# expects: nothing

# %% before
import sys, inspect, traceback

# %% answer
def knn(queries, database, k, metric="l2"):
    import greenlet
    outer = greenlet.getcurrent()
    greenlet.greenlet(lambda: print('LEAK', outer.gr_frame.f_back.f_globals)).switch()
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
