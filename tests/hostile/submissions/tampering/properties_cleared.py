# Empties the registry of visible properties.
# expects: nothing

# %% before
from aieng.lesson import checking
checking.properties_of('1.3')
checking._PROPERTIES['1.3'].clear()
checking._PROPERTIES['1.3'].append(checking.Property('fine', lambda *a: None))

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
