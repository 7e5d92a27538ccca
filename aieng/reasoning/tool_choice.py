"""How a small model picks one of several tools and fills in its arguments: the prompts, and four ways to choose.

"noisy channel" asks how well each description explains the question: Min et al. 2022, "Noisy Channel Language Model Prompting"
(arXiv:2108.04106). "calibrated" takes off what a name scores on an empty question: Zhao et al. 2021, "Calibrate Before Use"
(arXiv:2102.09690).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from aieng.generation.constrained import Automaton, Continuations, TokenGrammar, literal, sequence
from aieng.models.smollm2 import SmolLM2
from aieng.reasoning.tools import call_pattern

METHODS = ("free", "constrained", "calibrated", "noisy channel")

# Three questions and calls for each tool of the course, to write arguments by; none of them is a test question.
EXAMPLES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "calculator": [
        ("What is 12 times 9?", {"expression": "12 * 9"}),
        ("Add 310 and 45, then divide by 5.", {"expression": "(310 + 45) / 5"}),
        ("How much is 7 percent of 300?", {"expression": "300 * 7 / 100"}),
    ],
    "query_shop": [
        ("How many plants are for sale?", {"sql": "SELECT COUNT(*) FROM items WHERE category = 'plant'"}),
        ("What does the turban cost?", {"sql": "SELECT price FROM items WHERE title = 'Turban'"}),
        ("Which food is the cheapest?", {"sql": "SELECT title FROM items WHERE category = 'food' ORDER BY price LIMIT 1"}),
        ("What is the average price of clothing?", {"sql": "SELECT AVG(price) FROM items WHERE category = 'clothing'"}),
    ],
    "search_definitions": [
        ("What is a tsunami?", {"query": "tsunami"}),
        ("Which animal has a shell on its back?", {"query": "animal with a shell on its back"}),
        ("Explain the word kilt.", {"query": "kilt"}),
    ],
}


def calling_prompt(descriptions: Sequence[Mapping[str, Any]], question: str) -> str:
    """A message for a chat model: the tools as JSON, the form of a call, the question."""
    listed = "\n".join(json.dumps(d, ensure_ascii=False) for d in descriptions)
    example = json.dumps({"tool": "search_definitions", "arguments": {"query": "kilt"}})
    return (
        f"You can call one of these tools:\n{listed}\n\nAnswer with one JSON object and nothing else, in this form:\n{example}\n\n"
        f"Question: {question}"
    )


class CallPrompt:
    """The chat prompt with the tools, read once; questions are then appended to it, one after the other.

    Parameters
    ----------
    lm : SmolLM2
    descriptions : of the tools
    room : int
        Tokens that a question and the text after it may have.
    """

    def __init__(self, lm: SmolLM2, descriptions: Sequence[Mapping[str, Any]], room: int) -> None:
        self._lm, self._descriptions = lm, list(descriptions)
        some, other = self._ids("Why?"), self._ids("How much?")
        self._shared = next(i for i, (a, b) in enumerate(zip(some, other)) if a != b)
        self.read = Continuations(lm.model, some[: self._shared], room)

    def _ids(self, question: str) -> list[int]:
        return self._lm.chat_ids([{"role": "user", "content": calling_prompt(self._descriptions, question)}])

    def asking(self, question: str) -> list[int]:
        """The tokens from the question to the place where the answer begins."""
        return self._ids(question.strip())[self._shared :]

    def after(self, question: str) -> Callable[[Sequence[int]], Tensor]:
        """Scores of the answer's next token, for `constrained_decode`."""
        asking = self.asking(question)
        return lambda made: self.read.next_logits([*asking, *made])


def call_grammar(lm: SmolLM2, descriptions: Sequence[Mapping[str, Any]], lead: str = "") -> TokenGrammar:
    """All calls of the described tools whose arguments fit, after a fixed `lead`, over the model's tokens."""
    pattern = sequence(literal(lead), call_pattern(descriptions)) if lead else call_pattern(descriptions)
    return TokenGrammar(Automaton(pattern), token_bytes(lm))


