import json

import numpy as np

from aieng.agents.react import INSTRUCTION, Run, Step  # Step(thought, action, observation), Run(status, answer, steps)
from aieng.reasoning.tools import parse_call, run_tool  # of 6.3: text to (tool, arguments); text and tools to an observation
from aieng.vectors.storage import load_arrays, save_arrays  # save_arrays(path, kind, arrays, meta), load_arrays(path, kind) to (arrays, meta)


def parse_step(text):
    raise NotImplementedError()


class Scratchpad:

    def __init__(self, goal, budget, count_tokens, instruction=INSTRUCTION, notes=()):
        self.goal, self.budget, self.count_tokens, self.instruction, self.notes = goal, budget, count_tokens, instruction, list(notes)
        self.steps = []
        if count_tokens(self.render()) > budget:
            raise ValueError(f"a budget of {budget} tokens is too small for the goal alone")

    def add(self, step):
        self.steps.append(step)

    def render(self):
        raise NotImplementedError()


def react(llm, tools, scratchpad, *, max_steps=8, max_attempts=3, checks=None, recover=True):
    raise NotImplementedError()


class Memory:

    def __init__(self, encode, index):
        self.encode, self.index, self.texts, self.vectors = encode, index, [], []

    def add(self, text):
        raise NotImplementedError()

    def search(self, query, k=3, min_score=0.3):
        raise NotImplementedError()

    def save(self, path):
        raise NotImplementedError()

    @classmethod
    def load(cls, path, encode, index):
        raise NotImplementedError()

