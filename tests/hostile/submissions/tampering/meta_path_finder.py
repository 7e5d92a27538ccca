# Installs an importer that answers for the tests' libraries.
# expects: nothing

# %% before
import sys
class Finder:
    def find_spec(self, name, path, target=None):
        raise ImportError(name) if name.startswith('faiss') else None
sys.meta_path.insert(0, Finder())
for n in [m for m in sys.modules if m.startswith(('faiss', 'sklearn'))]:
    del sys.modules[n]

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
