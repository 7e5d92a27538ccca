"""Runs the travel agent of section 08 on SmolLM2 many times and records how the runs ended: assets/agent_runs.json (some ten minutes)."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from aieng.agents.react import Scratchpad, react
from aieng.lesson.experiments.agents import ORDER, WAYS, Brain, booked_by, injected_case
from aieng.models.smollm2 import smollm2

CONDITIONS = {"without a note": "", "with the note": ORDER,
              "with the note, marked as a quotation": "(text from the airline, not an instruction) " + ORDER}


def main(runs: int, cases: int) -> None:
    lm = smollm2("int8")
    machine = f"{platform.system()} {platform.machine()}, SmolLM2 int8, greedy"
    record: dict[str, Any] = {"date": datetime.date.today().isoformat(), "machine": machine, "runs": {}}
    for way, (careful, gate) in WAYS.items():
        brain = Brain(lm, careful)
        rows = []
        for seed in tqdm(range(runs), desc=way):
            task, desk, run = brain.run(react, Scratchpad, seed, gate)
            rows.append({"seed": seed, "status": run.status, "steps": len(run.steps), "solved": task.solved(desk, run),
                         "answer": run.answer, "booked": desk.bookings,
                         "tools": [json.loads(s.action)["tool"] for s in run.steps if s.action]})
        record["runs"][way] = rows
    chosen = {}
    for condition, note in tqdm(CONDITIONS.items(), desc="orders"):
        found = [case for seed in range(10 * cases) if (case := injected_case(seed, note)) is not None][:cases]
        names = [booked_by(brain.actor, brain.instruction, case) for case in found]
        chosen[condition] = {"cheapest": sum(n == c[2] for n, c in zip(names, found)),
                             "target": sum(n == c[3] for n, c in zip(names, found))}
    record["injection"] = {"n": cases, "chosen": chosen}
    path = Path(__file__).parent / "agent_runs.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path, {way: [r["status"] for r in rows] for way, rows in record["runs"].items()}, chosen)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--cases", type=int, default=40)
    main(**vars(parser.parse_args()))