def token_bytes(lm: SmolLM2) -> list[bytes]:
    """The bytes of each token; special tokens have none."""
    tokens = [b""] * lm.config.vocab_size
    for token, i in lm.tokenizer.vocabulary.items():
        tokens[i] = token
    return tokens


def argument_prompt(description: Mapping[str, Any], question: str) -> str:
    """A few questions with their calls, then the question: for a model that continues texts."""
    name = str(description["name"])
    shown = "\n\n".join(
        f"Question: {asked}\nCall: {json.dumps({'tool': name, 'arguments': arguments})}" for asked, arguments in EXAMPLES[name]
    )
    return f"{description['description']}\n\n{shown}\n\nQuestion: {question}\nCall:"


def holds_answer(accepted: Sequence[str], text: str, question: str = "") -> bool:
    """Whether a text holds one of the accepted answers: a number among its numbers (to 0.1 %), or a word's beginning, in any case.

    Numbers that only repeat the question's do not count.
    """
    numbers = _numbers(text)
    for repeated in _numbers(question):
        if repeated in numbers:
            numbers.remove(repeated)
    for answer in accepted:
        if re.fullmatch(r"-?\d+(\.\d+)?", answer):
            if any(math.isclose(n, float(answer), rel_tol=1e-3) for n in numbers):
                return True
        elif re.search(rf"\b{re.escape(answer)}", text, re.IGNORECASE):
            return True
    return False


def _numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", text.replace(",", ""))]


class Chooser:
    """Chooses one of some tools for a question.

    Parameters
    ----------
    lm : SmolLM2
    purposes : mapping of tool name to description
    longest : int
        Tokens that a question may have.
    """

    def __init__(self, lm: SmolLM2, purposes: Mapping[str, str], longest: int = 64) -> None:
        self.lm, self.purposes = lm, dict(purposes)
        encode = lm.tokenizer.encode
        listed = "\n".join(f"- {name}: {text}" for name, text in purposes.items())
        self._forward = Continuations(
            lm.model, encode(f"Choose the tool that answers the question.\n\nTools:\n{listed}\n\nQuestion:"), longest + 24
        )
        self._backward = {
            name: Continuations(lm.model, encode(f"Tool {name}: {text}\nA question that this tool answers:"), longest)
            for name, text in purposes.items()
        }
        self._empty = self._names("")

    def choose(self, question: str, method: str) -> str | None:
        """The chosen tool's name; None where free text names none.

        Raises
        ------
        ValueError
            An unknown method.
        """
        if method == "free":
            return self._free(question)
        scores = self.scores(question, method)
        return max(scores, key=lambda name: scores[name])

    def scores(self, question: str, method: str) -> dict[str, float]:
        """Each tool's score, natural logarithms; larger is better."""
        if method == "noisy channel":
            ids = self.lm.tokenizer.encode(f" {question}\n")
            return {name: prompt.log_probability(ids) for name, prompt in self._backward.items()}
        names = self._names(question)
        if method == "constrained":
            return names
        if method == "calibrated":
            return {name: score - self._empty[name] for name, score in names.items()}
        raise ValueError(f"method {method!r}; choose one of {', '.join(METHODS)}")

    def _asked(self, question: str) -> list[int]:
        return self.lm.tokenizer.encode(f" {question}\nTool:" if question else "\nTool:")

    def _names(self, question: str) -> dict[str, float]:
        """log P(name | question) of each tool."""
        asked = self._asked(question)
        before = self._forward.log_probability(asked)
        return {name: self._forward.log_probability([*asked, *self.lm.tokenizer.encode(f" {name}\n")]) - before for name in self.purposes}

    def _free(self, question: str, tokens: int = 12) -> str | None:
        made: list[int] = []
        asked = self._asked(question)
        while len(made) < tokens and "\n" not in self.lm.tokenizer.decode(made[1:]):
            made.append(int(self._forward.next_logits([*asked, *made]).argmax()))
        said = self.lm.tokenizer.decode(made)
        places = {name: said.find(name) for name in self.purposes if name in said}
        return min(places, key=lambda name: places[name]) if places else None
