"""Notices an answer that runs on the course's own solution of the same exercise."""

from __future__ import annotations

import builtins

__builtins__ = dict(vars(builtins))  # type: ignore[assignment]

import functools
import importlib
import inspect
from types import FunctionType, MethodType
from typing import Any

from autograder.inside.guard import opaque


def helpers_of(helper: dict[str, str]) -> dict[str, Any]:
    """ "module.name" -> the function or class that stands in for the exercise."""
    found = {}
    for place in helper.values():
        module, _, name = place.partition(":")
        found[f"{module}.{name}"] = getattr(importlib.import_module(module), name)
    return found


def functions_of(thing: Any) -> list[FunctionType]:
    """The plain functions behind a helper: itself, or the methods of a class that its own module defines."""
    if isinstance(thing, FunctionType):
        return [thing]
    if not isinstance(thing, type):
        return []
    found: list[FunctionType] = []
    for value in vars(thing).values():
        value = getattr(value, "__func__", value)
        candidates = (value.fget, value.fset) if isinstance(value, property) else (getattr(value, "func", value),)
        found += [f for f in candidates if isinstance(f, FunctionType)]
    return found


def private_parts(thing: Any) -> list[FunctionType]:
    """Private functions of the same module that a helper is made of."""
    module = importlib.import_module(thing.__module__)
    names: set[str] = set()
    for function in functions_of(thing):
        names |= set(function.__code__.co_names)
    parts = [vars(module).get(n) for n in names if n.startswith("_") and not n.startswith("__")]
    return [p for p in parts if isinstance(p, FunctionType) and p.__module__ == thing.__module__]


def make_trap(exercise: str, helpers: dict[str, Any], learner_calls: Any, refuse: Any) -> tuple[Any, Any]:
    """(set the traps, borrowed): traps make a helper refuse to work for a learner's code while the tests run."""
    owners = {id(f): f"{name}" for name, thing in helpers.items() for f in [thing, *functions_of(thing)]}
    classes = tuple(thing for thing in helpers.values() if isinstance(thing, type))

    def complain(name: str) -> None:
        short = name.rpartition(".")[2]
        refuse(
            f"your answer uses the course's own {short} ({name}): exercise {exercise} asks you to write it, so it earns nothing", exercise
        )

    def gate(original: Any, name: str) -> Any:
        def gated(*args: Any, **kwargs: Any) -> Any:
            if learner_calls(2):
                complain(name)
            return original(*args, **kwargs)

        return gated

    def set_traps() -> None:
        done: set[int] = set()
        for name, thing in helpers.items():
            for function in [*functions_of(thing), *private_parts(thing)]:
                if id(function) not in done:
                    done.add(id(function))
                    _trap(function, gate, name)

    def borrowed(value: Any) -> None:
        """Refuse a function or class that is the helper's, a subclass of it or wrapped around it."""
        for _ in range(16):
            if id(value) in owners:
                complain(owners[id(value)])
            if isinstance(value, type):
                for base in value.__mro__:
                    if base in classes:
                        complain(next(n for n, t in helpers.items() if t is base))
                    for part in vars(base).values() if base not in (object, *classes) else ():
                        part = getattr(part, "__func__", part)
                        if isinstance(part, FunctionType) and id(part) in owners:
                            complain(owners[id(part)])
                return
            if isinstance(value, functools.partial):
                value = value.func
            elif isinstance(value, MethodType):
                value = value.__func__
            elif hasattr(value, "__wrapped__"):
                value = value.__wrapped__
            else:
                return

    return set_traps, borrowed


def _trap(function: FunctionType, gate: Any, name: str) -> None:
    """Exchange a function's code in place, so that every name it has anywhere leads through the gate."""
    original = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    original.__kwdefaults__ = function.__kwdefaults__
    code = opaque(gate(original, name)).__code__
    signature = None
    try:
        signature = inspect.signature(function)
    except ValueError:
        signature = None
    function.__defaults__ = function.__kwdefaults__ = None
    function.__code__ = code.replace(co_freevars=function.__code__.co_freevars, co_name=function.__name__)
    if signature is not None:
        function.__signature__ = signature  # type: ignore[attr-defined]
