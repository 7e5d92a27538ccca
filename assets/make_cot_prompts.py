"""Asks SmolLM2 100 generated word problems with three prompts and writes cot_prompts.json (some minutes of one core).

direct: the question and "A:", answered as "The answer is …" · zero-shot: "Let's think step by step." · few-shot: two worked examples.
Greedy, int8 weights, raw prompts without the chat's frame.
"""

from __future__ import annotations

import datetime
import json
import platform
import time
from pathlib import Path

import torch

from aieng.data.word_problems import make_word_problems
from aieng.models.smollm2 import smollm2
from aieng.reasoning.chain_of_thought import extract_answer, few_shot_prompt, zero_shot_prompt
from aieng.reasoning.prompting import EXAMPLES, TOKENS, ask, direct_prompt

ASKED, SEED = 100, 61
TARGET = Path(__file__).parent / "cot_prompts.json"


def main() -> None:
    torch.set_num_threads(1)
    lm, problems = smollm2("int8"), make_word_problems(ASKED, SEED)
    prompts = {"direct": direct_prompt, "zero-shot": zero_shot_prompt, "few-shot": lambda q: few_shot_prompt(q, EXAMPLES)}
    record: dict[str, object] = {"date": str(datetime.date.today()), "machine": f"{platform.system()} {platform.machine()}, one thread",
                                 "model": "SmolLM2-135M-Instruct, int8, "
                                          "greedy", "seed": SEED, "tokens": TOKENS, "answers": {}, "seconds": {}}
    for name, prompt_of in prompts.items():
        begin, texts = time.perf_counter(), []
        for problem in problems:
            # A direct answer, and a chain in the examples' form, are one line; a free chain may have several.
            texts.append(ask(lm, prompt_of(problem.question), TOKENS[name], one_line=name != "zero-shot"))
        right = sum(extract_answer(text) == problem.answer for text, problem in zip(texts, problems))
        record["answers"][name] = texts  # type: ignore[index]
        record["seconds"][name] = round(time.perf_counter() - begin, 1)  # type: ignore[index]
        print(f"{name}: {right} of {ASKED} right, {record['seconds'][name]} s", flush=True)  # type: ignore[index]
        TARGET.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
