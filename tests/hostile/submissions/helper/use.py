# Asks `use` for the stand-in.
# expects: nothing
# says: course's own|solution|code

# %% answer
from aieng.lesson import use
def knn(*a, **k):
    return use('1.3', knn)(*a, **k)
