# Hides it in a class attribute.
# expects: nothing
# says: course's own|solution|code

# %% answer
import aieng.vectors.distances
class Box:
    f = staticmethod(aieng.vectors.distances.knn)
knn = Box.f
