# Wraps it with functools.wraps and a cache.
# expects: nothing

# %% answer
import functools, aieng.vectors.distances
knn = functools.lru_cache(aieng.vectors.distances.knn)
