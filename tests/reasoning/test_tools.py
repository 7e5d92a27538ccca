"""Tools: schemas against pydantic's, calls found in text, observations for whatever goes wrong, and the three real tools."""

import json
import sqlite3
from typing import Literal

import jsonschema
import numpy as np
import pytest
from pydantic import ConfigDict, create_model

from aieng.generation.constrained import Automaton
from aieng.reasoning.tool_choice import EXAMPLES, argument_prompt, calling_prompt, holds_answer
from aieng.reasoning.toolbox import Library, Shop, calculator
from aieng.reasoning.tools import call_pattern, describe, judge_call, parse_call, run_tool
from aieng.vectors.search_engine import FlatIndex


def plan(city: str, nights: int = 2, share: float = 0.5, mode: Literal["car", "train"] = "car", stops: list[str] | None = None) -> str:
    """Plan a
    trip.

    city: where to
    """
    return f"{city} for {nights}"


TOOLS = {"plan": plan, "calculator": calculator}


def call(name, **arguments):
    return json.dumps({"tool": name, "arguments": arguments})


def test_schema_accepts_what_pydantic_accepts():
    made = describe(plan)
    assert (
        made["name"] == "plan"
        and made["description"] == "Plan a trip."
        and made["parameters"]["properties"]["city"]["description"] == "where to"
    )
    theirs = create_model(
        "plan",
        __config__=ConfigDict(extra="forbid"),
        city=(str, ...),
        nights=(int, 2),
        share=(float, 0.5),
        mode=(Literal["car", "train"], "car"),
        stops=(list[str] | None, None),
    ).model_json_schema()
    ours, other = (jsonschema.Draft202012Validator(s) for s in (made["parameters"], theirs))
    for name in ("city", "nights", "share", "mode", "stops", "extra"):
        for value in ("x", "car", 3, 2.5, True, None, [], ["a"], [1], {}):
            arguments = {"city": "Rome", name: value}
            assert ours.is_valid(arguments) == other.is_valid(arguments), arguments
    assert not ours.is_valid({}) and not other.is_valid({})


def test_what_cannot_be_described():
    def silent(x: int) -> int:
        return x

    def untyped(x):
        """Says something."""

    def many(*x: int):
        """Says something."""

    def odd(x: set):
        """Says something."""

    for function, message in ((silent, "no docstring"), (untyped, "no annotation"), (many, "need names"), (odd, "use str, int")):
        with pytest.raises(ValueError, match=message):
            describe(function)


@pytest.mark.parametrize(
    "around", ["{}", "Well: {} Done.", "```json\n{}\n```", "{{hm}} {}", '{{"a": {{"b": 1}}}} {}', '{} {{"tool": "second"}}']
)
def test_parse_call(around):
    wanted = {"q": 'a } {tool} "x" \\'}
    assert parse_call(around.format(call("plan", **wanted))) == ("plan", wanted)


@pytest.mark.parametrize(
    "text", ["", "no", "{", '{"tool": 1}', '{"tool": "a", "arguments": []}', '{"name": "a"}', '{"a":' * 3000, "{" * 999]
)
def test_no_call(text):
    with pytest.raises(ValueError, match=r"call found|must be"):
        parse_call(text)
    assert run_tool(text, TOOLS).startswith("Error: ")
    assert judge_call(text, TOOLS)[0] == "no call"


def test_observations():
    assert run_tool(call("plan", city="Rome"), TOOLS) == "Rome for 2"
    assert run_tool(call("calculator", expression="2 * (3 + 4)"), TOOLS) == "14"
    assert "plan, calculator" in run_tool(call("fly"), TOOLS)
    assert "do not fit" in run_tool(call("plan", city=3), TOOLS)
    assert "ValueError" in run_tool(call("calculator", expression="x"), TOOLS)
    assert run_tool(call("plan", city="x" * 900), TOOLS, 50) == "x" * 49 + "…"
    assert [judge_call(t, TOOLS) for t in (call("fly"), call("plan"), call("plan", city="Rome"))] == [
        ("unknown tool", "fly"),
        ("wrong arguments", "plan"),
        ("valid", "plan"),
    ]


def test_call_pattern_holds_exactly_the_valid_calls():
    automaton = Automaton(call_pattern(describe(f) for f in TOOLS.values()))
    for text in (
        call("plan", city="Rome"),
        call("plan", city="Rome", nights=3, mode="train", stops=["a", "b"]),
        call("calculator", expression="1"),
    ):
        assert automaton.matches(text) and judge_call(text, TOOLS)[0] == "valid"
    for text in (call("plan"), call("plan", city=1), call("fly", city="Rome"), call("plan", city="Rome", mode="bus"), "{}"):
        assert not automaton.matches(text)


