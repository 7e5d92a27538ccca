"""One filter language for every engine: ``{"category": "food", "price": {"lte": 30}}``.

Conditions are joined by *and*. A field's condition is a value (short for ``{"eq": value}``) or a dict of operators:
``eq`` and ``in`` for strings, numbers and booleans, ``lt lte gt gte`` for numbers. A row that lacks the field never
matches. A field holds one kind of value: what comes of comparing a text with a number differs between engines.

`matches` is the definition; the five translators say the same in the engines' own languages, and a property test holds
the local ones to it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

Scalar = str | int | float | bool
Filter = Mapping[str, Any]

RANGES = ("lt", "lte", "gt", "gte")
OPERATORS = ("eq", "in", *RANGES)
# Narrow enough for the strictest of the engines, so that a payload can move from one to the next.
FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
RESERVED = ("id", "vector")
# Beyond this, engines that keep every number as a float64 (Chroma below, Pinecone, Weaviate) would change it.
LARGEST_INT = 2**53


@dataclass(frozen=True)
class Condition:
    """One comparison; `value` is a tuple for the operator "in"."""

    field: str
    operator: str
    value: Any


def is_number(value: object) -> TypeGuard[int | float]:
    """True for int and float, not for bool (which Python counts as an int)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_scalar(value: object, name: str) -> None:
    """Refuse what cannot be stored or compared alike in every engine; ValueError or TypeError that names the value."""
    if isinstance(value, bool):
        return
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError(f"{name} holds a NUL or a lone surrogate, which databases refuse; remove it from {value!r}")
    elif not is_number(value):
        raise TypeError(f"{name} is {type(value).__name__}; use str, int, float or bool, and leave out what is unknown")
    elif not math.isfinite(value):
        raise ValueError(f"{name} is {value}; only finite numbers can be stored and compared: leave the field out")
    elif isinstance(value, int) and abs(value) > LARGEST_INT:
        raise ValueError(f"{name} is {value}; integers beyond ±2**53 lose digits in some engines: store it as a str")


def check_field(field: object) -> None:
    """Refuse a field name that one of the engines would refuse or rename."""
    if not isinstance(field, str) or not FIELD_NAME.fullmatch(field) or field in RESERVED:
        raise ValueError(f"field name {field!r}; use a lower-case letter, then up to 62 of a-z, 0-9 and _, "
                         f"and none of {', '.join(RESERVED)}")


def parse_filter(filter: Filter | None) -> tuple[Condition, ...]:
    """Check a filter and take it apart.

    Parameters
    ----------
    filter : dict of field -> value or {operator: value}; None or {} means no condition

    Returns
    -------
    conditions : all of them have to hold

    Raises
    ------
    ValueError, TypeError : unknown operator, bad field name, a range on text, mixed kinds in one "in", NaN; says which.
    """
    if filter is None:
        return ()
    if not isinstance(filter, Mapping):
        raise TypeError(f"a filter is a dict such as {{'price': {{'lte': 30}}}}; got {type(filter).__name__}")
    conditions = []
    for field, condition in filter.items():
        check_field(field)
        tests = condition if isinstance(condition, Mapping) else {"eq": condition}
        if not tests:
            raise ValueError(f"the condition on {field!r} is empty; give one of {', '.join(OPERATORS)}")
        for operator, value in tests.items():
            if operator not in OPERATORS:
                raise ValueError(f"operator {operator!r} on {field!r}; use one of {', '.join(OPERATORS)}")
            conditions.append(Condition(field, operator, _operand(field, operator, value)))
    return tuple(conditions)


def _operand(field: str, operator: str, value: Any) -> Any:
    name = f"the {operator!r} value of {field!r}"
    if operator == "in":
        if isinstance(value, str) or not isinstance(value, Sequence | set | frozenset):
            raise TypeError(f"{name} is {type(value).__name__}; give a list of values")
        values = tuple(value)
        for one in values:
            check_scalar(one, name)
        if len({"number" if is_number(one) else type(one) for one in values}) > 1:
            raise TypeError(f"{name} mixes kinds: {values!r}; a field holds text, or numbers, or booleans")
        return values
    check_scalar(value, name)
    if operator in RANGES and not is_number(value):
        raise TypeError(f"{name} is {value!r}; lt, lte, gt and gte compare numbers")
    return value


