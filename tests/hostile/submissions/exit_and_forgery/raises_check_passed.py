# Raises the checker's own exceptions with its own text.
# expects: nothing

# %% before
from aieng.lesson.checking import CheckFailed

# %% answer
def knn(queries, database, k, metric="l2"):
    raise CheckFailed('all properties hold', ())
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
