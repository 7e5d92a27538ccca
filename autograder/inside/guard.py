"""An audit hook (PEP 578) that keeps a learner's code to its own business; once installed, a process cannot remove it.

It refuses what no exercise needs and every known way around the tests does: other code's frames, code objects and globals, the
garbage collector's view of all objects, tracing, raw memory through ctypes, forking the grading process, code that pretends to come
from a library's file, and the source of the helper kernels. What was refused is noted, so that the tests' result
can say so.
"""

from __future__ import annotations

import builtins

__builtins__ = dict(vars(builtins))  # type: ignore[assignment]

import ctypes
import os
import signal
import sys
import sysconfig
import warnings
from _thread import get_ident
from types import CodeType, FrameType, FunctionType
from typing import Any

CELL = "<ipython-input-"  # file names of a learner's cells begin with it; numba, too, knows notebook cells by this name
TESTS = "<tests>"

_FRAME_ATTRIBUTES = {"tb_frame", "gi_frame", "cr_frame", "ag_frame"}
_CODE_ATTRIBUTES = {"__code__", "__globals__", "__closure__", "__builtins__", "gi_code", "cr_code"}
_UNSAFE_MODULES = {
    "greenlet",
    "_greenlet",
    "_testcapi",
    "_testinternalcapi",
    "_xxsubinterpreters",
    "_interpreters",
    "_cffi_backend",
    "cffi",
}
# Modules that look into frames and code on behalf of their caller, and may hand on what they see: who matters is who called them.
_LOOKING_GLASSES = (
    "inspect.py",
    "traceback.py",
    "ctypes/",
    "linecache.py",
    "tokenize.py",
    "dis.py",
    "reprlib.py",
    "functools.py",
    "contextlib.py",
    "operator.py",
    "threading.py",
    "concurrent/",
    "bdb.py",
    "pdb.py",
    "trace.py",
    "profile.py",
    "cProfile.py",
    "doctest.py",
    "unittest/",
    "code.py",
    "codeop.py",
    "timeit.py",
    "pickle.py",
    "copy.py",
    "pprint.py",
    "pydoc.py",
    "runpy.py",
    "multiprocessing/",
    "weakref.py",
    "IPython/",
    "executing/",
    "stack_data/",
    "pure_eval/",
    "hypothesis/",
    "_pytest/",
    "pytest/",
    "cloudpickle/",
    "dill/",
    "jedi/",
    "greenlet/",
    "sqlalchemy/",
    "decorator.py",
    "debugpy/",
    "torch/_dynamo/",
    "torch/fx/",
    "torch/package/",
)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    _OPAQUE: CodeType = compile("def call(*args, **kwargs): return '@call'(*args, **kwargs)", "<frozen gate>", "exec").co_consts[0]


class Forbidden(RuntimeError):
    """The learner's code reached for something that it has no business with."""


def opaque(call: Any, name: str = "") -> Any:
    """A function that calls `call` and through which nothing can be reached: no closure, no globals, and its code is guarded."""
    function = FunctionType(_OPAQUE.replace(co_consts=tuple(call if c == "@call" else c for c in _OPAQUE.co_consts)), {})
    function.__name__ = function.__qualname__ = name or getattr(call, "__name__", "function")
    return function


