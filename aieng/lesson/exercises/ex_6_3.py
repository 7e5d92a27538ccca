"""6.3 Tools and constrained decoding: visible properties and hints."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

import jsonschema
import torch
from torch import Tensor

from aieng.lesson.checking import CheckFailed, expect, expect_raises, hints, prop, untouched

hints(
    "6.3",
    "Python knows its functions: `inspect.signature` gives parameters and defaults, `typing.get_type_hints` the types, `inspect.getdoc` "
    "the "
    "docstring. JSON has a decoder that starts in the middle of a text: `json.JSONDecoder().raw_decode(text, at)`. And a ruled-out token "
    "gets the logit −inf.",
    "describe: a small helper turns one annotation into a schema and calls itself for the parts of `list[…]` and `… | None`. parse_call: "
    "try "
    "raw_decode at each `{`; where it fails, go to the next one. run_tool: four things can go wrong (no call, unknown tool, arguments, the "
    'tool itself); each becomes a text that starts with "Error: ". constrained_decode: a loop over state, allowed ids, masked logits, '
    "sampler, next state.",
    "schema(type): str → string, int → integer, float → number, bool → boolean, None → null, list[t] → array of schema(t), Literal → enum, "
    "a | b → anyOf.\n"
    "describe: refuse no docstring, *args, no annotation; properties, required (no default), additionalProperties False.\n"
    'parse_call: first object with "tool"; check that it is a str and that arguments is a dict.\n'
    "run_tool: try parse_call; name in tools?; jsonschema.validate; try the tool; str or json.dumps; cut to max_chars.\n"
    "mask_logits: full_like(logits, −inf), copy the allowed ones.\n"
    "constrained_decode: while not grammar.complete(state): allowed(state, budget left) → mask → sampler → advance.",
)

Fns = Any


# --- functions to describe ------------------------------------------------------------------------------------------------

Function = TypeVar("Function", bound=Callable[..., Any])


def signed(function: Function) -> Function:
    """The function with its signature kept on it, where `inspect.signature` finds it.

    The grader lets no answer look into code that is not its own, which `inspect.signature` would have to do otherwise.
    """
    function.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    return function


@signed
def book_table(guests: int, day: Literal["Friday", "Saturday"], note: str = "") -> str:
    """Reserve a table
    in the restaurant.

    guests: how many people come
    day: when; closed on all other days

    It is confirmed at once.
    """
    return f"table for {guests} on {day}"


@signed
def mix(colours: list[str], share: float, glossy: bool = False, name: str | None = None) -> str:
    """Mix paint."""
    return "+".join(colours)


def _described(describe: Fns, function: Callable[..., Any]) -> dict[str, Any]:
    got = describe(function)
    expect(isinstance(got, dict), f"describe should return a dict; yours is a {type(got).__name__}.")
    for key in ("name", "description", "parameters"):
        expect(key in got, f"The description lacks {key!r}; it has {sorted(map(str, got))}.")
    expect(isinstance(got["parameters"], dict), '"parameters" is a JSON Schema, which is a dict.')
    try:
        json.dumps(got)
    except (TypeError, ValueError) as error:
        expect(False, f"The description has to be sent as JSON, and json.dumps refuses it: {error}")
    return got


def _accepts(schema: dict[str, Any], arguments: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(arguments))


@prop("6.3", "describe: name, description, what is required")
def described(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    got = _described(describe, book_table)
    expect(got["name"] == "book_table", f"The name is the function's, book_table; yours is {got['name']!r}.")
    expect(
        "confirmed" not in got["description"] and "guests:" not in got["description"],
        f"The description is the docstring's first paragraph only (up to the empty line); yours is {got['description']!r}.",
    )
    expect(
        got["description"] == "Reserve a table in the restaurant.",
        f"The first paragraph goes on one line, single spaces between words; yours is {got['description']!r}.",
    )
    schema = got["parameters"]
    expect(schema.get("type") == "object", f'Arguments come as one object: "type": "object"; yours is {schema.get("type")!r}.')
    properties = schema.get("properties", {})
    expect(list(properties) == ["guests", "day", "note"], f"One property a parameter, in their order; yours: {list(properties)}.")
    required = list(schema.get("required", []))
    expect("note" not in required, "note has a default, so it may be left out; yours requires it.")
    expect(sorted(required) == ["day", "guests"], f"Parameters without a default are required: guests and day; yours: {required}.")
    told = properties["guests"].get("description")
    expect(
        told == "how many people come", f"The docstring's line `guests: how many people come` describes that property; yours has {told!r}."
    )


@prop("6.3", "describe: jsonschema accepts what the function takes, and nothing else")
def schema_validates(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    schema = _described(describe, book_table)["parameters"]
    good = {"guests": 3, "day": "Friday"}
    expect(_accepts(schema, good), f"The schema refuses {good}, which the function takes.")
    expect(_accepts(schema, {**good, "note": "by the window"}), "The schema refuses the optional note.")
    for bad, why in (
        ({"day": "Friday"}, "guests is missing"),
        ({**good, "guests": "3"}, "guests is a text"),
        ({**good, "guests": 2.5}, "guests is no whole number"),
        ({**good, "day": "Monday"}, "day is none of the Literal's"),
        ({**good, "colour": 1}, "there is no parameter colour"),
        ({**good, "note": None}, "note is no text"),
    ):
        expect(not _accepts(schema, bad), f"The schema accepts {bad}, although {why}.")
    schema = _described(describe, mix)["parameters"]
    good = {"colours": ["red", "blue"], "share": 0.5}
    more: tuple[dict[str, Any], ...] = ({}, {"share": 1}, {"glossy": True}, {"name": None}, {"name": "dusk"}, {"colours": []})
    for extra in more:
        expect(
            _accepts(schema, good | extra),
            f"mix(colours: list[str], share: float, glossy: bool, name: str | None): the schema refuses {good | extra}.",
        )
    for wrong, why in (
        ({"colours": "red"}, "colours is no list"),
        ({"colours": [1]}, "a colour is a number"),
        ({"share": "half"}, "share is a text"),
        ({"glossy": 1}, "glossy is a number"),
        ({"name": 7}, "name is a number"),
    ):
        expect(not _accepts(schema, good | wrong), f"mix(…): the schema accepts {good | wrong}, although {why}.")


@prop("6.3", "describe: what cannot be described")
def undescribable(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    @signed
    def silent(x: int) -> int:
        return x

    @signed
    def untyped(x) -> int:
        """Has no type."""
        return int(x)

    @signed
    def many(*numbers: int) -> int:
        """Takes any number of arguments."""
        return sum(numbers)

    @signed
    def odd(when: set) -> None:
        """Takes a type that JSON does not have."""

    for function, why in (
        (silent, "has no docstring"),
        (untyped, "has a parameter without a type"),
        (many, "takes *numbers"),
        (odd, "takes a set, which JSON does not have"),
    ):
        expect_raises(ValueError, partial(describe, function), f"A function that {why} should raise ValueError.")


@prop("6.3", "parse_call: a call, whatever stands around it")
def parsed(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    call = '{"tool": "look_up", "arguments": {"query": "a } in {text}", "k": 2}}'
    want = ("look_up", {"query": "a } in {text}", "k": 2})
    for text, what in (
        (call, "the bare call"),
        (f"I will look that up.\n{call}\nDone.", "words around it"),
        (f"```json\n{call}\n```", "a code fence"),
        ("Think {carefully}. " + call, "a brace that begins no JSON"),
        ('{"thought": "hm"} ' + call, "an object without a tool before it"),
        (call + ' {"tool": "second", "arguments": {}}', "two calls: the first counts"),
        (call.replace(": ", " :\n "), "line breaks inside"),
    ):
        try:
            got = parse_call(text)
        except NotImplementedError:
            raise
        except Exception as error:
            expect(
                False,
                f"With {what}, parse_call raised {type(error).__name__} ({error}). Try the JSON decoder at each brace; where it fails, go "
                f"on to the next.",
            )
        expect(isinstance(got, tuple) and len(got) == 2, f"parse_call returns (name, arguments); yours returned {got!r}.")
        expect(
            tuple(got) == want,
            f"With {what}: expected {want}, yours is {got!r}. Braces inside strings do not count; let the JSON decoder find the end.",
        )
    expect(tuple(parse_call('{"tool": "now"}')) == ("now", {}), 'Without "arguments" they are {}.')


@prop("6.3", "parse_call: what is no call")
def not_a_call(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    for text in (
        "",
        "Sure! I can help you with that.",
        '{"tool": "look_up", "arguments": {"query": "x"}',
        "{'tool': 'look_up'}",
        '{"name": "look_up"}',
        '["tool"]',
        '{"tool": 7, "arguments": {}}',
        '{"tool": "look_up", "arguments": "x"}',
        '{"tool": "look_up", "arguments": [1]}',
        "{" * 3000,
    ):
        expect_raises(
            ValueError, partial(parse_call, text), f"{text[:60]!r} is no call: raise ValueError (run_tool turns it into an observation)."
        )


# --- running --------------------------------------------------------------------------------------------------------------


class _Kitchen:
    """Tools that write down when they run."""

    def __init__(self) -> None:
        self.ran: list[Any] = []

    @signed
    def bake(self, minutes: int, what: str = "bread") -> Any:
        """Bake something."""
        self.ran.append((minutes, what))
        if minutes > 90:
            raise RuntimeError("the bread is black")
        return {"baked": what, "gäste": [minutes]}

    @signed
    def taste(self, dish: str) -> str:
        """Taste a dish."""
        self.ran.append(dish)
        return f"{dish} is good"

    @property
    def tools(self) -> dict[str, Callable[..., Any]]:
        return {"bake": self.bake, "taste": self.taste}


def _call(name: str, **arguments: Any) -> str:
    return json.dumps({"tool": name, "arguments": arguments})


def _ran(run_tool: Fns, text: str, kitchen: _Kitchen, **options: Any) -> str:
    try:
        got = run_tool(text, kitchen.tools, **options)
    except NotImplementedError:
        raise
    except Exception as error:
        expect(
            False,
            f"run_tool raised {type(error).__name__} ({error}) for {text[:70]!r}. Nothing that a model writes, and nothing that a tool "
            f"does, "
            'may stop the program: return "Error: …".',
        )
    expect(isinstance(got, str), f"An observation is text for the model; yours is a {type(got).__name__}.")
    return str(got)


@prop("6.3", "run_tool: the result comes back as text")
def observed(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    kitchen = _Kitchen()
    got = _ran(run_tool, "Let me see: " + _call("taste", dish="soup"), kitchen)
    expect(got == "soup is good", f"A tool's text comes back as it is, 'soup is good'; yours {got!r}.")
    got = _ran(run_tool, _call("bake", minutes=40), kitchen)
    expect(kitchen.ran == ["soup", (40, "bread")], f"Each call runs its tool once, with its arguments by name; what ran: {kitchen.ran}.")
    expect("'" not in got, f"{got!r} is Python's notation; anything but text comes back as JSON (json.dumps).")
    try:
        value = json.loads(got)
    except ValueError:
        value = None
    expect(value == {"baked": "bread", "gäste": [40]}, f"A dict comes back as JSON; yours is {got!r}.")

    class Dated(_Kitchen):
        @signed
        def bake(self, minutes: int, what: str = "bread") -> Any:
            """Bake something."""
            return {"value": complex(1, 2)}

    got = _ran(run_tool, _call("bake", minutes=1), Dated())
    expect(
        "(1+2j)" in got and not got.startswith("Error"), f"What JSON lacks goes through str (json.dumps has `default=str`); yours {got!r}."
    )


@prop("6.3", "run_tool: trouble becomes an observation")
def trouble(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    kitchen = _Kitchen()
    for text in ("I do not know.", '{"tool": "bake", "arguments": {"minutes": 4', '{"tool": ["bake"]}'):
        got = _ran(run_tool, text, kitchen)
        expect(got.startswith("Error: "), f'{text!r} is no call: the observation starts with "Error: "; yours {got!r}.')
    got = _ran(run_tool, _call("fry", minutes=3), kitchen)
    expect(got.startswith("Error: "), f'There is no tool fry: expected an observation that starts with "Error: "; yours {got!r}.')
    expect(
        "bake" in got and "taste" in got,
        f"For an unknown tool, name those there are (bake, taste), so that the next try can be right; yours {got!r}.",
    )
    for arguments in ({"minutes": "ten"}, {}, {"minutes": 5, "oven": 2}, {"minutes": True}):
        got = _ran(run_tool, json.dumps({"tool": "bake", "arguments": arguments}), kitchen)
        expect(not kitchen.ran, f"bake ran with {arguments}, which do not fit its schema: validate before you call.")
        expect(
            got.startswith("Error: ") and "bake" in got,
            f'Arguments {arguments} do not fit bake: expected "Error: " with the tool\'s name; yours {got!r}.',
        )
    got = _ran(run_tool, _call("bake", minutes=99), kitchen)
    expect(
        got.startswith("Error: ") and "the bread is black" in got and "RuntimeError" in got,
        f'bake raised RuntimeError("the bread is black"): say both to the model, after "Error: "; yours {got!r}.',
    )


@prop("6.3", "run_tool: observations have to fit the context")
def cut(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    kitchen = _Kitchen()
    for n, max_chars in ((41, 50), (42, 50), (43, 50), (3000, 400), (9, 10)):
        dish = "m" * n
        got = _ran(run_tool, _call("taste", dish=dish), kitchen, max_chars=max_chars)
        whole = f"{dish} is good"
        want = whole if len(whole) <= max_chars else whole[: max_chars - 1] + "…"
        expect(len(got) <= max_chars, f"max_chars = {max_chars}: yours has {len(got)} characters. The … counts too.")
        expect(
            got == want,
            f"A result of {len(whole)} characters and max_chars = {max_chars}: expected …{want[-12:]!r} ({len(want)}), yours "
            f"…{got[-12:]!r} "
            f"({len(got)}).",
        )
    long = _ran(run_tool, _call("x" * 1000), kitchen, max_chars=60)
    expect(len(long) <= 60 and long.startswith("Error: "), "Error texts are cut to max_chars too.")


# --- decoding -------------------------------------------------------------------------------------------------------------


class Phrases:
    """A grammar of a few token sequences; a state is what has been made so far. Refuses to be asked nonsense."""

    def __init__(self, *phrases: Sequence[int]) -> None:
        self.phrases = [tuple(p) for p in phrases]
        self.states: list[tuple[int, ...]] = [()]
        self.start = 0
        self.budgets: list[int] = []

    def allowed(self, state: int, budget: int) -> list[int]:
        self.budgets.append(budget)
        made = self.states[state]
        fits = {p[len(made)] for p in self.phrases if p[: len(made)] == made and len(made) < len(p) and len(p) - len(made) <= budget}
        return sorted(fits, reverse=True)

    def advance(self, state: int, token: int) -> int:
        made = (*self.states[state], token)
        if all(p[: len(made)] != made for p in self.phrases):
            raise CheckFailed(f"Token {token}, which the grammar does not permit here, was generated: mask (with −inf) before you sample.")
        self.states.append((*self.states[state], token))
        return len(self.states) - 1

    def complete(self, state: int) -> bool:
        return self.states[state] in self.phrases


def _pick(logits: Tensor) -> int:
    return int(logits.argmax())


def _constant(logits: Sequence[float]) -> Callable[[list[int]], Tensor]:
    return lambda made: torch.tensor(logits)


@prop("6.3", "mask_logits rules out, and changes nothing else")
def masked(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    logits = torch.tensor([-2.0, 5.0, 0.5, -3.0])
    with untouched(logits=logits):
        got = mask_logits(logits, [3, 0])
    expect(isinstance(got, Tensor) and got.shape == logits.shape, "mask_logits returns a tensor of the logits' shape.")
    expect(
        not bool((got[[1, 2]] == 0).any()),
        "You set ruled-out logits to 0: allowed ones are negative here, so the ruled-out would be likelier. Use −inf.",
    )
    expect(
        got.tolist() == [-2.0, -math.inf, -math.inf, -3.0],
        f"Logits (−2, 5, 0.5, −3), allowed 3 and 0: expected (−2, −inf, −inf, −3); yours {got.tolist()}.",
    )
    expect(mask_logits(logits.double(), [1]).dtype == torch.float64, "The dtype stays that of the logits.")
    expect_raises(ValueError, partial(mask_logits, logits, []), "Nothing allowed: raise ValueError, or the sampler draws from nothing.")
    for bad in ([4], [0, -1]):
        expect_raises(ValueError, partial(mask_logits, logits, bad), f"allowed = {bad} of 4 tokens should raise ValueError.")


@prop("6.3", "constrained_decode: the grammar decides what, the model which")
def constrained(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    grammar = Phrases([1, 2, 3], [1, 4, 5, 6], [2, 2])
    scores = [9.0, 1.0, 0.0, 0.5, 2.0, 0.1, -4.0]  # token 0 is what the model would like to say, always
    got = constrained_decode(_constant(scores), grammar, 10, _pick)
    expect(isinstance(got, list), f"constrained_decode returns a list of ids; yours is a {type(got).__name__}.")
    expect(0 not in got, "Token 0, which the grammar never permits, was generated: mask before you sample.")
    expect(
        got == [1, 4, 5, 6],
        f"Of 1 2 3, 1 4 5 6 and 2 2 the model likes 1 more than 2, then 4 more than 2: expected [1, 4, 5, 6]; yours {got}.",
    )
    seen: list[list[int]] = []

    def next_logits(made: list[int]) -> Tensor:
        seen.append(made)
        return torch.tensor(scores)

    constrained_decode(next_logits, Phrases([1, 4, 5, 6]), 10, _pick)
    expect(len(seen) == 4, f"Four tokens cost four passes of the model; yours made {len(seen)}.")
    expect(
        [len(s) for s in seen] == [0, 1, 2, 3] and seen[3] == [1, 4, 5],
        f"next_logits gets the tokens made so far, a list of its own: lengths 0, 1, 2, 3; yours {[len(s) for s in seen]}.",
    )
    expect(
        constrained_decode(next_logits, Phrases([]), 5, _pick) == [] and len(seen) == 4,
        "A grammar that is complete at its start needs no token.",
    )


@prop("6.3", "constrained_decode: the sampler sees masked logits")
def sampler_sees(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    seen = []

    def sampler(logits: Tensor) -> Tensor:
        seen.append(logits.isfinite().nonzero().flatten().tolist())
        return torch.tensor(seen[-1][-1])  # the last one that is possible, as a tensor

    got = constrained_decode(_constant([3.0, 2.0, 1.0, 0.0]), Phrases([0, 1], [2, 3], [2, 1]), 4, sampler)
    expect(
        seen == [[0, 2], [1, 3]],
        f"The sampler should see logits in which only tokens 0 and 2, then 1 and 3 are possible; yours let through {seen}.",
    )
    expect(
        got == [2, 3] and all(isinstance(t, int) for t in got), f"The sampler's choice is what is made (2, then 3, as ints); yours {got!r}."
    )


@prop("6.3", "constrained_decode: the budget is always enough")
def budgets(describe: Fns, parse_call: Fns, run_tool: Fns, mask_logits: Fns, constrained_decode: Fns) -> None:
    grammar = Phrases([1, 1, 1, 1, 2], [1, 2], [1, 1, 2])
    scores = [0.0, 5.0, 1.0]  # always rather go on
    got = constrained_decode(_constant(scores), grammar, 3, _pick)
    expect(
        grammar.budgets[:3] == [3, 2, 1],
        f"With max_new_tokens = 3 the grammar is asked with a budget of 3, 2, 1 tokens (the one to be chosen included); "
        f"yours asked with {grammar.budgets[:5]}.",
    )
    expect(got == [1, 1, 2], f"Three tokens are enough for 1 1 2; yours made {got}.")
    expect_raises(
        ValueError,
        partial(constrained_decode, _constant(scores), Phrases([1, 2]), 1, _pick),
        "A budget of 1 cannot hold 1 2: nothing is allowed, which should raise ValueError.",
    )
