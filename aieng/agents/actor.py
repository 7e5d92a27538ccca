"""SmolLM2 as the brain of an agent: a free thought, then an action that constrained decoding keeps valid."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from aieng.agents.react import INSTRUCTION
from aieng.generation.constrained import Automaton, Continuations, TokenGrammar, constrained_decode, json_value, literal, sequence
from aieng.generation.decoding import Sampler, greedy
from aieng.models.smollm2 import SmolLM2
from aieng.reasoning.tool_choice import token_bytes

FINISH: dict[str, Any] = {
    "name": "finish", "description": "The goal is reached, or cannot be: tell the user.",
    "parameters": {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"], "additionalProperties": False},
}
# One run on another route, so that a model that continues texts sees the form.
EXAMPLE = """Goal: Book me the cheapest flight from Paris (CDG) to Tokyo (NRT) for next Sunday.
Thought: I need the date of next Sunday.
Action: {"tool": "next_date", "arguments": {"weekday": "Sunday"}}
Observation: 2026-03-08
Thought: Now I look for flights on 2026-03-08.
Action: {"tool": "search_flights", "arguments": {"origin": "CDG", "destination": "NRT", "date": "2026-03-08"}}
Observation: [{"flight": "CZ108", "price": 610}, {"flight": "DV108", "price": 745}]
Thought: The cheapest is CZ108. It costs money, so I ask first.
Action: {"tool": "ask_user", "arguments": {"question": "CZ108 on 2026-03-08 costs $610. Shall I book it?"}}
Observation: yes
Thought: The user agrees; I book CZ108.
Action: {"tool": "book_flight", "arguments": {"flight": "CZ108", "date": "2026-03-08"}}
Observation: booked CZ108 on 2026-03-08
Thought: It is booked.
Action: {"tool": "finish", "arguments": {"answer": "CZ108 on 2026-03-08 is booked."}}"""


class Actor:
    """Call it with a scratchpad's text; it writes a thought and an action.

    Parameters
    ----------
    lm : SmolLM2
    descriptions : of the tools, from `aieng.reasoning.tools.describe`; "finish" is added
    careful : choose the tool whose description explains the thought best (the noisy channel of 6.3), and rule out one that has given an
        answer without error already, instead of only being told so afterwards
    thought_tokens, argument_tokens : most tokens of each
    sampler : of the thought; the action is greedy
    room : most tokens of a prompt, thought and action together
    """

    def __init__(self, lm: SmolLM2, descriptions: Sequence[Mapping[str, Any]], *, careful: bool = False, thought_tokens: int = 32,
                 argument_tokens: int = 100, sampler: Sampler = greedy, room: int = 2048) -> None:
        self.lm, self.sampler, self.careful = lm, sampler, careful
        self.thought_tokens, self.argument_tokens = thought_tokens, argument_tokens
        tokens = token_bytes(lm)
        self.grammars = {d["name"]: TokenGrammar(Automaton(sequence(json_value(d["parameters"]), literal("}"))), tokens)
                         for d in [*descriptions, FINISH]}
        self._cache, self._read_ids = lm.model.new_cache(1, room), list[int]()
        self._last: Tensor | None = None
        self._descriptions = [*descriptions, FINISH]

    def __call__(self, prompt: str) -> str:
        encode, decode = self.lm.tokenizer.encode, self.lm.tokenizer.decode
        ids, thought = encode(prompt, parse_special=False), list[int]()
        while len(thought) < self.thought_tokens:
            token = int(self.sampler(self._next(ids + thought)))
            if "\n" in decode([token]) or token == self.lm.stop_id:
                break
            thought.append(token)
        lead = '\nAction: {"tool": "'
        ids += thought + encode(lead)
        if self.careful:
            done, said = answered(prompt), encode(f" {decode(thought).strip()}\n")
            scores = {name: channel.log_probability(said) for name, channel in self.channels.items() if name not in done}
        else:
            scores = {name: self._log_probability(ids, encode(f'{name}"')) for name in self.grammars}
        name = max(scores, key=lambda n: scores[n])
        middle = f'{name}", "arguments": '
        ids += encode(middle)
        arguments = constrained_decode(lambda made: self._next(ids + made), self.grammars[name], self.argument_tokens, greedy)
        return decode(thought) + lead + middle + decode(arguments)

    @functools.cached_property
    def channels(self) -> dict[str, Continuations]:
        """For each tool its description, after which a thought can be scored."""
        encode, room = self.lm.tokenizer.encode, self.thought_tokens + 8
        leads = {d["name"]: f"Tool {d['name']}: {d['description']}\nA thought before it is used:" for d in self._descriptions}
        return {name: Continuations(self.lm.model, encode(lead), room) for name, lead in leads.items()}

    def _log_probability(self, ids: list[int], more: list[int]) -> float:
        """log P(more | ids), natural logarithm."""
        return sum(float(self._next(ids + more[:i]).float().log_softmax(-1)[token]) for i, token in enumerate(more))

    @torch.inference_mode()
    def _next(self, ids: list[int]) -> Tensor:
        """Scores of the next token; what an earlier call has read already is not computed again."""
        same = next((i for i, (a, b) in enumerate(zip(ids, self._read_ids)) if a != b), min(len(ids), len(self._read_ids)))
        if same < len(ids) or self._last is None:
            same = min(same, len(ids) - 1)
            self._cache.truncate(same)
            self._last = self.lm.model(torch.tensor([ids[same:]]), self._cache, logits_to_keep=1)[0, -1]
            self._read_ids = list(ids)
        elif len(ids) < len(self._read_ids):
            self._cache.truncate(len(ids) - 1)
            self._last = self.lm.model(torch.tensor([ids[-1:]]), self._cache, logits_to_keep=1)[0, -1]
            self._read_ids = list(ids)
        return self._last


def answered(prompt: str) -> set[str]:
    """The tools that have given an answer without error in the run that a scratchpad's text shows last."""
    history = re.findall(r"^Action: (.*)\nObservation: ?(.*)$", prompt.rpartition("\nGoal:")[2], re.MULTILINE)
    return {json.loads(action)["tool"] for action, seen in history if action and not seen.startswith("Error:")}


def agent_instruction(descriptions: Sequence[Mapping[str, Any]], instruction: str = INSTRUCTION) -> str:
    """The instruction, the tools by name and description, and one example run."""
    listed = "\n".join(f"- {d['name']}: {d['description']}" for d in [*descriptions, FINISH])
    return f"{instruction}\n\nTools:\n{listed}\n\n{EXAMPLE}"
