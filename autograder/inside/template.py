"""The process that submissions are forked from: it imports the libraries, runs a section's setup cells, never a learner's code.

python -m autograder.inside.template FD     FD: a Unix socket to the grader
"""

from __future__ import annotations

import array
import builtins
import gc
import importlib
import importlib.util
import io
import os
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from typing import Any

PRELOAD = (
    "numpy",
    "numpy.testing",
    "numba",
    "torch",
    "plotly.graph_objects",
    "ipywidgets",
    "tqdm.auto",
    "tracemalloc",
    "unittest.mock",
    "random",
    "statistics",
    "decimal",
    "fractions",
    "aieng.lesson",
)


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    from autograder.inside import wire

    try:
        _load(PRELOAD)  # while the grader is still finding out what there is to grade
        order, _ = wire.receive(control)
        shell, prepared = _prepare(order)
    except BaseException:
        wire.send(control, {"failed": traceback.format_exc()[-6000:]})
        raise SystemExit(1) from None
    wire.send(control, {"ready": os.getpid()})
    _serve(control, shell, prepared, order)


def _prepare(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import tqdm

    from aieng.lesson import course, session
    from autograder.inside import capture, examiner, guard, learner, pristine  # noqa: F401 - children find them loaded

    # The checks register themselves on import, and what is registered now is what the tests will see.
    checks = [f"aieng.lesson.exercises.ex_{e.id.replace('.', '_')}" for e in course.section(order["section"]).exercises]
    _load((*order["preload"], *checks))
    tqdm.tqdm.monitor_interval = 0  # no thread that watches progress bars
    _forgiving_numba_cache()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    closed = _closed_files(order["section"])
    shell = capture.make_shell()
    setup: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    recorder = capture.Recorder(1 << 16)
    capture.attach(shell, recorder)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        for number, source in enumerate(order["setup"]):
            exec(compile(source, f"<setup {number}>", "exec"), setup)
        _load_compiled()
        for source in ("None", "1 / 0"):  # what IPython loads when it first runs a cell and shows an error
            learner._run_cell(shell, source, "<warming up>", recorder)
        _rehearse(setup, order["rehearsal"])
    capture.attach(shell, None)
    for name, value in list(setup.items()):  # cached loaders would hand the same arrays to the learner's code
        if type(value).__name__ in ("ndarray", "Tensor") and type(value).__module__ in ("numpy", "torch"):
            setup[name] = value.copy() if type(value).__name__ == "ndarray" else value.clone()
    session.forget()
    import aieng

    prepared = {
        "setup": setup,
        "guard": guard.make_guard(os.path.dirname(os.path.abspath(aieng.__file__)), closed),
        "pristine": pristine.take(),
    }
    order["hidden_files"] = [
        p
        for path in closed
        for p in (path, importlib.util.cache_from_source(path) if path.endswith(".py") else "")
        if p and os.path.exists(p) and path.endswith(".py")
    ]
    gc.collect()
    gc.freeze()
    return shell, prepared


def _load(names: Iterable[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # the cell that needs it will say so


def _closed_files(section: str) -> dict[str, str]:
    """Source files that hold the section's solutions, with the exercises they belong to."""
    from aieng.lesson import course

    found: dict[str, set[str]] = {}
    for exercise in course.section(section).exercises:
        for place in exercise.helper.values():
            module = importlib.import_module(place.partition(":")[0])
            package = module.__name__.rpartition(".")[0]
            parts = {v.__name__ for v in vars(module).values() if type(v) is type(module)} | {
                getattr(v, "__module__", None) or "" for v in vars(module).values()
            }
            private = {p for p in parts if p.startswith(f"{package}._") and p in sys.modules}
            for name in {module.__name__} | private:
                found.setdefault(os.path.realpath(sys.modules[name].__file__ or ""), set()).add(exercise.id)
    return {path: ",".join(sorted(ids)) for path, ids in found.items()}


def _rehearse(setup: dict[str, Any], sources: list[str]) -> None:
    """Run reference answers and their tests, so that numba keeps on disk what they compile. This process is then of no further use."""
    for source in sources:
        try:
            exec(compile(source, "<rehearsal>", "exec"), dict(setup))
        except Exception:
            continue  # the tests of the course itself report a reference answer that fails


def _load_compiled() -> None:
    """Load what numba has compiled for the course's kernels before, so that no submission does it again."""
    try:
        from numba.core.dispatcher import Dispatcher
    except ImportError:
        return
    kernels: dict[int, Any] = {
        id(v): v
        for name, module in list(sys.modules.items())
        if name.startswith("aieng.")
        for v in vars(module).values()
        if isinstance(v, Dispatcher)
    }
    for kernel in kernels.values():
        try:
            _copy_cache(kernel._cache)
            known = list(kernel._cache._cache_file._load_index())
        except (AttributeError, OSError):
            continue  # a kernel without a cache, or nothing compiled yet
        for key in known:
            kernel.compile(key[0])


def _copy_cache(cache: Any) -> None:
    """Take over what numba has compiled into the package's own folder, where a learner or a test ran it outside the sandbox."""
    index = cache._cache_file._index_name
    beside = os.path.join(os.path.dirname(cache._impl.locator._py_file), "__pycache__")
    if os.path.exists(os.path.join(cache._cache_path, index)) or not os.path.exists(os.path.join(beside, index)):
        return
    os.makedirs(cache._cache_path, exist_ok=True)
    for name in sorted(os.listdir(beside), key=lambda n: n.endswith(".nbi")):  # the index last
        if name.startswith(index.removesuffix("nbi")):
            shutil.copyfile(os.path.join(beside, name), os.path.join(cache._cache_path, name))


def _forgiving_numba_cache() -> None:
    """A submission may read compiled kernels from the cache but not write there; that is no error."""
    try:
        from numba.core import caching
    except ImportError:
        return
    original = caching.Cache.save_overload

    def save_overload(self: Any, *args: Any) -> None:
        try:
            original(self, *args)
        except OSError:
            return

    caching.Cache.save_overload = save_overload


def _serve(control: socket.socket, shell: Any, prepared: dict[str, Any], order: dict[str, Any]) -> None:
    """Fork one process for each connection that the grader hands over."""
    from autograder.inside import isolation, learner, wire

    limits = isolation.Limits(**order["limits"])
    assert asdict(limits) == order["limits"]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended submissions leave no zombies
    slot = 0
    while True:
        data, ancillary, _, _ = control.recvmsg(1, socket.CMSG_SPACE(4))
        if not data:
            return
        handles = array.array("i")
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                handles.frombytes(payload[: len(payload) - len(payload) % 4])
        slot += 1
        try:
            pid = isolation.fork_into_namespaces() if order["namespaces"] else os.fork()
        except OSError as problem:
            with socket.socket(fileno=handles[0]) as sock:
                wire.send(sock, {"broken": f"a process for the submission could not be started: {problem}"})
            continue
        if pid:
            os.close(handles[0])
            continue
        sock = socket.socket(fileno=handles[0])
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            if order["namespaces"]:
                isolation.private_files(limits, order["hidden_files"], order["own_tmp"])
            isolation.limit_resources(limits)
            if order["namespaces"]:
                isolation.drop_privileges(slot)
            for name in ("home", "work", "progress"):
                os.makedirs(os.path.join(order["scratch"], name), exist_ok=True)
            os.chdir(os.path.join(order["scratch"], "work"))
            wire.send(sock, {"hello": os.getpid()})
        except BaseException:
            wire.send(sock, {"broken": traceback.format_exc()[-3000:]})
            os._exit(1)
        try:
            learner.serve(sock, shell, prepared)
        finally:
            os._exit(0)


if __name__ == "__main__":
    main()
