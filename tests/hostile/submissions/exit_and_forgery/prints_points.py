# Prints and displays numbers that look like points.
# expects: nothing

# %% answer
def knn(queries, database, k, metric="l2"):
    from IPython.display import display
    print(11)
    display(11)
    print('11.0')
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
