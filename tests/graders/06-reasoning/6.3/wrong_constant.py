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
    return {"name": function.__name__, "description": "", "parameters": {"type": "object"}}


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
    return "", {}


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
    return "Error: "


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
    return torch.zeros_like(logits)


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
    return []
