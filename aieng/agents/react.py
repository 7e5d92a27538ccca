"""ReAct: a language model that thinks, acts through a tool, observes what came, and goes on (Yao et al. 2022, arXiv:2210.03629)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aieng.reasoning.tools import parse_call, run_tool

INSTRUCTION = (
    'Reach the goal with the tools. Each turn: a line "Thought: …", then a line "Action: {"tool": …, "arguments": {…}}". '
    'You are shown what came as "Observation: …". When done, use the tool "finish" with an "answer".'
)


@dataclass(frozen=True)
class Step:
    """thought; action: the call as JSON, or "" where none could be read; observation: what came of it."""

    thought: str
    action: str
    observation: str


@dataclass(frozen=True)
class Run:
    """status: "finished", "out of steps", "loop" or "failed"; answer: of `finish`, otherwise ""; steps in order."""

    status: str
    answer: str
    steps: list[Step] = field(default_factory=list)


def parse_step(text: str) -> tuple[str, str, dict[str, Any]]:
    """The thought and the first action in what a model wrote.

    Parameters
    ----------
    text : str
        "Thought: …" then "Action: {"tool": …, "arguments": {…}}". "Thought:" may be missing (the prompt ends with it). Whatever follows
        "Observation:" was made up by the model and does not count.

    Returns
    -------
    (thought, tool, arguments)
        The thought is the text before "Action:", without "Thought:" and without white space at its ends.

    Raises
    ------
    ValueError
        No "Action:" before "Observation:", or no call after it.
    """
    written = text.split("Observation:")[0]
    thought, mark, action = written.partition("Action:")
    if not mark:
        raise ValueError('no action: write a line "Action: {"tool": …, "arguments": {…}}"')
    name, arguments = parse_call(action)
    return thought.strip().removeprefix("Thought:").strip(), name, arguments


class Scratchpad:
    """Short-term memory: the steps of one run, as the text that the model reads, within a budget of tokens.

    Parameters
    ----------
    goal : str
    budget : int, most tokens that `render` may give
    count_tokens : callable, text to its number of tokens (of the whole text: parts need not add up)
    instruction : str
    notes : sequence of str, what long-term memory recalls

    Raises
    ------
    ValueError
        The budget is too small for the text without any step.
    """

    def __init__(self, goal: str, budget: int, count_tokens: Callable[[str], int], instruction: str = INSTRUCTION,
                 notes: tuple[str, ...] | list[str] = ()) -> None:
        remembered = ["Remembered:", *(f"- {note}" for note in notes)] if notes else []
        self.head = "\n".join([instruction, "", f"Goal: {goal}", *remembered])
        self.budget, self.count_tokens, self.steps = budget, count_tokens, list[Step]()
        if count_tokens(self._text(0)) > budget:
            raise ValueError(f"a budget of {budget} tokens is too small for the goal alone")

    def add(self, step: Step) -> None:
        """Remember a step."""
        self.steps.append(step)

    def render(self) -> str:
        """The head, a line "(n earlier steps left out)" where n > 0, the newest steps that fit whole, and "Thought:".

        A step is three lines: "Thought: …", "Action: …", "Observation: …", each text on one line (white space becomes one space).
        """
        kept = 0
        while kept < len(self.steps) and self.count_tokens(self._text(kept + 1)) <= self.budget:
            kept += 1
        return self._text(kept)

    def _text(self, kept: int) -> str:
        lines = [self.head]
        left_out = len(self.steps) - kept
        if left_out:
            lines.append(f"({left_out} earlier steps left out)")
        for step in self.steps[left_out:]:
            for name, text in (("Thought", step.thought), ("Action", step.action), ("Observation", step.observation)):
                lines.append(f"{name}: {' '.join(text.split())}")
        return "\n".join([*lines, "Thought:"])


Check = Callable[[dict[str, Any], str], str]  # (arguments, observation) to what is wrong with it, or ""


def react(
    llm: Callable[[str], str], tools: Mapping[str, Callable[..., Any]], scratchpad: Any, *, max_steps: int = 8, max_attempts: int = 3,
    checks: Mapping[str, Check] | None = None, recover: bool = True,
) -> Run:
    """Let a model act until it is done, out of steps, or going round in circles.

    Parameters
    ----------
    llm : callable, the scratchpad's text to "Thought: …\\nAction: …"
    tools : mapping of str to callable, without "finish"
    scratchpad : has ``render()`` and ``add(step)``
    max_steps : int, turns of the model at most
    max_attempts : int
        The same action (tool and arguments, in whatever order) is carried out again only while it has failed, and so often in all.
    checks : mapping of tool to callable
        ``check(arguments, observation)`` says what is wrong with an answer that is no error, or "". What it says becomes the observation,
        after "Error: ".
    recover : bool
        False: the first observation that begins with "Error:" ends the run.

    Returns
    -------
    Run
        Each turn is a step, the last one too, and each step goes to the scratchpad. Observations: what `run_tool` gives; "Error: …" for a
        text without action; for an action that is not carried out again "Error: " and that it was done before. The second action of that
        kind ends the run with status "loop"; tool "finish" ends it with "finished" (its step has an empty observation, its argument
        "answer" is the answer); `recover` with "failed"; `max_steps` with "out of steps".
    """
    steps: list[Step] = []
    attempts: dict[str, list[str]] = {}  # action → its observations
    repeated = 0
    status, answer = "out of steps", ""
    for _ in range(max_steps):
        thought, action, observation = "", "", ""
        text = llm(scratchpad.render())
        try:
            thought, name, arguments = parse_step(text)
        except ValueError as error:
            thought, observation = text.strip(), f"Error: {error}"
        else:
            action = json.dumps({"tool": name, "arguments": arguments}, ensure_ascii=False)
            before = attempts.setdefault(json.dumps([name, arguments], sort_keys=True), [])
            if name == "finish":
                status, answer = "finished", str(arguments.get("answer", ""))
            elif before and (not before[-1].startswith("Error:") or len(before) >= max_attempts):
                repeated += 1
                observation = f"Error: you did this before, and this came: {before[-1]} Do something else."
            else:
                observation = run_tool(action, tools)
                if not observation.startswith("Error:") and checks and name in checks:
                    problem = checks[name](arguments, observation)
                    observation = f"Error: {problem}" if problem else observation
                before.append(observation)
        steps.append(Step(thought, action, observation))
        scratchpad.add(steps[-1])
        if repeated > 1:
            status = "loop"
        elif not recover and observation.startswith("Error:"):
            status = "failed"
        if status != "out of steps":
            break
    return Run(status, answer, steps)
