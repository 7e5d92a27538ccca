# Loads a second copy of the signal module, past the guard.
# expects: nothing

# %% answer
def knn(queries, database, k, metric="l2"):
    import _imp, importlib.machinery
    spec = importlib.machinery.ModuleSpec('_signal', None, origin='built-in')
    module = _imp.create_builtin(spec)
    _imp.exec_builtin(module)
    module.signal(14, lambda s, f: print('LEAK', f.f_back))
    module.setitimer(0, 0.0001)
    sum(range(10**6))
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
