"""Measures what takes minutes in exercise 6.3, writes tool_calls.json: python assets/make_tool_calls.py [--only PART].

calls: 500 calls of SmolLM2 (temperature 1) as it likes, 500 under a mask; how many are valid.
choice: 60 questions, three tools, four sets of descriptions, four ways to choose.
loop: the same questions answered by SmolLM2 alone and through the tools.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aieng.generation.constrained import Continuations, TokenGrammar, constrained_decode, mask_logits
from aieng.lesson.experiments.tools import mask_trace
from aieng.models.smollm2 import SmolLM2, smollm2
from aieng.reasoning.tool_choice import METHODS, CallPrompt, Chooser, argument_prompt, call_grammar, calling_prompt, holds_answer
from aieng.reasoning.toolbox import open_tools
from aieng.reasoning.tools import describe, judge_call, run_tool

RESULT = Path(__file__).resolve().parent / "tool_calls.json"
CALLS, TOKENS, TEMPERATURE = 500, 64, 1.0
PATIENCE = 24  # a free text without a brace in so many tokens is given up: it has begun to chat

# question, the text that a right answer holds (a list: any of them); the calculator's are numbers
CALCULATOR = [
    ("What is 47 times 86?", 4042),
    ("How much is 15 percent of 260?", 39),
    ("Multiply 12.5 by 8.", 100),
    ("What is 1024 divided by 32?", 32),
    ("What do you get when you add 389 and 476?", 865),
    ("Subtract 178 from 903.", 725),
    ("What is 17 squared?", 289),
    ("How many minutes are 7 hours?", 420),
    ("If I buy 6 tickets at 14 euros each, what do I pay?", 84),
    ("Half of 738 is how much?", 369),
    ("What is 3 times the sum of 19 and 23?", 126),
    ("Compute 2 to the power of 12.", 4096),
    ("I drive 348 kilometres in 4 hours. How many kilometres per hour is that?", 87),
    ("What is 99 minus 3 times 21?", 36),
    ("What is the average of 84 and 122?", 103),
    ("How many days are 26 weeks?", 182),
    ("A box holds 24 bottles. How many bottles are in 17 boxes?", 408),
    ("What is 1000 minus 333?", 667),
    ("What is 55 plus 66 plus 77?", 198),
    ("Divide 945 by 15.", 63),
]
SHOP = [
    ("How many pieces of clothing do you sell?", "SELECT COUNT(*) FROM items WHERE category = 'clothing'"),
    ("What does the violin cost?", "SELECT price FROM items WHERE title = 'Violin'"),
    ("How much is a teapot?", "SELECT price FROM items WHERE title = 'Teapot'"),
    ("Which plant is the most expensive?", "SELECT title FROM items WHERE category = 'plant' ORDER BY price DESC LIMIT 1"),
    ("What is your cheapest piece of clothing?", "SELECT title FROM items WHERE category = 'clothing' ORDER BY price LIMIT 1"),
    ("What is the average price of food?", "SELECT AVG(price) FROM items WHERE category = 'food'"),
    ("Which object costs the most?", "SELECT title FROM items WHERE category = 'object' ORDER BY price DESC LIMIT 1"),
    ("How many items cost more than 500 euros?", "SELECT COUNT(*) FROM items WHERE price > 500"),
    ("How many kinds of food are for sale?", "SELECT COUNT(*) FROM items WHERE category = 'food'"),
    ("What is the price of the kimono?", "SELECT price FROM items WHERE title = 'Kimono'"),
    ("Do you sell a hammock, and for how much?", "SELECT price FROM items WHERE title = 'Hammock'"),
    ("What is the cheapest plant in the shop?", "SELECT title FROM items WHERE category = 'plant' ORDER BY price LIMIT 1"),
    ("How many items are there in the shop?", "SELECT COUNT(*) FROM items"),
    ("How much do plants cost on average?", "SELECT AVG(price) FROM items WHERE category = 'plant'"),
    ("I would like to buy a wok. What does it cost?", "SELECT price FROM items WHERE title = 'Wok'"),
    ("What is the highest price of any food that you sell?", "SELECT MAX(price) FROM items WHERE category = 'food'"),
    ("How many plants under 5 euros do you have?", "SELECT COUNT(*) FROM items WHERE category = 'plant' AND price < 5"),
    ("What does a quiche cost here?", "SELECT price FROM items WHERE title = 'Quiche'"),
    ("Which food in the shop has the highest price?", "SELECT title FROM items WHERE category = 'food' ORDER BY price DESC LIMIT 1"),
    ("Is the sundial for sale, and at what price?", "SELECT price FROM items WHERE title = 'Sundial'"),
]
DEFINITIONS = [
    ("What is a sombrero?", ["hat"]),
    ("What does a sundial show?", ["hour", "time"]),
    ("What is a pangolin?", ["mammal", "scales", "scaly"]),
    ("What kind of animal is a walrus?", ["marine", "sea", "tusk"]),
    ("Which boat is used on the canals of Venice?", ["gondola"]),
    ("What is the meaning of the word kimono?", ["robe"]),
    ("Explain what a lighthouse is for.", ["warn", "guide", "ships"]),
    ("What is a wok?", ["pan"]),
    ("Which mythical creature is a white horse with a horn?", ["unicorn"]),
    ("What is a falcon?", ["bird"]),
    ("What is cheddar?", ["cheese"]),
    ("What do you call a hanging bed between two trees?", ["hammock"]),
    ("What is saffron?", ["crocus", "spice", "flavor"]),
    ("Define mitten.", ["glove"]),
    ("What is a platypus?", ["monotreme", "mammal"]),
    ("Which stringed instrument has a triangular frame and a curved neck?", ["harp"]),
    ("What is a quiche?", ["tart", "pie", "custard"]),
    ("What is a fern?", ["plant"]),
    ("Who wears a kilt?", ["men", "scot"]),
    ("What is a sandal?", ["shoe", "footwear"]),
]
# What the descriptions say: the tools' own docstrings, or nothing in particular; under telling names or empty ones.
VAGUE = {"calculator": "A useful tool.", "query_shop": "Works with data.", "search_definitions": "Gives you information."}
EMPTY_NAMES = {"calculator": "process", "query_shop": "handle", "search_definitions": "run"}


def questions(shop: Callable[[str], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Every question with its tool and the texts of which a right answer holds one."""
    listed = [{"question": q, "tool": "calculator", "accepts": [str(n)]} for q, n in CALCULATOR]
    for q, sql in SHOP:
        [value] = shop(sql)[0].values()
        listed.append({"question": q, "tool": "query_shop", "accepts": [str(value)]})
    return listed + [{"question": q, "tool": "search_definitions", "accepts": words} for q, words in DEFINITIONS]


