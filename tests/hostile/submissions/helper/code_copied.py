# Builds a function from its code.
# expects: nothing

# %% answer
import types, aieng.vectors.distances as d
knn = types.FunctionType(d.knn.__code__, dict(vars(d)), 'knn', d.knn.__defaults__)
