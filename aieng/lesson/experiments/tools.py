"""6.3 measured: what SmolLM2's calls look like free and under a mask, which tool it takes, and what the tools make of its questions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aieng.figures.reasoning_search import Share, interval_dots, outcome_bars
from aieng.generation.constrained import Continuations
from aieng.lesson.environment import grading, quick
from aieng.lesson.experiments.beside import quoted
from aieng.lesson.experiments.retrieval import wilson
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.endpoint import endpoint_from_environment
from aieng.models.smollm2 import SmolLM2, smollm2
from aieng.reasoning.tool_choice import METHODS, CallPrompt, Chooser, argument_prompt, call_grammar, calling_prompt, holds_answer
from aieng.reasoning.toolbox import open_tools
from aieng.reasoning.tools import judge_call
from aieng.reasoning.tools import run_tool as helper_run_tool

_FILE = Path(__file__).resolve().parents[3] / "assets" / "tool_calls.json"
TOKENS = 64
CLEAR, VAGUE = "clear, telling names", "vague, telling names"

Tools = Mapping[str, Callable[..., Any]]


def stored() -> dict[str, Any]:
    """What assets/make_tool_calls.py measured."""
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def course_tools() -> dict[str, Callable[..., Any]]:
    """The three tools by name; none while grading, where no experiment uses them."""
    return {} if grading() else open_tools()


@experiment
def describe_tools(describe: Any, tools: Tools) -> Finding:
    """What the learner's `describe` makes of the three tools. The numbers: `tokens` (of all descriptions together as JSON)."""
    made = [describe(f) for f in tools.values()]
    rows = "\n".join(f"| `{d['name']}` | {d['description']} | `{json.dumps(d['parameters'], ensure_ascii=False)}` |" for d in made)
    tokens = len(_model().tokenizer.encode("\n".join(json.dumps(d) for d in made)))
    return Finding(
        f"| tool | what it is for | its arguments, as JSON Schema |\n|---|---|---|\n{rows}\n\nIn the prompt the three take {tokens} "
        f"tokens, "
        "which every question pays.",
        data={"tokens": tokens},
    )


TROUBLE = (
    '{"tool": "calculator", "arguments": {"expression": "4821 * 37"}}',
    'Sure! I would use\n```json\n{"tool": "query_shop", "arguments": {"sql": "SELECT title, price FROM items WHERE category = \'food\' '
    'ORDER BY price LIMIT 2"}}\n```',
    '{"tool": "search_definitions", "arguments": {"query": "an animal that eats termites", "k": 2}}',
    "The answer is 178377.",
    '{"tool": "calculator", "arguments": {"expression": "4821 * 37"',
    '{"tool": "weather", "arguments": {}}',
    '{"tool": "search_definitions", "arguments": {"query": "ant", "k": "two"}}',
    '{"tool": "calculator", "arguments": {"expression": "__import__(\'os\').listdir()"}}',
    '{"tool": "calculator", "arguments": {"expression": "9 ** 9 ** 9 ** 9"}}',
    '{"tool": "query_shop", "arguments": {"sql": "DROP TABLE items"}}',
)


@experiment
def observations(run_tool: Any, tools: Tools) -> Finding:
    """Good calls and bad ones through the learner's `run_tool`. The numbers: `errors` (observations that start with Error)."""
    seen = [run_tool(text, tools) for text in TROUBLE]
    rows = "\n".join(f"| {quoted(text, 130)} | {quoted(got, 170)} |" for text, got in zip(TROUBLE, seen))
    errors = sum(got.startswith("Error") for got in seen)
    return Finding(
        f"| the model wrote | it observes |\n|---|---|\n{rows}\n\n{errors} of {len(seen)} went wrong, and the program is still running. "
        f"The last three fit "
        "their schema: only the tools themselves could refuse them.",
        data={"errors": errors},
    )


@lru_cache(maxsize=1)
def _model() -> SmolLM2:
    return smollm2("int8")


