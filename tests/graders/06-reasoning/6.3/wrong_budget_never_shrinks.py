import inspect
import json
import re
import types
import typing

import jsonschema


def describe(function):
    """A tool's description for a model, from its signature and docstring.

    Parameters
    ----------
    function : callable with a docstring
        Parameters annotated with str, int, float, bool, list[...] of those, Literal[...], or one of them | None.

    Returns
    -------
    dict {"name": str, "description": str, "parameters": JSON Schema (dict)}
        description: the docstring's first paragraph (up to an empty line), on one line. The schema is an object's: one property a
        parameter, in order; a line "name: text" of the docstring becomes its "description"; parameters without a default are
        required; other properties are not permitted.

    Raises
    ------
    ValueError: no docstring, *args or **kwargs, a parameter without annotation or with one of another kind.
    """
    ### BEGIN SOLUTION
    text = inspect.getdoc(function)
    if not text:
        raise ValueError(f"{function.__name__} has no docstring; the model chooses by it")
    hints = typing.get_type_hints(function)
    properties, required = {}, []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name not in hints:
            raise ValueError(f"{function.__name__}: every parameter needs a name and an annotation of its own; see {name}")
        properties[name] = schema_of(hints[name])
        if said := re.search(rf"^\s*{re.escape(name)}\s*:\s*(.+)$", text, re.MULTILINE):
            properties[name]["description"] = said[1].strip()
        if parameter.default is parameter.empty:
            required.append(name)
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"name": function.__name__, "description": " ".join(text.split("\n\n")[0].split()), "parameters": schema}


def schema_of(annotation):
    simple = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None and annotation in simple:
        return {"type": simple[annotation]}
    if origin is list:
        return {"type": "array", "items": schema_of(parts[0])}
    if origin is typing.Literal:
        return {"enum": list(parts)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(part) for part in parts]}
    raise ValueError(f"{annotation!r} has no schema here; use str, int, float, bool, list[...], Literal[...] or ... | None")
    ### END SOLUTION


def parse_call(text):
    """The first tool call in what a model wrote.

    Parameters
    ----------
    text : str; words or code fences may stand around the call, {"tool": "name", "arguments": {...}}

    Returns
    -------
    (name, arguments): str and dict, of the first JSON object that has a "tool"; without "arguments" they are {}

    Raises
    ------
    ValueError: no such object, a tool that is no string, arguments that are no object.
    """
    ### BEGIN SOLUTION
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):  # no JSON begins at this brace
            end = at + 1
        else:
            if "tool" in found:
                break
        at = text.find("{", end)
    else:
        raise ValueError('no call found: write one JSON object, {"tool": "name", "arguments": {...}}')
    name, arguments = found["tool"], found.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ValueError(f'"tool" has to be a string and "arguments" an object; got {name!r} and {arguments!r}')
    return name, arguments
    ### END SOLUTION


def run_tool(text, tools, max_chars=400):
    """Do what a model asked for and say what came of it. Whatever goes wrong is said too, never raised.

    Parameters
    ----------
    text : str, what the model wrote
    tools : dict of name to callable; arguments have to fit its `describe` schema (check with jsonschema)
    max_chars : int; a longer observation is cut to this length, the "…" at its end included

    Returns
    -------
    str
        A result that is a str as it is, any other as JSON (what JSON lacks as str(...) gives it). In trouble a text that begins with
        "Error: ": no call; an unknown tool (with the names of those there are); arguments that do not fit (with the tool's name; the
        tool does not run); an exception of the tool (its type and its message).
    """
    ### BEGIN SOLUTION
    observation = observe(text, tools)
    return observation if len(observation) <= max_chars else observation[: max_chars - 1] + "…"


def observe(text, tools):
    try:
        name, arguments = parse_call(text)
    except ValueError as error:
        return f"Error: {error}"
    if name not in tools:
        return f"Error: there is no tool {name!r}; choose one of {', '.join(tools)}"
    try:
        jsonschema.validate(arguments, describe(tools[name])["parameters"])
    except jsonschema.ValidationError as error:
        return f"Error: the arguments of {name} do not fit: {error.message}"
    try:
        result = tools[name](**arguments)
        return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
    except Exception as error:  # whatever a tool raises is news for the model
        return f"Error: {name} raised {type(error).__name__}: {error}"
    ### END SOLUTION


def mask_logits(logits, allowed):
    """A copy of the logits in which only allowed tokens keep theirs; all others are -inf.

    Parameters
    ----------
    logits : Tensor (vocab_size,), floating point
    allowed : list of int, token ids in any order

    Returns
    -------
    Tensor (vocab_size,), dtype of logits

    Raises
    ------
    ValueError: nothing is allowed, or an id is outside 0 … vocab_size - 1.
    """
    ### BEGIN SOLUTION
    if not allowed or min(allowed) < 0 or max(allowed) >= len(logits):
        raise ValueError(f"{len(allowed)} tokens are allowed; need at least one, and ids from 0 to {len(logits) - 1}")
    masked = torch.full_like(logits, float("-inf"))
    masked[allowed] = logits[allowed]
    return masked
    ### END SOLUTION


def constrained_decode(next_logits, grammar, max_new_tokens, sampler):
    """Generate tokens that the grammar permits, until its text is complete.

    Parameters
    ----------
    next_logits : callable, a new list of the ids made so far (empty at first) to the scores (vocab_size,) of the next; once a token
    grammar : has start (the first state), allowed(state, budget) (ids that may follow if `budget` tokens are left, the one to be
        chosen included), advance(state, token) (the next state), complete(state) (bool)
    max_new_tokens : int, the budget at the beginning; one less after each token
    sampler : callable, masked scores (vocab_size,) to a token id

    Returns
    -------
    list of int; empty where the grammar's start is complete already

    Raises
    ------
    ValueError: nothing is allowed, since the budget cannot be enough.
    """
    ### BEGIN SOLUTION
    made, state = [], grammar.start
    while not grammar.complete(state):
        allowed = grammar.allowed(state, max_new_tokens)
        token = int(sampler(mask_logits(next_logits(list(made)), allowed)))
        made.append(token)
        state = grammar.advance(state, token)
    return made
    ### END SOLUTION
