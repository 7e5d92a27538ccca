# Reloads the module.
# expects: nothing

# %% answer
import importlib, aieng.vectors.distances
fresh = importlib.reload(aieng.vectors.distances)
def knn(*a, **k):
    return fresh.knn(*a, **k)