def sampler(seed: int) -> Callable[[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda logits: torch.multinomial((logits.float() / TEMPERATURE).softmax(-1), 1, generator=generator)


class Rows:
    """Several texts after one prompt, a token a step: the prompt is read once, and all rows share each pass over the weights."""

    def __init__(self, lm: SmolLM2, prompt: Continuations, ids: list[int], rows: int) -> None:
        scores = prompt.next_logits(ids)
        held = prompt.cache.length
        self.model, self.cache = lm.model, lm.model.new_cache(rows, held + TOKENS)
        for mine, theirs in ((self.cache.keys, prompt.cache.keys), (self.cache.values, prompt.cache.values)):
            mine[:, :, :, :held] = theirs[:, :, :, :held]
        self.cache.length = held
        self.scores = scores.expand(rows, -1)

    @torch.inference_mode()
    def step(self, tokens: list[int]) -> None:
        self.scores = self.model(torch.tensor(tokens)[:, None], self.cache, logits_to_keep=1)[:, -1]

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows only."""
        self.cache.keys, self.cache.values = self.cache.keys[:, rows], self.cache.values[:, rows]


class Text:
    """One text in the making: free until its end sign, or under the grammar with the rule of `constrained_decode`."""

    def __init__(self, seed: int, grammar: TokenGrammar | None, stops: tuple[int, ...], braces: frozenset[int]) -> None:
        self.draw, self.grammar, self.stops, self.braces = sampler(seed), grammar, stops, braces
        self.made: list[int] = []
        self.state, self.done = 0 if grammar is None else grammar.start, False

    def take(self, logits: Tensor) -> int:
        if self.grammar is not None:
            logits = mask_logits(logits, self.grammar.allowed(self.state, TOKENS - len(self.made)))
        token = int(self.draw(logits))
        if self.grammar is None and token in self.stops:
            self.done = True
            return token
        self.made.append(token)
        if self.grammar is not None:
            self.state = self.grammar.advance(self.state, token)
            self.done = self.grammar.complete(self.state)
        elif len(self.made) == PATIENCE and not self.braces.intersection(self.made):
            self.done = True
        self.done |= len(self.made) == TOKENS
        return token


def calls(tools: dict[str, Any], asked: list[dict[str, Any]], count: int = CALLS) -> dict[str, Any]:
    """The same prompts and seeds twice, as the model likes and masked. In float32, where many rows are cheaper than one at a time."""
    lm = smollm2("float32")
    descriptions = [describe(f) for f in tools.values()]
    grammar = call_grammar(lm, descriptions)
    prompt = CallPrompt(lm, descriptions, 64)
    braces = frozenset(i for token, i in lm.tokenizer.vocabulary.items() if b"{" in token)
    kinds: dict[str, Counter[str]] = {"free": Counter(), "constrained": Counter()}
    right, examples = Counter[str](), {way: list[str]() for way in kinds}
    begin = time.perf_counter()
    for at, case in enumerate(asked):
        seeds = range(at, count, len(asked))
        texts = [(way, Text(seed, grammar if way == "constrained" else None, (lm.stop_id, 0), braces)) for way in kinds for seed in seeds]
        rows = Rows(lm, prompt.read, prompt.asking(case["question"]), len(texts))
        going = list(range(len(texts)))  # a finished text keeps its row until half of the rows are of that kind
        while True:
            tokens = [0 if texts[i][1].done else texts[i][1].take(scores) for i, scores in zip(going, rows.scores)]
            alive = [k for k, i in enumerate(going) if not texts[i][1].done]
            if not alive:
                break
            if 2 * len(alive) <= len(going):
                rows.keep(alive)
                going, tokens = [going[k] for k in alive], [tokens[k] for k in alive]
            rows.step(tokens)
        for way, text in texts:
            written = lm.tokenizer.decode(text.made)
            kind, name = judge_call(written, tools)
            kinds[way][kind] += 1
            right[way] += kind == "valid" and name == case["tool"]
            if len(examples[way]) <= at:
                examples[way].append(written)
        print(at + 1, {way: dict(c) for way, c in kinds.items()}, f"{time.perf_counter() - begin:.0f} s", flush=True)
    return {
        "prompt": calling_prompt(descriptions, "…"),
        "count": count,
        "max_new_tokens": TOKENS,
        "patience": PATIENCE,
        "temperature": TEMPERATURE,
        "seeds": f"0 … {count - 1}",
        "kinds": {way: dict(c) for way, c in kinds.items()},
        "right_tool": dict(right),
        "examples": examples,
        "seconds": round(time.perf_counter() - begin),
    }


def choice(lm: SmolLM2, tools: dict[str, Any], asked: list[dict[str, Any]]) -> dict[str, Any]:
    """Which tool each way chooses under each set of descriptions: the tool's own name, or None."""
    clear = {name: describe(f)["description"] for name, f in tools.items()}
    own = {name: name for name in tools}
    sets = {
        "clear, telling names": (clear, own),
        "vague, telling names": (VAGUE, own),
        "clear, empty names": (clear, EMPTY_NAMES),
        "vague, empty names": (VAGUE, EMPTY_NAMES),
    }
    chosen: dict[str, dict[str, list[str | None]]] = {}
    for label, (texts, names) in sets.items():
        chooser = Chooser(lm, {names[name]: texts[name] for name in tools})
        back = {names[name]: name for name in tools}
        chosen[label] = {}
        for method in METHODS:
            picks = [chooser.choose(case["question"], method) for case in asked]
            chosen[label][method] = [None if p is None else back[p] for p in picks]
            right = sum(p == case["tool"] for p, case in zip(chosen[label][method], asked))
            print(f"{label}, {method}: {right} of {len(asked)}", flush=True)
    return {"sets": {label: {names[n]: texts[n] for n in tools} for label, (texts, names) in sets.items()}, "chosen": chosen}


def loop(lm: SmolLM2, tools: dict[str, Any], asked: list[dict[str, Any]]) -> dict[str, Any]:
    """Alone: a chat answer of 48 tokens. Through tools: noisy channel chooses, greedy constrained arguments, the observation."""
    descriptions = {name: describe(f) for name, f in tools.items()}
    chooser = Chooser(lm, {name: d["description"] for name, d in descriptions.items()})
    grammars = {name: call_grammar(lm, [d], lead=" ") for name, d in descriptions.items()}
    rows = []
    for case in asked:
        alone = lm.chat(case["question"], 48)
        name = str(chooser.choose(case["question"], "noisy channel"))
        prompt = Continuations(lm.model, lm.tokenizer.encode(argument_prompt(descriptions[name], case["question"])), TOKENS)
        call = lm.tokenizer.decode(constrained_decode(prompt.next_logits, grammars[name], TOKENS, torch.argmax)).strip()
        observation = run_tool(call, tools)
        rows.append(
            {
                "alone": alone,
                "call": call,
                "observation": observation,
                "alone_right": holds_answer(case["accepts"], alone, case["question"]),
                "tool_right": holds_answer(case["accepts"], observation),
            }
        )
    for name in tools:
        mine = [r for r, case in zip(rows, asked) if case["tool"] == name]
        print(
            name,
            "alone",
            sum(r["alone_right"] for r in mine),
            "with tools",
            sum(r["tool_right"] for r in mine),
            "of",
            len(mine),
            flush=True,
        )
    return {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=("trace", "choice", "loop", "calls"))
    parser.add_argument("--count", type=int, default=CALLS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lm, tools = smollm2("int8"), open_tools()
    asked = questions(tools["query_shop"])

    def trace(*_: Any) -> dict[str, Any]:
        return mask_trace(describe, constrained_decode, tools, "What is 12.5 times 8?")

    def counted(_: SmolLM2, *given: Any) -> dict[str, Any]:
        return calls(*given, count=options.count)

    for part, work in (("trace", trace), ("choice", choice), ("loop", loop), ("calls", counted)):
        if options.only in (None, part):
            begin = time.perf_counter()
            found = work(lm, tools, asked) | {"date": datetime.now(UTC).date().isoformat(), "machine": platform.machine()}
            print(part, f"{time.perf_counter() - begin:.0f} s", flush=True)
            record = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
            record |= {part: found, "questions": asked}
            RESULT.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
