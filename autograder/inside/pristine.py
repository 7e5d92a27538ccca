"""Remembers what builtins and every loaded library look like before a learner's code runs, puts it back, and notices changes.

What is compared is the identity of every module attribute and of every attribute of the classes that tests rely on. Functions' code
cannot be exchanged: the guard refuses it.
"""

from __future__ import annotations

import builtins

__builtins__ = dict(vars(builtins))  # type: ignore[assignment]

import ctypes
import gc
import importlib.machinery
import signal
import sys
import threading
import warnings
from _thread import _count as thread_count
from array import array
from operator import is_ as same
from types import ModuleType
from typing import Any

from autograder.inside import capture

# Modules that hidden tests call; they are compared after each call of a learner's code, all others once per exercise.
CRITICAL = (
    "builtins",
    "math",
    "operator",
    "functools",
    "itertools",
    "re",
    "json",
    "random",
    "statistics",
    "numpy",
    "numpy.testing",
    "numpy.testing._private.utils",
    "numpy._core",
    "numpy._core.numeric",
    "numpy._core.fromnumeric",
    "numpy._core.multiarray",
    "numpy._core._methods",
    "numpy._core.umath",
    "numpy._core.shape_base",
    "numpy._core.arrayprint",
    "numpy.lib._function_base_impl",
    "numpy.lib._arraysetops_impl",
    "numpy.lib._nanfunctions_impl",
    "numpy.lib._type_check_impl",
    "numpy.linalg._linalg",
    "numpy.random",
    "torch",
    "torch.functional",
    "torch.nn.functional",
    "torch._tensor",
    "torch.testing",
    "torch.testing._comparison",
    "torch.linalg",
    "torch._VF",
    "torch.overrides",
    "tracemalloc",
    "time",
    "inspect",
    "ast",
)
_RUNTIME = frozenset(vars(builtins))
_BOOKKEEPING = ("__dict__", "__weakref__", "__doc__", "__annotations__", "__abstractmethods__", "_abc_impl", "__signature__")
_OWN_STATE = ("__main__", "__mp_main__", "threading")  # a fork renews its locks itself
_VERSIONED = sys.implementation.name == "cpython" and sys.version_info < (3, 13)  # a dict's version tag, PEP 509


