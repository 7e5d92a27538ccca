# Imports a second copy of the module.
# expects: nothing

# %% answer
import sys, importlib
for n in [m for m in sys.modules if m.startswith('aieng.vectors')]:
    del sys.modules[n]
fresh = importlib.import_module('aieng.vectors.distances')
def knn(*a, **k):
    return fresh.knn(*a, **k)
