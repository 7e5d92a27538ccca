# Answers with an object whose class pretends to be a function.
# expects: nothing

# %% answer
class Function:
    __class__ = type(lambda: 0)
    __name__ = "knn"
    def __call__(self, *a, **k): return self
    def __eq__(self, other): return True
    def __iter__(self): return iter((self, self))
    def __getattr__(self, name): return self
knn = Function()
