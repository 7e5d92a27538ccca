# Reaches it with getattr on a module.
# expects: nothing
# says: course's own|solution|code

# %% answer
import aieng.vectors.distances as d
def knn(*a, **k):
    return getattr(d, 'k' + 'nn')(*a, **k)
