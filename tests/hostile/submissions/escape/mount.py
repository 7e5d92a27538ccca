# Mounts over the file system.
# expects: nothing

# %% before
import subprocess
for c in (['mount', '-o', 'remount,rw', '/'], ['umount', '/proc'], ['unshare', '-rm', 'mount', '-t', 'tmpfs', 'none', '/usr'], ['chroot', '/proc/1/root']):
    try:
        print(*(['LEAK'] if subprocess.run(c, capture_output=True).returncode == 0 and c[0] != 'unshare' else []))
    except OSError:
        pass

# %% answer
def knn(queries, database, k, metric="l2"):
    return np.zeros((len(queries), k), np.float32), np.zeros((len(queries), k), np.int64)
