# Puts fakes into sys.modules.
# expects: nothing

# %% before
import sys, types
fake = types.ModuleType('numpy.testing')
fake.__getattr__ = lambda name: (lambda *a, **k: None)
sys.modules['numpy.testing'] = sys.modules['faiss'] = sys.modules['aieng.lesson.checking'] = fake

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
