# Calls it from C code, with map.
# expects: nothing
# says: course's own|solution|code

# %% answer
import aieng.vectors.distances as d
def knn(queries, database, k, metric='l2'):
    return next(map(d.knn, [queries], [database], [k], [metric]))
