"""Measures section 08's prompts on SmolLM2 and writes prompt_runs.json: a minute on a GPU, an hour or two on one core.

Accuracy: every principle of prompting added to a clear instruction, on two tasks, asked in three ways: as a chat (8 tokens, the first
label in the answer counts), as a raw text to be continued (the same), and by constrained choice: the label whose tokens are likeliest,
minus the same label's score on an empty input.

Injections: reviews that carry an order, a forged example or a forged end of the data, under four ways of writing the prompt. Obeyed: the
wanted word is in the first 8 tokens.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import torch
from batched_model import Batched

from aieng.agents.prompts import build_prompt
from aieng.data.prompt_tasks import ATTACKS, WARNING, Task, attack_cases, category_task, first_label, sentiment_task

TARGET = Path(__file__).parent / "prompt_runs.json"
TOKENS = 8


def bits(right: list[bool]) -> str:
    return "".join("01"[r] for r in right)


def choose(model: Batched, prompts: list[str], empty: str, labels: tuple[str, ...], space: str) -> list[str]:
    """The likeliest label of each prompt, calibrated on the prompt with an empty input."""
    encode = model.lm.tokenizer.encode
    pairs = [(encode(prompt), encode(space + label)) for prompt in [*prompts, empty] for label in labels]
    scores = torch.tensor(model.log_probabilities(pairs)).view(-1, len(labels))
    return [labels[int(i)] for i in (scores[:-1] - scores[-1]).argmax(dim=1)]


def accuracy(model: Batched, task: Task) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"chat": {}, "raw": {}, "choice": {}}
    for name, parts in task.variants().items():
        prompts = [build_prompt(text=case.text, **parts) for case in task.cases]
        for mode in ("chat", "raw"):
            answers = model.answers(prompts, TOKENS, chat=mode == "chat")
            found[mode][name] = bits([first_label(a, task.labels) == case.label for a, case in zip(answers, task.cases)])
        space = "\n" if parts["delimiters"] else " "
        picked = choose(model, prompts, build_prompt(text="", **parts), task.labels, space)
        found["choice"][name] = bits([p == case.label for p, case in zip(picked, task.cases)])
        print(task.name, name, {mode: f"{rows[name].count('1') / len(task.cases):.0%}" for mode, rows in found.items()}, flush=True)
    return found


def write(style: str, task: Task, text: str) -> str:
    """A prompt for an attacked text: "labels", "tags, not escaped", "tags, escaped" or "tags, escaped, warning"."""
    if style == "labels":
        return build_prompt(task.clear, text, delimiters=False)
    if style == "tags, not escaped":
        return build_prompt(task.clear, "@@").replace("@@", text)
    return build_prompt(task.clear + (WARNING if style.endswith("warning") else ""), text)


def injections(model: Batched, task: Task) -> dict[str, Any]:
    obeyed: dict[str, Any] = {}
    said: dict[str, Any] = {}
    flipped: dict[str, Any] = {}
    for style in ("labels", "tags, not escaped", "tags, escaped", "tags, escaped, warning"):
        space = " " if style == "labels" else "\n"
        empty = write(style, task, "")
        clean = choose(model, [write(style, task, case.text) for case in task.cases], empty, task.labels, space)
        for kind in ATTACKS:
            cases = attack_cases(kind)
            prompts = [write(style, task, text) for text, _ in cases]
            for mode in ("chat", "raw"):
                answers = model.answers(prompts, TOKENS, chat=mode == "chat")
                hit = bits([word in answer.lower() for answer, (_, word) in zip(answers, cases)])
                obeyed.setdefault(mode, {}).setdefault(style, {})[kind] = hit
                said.setdefault(mode, {}).setdefault(style, {})[kind] = answers[:5]
                print(style, kind, mode, f"{hit.count('1') / len(hit):.0%}", repr(answers[0]), flush=True)
            picked = choose(model, prompts, empty, task.labels, space)
            flipped.setdefault(style, {})[kind] = bits([a != b for a, b in zip(clean, picked)])
    return {"obeyed": obeyed, "said": said, "flipped": flipped}


def main() -> None:
    model = Batched()
    tasks = (sentiment_task(), category_task())
    record: dict[str, Any] = {"accuracy": {task.name: accuracy(model, task) for task in tasks}}
    record |= injections(model, tasks[0])
    record["about"] = {"date": str(datetime.date.today()), "machine": model.machine,
                       "model": "SmolLM2-135M-Instruct, Q4_1, float32, greedy",
                       "cases": {task.name: len(task.cases) for task in tasks}, "max_new_tokens": TOKENS}
    TARGET.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
