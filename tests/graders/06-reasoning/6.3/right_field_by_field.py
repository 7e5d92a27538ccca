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
    doc = inspect.getdoc(function) or ""
    if not doc.strip():
        raise ValueError("a tool needs a docstring")
    first = re.split(r"\n\s*\n", doc.strip())[0]
    told = dict(re.findall(r"^[ \t]*(\w+)[ \t]*:[ \t]*(\S.*?)[ \t]*$", doc, re.M))
    signature = inspect.signature(function, eval_str=True)
    fields = {}
    for p in signature.parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise ValueError(f"*{p.name} cannot be described")
        if p.annotation is p.empty:
            raise ValueError(f"{p.name} has no type")
        fields[p.name] = as_schema(p.annotation) | ({"description": told[p.name]} if p.name in told else {})
    return {
        "name": function.__name__, "description": re.sub(r"\s+", " ", first),
        "parameters": {"type": "object", "additionalProperties": False, "properties": fields,
                       "required": [p.name for p in signature.parameters.values() if p.default is p.empty]},
    }


def as_schema(kind):
    if isinstance(kind, type) and not typing.get_args(kind):
        for python, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (type(None), "null")):
            if kind is python:
                return {"type": name}
    outer, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is None:
        return {"type": "null"}
    if outer is typing.Literal:
        return {"anyOf": [{"const": choice} for choice in inner]}
    if outer is list:
        return {"type": "array", "items": as_schema(inner[0])}
    if outer is typing.Union or outer is getattr(types, "UnionType", None):
        return {"oneOf": [as_schema(part) for part in inner]}
    raise ValueError(f"cannot describe {kind!r}")


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
    reader = json.JSONDecoder()
    position = 0
    while (position := text.find("{", position)) != -1:
        try:
            value, position = reader.raw_decode(text, position)
        except (json.JSONDecodeError, RecursionError):
            position += 1
            continue
        if "tool" not in value:
            continue
        name, arguments = value["tool"], value.get("arguments", {})
        if type(name) is not str:
            raise ValueError("the tool's name must be a string")
        if type(arguments) is not dict:
            raise ValueError("arguments must be an object")
        return name, arguments
    raise ValueError("there is no call in this text")


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
    try:
        name, arguments = parse_call(text)
        if name not in tools:
            raise LookupError(f"unknown tool {name}; there are: " + ", ".join(sorted(tools)))
        problems = list(jsonschema.Draft202012Validator(describe(tools[name])["parameters"]).iter_errors(arguments))
        if problems:
            raise TypeError(f"{name}: " + "; ".join(p.message for p in problems))
        answer = tools[name](**arguments)
        if not isinstance(answer, str):
            answer = json.dumps(answer, default=str)
    except Exception as error:
        where = name if "name" in locals() else "no call"
        answer = f"Error: {where}: {type(error).__name__}: {error}"
    if len(answer) > max_chars:
        answer = answer[: max_chars - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return answer


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
    keep = torch.zeros(len(logits), dtype=torch.bool)
    for token in allowed:
        if not 0 <= token < len(logits):
            raise ValueError(f"no token {token}")
        keep[token] = True
    if not keep.any():
        raise ValueError("nothing is allowed")
    return torch.where(keep, logits, torch.tensor(float("-inf"), dtype=logits.dtype))


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
    def go_on(state, made, budget):
        if grammar.complete(state):
            return made
        masked = mask_logits(next_logits(made[:]), grammar.allowed(state, budget))
        token = int(sampler(masked))
        return go_on(grammar.advance(state, token), made + [token], budget - 1)

    return go_on(grammar.start, [], max_new_tokens)