def draw(seed: int) -> Callable[[Tensor], Tensor]:
    """A sampler at temperature 1."""
    generator = torch.Generator().manual_seed(seed)
    return lambda logits: torch.multinomial(logits.float().softmax(-1), 1, generator=generator)


@lru_cache(maxsize=2)
def _call_prompt(descriptions: str) -> CallPrompt:
    """Reading the tools takes seconds; cells that describe them alike share it."""
    return CallPrompt(_model(), json.loads(descriptions), 96 + TOKENS)


@lru_cache(maxsize=4)
def _chooser(purposes: str) -> Chooser:
    """The same for the prompts that choose a tool."""
    return Chooser(_model(), json.loads(purposes))


def free_text(lm: SmolLM2, next_logits: Callable[[Sequence[int]], Tensor], sampler: Callable[[Tensor], Tensor]) -> str:
    """What the model writes without a mask, up to its end sign."""
    made: list[int] = []
    while len(made) < TOKENS and (token := int(sampler(next_logits(made)))) not in (lm.stop_id, 0):
        made.append(token)
    return lm.tokenizer.decode(made)


KINDS = {"valid": "valid", "no call": "no call found", "unknown tool": "unknown tool", "wrong arguments": "arguments do not fit"}


@experiment
def valid_calls(describe: Any, constrained_decode: Any, tools: Tools, *, count: int = 3) -> Finding:
    """A few calls live, free and under the learner's mask; then the stored run.

    The numbers: `measured` (a sentence), `invalid_free` and `invalid_constrained` (shares of the stored run), `live_invalid`.
    """
    lm, record = _model(), stored()
    asked = record["questions"][:: max(1, len(record["questions"]) // count)][: 1 if quick() else count]
    descriptions = [describe(f) for f in tools.values()]
    grammar = call_grammar(lm, descriptions)
    other = endpoint_from_environment()  # a larger model behind a server writes the free calls, where one is named
    rows, live_invalid = [], 0
    for i, case in enumerate(asked):
        next_logits = _call_prompt(json.dumps(descriptions)).after(case["question"])
        free = (
            free_text(lm, next_logits, draw(i))
            if other is None
            else other.chat(calling_prompt(descriptions, case["question"]), TOKENS, temperature=1.0)
        )
        made = constrained_decode(next_logits, grammar, TOKENS, draw(i))
        masked = lm.tokenizer.decode(made)
        verdicts = [KINDS[judge_call(text, tools)[0]] for text in (free, masked)]
        live_invalid += verdicts[1] != "valid"
        rows.append(f"| {case['question']} | {quoted(free, 120)} ({verdicts[0]}) | {quoted(masked, 120)} ({verdicts[1]}) |")
    run = record["calls"]
    n = run["count"]
    bad = {way: n - run["kinds"][way].get("valid", 0) for way in ("free", "constrained")}
    ends = {way: wilson(k, n) for way, k in bad.items()}
    right = {way: run["right_tool"].get(way, 0) for way in bad}
    measured = (
        f"of {n} calls that SmolLM2 wrote freely (temperature 1) {bad['free']} were invalid ({ends['free'][0]:.0%} to "
        f"{ends['free'][1]:.0%}), of {n} under "
        f"a mask {bad['constrained']} (below {ends['constrained'][1]:.1%}); valid and for the right tool were {right['free'] / n:.0%} and "
        f"{right['constrained'] / n:.0%}"
    )
    who = "SmolLM2 as it likes" if other is None else f"{other.model} as it likes"
    sentence = (
        f"| question | {who} | SmolLM2 under {whose(constrained_decode)} mask |\n|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\nThe stored run ({run['date']}, seeds {run['seeds']}, at most {run['max_new_tokens']} tokens; a free text without a brace "
        f"in its first "
        f"{run['patience']} was given up): {measured}. "
        "A mask guarantees the form. Whether the tool and its arguments make sense is another matter."
    )
    bars = {f"{way}": {KINDS[k]: run["kinds"][way].get(k, 0) for k in KINDS} for way in ("free", "constrained")}
    return Finding(
        sentence,
        outcome_bars(f"{n} calls, free and under a mask", bars, "calls"),
        {
            "measured": measured,
            "invalid_free": bad["free"] / n,
            "invalid_constrained": bad["constrained"] / n,
            "live_invalid": live_invalid,
        },
    )


def mask_trace(describe: Any, constrained_decode: Any, tools: Tools, question: str, seed: int = 0) -> dict[str, Any]:
    """One call under the mask: "tokens", and for each its probability "mass" on permitted tokens and their number "permitted"; "text"."""
    lm = _model()
    descriptions = [describe(f) for f in tools.values()]
    grammar = call_grammar(lm, descriptions)
    scores = _call_prompt(json.dumps(descriptions)).after(question)
    mass, permitted = [], []
    last: list[Tensor] = []

    def next_logits(made: list[int]) -> Tensor:
        last[:] = [scores(made)]
        return last[0]

    sample = draw(seed)

    def watching(logits: Tensor) -> Tensor:
        allowed = logits.isfinite()
        mass.append(float(last[0].float().softmax(-1)[allowed].sum()))
        permitted.append(int(allowed.sum()))
        return sample(logits)

    made = constrained_decode(next_logits, grammar, TOKENS, watching)
    text = lm.tokenizer.decode(made)
    return {
        "tokens": [lm.tokenizer.decode([t]) for t in made],
        "mass": mass,
        "permitted": permitted,
        "text": text,
        "observation": helper_run_tool(text, tools),
        "vocab_size": lm.config.vocab_size,
        "question": question,
    }


def _shares(chosen: Sequence[str | None], asked: Sequence[Mapping[str, Any]]) -> Share:
    right = sum(name == case["tool"] for name, case in zip(chosen, asked))
    return right / len(asked), *wilson(right, len(asked))


@experiment
def tool_choice() -> Finding:
    """The stored choice of tools under four sets of descriptions, and a few questions live.

    The numbers: `share` {set: {method: share}}; `clear`, `vague` (the noisy channel's share under telling names) and `empty` (vague, empty
    names); `measured`; `live_same` (live choices that equal the stored ones).
    """
    record = stored()
    asked, run = record["questions"], record["choice"]
    shares = {label: {m: _shares(chosen[m], asked) for m in METHODS} for label, chosen in run["chosen"].items()}
    best = "noisy channel"
    same, rows = 0, []
    picks = [i for k in range(3) for i in range(20 * k, 20 * k + (1 if quick() else 2))]
    for label in (CLEAR, VAGUE):
        chooser = _chooser(json.dumps(run["sets"][label]))
        for i in picks:
            name = chooser.choose(asked[i]["question"], "noisy channel")
            same += name == run["chosen"][label]["noisy channel"][i]
            rows.append(f"| {label.split(',')[0]} | {asked[i]['question']} | {name} | {'✓' if name == asked[i]['tool'] else '✗'} |")
    n = len(asked)
    told = {label: f"{shares[label][best][0]:.0%} ({shares[label][best][1]:.0%} to {shares[label][best][2]:.0%})" for label in shares}
    measured = (
        f"{n} questions, three tools, SmolLM2 choosing by “{best}”: right with clear descriptions {told[CLEAR]}, with vague ones "
        f"{told[VAGUE]}; without telling "
        f"names {told['clear, empty names']} and {told['vague, empty names']}"
    )
    described = "\n".join(
        f"| {label} | " + " | ".join(f"`{name}`: {text}" for name, text in run["sets"][label].items()) + " |"
        for label in (CLEAR, "vague, empty names")
    )
    sentence = (
        f"| descriptions | first tool | second | third |\n|---|---|---|---|\n{described}\n\nStored run ({run['date']}): {measured}. Free "
        f"text with clear descriptions: "
        f"{shares[CLEAR]['free'][0]:.0%}.\n\nLive, by noisy channel:\n\n| descriptions | question | it takes | |\n|---|---|---|---|\n"
        + "\n".join(rows)
    )
    figure = interval_dots(
        "Which tool is chosen?",
        "right tool (share of questions)",
        list(shares),
        {m: [shares[label][m] for label in shares] for m in METHODS},
        chance=1 / 3,
        subtitle=f"{n} questions, 95 % intervals",
    )
    return Finding(
        sentence,
        figure,
        {
            "share": {label: {m: s[0] for m, s in row.items()} for label, row in shares.items()},
            "clear": shares[CLEAR][best][0],
            "vague": shares[VAGUE][best][0],
            "empty": shares["vague, empty names"][best][0],
            "measured": measured,
            "live_same": same / (2 * len(picks)),
        },
    )


@experiment
def answer_with_tools(describe: Any, run_tool: Any, constrained_decode: Any, tools: Tools) -> Finding:
    """Three questions through the whole loop, live; then the stored share of right answers alone and with tools.

    The numbers: `alone`, `with_tools` {tool: share}, `alone_share`, `tool_share` (of all), `measured`.
    """
    lm, record = _model(), stored()
    asked, stored_rows = record["questions"], record["loop"]["rows"]
    chooser = _chooser(json.dumps({name: describe(f)["description"] for name, f in tools.items()}))
    other = endpoint_from_environment()
    who = "SmolLM2" if other is None else other.model
    rows = []
    for i in (0,) if quick() else (0, 21, 44):
        question = asked[i]["question"]
        name = str(chooser.choose(question, "noisy channel"))
        description = describe(tools[name])
        prompt = Continuations(lm.model, lm.tokenizer.encode(argument_prompt(description, question)), TOKENS)
        grammar = call_grammar(lm, [description], lead=" ")
        made = constrained_decode(prompt.next_logits, grammar, TOKENS, torch.argmax)
        call = lm.tokenizer.decode(made).strip()
        observation = run_tool(call, tools)
        alone = stored_rows[i]["alone"] if other is None else other.chat(question, 48)
        rows.append(
            f"| {question} | {quoted(alone, 90)} | {quoted(call, 130)} | {quoted(observation, 110)} | "
            f"{'✓' if holds_answer(asked[i]['accepts'], observation) else '✗'} |"
        )
    sizes = Counter(case["tool"] for case in asked)
    counts = {
        way: Counter(case["tool"] for case, row in zip(asked, stored_rows) if row[f"{key}_right"])
        for way, key in (("alone", "alone"), ("with tools", "tool"))
    }
    groups: dict[str, list[Share]] = {way: [(c[t] / sizes[t], *wilson(c[t], sizes[t])) for t in sizes] for way, c in counts.items()}
    total = {way: sum(c.values()) for way, c in counts.items()}
    ends = {way: wilson(k, len(asked)) for way, k in total.items()}
    measured = "; ".join(f"{way} {k} of {len(asked)} answers right ({ends[way][0]:.0%} to {ends[way][1]:.0%})" for way, k in total.items())
    names = {"calculator": "arithmetic", "query_shop": "the shop's table", "search_definitions": "definitions"}
    measured += " (" + ", ".join(f"{names[t]}: {counts['alone'][t]} and {counts['with tools'][t]} of {sizes[t]}" for t in sizes) + ")"
    sentence = (
        f"| question | {who} alone | SmolLM2's call | observation | right |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\nStored run ({record['loop']['date']}), SmolLM2: {measured}. An answer counts where it holds the right number or word."
    )
    figure = interval_dots("Right answers, alone and with tools", "right (share of questions)", [names[t] for t in sizes], groups)
    return Finding(
        sentence,
        figure,
        {
            "alone": {t: counts["alone"][t] / sizes[t] for t in sizes},
            "with_tools": {t: counts["with tools"][t] / sizes[t] for t in sizes},
            "alone_share": total["alone"] / len(asked),
            "tool_share": total["with tools"] / len(asked),
            "measured": measured,
        },
    )