def make_guard(package: str, closed_files: dict[str, str]) -> tuple[Any, Any, Any]:
    """Build the guard: (install, notes, learner_on_stack).

    Parameters
    ----------
    package : the folder of the helper package
    closed_files : file -> the exercises ("1.1,1.3") whose solutions it holds; no learner's code may read it
    """
    library = tuple(
        {os.path.realpath(p) + os.sep for p in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))}
        | {p + os.sep for p in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))}
    )
    course = (package + os.sep, os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep)
    trusted = library + course
    learner_codes: dict[int, CodeType] = {}
    busy: set[int] = set()
    found: list[tuple[str, str]] = []  # (exercise or "", message)
    getframe = sys._getframe

    def is_learner(code: CodeType) -> bool:
        name = code.co_filename
        if name.startswith(CELL) or id(code) in learner_codes:
            return True
        return not name.startswith("<") and not name.startswith(trusted)

    main_thread = get_ident()

    def on_stack(frame: FrameType | None) -> bool:
        if get_ident() != main_thread:
            return True  # only a learner's code starts threads here; their stacks need not show it
        while frame is not None:
            if is_learner(frame.f_code):
                return True
            frame = frame.f_back
        return False

    def asked_by_learner(frame: FrameType | None) -> bool:
        """Whether a learner's code is behind the call that `frame` makes, rather than a library minding its own business."""
        if not on_stack(frame):
            return False
        while frame is not None:
            code = frame.f_code
            if is_learner(code):
                return True
            name = code.co_filename
            if name.startswith(course) or name == TESTS:
                return False
            if not name.startswith("<"):  # "<frozen importlib…>" and generated code stand for their caller
                inner = next((name[len(root) :] for root in library if name.startswith(root)), "").removeprefix("site-packages/")
                if not inner.startswith(_LOOKING_GLASSES):
                    return False
            frame = frame.f_back
        return get_ident() != main_thread

    def refuse(message: str, exercise: str = "") -> None:
        if (exercise, message) not in found:
            found.append((exercise, message))
        raise Forbidden(message)

    def own(thing: Any) -> bool:
        return isinstance(thing, FunctionType) and is_learner(thing.__code__)

    def mark(code: Any) -> None:
        if isinstance(code, CodeType) and id(code) not in learner_codes:
            learner_codes[id(code)] = code
            for constant in code.co_consts:
                mark(constant)

    def frames(args: tuple[Any, ...], frame: FrameType) -> None:
        if asked_by_learner(frame):
            refuse("your code looks at the frames of the code that calls it")

    def getattribute(args: tuple[Any, ...], frame: FrameType) -> None:
        thing, name = args[0], args[1]
        if name in _FRAME_ATTRIBUTES:
            if asked_by_learner(frame) and not text_of_traceback(frame):
                refuse(f"your code looks at frames ({name})")
        elif name in _CODE_ATTRIBUTES and not own(thing) and asked_by_learner(frame):
            file = thing.__code__.co_filename if isinstance(thing, FunctionType) else ""
            exercise = closed_files.get(os.path.realpath(file), "") if file else ""
            refuse(
                "your code copies the course's own solution: write it yourself"
                if exercise
                else f"your code looks into other code ({name})",
                exercise,
            )

    def text_of_traceback(frame: FrameType | None) -> bool:
        """traceback.format_exc() and its kind give text only, of frames below the handler."""
        while frame is not None and frame.f_code.co_filename.endswith(("traceback.py", "contextlib.py")):
            if frame.f_code.co_name.startswith(("format_", "print_")):
                return True
            frame = frame.f_back
        return False

    def setattribute(args: tuple[Any, ...], frame: FrameType) -> None:
        thing, name = args[0], args[1]
        changes_code = isinstance(thing, FunctionType) and not own(thing)
        changes_class = name == "__class__" and type(thing).__module__ != "__main__"
        if (changes_code or changes_class) and asked_by_learner(frame):
            refuse(f"your code changes other code ({name})")

    def compiling(args: tuple[Any, ...], frame: FrameType) -> None:
        source, name = args[0], args[1]
        name = name.decode() if isinstance(name, bytes) else name
        if not isinstance(name, str) or not on_stack(frame):
            return
        if name.startswith("<"):
            if is_learner(frame.f_code) and not name.startswith((CELL, "<string>", "<unknown>", "<ast>", "<stdin>", "<lambda>")):
                refuse(f"your code compiles code under the name {name!r}")
        elif name.startswith(trusted) and not _same_text(name, source):
            refuse(f"your code compiles code under the name of a library's file ({os.path.basename(name)})")

    def executing(args: tuple[Any, ...], frame: FrameType) -> None:
        if is_learner(frame.f_code):
            mark(args[0])

    def unmarshalling(args: tuple[Any, ...], frame: FrameType) -> None:
        if on_stack(frame):
            path = frame.f_locals.get("bytecode_path") if frame.f_code.co_name == "_compile_bytecode" else None
            if not (isinstance(path, str) and path.startswith(trusted)):
                refuse("your code loads compiled code")

    def making_code(args: tuple[Any, ...], frame: FrameType) -> None:
        if asked_by_learner(frame):
            refuse("your code builds code objects")

    def making_function(args: tuple[Any, ...], frame: FrameType) -> None:
        if not is_learner(args[0]) and asked_by_learner(frame):
            refuse("your code builds a function from other code")

    def importing(args: tuple[Any, ...], frame: FrameType) -> None:
        if str(args[0]).split(".")[0] in _UNSAFE_MODULES and asked_by_learner(frame):
            refuse(f"your code imports {args[0]}")

    def opening(args: tuple[Any, ...], frame: FrameType) -> None:
        path = args[0]
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str) or not closed_files:
            return
        full = path if path.startswith("/") else os.path.abspath(path)
        exercise = closed_files.get(full) or closed_files.get(os.path.realpath(full))
        if exercise and on_stack(frame) and not asked_for_by_course(frame):
            refuse("your code reads the source of the course's own solution: write it yourself", exercise)

    def asked_for_by_course(frame: FrameType | None) -> bool:
        """The course's own code reads its files: `quiz` shows questions, a traceback quotes a line."""
        while frame is not None and not is_learner(frame.f_code):
            if frame.f_code.co_filename.startswith(package + os.sep):
                return True
            frame = frame.f_back
        return frame is None

    def raw_memory(args: tuple[Any, ...], frame: FrameType) -> None:
        if asked_by_learner(frame):
            refuse("your code reaches into memory with ctypes")

    def never(what: str) -> Any:
        def check(args: tuple[Any, ...], frame: FrameType) -> None:
            if on_stack(frame):
                refuse(f"your code {what}")

        return check

    handlers = {
        "sys._getframe": frames,
        "sys._current_frames": never("looks at every thread's frames"),
        "sys._current_exceptions": never("looks at every thread's exceptions"),
        "sys.settrace": never("sets a trace function"),
        "sys.setprofile": never("sets a profile function"),
        "sys.monitoring.register_callback": never("registers a monitor"),
        "gc.get_objects": never("lists every object of the process"),
        "gc.get_referrers": never("follows references backwards"),
        "gc.get_referents": never("follows references of other objects"),
        "object.__getattr__": getattribute,
        "object.__setattr__": setattribute,
        "object.__delattr__": setattribute,
        "compile": compiling,
        "exec": executing,
        "marshal.loads": unmarshalling,
        "marshal.load": unmarshalling,
        "code.__new__": making_code,
        "function.__new__": making_function,
        "import": importing,
        "open": opening,
        "os.fork": never("forks the grading process"),
        "os.forkpty": never("forks the grading process"),
        "sys.addaudithook": never("adds an audit hook"),
        "cpython.run_stdin": never("starts another interpreter"),
        **{
            f"ctypes.{name}": raw_memory
            for name in (
                "addressof",
                "call_function",
                "cdata",
                "cdata/buffer",
                "dlopen",
                "dlsym",
                "dlsym/handle",
                "string_at",
                "wstring_at",
                "set_errno",
                "create_string_buffer",
                "create_unicode_buffer",
                "PyObj_FromPtr",
            )
        },
    }
    lookup = handlers.get

    def hook(event: str, args: tuple[Any, ...]) -> None:
        handler = lookup(event)
        if handler is None:
            return
        me = get_ident()
        if me in busy:
            return
        busy.add(me)
        try:
            handler(args, getframe(1))
        finally:
            busy.discard(me)

    def gate(call: Any, what: str, *, immediate: bool) -> Any:
        """`call`, refused to a learner's code."""

        def gated(*args: Any, **kwargs: Any) -> Any:
            me = get_ident()
            if me not in busy:
                busy.add(me)
                try:
                    frame = getframe(1)
                    if asked_by_learner(frame) if immediate else on_stack(frame):
                        refuse(f"your code {what}")
                finally:
                    busy.discard(me)
            return call(*args, **kwargs)

        return opaque(gated, getattr(call, "__name__", "gated"))

    def install() -> None:
        """Switch the guard on for the rest of this process's life and that of its forks."""
        sys.addaudithook(hook)

    def put_gates() -> None:
        """Gate what audit hooks are not told of; done once, before the libraries' state is remembered."""
        for name in ("memmove", "memset", "cast", "CFUNCTYPE", "PYFUNCTYPE"):
            setattr(ctypes, name, gate(getattr(ctypes, name), "reaches into memory with ctypes", immediate=True))
        # A signal handler is handed the frame that it interrupts.
        import _imp
        import _signal  # type: ignore[import-not-found]

        for module in (signal, _signal):
            for name in ("signal", "setitimer"):
                setattr(module, name, gate(getattr(module, name), "installs signal handlers or timers", immediate=True))
        for name in ("create_builtin", "create_dynamic"):
            call = getattr(_imp, name)
            setattr(
                _imp,
                name,
                opaque(_fresh_module_gate(call, gate(call, "loads a second copy of an interpreter module", immediate=False)), name),
            )
        try:
            import torch

            torch._C._dispatch_library = gate(torch._C._dispatch_library, "replaces torch's operators", immediate=False)
        except ImportError:
            pass  # a section without torch has nothing to protect there

    def notes() -> list[tuple[str, str]]:
        return found

    def learner_calls(depth: int = 1) -> bool:
        """Whether a learner's code is among the callers."""
        me = get_ident()
        if me in busy:
            return False
        busy.add(me)
        try:
            if me != main_thread:
                frame = sys._current_frames().get(main_thread)
                while frame is not None and not is_learner(frame.f_code):
                    frame = frame.f_back
                return frame is not None
            return on_stack(getframe(depth + 1))
        finally:
            busy.discard(me)

    notes.learner_code = is_learner  # type: ignore[attr-defined]
    put_gates()
    notes.refuse = refuse  # type: ignore[attr-defined]
    return install, notes, learner_calls


def _fresh_module_gate(call: Any, gated: Any) -> Any:
    dangerous = {"_signal", "gc", "_ctypes", "sys", "_thread", "_lsprof", "builtins", "faulthandler"}

    def create(spec: Any, *args: Any) -> Any:
        return (gated if str(getattr(spec, "name", "")) in dangerous else call)(spec, *args)

    return create


def _same_text(path: str, source: Any) -> bool:
    """Whether `source` is what the file holds (an honest import of a library module that was not compiled yet)."""
    if source is None:
        return False
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return False
    return text == (source.encode() if isinstance(source, str) else source)
