"""Tool use, also called function calling: describe functions to a model, read its call, check it, run it, hand back what came.

Source: Schick et al. 2023, "Toolformer" (arXiv:2302.04761); descriptions in the form of JSON Schema, as chat interfaces take them.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import jsonschema

from aieng.generation.constrained import Pattern, either, json_value, literal, sequence

Tools = Mapping[str, Callable[..., Any]]

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def describe(function: Callable[..., Any]) -> dict[str, Any]:
    """A tool's description for a model, from its signature and docstring.

    Parameters
    ----------
    function : callable
        Its parameters annotated with str, int, float, bool, ``list[…]`` of those, ``Literal[…]``, or one of them ``| None``.

    Returns
    -------
    dict
        ``{"name": …, "description": …, "parameters": JSON Schema}``. The description is the docstring's first paragraph on one line. The
        schema is an object's: one property a parameter, with the text of a docstring line ``name: text`` as its description; parameters
        without a default are required; nothing else is permitted.

    Raises
    ------
    ValueError
        No docstring, or a parameter without annotation, with an annotation of another kind, ``*args`` or ``**kwargs``.
    """
    text = inspect.getdoc(function)
    if not text:
        raise ValueError(f"{function.__name__} has no docstring; the model chooses by it, so say what the tool does")
    hints = get_type_hints(function)
    properties, required = {}, []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(f"{function.__name__} takes *{name}; a call's arguments need names, one each")
        if name not in hints:
            raise ValueError(f"parameter {name} of {function.__name__} has no annotation; write {name}: str, for instance")
        properties[name] = _schema(hints[name], f"parameter {name} of {function.__name__}")
        if said := re.search(rf"^\s*{re.escape(name)}\s*:\s*(.+)$", text, re.MULTILINE):
            properties[name]["description"] = said[1].strip()
        if parameter.default is parameter.empty:
            required.append(name)
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"name": function.__name__, "description": " ".join(text.split("\n\n")[0].split()), "parameters": schema}


def _schema(annotation: Any, what: str) -> dict[str, Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _SIMPLE:
        return {"type": _SIMPLE[annotation]}
    if origin is list and len(arguments) == 1:
        return {"type": "array", "items": _schema(arguments[0], what)}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(a, what) for a in arguments]}
    raise ValueError(f"{what} is annotated {annotation!r}; use str, int, float, bool, list[…], Literal[…] or … | None")


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """The first tool call in what a model wrote.

    Parameters
    ----------
    text : str
        May hold words or code fences around the call, ``{"tool": "name", "arguments": {…}}``.

    Returns
    -------
    (tool's name, its arguments)
        Of the first JSON object with a "tool"; "arguments" may be missing, which is {}.

    Raises
    ------
    ValueError
        No JSON object with a "tool" in the text, a tool that is no string, or arguments that are no object.
    """
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):  # no JSON from this brace on (a bottomless nest of brackets ends the recursion)
            end = at + 1
        else:
            if "tool" in found:
                break
        at = text.find("{", end)
    else:
        raise ValueError('no call found: write one JSON object, {"tool": "name", "arguments": {…}}')
    name, arguments = found["tool"], found.get("arguments", {})
    if not isinstance(name, str):
        raise ValueError(f'"tool" is {name!r}; it must be the name of a tool')
    if not isinstance(arguments, dict):
        raise ValueError(f'"arguments" is {arguments!r}; it must be an object, such as {{"query": "…"}}')
    return name, arguments


def run_tool(text: str, tools: Tools, max_chars: int = 400) -> str:
    """Do what a model asked for, and say what came of it; whatever goes wrong is said too, never raised.

    Parameters
    ----------
    text : str
        What the model wrote.
    tools : mapping of str to callable
        The tools by name; described by `describe`, to which the arguments must fit.
    max_chars : int
        Longer observations are cut to this length, "…" at the end included: they have to fit the model's context.

    Returns
    -------
    str
        The result: a str as it is, anything else as JSON (what JSON lacks, as ``str(…)`` gives it). In case of trouble "Error: " and what
        to do better: no call found, an unknown tool (with the names of those there are), arguments that do not fit, or the exception
        that the tool raised.
    """
    observation = _observe(text, tools)
    return observation if len(observation) <= max_chars else observation[: max_chars - 1] + "…"


def _observe(text: str, tools: Tools) -> str:
    try:
        name, arguments = parse_call(text)
    except ValueError as error:
        return f"Error: {error}"
    if name not in tools:
        return f"Error: there is no tool {name!r}; choose one of {', '.join(tools)}"
    if problem := _misfit(tools[name], arguments):
        return f"Error: the arguments of {name} do not fit: {problem}"
    try:
        result = tools[name](**arguments)
        return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
    except Exception as error:  # whatever a tool raises is news for the model
        return f"Error: {name} raised {type(error).__name__}: {error}"


def _misfit(tool: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """Why the arguments do not fit the tool's schema; empty where they do."""
    validator = jsonschema.Draft202012Validator(describe(tool)["parameters"])
    problem = jsonschema.exceptions.best_match(validator.iter_errors(arguments))
    return "" if problem is None else str(problem.message)


def judge_call(text: str, tools: Tools) -> tuple[str, str]:
    """What is wrong with a call, without running it: ("valid" | "no call" | "unknown tool" | "wrong arguments", the tool's name or "")."""
    try:
        name, arguments = parse_call(text)
    except ValueError:
        return "no call", ""
    if name not in tools:
        return "unknown tool", name
    return ("wrong arguments" if _misfit(tools[name], arguments) else "valid"), name


def call_pattern(descriptions: Iterable[Mapping[str, Any]]) -> Pattern:
    """All calls of the described tools whose arguments fit, as a pattern for constrained decoding."""
    return either(
        *(
            sequence(literal(f'{{"tool": {json.dumps(d["name"])}, "arguments": '), json_value(d["parameters"]), literal("}"))
            for d in descriptions
        )
    )
