"""The sandbox that submissions run in: a bubblewrap container around a preloaded template process, which is forked once per submission.

Two walls. The container holds the Python installation, the helper package and the model files, all read-only, and nothing else: no network,
no solutions, no hidden tests, no gradebook, no submissions. Inside it each submission gets namespaces, an empty /tmp, limits and (where the
grader is root) a user of its own. Where bubblewrap is missing the template is an ordinary process with resource limits.
"""

from __future__ import annotations

import array
import atexit
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import platformdirs

import aieng
from aieng.models import weights
from autograder.inside import wire
from autograder.inside.isolation import Limits

PACKAGE = Path(aieng.__file__).resolve().parent
ROOT = Path(__file__).resolve().parents[1]


class SandboxError(RuntimeError):
    """The sandbox itself does not work: a fault of the machine or of the grader, never of a submission."""


@dataclass(frozen=True)
class Preparation:
    """What a template has ready before the first submission: a section's setup cells and the modules that its tests import."""

    section: str
    setup: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


@cache
def bubblewrap() -> str | None:
    """The path of a bubblewrap that works here, None where there is none."""
    program = shutil.which("bwrap")
    if program is None or sys.platform != "linux":
        return None
    probe = [program, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "--die-with-parent", "true"]
    return program if subprocess.run(probe, capture_output=True, check=False).returncode == 0 else None


def missing_protections() -> str:
    """One line that says what is off on this machine, "" where nothing is."""
    if bubblewrap():
        return ""
    reason = "bubblewrap is not installed or not allowed here" if sys.platform == "linux" else f"there is no bubblewrap on {sys.platform}"
    return (
        f"UNSAFE: {reason}. Off: the file system wall (submissions can read solutions, hidden tests, the gradebook and each other), the "
        "network wall, separate users and process namespaces. Still on: time, memory and file limits, the guards around the tests. "
        "Grade only people you trust, or install bubblewrap."
    )


class _Process:
    """A template process that loads what every section needs, and then waits to be told its section."""

    def __init__(self) -> None:
        self.namespaces = bubblewrap() is not None
        self.folder = tempfile.mkdtemp(prefix="autograder-")
        self.scratch = "/scratch" if self.namespaces else self.folder
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        container = _container(_numba_cache()) if self.namespaces else []
        self.popen = subprocess.Popen(
            [*container, sys.executable, "-m", "autograder.inside.template", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=_environment(self.scratch, self.namespaces),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        theirs.close()

    def close(self) -> None:
        self.control.close()
        self.popen.kill()
        self.popen.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


_warm: list[_Process] = []


def warm_up() -> None:
    """Start the next template's process now: most of its libraries are the same for all sections, and loading them takes seconds."""
    if not _warm:
        _warm.append(_Process())


@atexit.register
def _close_unused() -> None:
    while _warm:
        _warm.pop().close()


class Template:
    """A running template process; `connect` forks it and returns a socket to the new submission's process."""

    def __init__(self, preparation: Preparation, rehearsal: Sequence[str] = ()) -> None:
        self.preparation = preparation
        self._own = _warm.pop() if _warm else _Process()
        self.namespaces, self._control, self._process = self._own.namespaces, self._own.control, self._own.popen
        wire.send(
            self._control,
            {
                "section": preparation.section,
                "setup": list(preparation.setup),
                "preload": list(preparation.preload),
                "scratch": self._own.scratch,
                "rehearsal": list(rehearsal),
                "limits": asdict(preparation.limits),
                "namespaces": self.namespaces,
                "own_tmp": not any(p.startswith("/tmp/") for p in _readable()),
            },
        )
        self._ready = False

    def wait(self) -> None:
        """Block until the libraries are loaded."""
        if self._ready:
            return
        try:
            answer, _ = wire.receive(self._control)
        except (EOFError, ConnectionError):
            self.close()
            raise SandboxError(f"the sandbox did not start: {self._errors()}") from None
        if "failed" in answer:
            self.close()
            raise SandboxError(f"section {self.preparation.section} could not be prepared for grading:\n{answer['failed']}")
        self._ready = True

    def connect(self) -> socket.socket:
        """A socket to a new process, in namespaces of its own where the system has them."""
        self.wait()
        ours, theirs = wire.pair()
        try:
            self._control.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))])
        except OSError:
            ours.close()
            raise SandboxError(f"the sandbox ended: {self._errors()}") from None
        finally:
            theirs.close()
        return ours

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End the template and everything in its container."""
        self._own.close()

    def _errors(self) -> str:
        assert self._process.stderr is not None
        try:
            return (
                self._process.communicate(timeout=5)[1].decode(errors="replace")[-2000:].strip() or f"exit code {self._process.returncode}"
            )
        except (subprocess.TimeoutExpired, ValueError):
            return "no message"


def rehearse(preparation: Preparation, sources: Sequence[str]) -> None:
    """Have numba compile what reference answers and their tests need, once for each version of them on this machine.

    It happens in a template of its own that ends afterwards: no tests are in the memory that submissions are forked from.
    """
    files = sorted(PACKAGE.rglob("*.py"))
    state = "\n".join([*sources, *(f"{p} {p.stat().st_mtime_ns}" for p in files)])
    marker = _numba_cache() / f"rehearsed-{hashlib.sha256(state.encode()).hexdigest()[:20]}"
    if marker.exists():
        return
    template = Template(preparation, sources)
    try:
        template.wait()
    finally:
        template.close()
    marker.touch()


def _numba_cache() -> Path:
    folder = platformdirs.user_cache_path("aieng-autograder", appauthor=False) / "numba"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _environment(scratch: str, sandboxed: bool) -> dict[str, str]:
    """A small environment: nothing of the grader's own (tokens, database URLs, paths) is in it."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ", "AIENG_PACE") if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
    return (
        kept
        | threads
        | {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/bin", "/bin")),
            "HOME": f"{scratch}/home",
            "TMPDIR": scratch,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NBGRADER_EXECUTION": "autograde",
            "AIENG_PROGRESS_DIR": f"{scratch}/progress",
            "AIENG_MODELS_DIR": os.environ.get("AIENG_MODELS_DIR", str(_models())),
            "NUMBA_THREADING_LAYER": "workqueue",
            "NUMBA_CACHE_DIR": "/var/cache/numba" if sandboxed else str(_numba_cache()),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "MPLBACKEND": "agg",
            "IPYTHONDIR": f"{scratch}/ipython",
        }
    )


