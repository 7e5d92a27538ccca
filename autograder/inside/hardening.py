"""Compiles a graded cell so that what a learner's code returns cannot lie to it.

Each call, attribute, item and iteration of the tests goes through a function that passes plain values on and looks closer at everything
that comes from a learner: subclasses of arrays, numbers and containers become plain ones, an object that redefines comparison or
conversion is refused, and after a learner's code ran, the libraries must look as before.
"""

from __future__ import annotations

import builtins

__builtins__ = dict(vars(builtins))  # type: ignore[assignment]

import ast
import base64
import functools
import inspect
import marshal
import sys
import time
from types import BuiltinFunctionType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

import numpy as np

from autograder.inside.guard import TESTS, opaque

_UNTOUCHED = {"super", "locals", "globals", "vars", "dir", "eval", "exec"}
_LIES = (
    "__eq__",
    "__ne__",
    "__lt__",
    "__le__",
    "__gt__",
    "__ge__",
    "__bool__",
    "__array__",
    "__array_function__",
    "__array_ufunc__",
    "__array_interface__",
    "__array_struct__",
    "__torch_function__",
    "__torch_dispatch__",
    "__float__",
    "__int__",
    "__index__",
    "__complex__",
    "__class__",
    "__getattribute__",
    "__instancecheck__",
    "__sub__",
    "__rsub__",
    "__abs__",
)


class Lie(Exception):
    """A returned object would answer comparisons itself, or the libraries were changed while the tests ran."""


