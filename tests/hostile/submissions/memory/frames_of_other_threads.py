# Has a thread without any code of its own list every thread's frames.
# expects: nothing

# %% before
import concurrent.futures as f, sys, gc
pool = f.ThreadPoolExecutor(1)

# %% answer
def knn(queries, database, k, metric="l2"):
    print('LEAK', pool.submit(sys._current_frames).result())
    print('LEAK', pool.submit(gc.get_objects).result()[:3])
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
