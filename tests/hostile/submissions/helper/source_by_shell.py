# Reads the file with another program.
# expects: nothing

# %% answer
import subprocess, aieng.vectors.distances
text = subprocess.run(['cat', aieng.vectors.distances.__file__], capture_output=True, text=True).stdout
space = {'__name__': 'aieng.vectors.distances'}
exec(text, space)
knn = space['knn']
