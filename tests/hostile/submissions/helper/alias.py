# Hands in the course's own function.
# expects: nothing
# says: course's own|solution|code

# %% answer
from aieng.vectors.distances import knn