def take() -> tuple[Any, Any, Any]:
    """Remember everything now; returns (restore, changed, trusted_class).

    `restore()` puts back what was changed and returns the names of it; `changed()` tells cheaply whether anything that tests rely on
    is different, as a name or ""; `trusted_class(cls)` says whether a class existed at this moment.
    """
    table = {name: module for name, module in sys.modules.items() if name.split(".")[0] != "autograder"}
    modules = {name: m for name, m in table.items() if isinstance(m, ModuleType) and name not in _OWN_STATE}
    dicts = {name: (m.__dict__, dict(m.__dict__)) for name, m in modules.items()}
    dicts["the recorder"] = (vars(capture), dict(vars(capture)))
    classes = _classes()
    known = {id(c): c for c in classes}
    class_state = [(c, dict(vars(c))) for c in classes if _mutable(c) and _matters(c)]
    containers = _containers(modules)
    paths = {name: list(getattr(sys, name)) for name in ("path", "meta_path", "path_hooks")}
    filters = list(warnings.filters)
    streams = (sys.stdout, sys.stderr, sys.stdin, sys.displayhook, sys.excepthook, sys.unraisablehook)
    torch = sys.modules.get("torch")
    watched = [(name, live, saved, *_watch(live)) for name, (live, saved) in dicts.items()]
    watched_classes = [(cls, saved, *_watch(gc.get_referents(vars(cls))[0])) for cls, saved in class_state]
    touched_modules, touched_classes = _Stamps(watched), _Stamps(watched_classes)
    loaded = _Stamps([("sys.modules", *_watch(sys.modules))])
    critical = {*CRITICAL, *(n for n in modules if n.startswith("aieng.lesson") and "widgets" not in n and "experiments" not in n)}
    quick = _Stamps([entry for entry in watched if entry[0] in critical])
    homes = ("torch._tensor", "aieng.lesson.checking", "aieng.lesson.quizzing", "numpy")
    quick_classes = _Stamps([entry for entry in watched_classes if entry[0].__module__ in homes])
    default, get_signal, set_signal = signal.SIG_DFL, signal.getsignal, signal.signal
    handlers = {n: get_signal(n) for n in (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)}

    def restore() -> list[str]:
        names: list[str] = []
        set_trace(None)
        set_profile(None)
        threading._trace_hook = threading._profile_hook = None  # type: ignore[attr-defined]
        for number, handler in handlers.items():
            if get_signal(number) is not handler:
                set_signal(number, handler if handler is not None else default)
                names.append(f"the handler of signal {int(number)}")
        if loaded.changed():
            for name, module in table.items():
                if sys.modules.get(name) is not module:
                    sys.modules[name] = module
                    names.append(f"sys.modules[{name!r}]")
            for name in [n for n in sys.modules if n not in table]:
                if not _found_by(name, paths["path"], sys.modules[name]):
                    del sys.modules[name]
        for name, live, saved, _, _ in touched_modules.changed():
            if _equal(live, saved):
                continue
            for key, value in saved.items():
                if key not in live or live[key] is not value:
                    if key not in ("__warningregistry__",) and not _lazy(live.get(key), value):
                        names.append(f"{name}.{key}")
                    live[key] = value
            for key in [k for k in live if k not in saved and (k in _RUNTIME or k == "__getattr__")]:
                names.append(f"{name}.{key}")
                del live[key]
            if name == "builtins":
                for key in [k for k in live if k not in saved and k != "_"]:
                    del live[key]
        for cls, saved, _, _ in touched_classes.changed():
            live_names = vars(cls)
            if _equal(live_names, saved):
                continue
            for key in [k for k in live_names if k not in saved and k not in _BOOKKEEPING]:
                if key.startswith("__") and key.endswith("__"):
                    names.append(f"{cls.__name__}.{key}")
                    _quietly(type.__delattr__, cls, key)
            for key, value in saved.items():
                if vars(cls).get(key) is not value and key not in _BOOKKEEPING:
                    names.append(f"{cls.__name__}.{key}")
                    _quietly(type.__setattr__, cls, key, value)
        for container, saved in containers:
            _refill(container, saved)
        for name, saved_list in paths.items():
            getattr(sys, name)[:] = saved_list
        warnings.filters[:] = filters  # type: ignore[index]
        sys.stdout, sys.stderr, sys.stdin, sys.displayhook, sys.excepthook, sys.unraisablehook = streams
        names += _reset_torch(torch)
        quick.renew()
        quick_classes.renew()
        return names

    def changed() -> str:
        for name, live, saved, _, _ in quick.changed():
            if _equal(live, saved):
                continue
            for key, value in saved.items():
                if (key not in live or live[key] is not value) and key != "__warningregistry__":
                    return f"{name}.{key}"
            for key in live:
                if key not in saved and (key in _RUNTIME or key == "__getattr__"):
                    return f"{name}.{key}"
        for cls, saved, _, _ in quick_classes.changed():
            if _equal(vars(cls), saved):
                continue
            for key, value in saved.items():
                if vars(cls).get(key) is not value and key not in _BOOKKEEPING:
                    return f"{cls.__name__}.{key}"
            for key in vars(cls):
                if key not in saved and key.startswith("__") and key not in _BOOKKEEPING:
                    return f"{cls.__name__}.{key}"
        quick.settle()
        quick_classes.settle()
        return torch_modes()

    def torch_modes() -> str:
        return "torch's function modes" if torch is not None and (torch_functions() or torch_dispatch()) else ""

    set_trace, set_profile = sys.settrace, sys.setprofile
    if torch is not None:
        torch_functions, torch_dispatch = torch._C._len_torch_function_stack, torch._C._len_torch_dispatch_stack

    def trusted_class(cls: type) -> bool:
        return known.get(id(cls)) is cls

    changed.threads = thread_count  # type: ignore[attr-defined]
    restore.settle = loaded.renew  # type: ignore[attr-defined]
    return restore, changed, trusted_class


def _watch(mapping: dict[str, Any]) -> tuple[Any, int]:
    """(where the dict's version tag stands in memory, its value now); the tag changes with every change of the dict.

    Reading it costs no more than a number. Comparing all values would touch, and thereby copy, most memory of a forked process.
    """
    if not _VERSIONED:
        return None, 0
    stamp = ctypes.c_uint64.from_address(id(mapping) + 24)
    return stamp, stamp.value


