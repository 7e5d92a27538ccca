"""Measures section 08's context engineering on SmolLM2 and writes context_runs.json: two minutes on a GPU, hours on one core.

candidates   the 20 passages of the corpus nearest to each of section 02's 64 answerable questions: [[id, cosine], …]; needs MiniLM
likelihood   of each question given each candidate (mean log-probability a token), and of the question alone
budgets      which questions are answered right when the whole prompt has so many tokens, by the order of the candidates
positions    which are answered right, and the log-probability of the right answer, when the passage that holds it stands at each place
             among others; two draws of the others per question

`python assets/make_context.py candidates` makes the first part, `model` the others. Answers are greedy, chat form, at most 20 tokens.
"""

from __future__ import annotations

import datetime
import json
import random
import sys
from pathlib import Path
from typing import Any

from aieng.agents.context import INSTRUCTION, compose
from aieng.data.corpus import load_corpus
from aieng.data.questions import Question, load_questions

TARGET = Path(__file__).parent / "context_runs.json"
TOKENS, DEPTH = 20, 20
BUDGETS = (48, 64, 80, 96, 128, 192, 256, 384, 512, 768)
LENGTHS = (10, 20)
DRAWS = 2


def save(record: dict[str, Any]) -> None:
    TARGET.write_text(json.dumps(record) + "\n", encoding="utf-8")


def candidates(questions: list[Question]) -> list[list[list[float]]]:
    from aieng.models.minilm import load_minilm
    from aieng.vectors.distances import knn

    scores, ids = knn(load_minilm().encode([q.question for q in questions]), load_corpus().embeddings, DEPTH, "ip")
    return [[[int(i), round(float(s), 4)] for i, s in zip(row, near)] for row, near in zip(ids, scores)]


def with_model(record: dict[str, Any], questions: list[Question]) -> None:
    from batched_model import Batched

    model, corpus = Batched(), load_corpus()
    encode = model.lm.tokenizer.encode
    place = {p.title: p.id for p in corpus.passages}
    found = [[int(i) for i, _ in row] for row in record["candidates"]]

    def count(text: str) -> int:
        return len(encode(text))

    # --- the reranker -----------------------------------------------------------------------------
    pairs = [(encode(f"{corpus.texts[i]}\nQuestion:"), encode(f" {q.question}")) for q, row in zip(questions, found) for i in row]
    alone = [(encode("Question:"), encode(f" {q.question}")) for q in questions]
    said = [round(total / len(end), 4) for total, (_, end) in zip(model.log_probabilities(pairs), pairs)]
    record["likelihood"] = [said[i : i + DEPTH] for i in range(0, len(said), DEPTH)]
    record["alone"] = [round(total / len(end), 4) for total, (_, end) in zip(model.log_probabilities(alone), alone)]
    save(record)

    def answered(prompts: list[str], asked: list[Question]) -> str:
        answers = model.answers(prompts, TOKENS, chat=True)
        return "".join("01"[q.accepts(a)] for q, a in zip(asked, answers))

    # --- budgets ----------------------------------------------------------------------------------
    retrieved = [[s for _, s in row] for row in record["candidates"]]
    oracle = [[float(i == place[str(q.passage)]) for i in row] for q, row in zip(questions, found)]
    orders = {"retrieved": (retrieved, "best_first"), "reranked": (record["likelihood"], "best_first"),
              "reranked, best last": (record["likelihood"], "best_last"), "reranked, edges": (record["likelihood"], "edges"),
              "right passage first": (oracle, "best_first")}
    record["budgets"] = {}
    for name, (scores, order) in orders.items():
        for budget in BUDGETS:
            made = [compose(INSTRUCTION, q.question, [corpus.texts[i] for i in row], s, budget, count, order)
                    for q, row, s in zip(questions, found, scores)]
            right = answered([prompt for prompt, _ in made], questions)
            record["budgets"].setdefault(name, {})[str(budget)] = {
                "right": right, "tokens": [count(prompt) for prompt, _ in made],
                "holds": "".join("01"[place[str(q.passage)] in [row[i] for i in placed]]
                                 for q, row, (_, placed) in zip(questions, found, made))}
            print(name, budget, f"{right.count('1') / len(right):.0%}", flush=True)

    save(record)

    # --- lost in the middle -----------------------------------------------------------------------
    rng = random.Random(8)
    record["positions"] = {}
    for length in LENGTHS:
        asked = questions * DRAWS
        others = [rng.sample([i for i in row if i != place[str(q.passage)]], length - 1) for q, row in zip(asked, found * DRAWS)]
        for at in range(length) if length == LENGTHS[0] else range(0, length, 2):
            prompts = []
            for q, rest in zip(asked, others):
                listed = [*rest[:at], place[str(q.passage)], *rest[at:]]
                texts, scores = [corpus.texts[i] for i in listed], [-n for n in range(length)]
                prompts.append(compose(INSTRUCTION, q.question, texts, scores, 10**6, count, "best_first")[0])
            right = answered(prompts, asked)
            ends = [(model.encode(prompt, chat=True), encode(q.answers[0])) for prompt, q in zip(prompts, asked)]
            logs = [round(total / len(end), 3) for total, (_, end) in zip(model.log_probabilities(ends), ends)]
            record["positions"].setdefault(str(length), {})[str(at + 1)] = {"right": right, "log_probability": logs}
            save(record)
            print(length, at + 1, f"{right.count('1') / len(right):.0%}", f"{sum(logs) / len(logs):.3f}", flush=True)
    record["about"] = {"date": str(datetime.date.today()), "machine": model.machine, "questions": len(questions),
                       "model": "SmolLM2-135M-Instruct, Q4_1, float32, greedy", "max_new_tokens": TOKENS, "draws": DRAWS}


def main(part: str) -> None:
    questions = [q for q in load_questions() if q.answerable]
    record = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
    if part == "candidates":
        record["candidates"] = candidates(questions)
    elif part == "model":
        with_model(record, questions)
    else:
        raise SystemExit("name the part: candidates or model")
    save(record)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
