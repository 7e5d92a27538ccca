import json

import numpy as np

from aieng.agents.react import INSTRUCTION, Run, Step  # Step(thought, action, observation), Run(status, answer, steps)
from aieng.reasoning.tools import parse_call, run_tool  # of 6.3: text to (tool, arguments); text and tools to an observation
from aieng.vectors.storage import load_arrays, save_arrays  # save_arrays(path, kind, arrays, meta), load_arrays(path, kind) to (arrays, meta)


def parse_step(text):
    own = text
    if "Action:" not in own:
        raise ValueError("there is no line that begins with Action:")
    thought, action = own.rsplit("Action:", 1)
    tool, arguments = parse_call(action)
    return thought.strip().removeprefix("Thought:").strip(), tool, arguments


class Scratchpad:

    def __init__(self, goal, budget, count_tokens, instruction=INSTRUCTION, notes=()):
        self.goal, self.budget, self.count_tokens, self.instruction, self.notes = goal, budget, count_tokens, instruction, list(notes)
        self.steps = []
        if count_tokens(self.render()) > budget:
            raise ValueError(f"a budget of {budget} tokens is too small for the goal alone")

    def add(self, step):
        self.steps.append(step)

    def render(self):
        def text(kept):
            lines = [self.instruction, "", f"Goal: {self.goal}"]
            if self.notes:
                lines += ["Remembered:", *[f"- {note}" for note in self.notes]]
            missing = len(self.steps) - kept
            if missing > 0:
                lines.append(f"({missing} earlier steps left out)")
            for step in self.steps[missing:]:
                lines += [f"{name}: {' '.join(part.split())}" for name, part in
                          (("Thought", step.thought), ("Action", step.action), ("Observation", step.observation))]
            return "\n".join([*lines, "Thought:"])

        kept = 0
        while kept < len(self.steps) and self.count_tokens(text(kept + 1)) <= self.budget:
            kept += 1
        return text(kept)


def react(llm, tools, scratchpad, *, max_steps=8, max_attempts=3, checks=None, recover=True):
    steps, came_of, repetitions = [], {}, 0
    for _ in range(max_steps):
        status, answer, action = None, "", ""
        written = llm(scratchpad.render())
        try:
            thought, tool, arguments = parse_step(written)
        except ValueError as error:
            thought, observation = written.strip(), f"Error: {error}"
        else:
            action = json.dumps({"tool": tool, "arguments": arguments})
            past = came_of.setdefault(json.dumps([tool, arguments], sort_keys=True), [])
            if tool == "finish":
                observation, status, answer = "", "finished", str(arguments.get("answer", ""))
            elif past and (len(past) >= max_attempts or not past[-1].startswith("Error:")):
                observation = f"Error: you did this before, and this came: {past[-1]} Do something else."
                repetitions += 1
            else:
                observation = run_tool(action, tools)
                check_answer = (checks or {}).get(tool)
                if check_answer and not observation.startswith("Error:"):
                    wrong = check_answer(arguments, observation)
                    observation = f"Error: {wrong}" if wrong else observation
                past.append(observation)
        steps.append(Step(thought, action, observation))
        scratchpad.add(steps[-1])
        if repetitions == 2:
            status = "loop"
        elif observation.startswith("Error:") and not recover:
            status = "failed"
        if status:
            return Run(status, answer, steps)
    return Run("out of steps", "", steps)


class Memory:

    def __init__(self, encode, index):
        self.encode, self.index, self.texts, self.vectors = encode, index, [], []

    def add(self, text):
        if not text.strip():
            raise ValueError("there is nothing to remember in an empty text")
        if text in self.texts:
            return self.texts.index(text)
        [vector] = self.encode([text])
        self.index.add(vector[None])
        self.texts.append(text)
        self.vectors.append(vector)
        return len(self.texts) - 1

    def search(self, query, k=3, min_score=0.3):
        if not self.texts:
            return []
        scores, ids = self.index.search(self.encode([query]), min(k, len(self.texts)))
        found = zip(ids[0], scores[0])
        return [(self.texts[i], float(score)) for i, score in found if i >= 0 and score >= min_score]

    def save(self, path):
        vectors = np.array(self.vectors, dtype=np.float32)
        save_arrays(path, "notes", {"vectors": vectors}, {"texts": self.texts})

    @classmethod
    def load(cls, path, encode, index):
        arrays, meta = load_arrays(path, "notes")
        memory = cls(encode, index)
        if meta["texts"]:
            index.add(arrays["vectors"])
            memory.texts, memory.vectors = list(meta["texts"]), list(arrays["vectors"])
        return memory