class _Stamps:
    """Tells which of many dicts changed, from their version tags alone.

    The tags stand in a list of their own. Going through the dicts themselves would count references up and down, and a forked process
    has to copy every page that such a count is on: some 40 ms for each examiner.
    """

    def __init__(self, entries: list[Any]) -> None:
        self._entries = entries
        self._tags = [entry[-2] for entry in entries] if _VERSIONED else []
        self.renew()

    def renew(self) -> None:
        """Take what is there now for unchanged."""
        self._values = self._seen = self._read()

    def settle(self) -> None:
        """Take what the last look at them found for unchanged."""
        self._values = self._seen

    def changed(self) -> list[Any]:
        """The entries whose dicts have changed; every entry where dicts have no tags."""
        if not _VERSIONED:
            return self._entries
        self._seen = now = self._read()
        if now == self._values:
            return []
        return [self._entries[i] for i, (tag, before) in enumerate(zip(now, self._values, strict=True)) if tag != before]

    def _read(self) -> array[int]:
        return array("Q", [tag.value for tag in self._tags])


def _equal(live: Any, saved: dict[str, Any]) -> bool:
    return len(live) == len(saved) and all(map(same, live.values(), saved.values()))


def _reset_torch(torch: Any) -> list[str]:
    if torch is None:
        return []
    names = []
    while torch._C._len_torch_function_stack():
        torch._C._pop_torch_function_stack()
        names.append("torch's function modes")
    while torch._C._len_torch_dispatch_stack():
        torch._C._pop_torch_dispatch_stack()
        names.append("torch's dispatch modes")
    return names


def _classes() -> list[type]:
    found: dict[int, type] = {}
    todo: list[type] = [object]
    while todo:
        cls = todo.pop()
        if id(cls) in found:
            continue
        found[id(cls)] = cls
        todo += type.__subclasses__(cls)
    return list(found.values())


def _mutable(cls: type) -> bool:
    return bool(cls.__flags__ & (1 << 9)) and not cls.__flags__ & (1 << 8)  # a heap type that is not immutable


def _matters(cls: type) -> bool:
    return str(cls.__module__).split(".")[0] in (
        "builtins",
        "numpy",
        "torch",
        "aieng",
        "faiss",
        "sklearn",
        "unittest",
        "functools",
        "re",
        "json",
        "dataclasses",
        "random",
        "contextlib",
        "enum",
        "collections",
        "IPython",
        "warnings",
        "tracemalloc",
        "autograder",
        "fractions",
        "decimal",
        "statistics",
    )


def _containers(modules: dict[str, ModuleType]) -> list[tuple[Any, Any]]:
    """The registries of the course's own modules (and the lists in them), with what they hold."""
    found: list[tuple[Any, Any]] = []
    for name, module in modules.items():
        if name.startswith("aieng."):
            for value in list(vars(module).values()):
                if type(value) in (dict, list, set):
                    found.append((value, value.copy()))
                    found += [(v, v.copy()) for v in (value.values() if type(value) is dict else value) if type(v) in (dict, list, set)]
    return found


def _refill(container: Any, saved: Any) -> None:
    if type(container) is list:
        container[:] = saved
    elif type(container) is dict:
        container.clear()
        container.update(saved)
    else:
        container.clear()
        container |= saved


def _lazy(now: Any, before: Any) -> bool:
    """A library that loads a part of itself on first use exchanges a placeholder."""
    return type(before).__name__ in ("LazyModule", "_LazyModule", "_LazyLoader", "LazyLoader") or (
        isinstance(now, ModuleType) and before is None
    )


def _found_by(name: str, path: list[str], module: Any) -> bool:
    """Whether a module that came later is no impostor: it lies where an import finds it, or nothing of its name can be imported."""
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    top = name.split(".")[0]
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        genuine = importlib.machinery.PathFinder.find_spec(top, path)
        return origin in ("built-in", "frozen") or bool(genuine and genuine.origin and str(origin).startswith(_folder(genuine.origin)))
    genuine = importlib.machinery.PathFinder.find_spec(top, path)
    if genuine is None or genuine.origin is None:
        return True
    return str(origin).startswith(_folder(genuine.origin))


def _folder(origin: str) -> str:
    return origin.rpartition("/")[0]


def _quietly(change: Any, *args: Any) -> None:
    try:
        change(*args)
    except (AttributeError, TypeError):
        return  # a read-only attribute cannot have been changed either
