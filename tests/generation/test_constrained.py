"""Constrained decoding: the automaton against `re`, JSON patterns against jsonschema, token masks against trying, and the decoder."""

import json
import math
import random
import re

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aieng.generation.constrained import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    Automaton,
    Continuations,
    TokenGrammar,
    constrained_decode,
    either,
    json_value,
    literal,
    mask_logits,
    one_of,
    optional,
    repeat,
    sequence,
)

BYTES = [bytes([b]) for b in range(256)]
SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "words": {"type": "array", "items": {"type": "string"}},
        "kind": {"enum": ["a", 2, None]},
        "x": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "ok": {"type": "boolean"},
    },
    "required": ["n", "kind"],
    "additionalProperties": False,
}


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="abc", max_size=8))
def test_automaton_matches_what_re_matches(text):
    pattern = sequence(
        repeat(one_of(b"ab")), either(literal("c"), sequence(literal("ab"), optional(literal("cc")))), repeat(literal("a"), most=2)
    )
    assert Automaton(pattern).matches(text) == bool(re.fullmatch(r"[ab]*(c|ab(cc)?)a{0,2}", text))


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (INTEGER, ["0", "-7", "120"], ["", "01", "-", "1.5", "+1"]),
        (NUMBER, ["0.5", "-12.25", "3"], [".5", "1.", "1e5"]),
        (BOOLEAN, ["true", "false"], ["True", "tru"]),
        (STRING, ['""', '"é 猫 🙂"', r'"a\"b\\c\n"'], ['"', "'a'", '"a"b"', '"\n"', r'"\x"']),
    ],
)
def test_json_values_by_hand(pattern, good, bad):
    automaton = Automaton(pattern)
    assert all(automaton.matches(text) for text in good) and not any(automaton.matches(text) for text in bad)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=12))
def test_json_strings_of_any_text(text):
    """What json.dumps writes is in the language where it needs no \\u escape; what is in the language is a JSON string."""
    written = json.dumps(text, ensure_ascii=False)
    if not re.search(r"\\u|\\[bfr]|\x7f", written):
        assert Automaton(STRING).matches(written)


@pytest.mark.parametrize(
    "value",
    [
        {"n": 1, "kind": "a"},
        {"n": -3, "words": [], "kind": None},
        {"n": 0, "words": ["x", "y z"], "kind": 2, "x": 1.5, "ok": True},
        {"n": 4, "kind": 2, "x": None},
        {"kind": "a"},
        {"n": 1},
        {"n": "1", "kind": "a"},
        {"n": 1, "kind": "b"},
        {"n": 1, "kind": "a", "z": 1},
        {"n": 1, "words": [1], "kind": "a"},
        {"n": 1, "kind": "a", "ok": 1},
        [],
        3,
    ],
)
def test_objects_like_jsonschema(value):
    """Written in the schema's order, a value is in the language exactly when jsonschema accepts it."""
    fits = jsonschema.Draft202012Validator(SCHEMA).is_valid(value)
    assert Automaton(json_value(SCHEMA)).matches(json.dumps(value)) == fits


def test_distances_are_shortest_completions():
    automaton = Automaton(either(literal("abc"), sequence(literal("x"), repeat(literal("y")), literal("z"))))
    assert automaton.distance[automaton.start] == 2
    assert automaton.distance[automaton.advance(0, b"ab")] == 1
    assert automaton.advance(0, b"ax") == -1 and automaton.advance(automaton.advance(0, b"abc"), b"c") == -1


def test_allowed_tokens_are_those_that_trying_finds():
    tokens = [*BYTES, b"", b'{"n', b'": ', b"12", b'{"n": 1', b'", "', b"true}", "猫".encode(), "猫".encode()[:2]]
    automaton = Automaton(json_value(SCHEMA))
    grammar = TokenGrammar(automaton, tokens)
    state, rng = grammar.start, random.Random(3)
    for left in range(90, 0, -1):
        if grammar.complete(state):
            break
        want = []
        for i, token in enumerate(tokens):
            after = automaton.advance(state, token) if token else -1
            if after >= 0 and automaton.distance[after] <= left - 1:
                want.append(i)
        assert list(grammar.allowed(state, left)) == want
        state = grammar.advance(state, rng.choice(want))
    assert grammar.complete(state)


@pytest.mark.parametrize("budget", [22, 23, 40, 120])
def test_random_models_write_what_jsonschema_accepts_within_the_budget(budget):
    tokens = [*BYTES, b'{"n": ', b'", "kind": ', b"12", b'"a"', b"}"]
    grammar = TokenGrammar(Automaton(json_value(SCHEMA)), tokens)
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        table = 4 * torch.randn(len(tokens), len(tokens), generator=generator)
        made = constrained_decode(
            lambda ids, t=table: t[ids[-1] if ids else 0],
            grammar,
            budget,
            lambda row, g=generator: torch.multinomial(row.softmax(-1), 1, generator=g),
        )
        value = json.loads(b"".join(tokens[t] for t in made).decode())
        assert len(made) <= budget and jsonschema.Draft202012Validator(SCHEMA).is_valid(value)


def test_a_budget_that_is_too_small_is_refused():
    grammar = TokenGrammar(Automaton(json_value(SCHEMA)), BYTES)
    with pytest.raises(ValueError, match="no token is allowed"):
        constrained_decode(lambda ids: torch.zeros(256), grammar, 5, torch.argmax)


def test_complete_only_where_nothing_can_follow():
    grammar = TokenGrammar(Automaton(sequence(literal("a"), repeat(literal("b"), most=2))), BYTES)
    assert constrained_decode(lambda ids: torch.zeros(256), grammar, 3, torch.argmax) == [97, 98, 98]


def test_mask_logits():
    logits = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    got = mask_logits(logits, [1, 0])
    assert got.tolist() == [1.0, -2.0, -math.inf] and got.dtype == torch.float64 and logits.tolist() == [1, -2, 3]
    for bad in ([], [3], [-1]):
        with pytest.raises(ValueError, match="allowed"):
            mask_logits(logits, bad)


def test_refused_schemas_and_patterns():
    with pytest.raises(ValueError, match="no pattern for the schema"):
        json_value({"type": "date"})
    with pytest.raises(ValueError, match="at least one"):
        either()


def test_continuations_score_like_reading_everything_anew(lm):
    prompt = lm.tokenizer.encode("The capital of France")
    after = lm.tokenizer.encode(" is Paris, the capital of Spain")
    other = lm.tokenizer.encode(" is Paris. In")
    reader = Continuations(lm.model, prompt, 16)

    def anew(ids):
        return lm.logits([*prompt, *ids])

    for ids in (after[:3], after, other, [], after[:1], other):
        assert torch.allclose(reader.next_logits(ids), anew(ids)[-1], atol=2e-3)
    for ids in (after, other):
        rows = anew(ids)[len(prompt) - 1 : -1].log_softmax(-1)
        want = float(rows[torch.arange(len(ids)), torch.tensor(ids)].sum())
        assert reader.log_probability(ids) == pytest.approx(want, abs=5e-3)
