"""Takes powers away from a process: namespaces, a private view of the file system, limits, privileges. Linux; elsewhere limits only."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_CLONE = {"mount": 0x20000, "ipc": 0x8000000, "uts": 0x4000000, "net": 0x40000000, "pid": 0x20000000, "user": 0x10000000}
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_PDEATHSIG = 4, 38, 1
FIRST_UID, UIDS = 61000, 500  # unprivileged users that submissions run as where the grader is root


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    seconds: float = 120.0  # wall clock of one cell
    total_seconds: float = 900.0  # wall clock of all cells
    memory: int = 3 << 30  # bytes that all its processes may hold, beyond what the preloaded libraries hold already
    processes: int = 64  # processes and threads
    file_size: int = 64 << 20  # bytes of one file
    scratch: int = 256 << 20  # bytes of each of its private temporary folders
    output: int = 1 << 20  # characters kept of one cell's output


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    _checked(
        _libc().mount(
            source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags), options.encode() if options else None
        ),
        f"mount {target}",
    )


def fork_into_namespaces() -> int:
    """Fork a child that is process 1 of its own process, network, IPC and mount namespaces; returns as os.fork does.

    With CAP_SYS_ADMIN (a grader run by root) directly; otherwise through a user namespace, at the price of one more fork.
    """
    libc = _libc()
    if os.geteuid() == 0:
        own = os.open("/proc/self/ns/pid", os.O_RDONLY)
        try:
            _checked(libc.unshare(_CLONE["pid"]), "unshare")
            pid = os.fork()
            if pid == 0:
                _checked(libc.unshare(_CLONE["mount"] | _CLONE["ipc"] | _CLONE["uts"] | _CLONE["net"]), "unshare")
                return 0
            _checked(libc.setns(own, _CLONE["pid"]), "setns")  # the next submission gets a namespace of its own
            return pid
        finally:
            os.close(own)
    pid = os.fork()
    if pid:
        return pid
    uid, gid = os.geteuid(), os.getegid()
    _checked(libc.unshare(_CLONE["user"] | _CLONE["pid"] | _CLONE["mount"] | _CLONE["ipc"] | _CLONE["uts"] | _CLONE["net"]), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    inner = os.fork()
    if inner:
        os.closerange(3, 256)
        os.waitpid(inner, 0)
        os._exit(0)
    libc.prctl(_PR_SET_PDEATHSIG, 9)
    return 0


def private_files(limits: Limits, hidden: Sequence[str], own_tmp: bool) -> None:
    """Give this process its own empty /scratch and /tmp, its own /proc, and nothing in place of each file of `hidden`.

    Without `own_tmp` (the course itself lies below /tmp) /tmp is what the container shows of it, and read-only.
    """
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    for folder in ("/scratch", "/dev/shm", "/tmp"):
        if folder == "/tmp" and not own_tmp:
            _mount("/tmp", "/tmp", None, _MS_BIND | _MS_REC)
            _mount("none", "/tmp", None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
        elif os.path.isdir(folder):
            _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, f"size={limits.scratch},mode=1777")
    for path in hidden:
        _mount("/dev/null", path, None, _MS_BIND)
    try:
        _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV)
    except OSError:  # a user namespace may not always mount it: then none is better than the template's
        _mount("tmpfs", "/proc", "tmpfs", _MS_NOSUID | _MS_NODEV)


def limit_resources(limits: Limits) -> None:
    """Kernel limits of this process and its children. The grader watches their sum besides."""
    held = _data_bytes()
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, 512),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_DATA, held + limits.memory),
        (resource.RLIMIT_CPU, int(limits.total_seconds) + 10),
    ):
        if sys.platform != "linux" and kind in (resource.RLIMIT_NPROC, resource.RLIMIT_DATA):
            continue  # there they count what the user runs besides, or nothing at all
        _, most = resource.getrlimit(kind)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (value, value))


def drop_privileges(slot: int) -> None:
    """Become a user who owns nothing (where the grader is root), and never gain a privilege again."""
    libc = _libc()
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if os.geteuid() == 0:
        uid = FIRST_UID + slot % UIDS
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)  # the kernel drops every capability here
    else:
        header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        _checked(libc.capset(header, none), "capset")
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _data_bytes() -> int:
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData"))
    except OSError:
        return 0
