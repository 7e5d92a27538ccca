"""Asks SmolLM2 every question of questions.json under several conditions and writes rag_evaluation.json (some ten minutes of one core).

closed: no passage · gold: the passage that holds the answer · retrieved: the three nearest passages · wrong: three passages that were
retrieved for another question · told: retrieved, and told to say so when the passages do not hold the answer. Greedy, at most 20 tokens.
"""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path

import torch

from aieng.data.corpus import load_corpus
from aieng.data.questions import load_questions
from aieng.generation.rag import INSTRUCTION, build_prompt, retrieve
from aieng.models.minilm import load_minilm
from aieng.models.smollm2 import smollm2
from aieng.vectors.distances import knn

K, BUDGET, TOKENS = 3, 400, 20
TOLD = INSTRUCTION + " If they do not hold the answer, say: I do not know."
TARGET = Path(__file__).parent / "rag_evaluation.json"


def main() -> None:
    torch.set_num_threads(1)
    corpus, questions, lm, encoder = load_corpus(), load_questions(), smollm2(), load_minilm()
    place = {p.title: p.id for p in corpus.passages}

    def count(text: str) -> int:
        return len(lm.tokenizer.encode(text))

    found = [retrieve(q.question, encoder.encode, lambda x, k: knn(x, corpus.embeddings, k, "ip"), K) for q in questions]
    ids = [[i for i, _ in hits] for hits in found]
    conditions = {
        "closed": lambda n: None,
        "gold": lambda n: [place[questions[n].passage or ""]] if questions[n].passage else ids[n][:1],
        "retrieved": lambda n: ids[n],
        "wrong": lambda n: ids[(n + 31) % 64],
        "told": lambda n: ids[n],
    }
    record = {
        "date": str(datetime.date.today()), "machine": f"{platform.system()} {platform.machine()}, one thread",
        "settings": {"k": K, "budget": BUDGET, "max_new_tokens": TOKENS, "sampler": "greedy", "model": "SmolLM2-135M-Instruct, Q4_1"},
        "retrieved": [[[i, round(score, 4)] for i, score in hits] for hits in found], "answers": {},
    }
    for name, passages_of in conditions.items():
        answers = record["answers"][name] = []
        for n, q in enumerate(questions):
            chosen = passages_of(n)
            prompt = q.question if chosen is None else build_prompt(
                q.question, [corpus.texts[i] for i in chosen], BUDGET, count, TOLD if name == "told" else INSTRUCTION)[0]
            answers.append(lm.chat(prompt, TOKENS))
        right = sum(q.accepts(a) for q, a in zip(questions, answers))
        print(f"{name}: {right} of 64 hold the answer", flush=True)
        TARGET.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
