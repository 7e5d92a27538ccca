# Calls the course's own solution.
# expects: nothing
# says: course's own|solution|code

# %% answer
from aieng.vectors.distances import knn as theirs
def knn(queries, database, k, metric='l2'):
    return theirs(queries, database, k, metric)