# --- the three tools ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value"), [("3 * (17 + 4) / 2", 31.5), ("-2 ** 2", -4), ("7 // 2 + 7 % 4", 6), ("+1.5", 1.5), (" 2**10 ", 1024)]
)
def test_calculator(expression, value):
    assert calculator(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "x",
        "2 +",
        "__import__('os').system('true')",
        "(1).__class__",
        "'a' * 3",
        "[1][0]",
        "1 if 1 else 2",
        "9 ** 9 ** 9 ** 9",
        "2 ** 65",
        "1 / 0",
        "1e200 * 1e200",
        "(-8) ** 0.5",
        "1j",
        "True + 1",
        "1 < 2",
        "lambda: 1",
        "f'{1}'",
        "1,2",
        "(" * 150 + "1",
        "9" * 201,
        "7 % 0",
        "1e308 ** 2",
        "10 ** 64 ** 2",
    ],
)
def test_calculator_refuses(expression):
    with pytest.raises(ValueError, match=r"expression|allowed|cannot|leaves|exponent"):
        calculator(expression)


@pytest.fixture
def shop():
    return Shop([("Teapot", "object", 8.9), ("Wok", "object", 9.9), ("Tulip", "plant", 2.9)])


def test_shop_reads(shop):
    assert shop.query_shop("SELECT COUNT(*) AS n FROM items WHERE category = 'object'") == [{"n": 2}]
    assert shop.query_shop("SELECT title FROM items ORDER BY price LIMIT 1") == [{"title": "Tulip"}]
    assert shop.query_shop("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT MAX(i) AS i FROM n") == [
        {"i": 3}
    ]
    assert len(Shop([("a", "b", 1.0)] * 30, max_rows=5).query_shop("SELECT * FROM items")) == 5


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE items",
        "DELETE FROM items",
        "UPDATE items SET price = 0",
        "INSERT INTO items VALUES ('a', 'b', 1)",
        "CREATE TABLE t (a)",
        "PRAGMA user_version = 3",
        "ATTACH DATABASE '/tmp/x.db' AS x",
        "SELECT load_extension('x')",
        "SELECT * FROM sqlite_nothing",
        "SELECT 1; DROP TABLE items",
        "VACUUM",
        "BEGIN",
        "",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n",
    ],
)
def test_shop_refuses_everything_but_reading(shop, sql):
    if sql:
        with pytest.raises(ValueError, match="refused"):
            shop.query_shop(sql)
    else:
        assert shop.query_shop(sql) == []
    assert shop.query_shop("SELECT COUNT(*) AS n, SUM(price) AS p FROM items") == [{"n": 3, "p": pytest.approx(21.7)}]


def test_the_authorizer_and_not_luck_refuses(shop):
    """Without it the same connection would write."""
    shop._connection.set_authorizer(None)
    shop._connection.execute("DELETE FROM items")
    assert shop._connection.execute("SELECT COUNT(*) FROM items").fetchone() == (0,)
    assert isinstance(shop._connection, sqlite3.Connection)


def test_library_gives_the_nearest_texts():
    texts = ["east", "north", "west"]
    vectors = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    library = Library(texts, FlatIndex(vectors), lambda queries: np.array([[0.9, 0.1]] * len(queries), dtype=np.float32))
    assert library.search_definitions("anything") == ["east"] and library.search_definitions("anything", 3) == ["east", "north", "west"]
    assert "do not fit" in run_tool(call("search", query="x", k=9), {"search": library.search_definitions})


# --- prompts --------------------------------------------------------------------------------------------------------------


def test_examples_are_valid_calls():
    shop = Shop([("Turban", "clothing", 26.0)])
    tools = {
        "calculator": calculator,
        "query_shop": shop.query_shop,
        "search_definitions": Library([], FlatIndex(np.eye(2)), np.array).search_definitions,
    }
    for name, pairs in EXAMPLES.items():
        for _, arguments in pairs:
            assert judge_call(json.dumps({"tool": name, "arguments": arguments}), tools) == ("valid", name)
    text = argument_prompt(describe(calculator), "What is 2 plus 2?")
    assert text.endswith("Question: What is 2 plus 2?\nCall:") and text.count("Call:") == 4
    assert calling_prompt([describe(calculator)], "Why?").endswith("Question: Why?")


@pytest.mark.parametrize(
    ("accepted", "text", "right"),
    [
        (["4042"], "It is 4,042.", True),
        (["4042"], "404 and 2", False),
        (["39"], "39.0 percent", True),
        (["543.0"], '[{"price": 543.0}]', True),
        (["12.5"], "12.4", False),
        (["hat", "cap"], "A straw HAT", True),
        (["hat"], "shoe", False),
        (["-4"], "25-4", True),
        (["pan"], "a katsuopan", False),
    ],
)
def test_holds_answer(accepted, text, right):
    assert holds_answer(accepted, text) == right


def test_numbers_of_the_question_do_not_count():
    assert not holds_answer(["32"], "1024 divided by 32 is 2.8", "What is 1024 divided by 32?")
    assert holds_answer(["32"], "1024 divided by 32 is 32", "What is 1024 divided by 32?")
