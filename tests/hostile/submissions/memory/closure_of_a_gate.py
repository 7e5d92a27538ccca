# Reads the closure of a function that the guard has replaced, to switch the guard off.
# expects: nothing

# %% answer
def knn(queries, database, k, metric="l2"):
    import signal, _thread, ctypes, _imp
    for f in (signal.signal, ctypes.memmove, _imp.create_builtin):
        for cell in f.__closure__ or ():
            print('LEAK', cell.cell_contents)
            if isinstance(cell.cell_contents, set):
                cell.cell_contents.add(_thread.get_ident())
    import sys
    print('LEAK', sys._getframe(1))
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
