"""Constrained decoding: at every step only tokens that keep the text inside a grammar, by masking the scores of all others.

A pattern over bytes is compiled to a finite automaton once. For each of its states the permitted tokens are found by walking the whole
vocabulary through it, and kept. The automaton also knows how many bytes each state is away from a complete text, so that a budget of
tokens always suffices.

Sources: Willard, Louf 2023, "Efficient Guided Generation for Large Language Models" (arXiv:2307.09702), section 3; Thompson 1968 and the
subset construction for the automaton.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, SupportsInt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# --- patterns ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """A regular language over bytes. kind : "bytes" (one of a set), "sequence", "either" or "repeat" (0 or more)."""

    kind: str
    options: frozenset[int] = frozenset()
    parts: tuple[Pattern, ...] = ()


def one_of(characters: bytes) -> Pattern:
    """Any one of these bytes."""
    return Pattern("bytes", frozenset(characters))


def literal(text: str) -> Pattern:
    """Exactly this text."""
    return sequence(*(one_of(bytes([b])) for b in text.encode()))


def sequence(*parts: Pattern) -> Pattern:
    """One after the other."""
    return Pattern("sequence", parts=parts)


def either(*parts: Pattern) -> Pattern:
    """One of them."""
    if not parts:
        raise ValueError("either() needs at least one pattern")
    return Pattern("either", parts=parts)


def repeat(part: Pattern, most: int | None = None) -> Pattern:
    """None, one or more, up to `most`."""
    if most is None:
        return Pattern("repeat", parts=(part,))
    made = sequence()
    for _ in range(most):
        made = either(sequence(), sequence(part, made))
    return made


def optional(part: Pattern) -> Pattern:
    """The pattern once, or nothing."""
    return either(sequence(), part)


# --- JSON as patterns ---------------------------------------------------------------------------------------------------

_DIGIT, _NONZERO = one_of(b"0123456789"), one_of(b"123456789")
_TAIL = one_of(bytes(range(0x80, 0xC0)))
# The well-formed UTF-8 sequences of two to four bytes (Unicode standard, table 3-7).
_BEYOND_ASCII = either(
    sequence(one_of(bytes(range(0xC2, 0xE0))), _TAIL),
    sequence(one_of(b"\xe0"), one_of(bytes(range(0xA0, 0xC0))), _TAIL),
    sequence(one_of(bytes([*range(0xE1, 0xED), 0xEE, 0xEF])), _TAIL, _TAIL),
    sequence(one_of(b"\xed"), one_of(bytes(range(0x80, 0xA0))), _TAIL),
    sequence(one_of(b"\xf0"), one_of(bytes(range(0x90, 0xC0))), _TAIL, _TAIL),
    sequence(one_of(b"\xf1\xf2\xf3"), _TAIL, _TAIL, _TAIL),
    sequence(one_of(b"\xf4"), one_of(bytes(range(0x80, 0x90))), _TAIL, _TAIL),
)
_CHARACTER = either(
    one_of(bytes(b for b in range(0x20, 0x7F) if b not in b'"\\')), sequence(one_of(b"\\"), one_of(b'"\\/nt')), _BEYOND_ASCII
)
STRING = sequence(literal('"'), repeat(_CHARACTER), literal('"'))
INTEGER = sequence(optional(literal("-")), either(literal("0"), sequence(_NONZERO, repeat(_DIGIT, most=15))))
NUMBER = sequence(INTEGER, optional(sequence(literal("."), _DIGIT, repeat(_DIGIT, most=5))))
BOOLEAN = either(literal("true"), literal("false"))


def json_value(schema: Mapping[str, Any]) -> Pattern:
    """The texts of JSON values that fit a schema of the simple kind that `aieng.reasoning.tools.describe` writes.

    Objects have their properties in the schema's order, one space after each comma and colon. Optional properties may be left out.

    Raises
    ------
    ValueError
        A schema of another kind.
    """

    if "enum" in schema:
        return either(*(literal(json.dumps(value, ensure_ascii=False)) for value in schema["enum"]))
    if "anyOf" in schema:
        return either(*(json_value(s) for s in schema["anyOf"]))
    kind = schema.get("type")
    simple = {"string": STRING, "integer": INTEGER, "number": NUMBER, "boolean": BOOLEAN, "null": literal("null")}
    if isinstance(kind, str) and kind in simple:
        return simple[kind]
    if kind == "array":
        item = json_value(schema["items"])
        return sequence(literal("["), optional(sequence(item, repeat(sequence(literal(", "), item)))), literal("]"))
    if kind == "object":
        return _object(list(schema.get("properties", {}).items()), set(schema.get("required", ())))
    raise ValueError(f"no pattern for the schema {dict(schema)!r}; known: enum, anyOf, array, object, {', '.join(simple)}")


def _object(properties: list[tuple[str, Any]], required: set[str]) -> Pattern:
    def after(i: int, comma: bool) -> Pattern:
        if i == len(properties):
            return literal("}")
        name, schema = properties[i]
        here = sequence(literal((", " if comma else "") + json.dumps(name) + ": "), json_value(schema), after(i + 1, True))
        return here if name in required else either(here, after(i + 1, comma))

    return sequence(literal("{"), after(0, False))


# --- the automaton --------------------------------------------------------------------------------------------------------


class Automaton:
    """A deterministic finite automaton over bytes.

    Attributes
    ----------
    table : (states + 1, 257) int32; ``table[state, byte]`` is the next state, the last row and -1 mean that there is none; column 256 stays
    accepting : (states,) bool
    distance : (states,) int; bytes to the nearest complete text
    start : 0
    """

    start = 0

    def __init__(self, pattern: Pattern) -> None:
        edges, empty, first, last = _thompson(pattern)

        def closure(states: Collection[int]) -> frozenset[int]:
            found, todo = set(states), list(states)
            while todo:
                for to in empty[todo.pop()]:
                    if to not in found:
                        found.add(to)
                        todo.append(to)
            return frozenset(found)

        names = {closure([first]): 0}
        todo = deque(names)
        moves: list[dict[int, int]] = []
        accepting = []
        while todo:
            here = todo.popleft()
            accepting.append(last in here)
            reached: dict[int, set[int]] = {}
            for state in here:
                for byte, to in edges[state]:
                    reached.setdefault(byte, set()).add(to)
            # Most bytes of a set lead to the same place: close each place once.
            closed = {targets: closure(targets) for targets in {frozenset(t) for t in reached.values()}}
            row: dict[int, int] = {}
            for byte, targets in reached.items():
                there = closed[frozenset(targets)]
                if there not in names:
                    names[there] = len(names)
                    todo.append(there)
                row[byte] = names[there]
            moves.append(row)
        self.table: NDArray[np.int32] = np.full((len(moves) + 1, 257), -1, dtype=np.int32)
        self.table[:, 256] = [*range(len(moves)), -1]
        for state, row in enumerate(moves):
            self.table[state, list(row.keys())] = list(row.values())
        self.accepting = np.array(accepting)
        self.distance = self._distances()

    def _distances(self) -> NDArray[np.int64]:
        never = np.iinfo(np.int32).max
        moves = self.table[:-1, :256]
        far = np.where(self.accepting, 0, never).astype(np.int64)
        while True:
            nearer = np.minimum(far, np.where(moves >= 0, far[moves], never).min(axis=1) + 1)
            if (nearer == far).all():
                return far
            far = nearer

    def advance(self, state: int, text: bytes) -> int:
        """The state after `text`, or -1 where no text of the language goes on like this."""
        for byte in text:
            state = int(self.table[state, byte])
            if state < 0:
                return -1
        return state

    def matches(self, text: str) -> bool:
        """Whether the whole text belongs to the language."""
        state = self.advance(self.start, text.encode())
        return state >= 0 and bool(self.accepting[state])


def _thompson(pattern: Pattern) -> tuple[list[list[tuple[int, int]]], list[list[int]], int, int]:
    """Edges by byte, edges without one, first and last state of a nondeterministic automaton."""
    edges: list[list[tuple[int, int]]] = []
    empty: list[list[int]] = []

    def new() -> int:
        edges.append([])
        empty.append([])
        return len(edges) - 1

    def build(p: Pattern) -> tuple[int, int]:
        first, last = new(), new()
        if p.kind == "bytes":
            edges[first] += [(byte, last) for byte in p.options]
        elif p.kind == "sequence":
            at = first
            for part in p.parts:
                begin, end = build(part)
                empty[at].append(begin)
                at = end
            empty[at].append(last)
        elif p.kind == "either":
            for part in p.parts:
                begin, end = build(part)
                empty[first].append(begin)
                empty[end].append(last)
        else:
            begin, end = build(p.parts[0])
            empty[first] += [begin, last]
            empty[end] += [begin, last]
        return first, last

    first, last = build(pattern)
    return edges, empty, first, last


# --- tokens ---------------------------------------------------------------------------------------------------------------


class Grammar(Protocol):
    """What `constrained_decode` asks: which tokens may follow, and is the text complete?"""

    start: int

    def allowed(self, state: int, budget: int) -> Sequence[int]: ...

    def advance(self, state: int, token: int) -> int: ...

    def complete(self, state: int) -> bool: ...


class TokenGrammar:
    """An automaton over the tokens of a vocabulary.

    Parameters
    ----------
    automaton : Automaton
    tokens : sequence of bytes
        The bytes of each token id, in order; empty ones (special tokens) are never permitted. Every byte that the pattern uses must be a
        token by itself, so that any text can be finished.
    """

    def __init__(self, automaton: Automaton, tokens: Sequence[bytes]) -> None:
        self.automaton, self.tokens, self.start = automaton, tokens, automaton.start
        longest = max(map(len, tokens))
        self._bytes = np.full((len(tokens), longest), 256, dtype=np.int32)
        for i, token in enumerate(tokens):
            self._bytes[i, : len(token)] = list(token)
        self._usable = np.array([bool(t) for t in tokens])
        self._after: dict[int, NDArray[np.int32]] = {}
        self._allowed: dict[tuple[int, int], list[int]] = {}
        self._farthest = int(automaton.distance.max())

    def _next(self, state: int) -> NDArray[np.int32]:
        """The state after each token of the vocabulary, -1 where it leaves the language."""
        if state not in self._after:
            states = np.full(len(self._bytes), state, dtype=np.int32)
            alive = np.flatnonzero(self._usable)
            states[~self._usable] = -1
            for column in self._bytes.T:  # all tokens one byte further
                states[alive] = self.automaton.table[states[alive], column[alive]]
                alive = alive[(states[alive] >= 0) & (column[alive] != 256)]
            self._after[state] = states
        return self._after[state]

    def allowed(self, state: int, budget: int) -> Sequence[int]:
        """Tokens that may follow, of those after which the text can still be completed within `budget` tokens, this one included."""
        budget = min(budget, self._farthest + 1)  # beyond that, more tokens permit nothing more
        if (state, budget) not in self._allowed:
            after = self._next(state)
            ok = after >= 0
            ok[ok] = self.automaton.distance[after[ok]] <= budget - 1
            self._allowed[state, budget] = np.flatnonzero(ok).tolist()
        return self._allowed[state, budget]

    def advance(self, state: int, token: int) -> int:
        return int(self._next(state)[token])

    def complete(self, state: int) -> bool:
        """Whether the text may end here and nothing can follow."""
        return bool(self.automaton.accepting[state]) and not (self.automaton.table[state, :256] >= 0).any()


# --- decoding -------------------------------------------------------------------------------------------------------------


def mask_logits(logits: Tensor, allowed: Sequence[int]) -> Tensor:
    """A copy of the scores in which only the allowed tokens keep theirs; all others are −inf.

    Parameters
    ----------
    logits : Tensor (vocab_size,), float
        Left as it is.
    allowed : sequence of int, at least one, in any order

    Returns
    -------
    Tensor (vocab_size,), dtype of `logits`

    Raises
    ------
    ValueError
        Nothing is allowed, or an id is outside 0 … vocab_size − 1.
    """
    ids = torch.as_tensor(list(allowed), dtype=torch.int64)
    if len(ids) == 0:
        raise ValueError("no token is allowed: the text has left the grammar, or cannot be completed within the budget")
    if int(ids.min()) < 0 or int(ids.max()) >= len(logits):
        raise ValueError(f"allowed ids go from {int(ids.min())} to {int(ids.max())}; the scores are for 0 … {len(logits) - 1}")
    masked = torch.full_like(logits, float("-inf"))
    masked[ids] = logits[ids]
    return masked


def constrained_decode(
    next_logits: Callable[[list[int]], Tensor], grammar: Grammar, max_new_tokens: int, sampler: Callable[[Tensor], SupportsInt]
) -> list[int]:
    """Generate tokens of which the grammar permits every one, until its text is complete.

    Parameters
    ----------
    next_logits : callable
        The tokens generated so far, a list of int that begins empty, to the scores (vocab_size,) of the next one. Called once a token.
    grammar : Grammar
        ``grammar.start`` is the first state, ``grammar.allowed(state, budget)`` the ids that may follow when `budget` tokens are left
        (the one to be chosen included), ``grammar.advance(state, token)`` the state after a token, ``grammar.complete(state)`` whether
        the text is finished.
    max_new_tokens : int
        The budget at the beginning; one less after each token.
    sampler : callable
        Masked scores (vocab_size,) to a token id.

    Returns
    -------
    list of int
        Complete; empty where the start is complete already.

    Raises
    ------
    ValueError
        The budget cannot be enough: nothing is allowed.
    """
    made: list[int] = []
    state = grammar.start
    while not grammar.complete(state):
        allowed = grammar.allowed(state, max_new_tokens - len(made))
        token = int(sampler(mask_logits(next_logits(list(made)), allowed)))
        made.append(token)
        state = grammar.advance(state, token)
    return made


class Continuations:
    """A prompt that is read once; what may follow it is scored as often as asked, and only what is new is computed.

    Parameters
    ----------
    model : callable with ``new_cache(batch, capacity)``, such as `aieng.transformer.llama.Llama`
    prompt : sequence of int, at least one
    room : int
        Tokens that may follow.
    """

    def __init__(self, model: Any, prompt: Sequence[int], room: int) -> None:
        self.model, self.prompt_length = model, len(prompt)
        self.cache = model.new_cache(1, len(prompt) + room)
        self._made: list[int] = []
        with torch.inference_mode():
            self._scores = [model(torch.tensor([list(prompt)]), self.cache, logits_to_keep=1)[0, -1]]  # after 0, 1, … tokens

    def next_logits(self, made: Sequence[int]) -> Tensor:
        """Scores (vocab_size,) of the token after the prompt and `made`."""
        self._read(made)
        return self._scores[len(made)]

    def log_probability(self, ids: Sequence[int]) -> float:
        """log P(ids | prompt), natural logarithm, all tokens together."""
        self._read(ids[:-1])
        rows = torch.stack(self._scores[: len(ids)]).float().log_softmax(-1)
        return float(rows[torch.arange(len(ids)), torch.tensor(list(ids))].sum())

    @torch.inference_mode()
    def _read(self, made: Sequence[int]) -> None:
        same = next((i for i, (a, b) in enumerate(zip(made, self._made)) if a != b), min(len(made), len(self._made)))
        self.cache.truncate(self.prompt_length + same)
        del self._scores[same + 1 :]
        self._made = list(made)
        if fresh := self._made[same:]:
            self._scores += self.model(torch.tensor([fresh]), self.cache)[0].unbind()
