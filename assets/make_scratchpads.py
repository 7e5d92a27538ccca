"""Trains the small models of exercise 6.1 and writes scratchpads.safetensors and scratchpads.json: python assets/make_scratchpads.py.

Three seeds of each style, the same number of tokens each; questions for testing come from a seed that training does not use. Six
trainings, one thread, about half a minute each on a free core.
"""

from __future__ import annotations

import datetime
import json
import platform
import random
import time
from pathlib import Path

import torch

from aieng.reasoning.scratchpad import CHECKPOINT, LONGEST, STYLES, TOKENS, Solver, random_chain, save_solvers, solver, train_solver

SEEDS = (0, 1, 2)
ASKED = 1000  # questions for each number of steps
SHIPPED = ("direct-0", "scratchpad-0", "scratchpad-early")  # the weights that the notebook uses; of the others the accuracies are kept
EARLY = 0.6  # the loss at which a scratchpad model is kept as well, for self-consistency


def main() -> None:
    torch.set_num_threads(1)
    solvers: dict[str, Solver] = {}
    record: dict[str, object] = {"tokens": TOKENS, "asked": ASKED, "date": str(datetime.date.today()),
                                 "machine": f"{platform.system()} {platform.machine()}, one thread"}
    rng = random.Random("test")
    questions = {steps: [random_chain(rng, steps) for _ in range(ASKED)] for steps in range(1, LONGEST + 1)}
    for seed in SEEDS:
        for style in STYLES:
            begin = time.process_time()
            trained = train_solver(style, seed)
            accuracy = [trained.accuracy(questions[steps]) for steps in questions]
            solvers[f"{style}-{seed}"] = trained
            record[f"{style}-{seed}"] = {"accuracy": accuracy, "seconds": round(time.process_time() - begin, 1)}
            print(style, seed, record[f"{style}-{seed}"], flush=True)
    solvers["scratchpad-early"] = stopped_at(EARLY)
    record["scratchpad-early"] = {"accuracy": [solvers["scratchpad-early"].accuracy(questions[steps]) for steps in questions]}
    save_solvers({name: solvers[name] for name in SHIPPED})
    CHECKPOINT.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{CHECKPOINT.name}: {Path(CHECKPOINT).stat().st_size / 1e6:.2f} MB")


def stopped_at(limit: float) -> Solver:
    """A scratchpad model whose training was ended when the mean loss of 10 steps fell to `limit`."""
    recent: list[float] = []

    def on_step(_: int, loss: float) -> bool | None:
        recent.append(loss)
        return False if len(recent) >= 10 and sum(recent[-10:]) / 10 <= limit else None

    return solver("scratchpad", train_solver("scratchpad", seed=0, on_step=on_step).weights)


if __name__ == "__main__":
    main()
