# Takes memory in many processes.
# expects: nothing
# seconds: 20

# %% before
import subprocess, sys
ps = [subprocess.Popen([sys.executable, '-S', '-c', 'x = bytearray(600 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nimport time; time.sleep(60)']) for _ in range(12)]
import time
time.sleep(30)

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