def _models() -> Path:
    return Path(os.environ.get("AIENG_MODELS_DIR") or platformdirs.user_cache_path("aieng", appauthor=False))


def _container(numba_cache: Path) -> list[str]:
    """bubblewrap's command line: only what a notebook needs to import and read, all of it read-only."""
    program = bubblewrap()
    assert program is not None
    command = [
        program,
        "--die-with-parent",
        "--new-session",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--hostname",
        "grader",
    ]
    if os.geteuid() != 0:
        command += ["--unshare-user", "--cap-add", "ALL"]
    command += ["--perms", "0755", "--tmpfs", "/tmp", "--dir", "/scratch"]
    seen: set[str] = {"/tmp"}
    for path in _readable():
        for parent in reversed(Path(path).parents[:-1]):
            if str(parent) not in seen:  # submissions run as another user, who must be able to pass through
                command += ["--perms", "0755", "--dir", str(parent)]
                seen.add(str(parent))
        if os.path.islink(path) and path.count("/") == 1:
            command += ["--symlink", os.readlink(path), path]
        elif path not in seen and os.path.exists(path):
            command += ["--ro-bind", path, path]
        seen.add(path)
    command += [
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--dir",
        "/run",
        "--perms",
        "0755",
        "--dir",
        "/var/cache",
        "--bind",
        str(numba_cache),
        "/var/cache/numba",
        "--chdir",
        "/",
        "--",
    ]
    return command


def _readable() -> Sequence[str]:
    prefixes = dict.fromkeys(os.path.realpath(p) for p in (sys.base_prefix, sys.prefix))
    outside = [p for p in prefixes if not p.startswith("/usr/")] + ([sys.prefix] if not sys.prefix.startswith("/usr/") else [])
    return [
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib64",
        "/lib32",
        "/etc/ld.so.cache",
        "/etc/ld.so.conf",
        "/etc/localtime",
        "/etc/alternatives",
        "/etc/fonts",
        "/etc/mime.types",
        *dict.fromkeys(outside),
        str(PACKAGE),
        str(Path(weights.MANIFEST_PATH).parent),
        str(ROOT / "autograder" / "inside"),
        str(ROOT / "autograder" / "__init__.py"),
        str(_models()),
    ]
