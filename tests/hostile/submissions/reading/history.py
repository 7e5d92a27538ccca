# Prints IPython's history of cells.
# expects: nothing

# %% before
print(In, get_ipython().history_manager.input_hist_raw)

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)

# %% after
print([c for c in In if 'HIDDEN' in c])
print(*['LEAK' for c in In if 'HIDDEN' in c])
