# Fetches the function in an earlier cell and keeps it in a default argument.
# expects: nothing
# says: course's own|solution|code

# %% before
from aieng.vectors.distances import knn as kept

# %% answer
def knn(queries, database, k, metric='l2', f=kept):
    return f(queries, database, k, metric)