def matches_nothing(conditions: Sequence[Condition]) -> bool:
    """True where an empty "in" list rules every row out (several engines refuse to be asked such a thing)."""
    return any(c.operator == "in" and not c.value for c in conditions)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda have, want: have == want,
    "in": lambda have, want: any(_same_kind(have, one) and have == one for one in want),
    "lt": lambda have, want: have < want,
    "lte": lambda have, want: have <= want,
    "gt": lambda have, want: have > want,
    "gte": lambda have, want: have >= want,
}


def _same_kind(have: object, want: object) -> bool:
    return is_number(have) == is_number(want) and isinstance(have, bool) == isinstance(want, bool)


def matches(payload: Mapping[str, Scalar], conditions: Sequence[Condition]) -> bool:
    """Whether one payload meets every condition: what the filter language means."""
    for c in conditions:
        have = payload.get(c.field)
        if have is None or (c.operator != "in" and not _same_kind(have, c.value)):
            return False
        if not _COMPARE[c.operator](have, c.value):
            return False
    return True


_SYMBOL = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def to_sql(conditions: Sequence[Condition], columns: Mapping[str, type]) -> tuple[str, list[Any]]:
    """SQLite: a WHERE clause with ? in place of every value, and the values.

    Parameters
    ----------
    columns : the columns that may be named, with str or float for what they hold. Names cannot be bound like values,
        so this list is what keeps a name from carrying SQL.

    Returns
    -------
    clause, values : the clause is "1" where there is no condition
    """
    parts, values = [], []
    for c in conditions:
        if c.field not in columns:
            raise ValueError(f"no column {c.field!r}; filter on one of {', '.join(columns)}")
        wanted = c.value if c.operator == "in" else (c.value,)
        for one in wanted:
            if is_number(one) != (columns[c.field] is float) or isinstance(one, bool):
                kind = "numbers" if columns[c.field] is float else "text"
                raise TypeError(f"column {c.field!r} holds {kind}; cannot compare it with {one!r}")
        if c.operator == "in":
            # One bound value whatever the length: SQLite limits how many ? a statement may have.
            parts.append(f"{c.field} IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(list(c.value)))
        else:
            parts.append(f"{c.field} {_SYMBOL[c.operator]} ?")
            values.append(c.value)
    return " AND ".join(parts) or "1", values


def to_milvus(conditions: Sequence[Condition], field: str = "payload") -> str:
    """Milvus: a boolean expression over the keys of a JSON field; "" where there is no condition."""

    def literal(value: Scalar) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'
        return repr(value)

    symbols = _SYMBOL | {"eq": "=="}

    def compare(c: Condition) -> str:
        key = f'{field}["{c.field}"]'
        if c.operator == "in":
            # Milvus Lite has no `in` for a key of a JSON field; the two forms mean the same on a server.
            return "(" + " or ".join(f"{key} == {literal(value)}" for value in c.value) + ")"
        return f"{key} {symbols[c.operator]} {literal(c.value)}"

    return " and ".join(compare(c) for c in conditions)


def to_chroma(conditions: Sequence[Condition]) -> dict[str, Any] | None:
    """Chroma: a `where` dict. Numbers become floats: Chroma keeps ints and floats apart, and a mixed pair compares wrong."""
    tests = [{c.field: {_dollar(c.operator): floats(c.value)}} for c in conditions]
    if len(tests) < 2:
        return tests[0] if tests else None
    return {"$and": tests}


def to_pinecone(conditions: Sequence[Condition]) -> dict[str, Any] | None:
    """Pinecone: the metadata filter, in the language of MongoDB queries."""
    tests = [{c.field: {_dollar(c.operator): floats(c.value)}} for c in conditions]
    if len(tests) < 2:
        return tests[0] if tests else None
    return {"$and": tests}


def to_weaviate(conditions: Sequence[Condition]) -> Any:
    """Weaviate: the official client's Filter objects; None where there is no condition."""
    from weaviate.classes.query import Filter as WeaviateFilter

    method = {"eq": "equal", "in": "contains_any", "lt": "less_than", "lte": "less_or_equal",
              "gt": "greater_than", "gte": "greater_or_equal"}
    tests = [getattr(WeaviateFilter.by_property(c.field), method[c.operator])(floats(c.value)) for c in conditions]
    if len(tests) < 2:
        return tests[0] if tests else None
    return WeaviateFilter.all_of(tests)


def _dollar(operator: str) -> str:
    return f"${operator}"


def floats(value: Any) -> Any:
    """Numbers as floats (in a tuple: a list of them), everything else as it is."""
    if isinstance(value, tuple):
        return [floats(one) for one in value]
    return float(value) if is_number(value) else value
