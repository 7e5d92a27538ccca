import json
import os
import re
import tempfile
from pathlib import Path

import numpy as np

from aieng.agents.react import INSTRUCTION, Run, Step
from aieng.reasoning.tools import parse_call, run_tool


def parse_step(text):
    match = re.search(r"Action:", text)
    invented = re.search(r"Observation:", text)
    if match is None or (invented is not None and invented.start() < match.start()):
        raise ValueError("no action")
    end = invented.start() if invented is not None else len(text)
    thought = text[: match.start()].strip()
    if thought.startswith("Thought:"):
        thought = thought[len("Thought:") :].strip()
    name, arguments = parse_call(text[match.end() : end])
    return thought, name, arguments


class Scratchpad:
    def __init__(self, goal, budget, count_tokens, instruction=INSTRUCTION, notes=()):
        self.head = instruction + "\n\nGoal: " + goal + "\n"
        if notes:
            self.head += "Remembered:\n" + "".join("- " + note + "\n" for note in notes)
        self.budget, self.count = budget, count_tokens
        self.blocks = []
        if count_tokens(self.head + "Thought:") > budget:
            raise ValueError("too small")

    def add(self, step):
        parts = zip(("Thought", "Action", "Observation"), (step.thought, step.action, step.observation))
        self.blocks.append("".join(f"{name}: {re.sub(chr(92) + 's+', ' ', text).strip()}\n" for name, text in parts))

    def render(self):
        best = None
        for left in range(len(self.blocks), -1, -1):
            note = f"({left} earlier steps left out)\n" if left else ""
            text = self.head + note + "".join(self.blocks[left:]) + "Thought:"
            if best is not None and self.count(text) > self.budget:
                break
            best = text
        return best


def same_action(name, arguments):
    return name, json.dumps(arguments, sort_keys=True, ensure_ascii=False)


def carry_out(name, arguments, tools, checks):
    seen = run_tool(json.dumps({"tool": name, "arguments": arguments}), tools)
    if seen.startswith("Error:") or not checks or name not in checks:
        return seen
    problem = checks[name](arguments, seen)
    return seen if not problem else "Error: " + problem


def react(llm, tools, scratchpad, *, max_steps=8, max_attempts=3, checks=None, recover=True):
    steps, books, refused = [], [], 0

    def record(*texts):
        step = Step(*texts)
        steps.append(step)
        scratchpad.add(step)
        return step

    while len(steps) < max_steps:
        text = llm(scratchpad.render())
        try:
            thought, name, arguments = parse_step(text)
        except ValueError as error:
            record(text.strip(), "", "Error: " + str(error))
            if not recover:
                return Run("failed", "", steps)
            continue
        call = json.dumps({"tool": name, "arguments": arguments}, ensure_ascii=False)
        if name == "finish":
            record(thought, call, "")
            return Run("finished", str(arguments.get("answer", "")), steps)
        before = [seen for key, seen in books if key == same_action(name, arguments)]
        failing = bool(before) and before[-1].startswith("Error:")
        if before and not (failing and len(before) < max_attempts):
            refused += 1
            step = record(thought, call, "Error: this was done already")
        else:
            seen = carry_out(name, arguments, tools, checks)
            books.append((same_action(name, arguments), seen))
            step = record(thought, call, seen)
        if refused > 1:
            return Run("loop", "", steps)
        if not recover and step.observation.startswith("Error:"):
            return Run("failed", "", steps)
    return Run("out of steps", "", steps)


class Memory:
    def __init__(self, encode, index):
        self.encode, self.index = encode, index
        self.ids = {}
        self.rows = []

    @property
    def texts(self):
        return list(self.ids)

    def add(self, text):
        if not text.strip():
            raise ValueError("empty")
        if text not in self.ids:
            row = np.asarray(self.encode([text]), dtype=np.float32)
            self.index.add(row)
            self.rows.append(row[0])
            self.ids[text] = len(self.ids)
        return self.ids[text]

    def search(self, query, k=3, min_score=0.3):
        if not self.ids:
            return []
        scores, ids = self.index.search(np.asarray(self.encode([query])), k)
        texts = self.texts
        return [(texts[int(i)], float(s)) for s, i in zip(scores[0].tolist(), ids[0].tolist()) if i != -1 and s >= min_score]

    def save(self, path):
        path = Path(path)
        body = json.dumps({"texts": self.texts, "rows": [row.tolist() for row in self.rows]})
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w") as file:
            file.write(body)
        os.replace(name, path)

    @classmethod
    def load(cls, path, encode, index):
        held = json.loads(Path(path).read_text())
        memory = cls(encode, index)
        if held["texts"]:
            rows = np.array(held["rows"], dtype=np.float32)
            index.add(rows)
            memory.rows = list(rows)
            memory.ids = {text: i for i, text in enumerate(held["texts"])}
        return memory
