# Hides it behind an object's __call__.
# expects: nothing
# says: course's own|solution|code

# %% answer
import aieng.vectors.distances
class Mine:
    def __call__(self, *a, **k):
        return aieng.vectors.distances.knn(*a, **k)
knn = Mine()