class _Through(ast.NodeTransformer):
    """Routes calls, attributes, items and iterations of the tests through the functions of `make_routes`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        plain = isinstance(node.func, ast.Name) and node.func.id in _UNTOUCHED
        self.generic_visit(node)
        if plain:
            return node
        return ast.copy_location(ast.Call(_name("_route_call"), [node.func, *node.args], node.keywords), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        return ast.copy_location(ast.Call(_name("_route_attribute"), [node.value, ast.Constant(node.attr)], []), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        return ast.copy_location(ast.Call(_name("_route_item"), [node.value, _key(node.slice)], []), node)

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = ast.copy_location(ast.Call(_name("_route_iterate"), [node.iter], []), node.iter)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.iter = ast.copy_location(ast.Call(_name("_route_iterate"), [node.iter], []), node.iter)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.generic_visit(node)
        return ast.copy_location(ast.Call(_name("_route_opaque"), [node], []), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        decorators = {d.id if isinstance(d, ast.Name) else "" for d in node.decorator_list}
        if decorators <= {"staticmethod", "classmethod", "property"}:
            node.decorator_list.append(_name("_route_opaque"))
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return node

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        if node.guard is not None:
            node.guard = self.visit(node.guard)
        node.body = [self.visit(n) for n in node.body]
        return node


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _key(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Slice):
        parts = [part or ast.Constant(None) for part in (node.lower, node.upper, node.step)]
        return ast.copy_location(ast.Call(_name("_route_slice"), parts, []), node)
    if isinstance(node, ast.Tuple):
        return ast.copy_location(ast.Tuple([_key(n) if not isinstance(n, ast.Starred) else n for n in node.elts], ast.Load()), node)
    return node


def compile_tests(source: str, hidden_from: int, hidden_to: int) -> list[tuple[bool, str, Any]]:
    """A graded cell in order, as (whether hidden, "exec" or "eval", code); the last is "eval" where it is an expression.

    Statements between the lines `hidden_from` and `hidden_to` are hidden.
    """
    tree = ast.parse(source, TESTS)
    parts: list[tuple[bool, list[ast.stmt]]] = []
    for statement in tree.body:
        hidden = hidden_from < statement.lineno < hidden_to
        if not parts or parts[-1][0] != hidden:
            parts.append((hidden, []))
        parts[-1][1].append(statement)
    compiled: list[tuple[bool, str, Any]] = []
    last = parts[-1][1].pop() if parts and isinstance(parts[-1][1][-1], ast.Expr) else None
    for hidden, body in parts:
        module = ast.fix_missing_locations(_Through().visit(ast.Module(body, [])))
        compiled.append((hidden, "exec", compile(module, TESTS, "exec")))
    if last is not None:
        expression = ast.fix_missing_locations(ast.Expression(_Through().visit(last.value)))  # type: ignore[attr-defined]
        compiled.append((parts[-1][0], "eval", compile(expression, TESTS, "eval")))
    return compiled


def pack(parts: list[tuple[bool, str, Any]]) -> str:
    """Compiled tests as text for the way to the examiner; compiled once by the grader, not by each examiner."""
    return base64.b64encode(marshal.dumps(parts)).decode()


def unpack(text: str) -> list[tuple[bool, str, Any]]:
    """What `pack` packed."""
    parts: list[tuple[bool, str, Any]] = marshal.loads(base64.b64decode(text))
    return parts


def make_routes(changed: Any, snapshot_class: Any, learner_code: Any, borrowed: Any) -> tuple[dict[str, Any], Any]:
    """(names that compiled tests call, clean)."""
    torch: Any = sys.modules.get("torch")  # a section may do without
    atoms = {int, float, bool, str, bytes, complex, type(None), range, slice, type(...), type(NotImplemented), np.dtype}
    atoms |= {
        getattr(np, n)
        for n in (
            "bool_",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "float16",
            "float32",
            "float64",
            "longdouble",
            "complex64",
            "complex128",
            "str_",
            "bytes_",
        )
    }
    if torch is not None:
        atoms |= {torch.Tensor, torch.Size, torch.dtype, torch.device, torch.Generator, torch.nn.Parameter}
    plain = frozenset(atoms)
    array, object_dtype = np.ndarray, np.dtype(object)
    count_threads = changed.threads
    before = count_threads()

    origins: dict[type, bool] = {}

    def trusted_class(kind: type) -> bool:
        """Whether a class existed before the learner's code, or the tests themselves define it."""
        if snapshot_class(kind):
            return True
        known = origins.get(kind)
        if known is None:
            codes = [f.__code__ for f in (getattr(f, "__func__", f) for f in vars(kind).values()) if isinstance(f, FunctionType)]
            known = origins[kind] = (
                type(kind) is type
                and any(f in of_tests for f in vars(kind).values() if isinstance(f, FunctionType))
                and not any(learner_code(c) for c in codes)
                and all(trusted_class(b) for b in kind.__bases__)
            )
        return known

    def is_plain(value: Any) -> bool:
        kind = type(value)
        if kind in plain:
            return True
        if kind is array:
            return value.dtype is not object_dtype and not value.dtype.hasobject
        if kind is tuple or kind is list or kind is set:
            return frozenset(map(type, value)) <= plain
        if kind is dict:
            return frozenset(map(type, value)) <= plain and frozenset(map(type, value.values())) <= plain
        return False

    def verify() -> None:
        what = changed()
        if what:
            raise Lie(f"your code changed {what} while the tests ran")
        if count_threads() > before:
            limit = time.monotonic() + 1.0
            while count_threads() > before:
                if time.monotonic() > limit:
                    raise Lie("a thread that your code started is still running when your function returns: join it")
                time.sleep(0.005)

    def clean(value: Any, depth: int = 0) -> Any:
        if is_plain(value) or depth > 6:
            return value
        kind = type(value)
        if kind is tuple or kind is list or kind is set or kind is frozenset:
            if all(map(is_plain, value)):
                return value
            items = [clean(v, depth + 1) for v in value]
            if all(map(_is, items, value)):
                return value
            return kind(items)
        if kind is dict:
            pairs = {clean(k, depth + 1): clean(v, depth + 1) for k, v in value.items()}
            return value if all(map(_is, pairs.values(), value.values())) else pairs
        if kind is array:
            for item in value.ravel().tolist()[:4096]:
                clean(item, depth + 1)
            return value
        if (
            kind is FunctionType
            or kind is MethodType
            or kind is BuiltinFunctionType
            or isinstance(value, type)
            or kind is functools.partial
        ):
            borrowed(value)
            return value
        if trusted_class(kind) or kind is ModuleType or kind is GeneratorType:
            return value
        return simplify(value, kind)

    def simplify(value: Any, kind: type) -> Any:
        """A value of a class that did not exist before the learner's code (or a library's later one)."""
        mro = type.mro(kind)
        late = [c for c in mro if not trusted_class(c)]
        lies = [(c, name, vars(c)[name]) for c in late for name in _LIES if name in vars(c)]
        harmful = [(c, name) for c, name, f in lies if not honest(f)]
        if array in mro:
            return array.view(value, array) if not harmful else refuse(harmful[0])
        if torch is not None and torch.Tensor in mro:
            with torch._C.DisableTorchFunctionSubclass():
                return value.as_subclass(torch.Tensor) if not harmful else refuse(harmful[0])
        for base in (str, bytes, bool, int, float, complex):
            if base in mro:
                return base.__new__(base, base.__str__(value)) if base is str and not harmful else refuse((kind, "values"))
        if harmful:
            refuse(harmful[0])
        if list in mro or dict in mro or (tuple in mro and not hasattr(kind, "_fields")):
            methods = [
                n
                for c in late
                for n in vars(c)
                if n in ("__iter__", "__getitem__", "__len__", "__contains__", "items", "values", "keys") and not honest(vars(c)[n])
            ]
            if methods:
                refuse((kind, methods[0]))
        return value

    def honest(function: Any) -> bool:
        """Whether a special method is a library's, the tests' or generated by dataclasses."""
        function = getattr(function, "fget", function) if isinstance(function, property) else function
        function = getattr(function, "__func__", function) if isinstance(function, classmethod | staticmethod) else function
        if function is None:
            return True
        while hasattr(function, "__wrapped__") and isinstance(function, FunctionType):
            if learner_code(function.__code__):
                return False
            function = vars(function)["__wrapped__"]
        return isinstance(function, FunctionType) and not learner_code(function.__code__)

    def refuse(where: tuple[type, str]) -> Any:
        raise Lie(
            f"your code returned an object of your class {where[0].__name__}, which redefines {where[1]}: return plain arrays, numbers "
            "or containers"
        )

    # Looked up by identity: a learner's object could call itself equal to one of these.
    known = (int, float, bool, str, len, abs, round, type, range, list, tuple, set, sorted, min, max, sum)
    harmless = {id(f): f for f in known}

    def call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if id(function) in harmless and not kwargs and len(args) == 1 and type(args[0]) in plain:
            return result
        kind = type(function)
        if is_trusted(function, kind) and all(map(is_plain, args)) and (not kwargs or all(map(is_plain, kwargs.values()))):
            return result
        verify()
        return clean(result)

    functions: dict[int, tuple[FunctionType, bool]] = {}  # with the function itself, so that its id stays its own

    def is_trusted(function: Any, kind: type) -> bool:
        if kind is FunctionType:
            # Remembered, since each look at a function's code goes through the guard; the guard lets nobody exchange it.
            known = functions.get(id(function))
            if known is None:
                known = functions[id(function)] = function, not learner_code(function.__code__)
            return known[1]
        if kind is BuiltinFunctionType:
            owner = function.__self__
            return owner is None or type(owner) is ModuleType or is_plain(owner)
        if kind is MethodType:
            return (
                trusted_class(type(function.__self__))
                and type(function.__func__) is FunctionType
                and is_trusted(function.__func__, FunctionType)
            )
        return trusted_class(function) if kind is type else trusted_class(kind) and kind is not functools.partial

    def attribute(thing: Any, name: str) -> Any:
        kind = type(thing)
        if kind is ModuleType or kind in plain or kind is array or (trusted_class(kind) and kind is not type):
            return getattr(thing, name)
        result = getattr(thing, name)
        if kind is type and trusted_class(thing):
            return result
        verify()
        return clean(result)

    def item(thing: Any, key: Any) -> Any:
        kind = type(thing)
        if kind in plain or kind is array or kind is list or kind is tuple or kind is dict:
            return thing[key]
        result = thing[key]
        if trusted_class(kind):
            return result
        verify()
        return clean(result)

    def iterate(things: Any) -> Any:
        kind = type(things)
        if (
            kind in plain
            or kind in (list, tuple, dict, set, frozenset, array, zip, enumerate, map, filter)
            or (trusted_class(kind) and kind is not GeneratorType)
        ):
            return things
        return cleaned(things)

    def cleaned(things: Any) -> Any:
        for thing in things:
            verify()
            yield clean(thing)

    def hide(function: FunctionType) -> FunctionType:
        """A function of the tests as a learner's code may see it: its globals are the tests' names, and out of reach."""
        hidden = opaque(function)
        hidden.__doc__ = function.__doc__
        hidden.__signature__ = inspect.signature(function)
        of_tests.add(hidden)
        return hidden

    of_tests: set[FunctionType] = set()

    from operator import is_ as _is

    return {
        "_route_call": call,
        "_route_attribute": attribute,
        "_route_item": item,
        "_route_iterate": iterate,
        "_route_slice": slice,
        "_route_opaque": hide,
    }, clean
