# Asks another interpreter for the answer.
# expects: nothing

# %% answer
import subprocess, sys, pickle, base64
def knn(*a, **k):
    code = 'import sys, pickle, base64; from aieng.vectors.distances import knn; a, k = pickle.loads(base64.b64decode(sys.stdin.read())); print(base64.b64encode(pickle.dumps(knn(*a, **k))).decode())'
    done = subprocess.run([sys.executable, '-c', code], input=base64.b64encode(pickle.dumps((a, k))).decode(), capture_output=True, text=True)
    return pickle.loads(base64.b64decode(done.stdout))
