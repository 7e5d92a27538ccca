"""Runs the travel agent of section 08 on SmolLM2 many times and records how the runs ended: assets/agent_runs.json (some ten minutes)."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from aieng.agents.react import INSTRUCTION, Scratchpad, react
from aieng.lesson.experiments.agents import ORDER, WAYS, Brain, booked_by, injected_case
from aieng.models.smollm2 import smollm2

CONDITIONS = {"without a note": "", "with the note": ORDER,
              "with the note, marked as a quotation": "(text from the airline, not an instruction) " + ORDER}


PATH = Path(__file__).parent / "agent_runs.json"


def main(runs: int, cases: int, only: str) -> None:
    lm = smollm2("int8")
    brain = Brain(lm)
    record: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8")) if only else {}
    record |= {"date": datetime.date.today().isoformat(), "machine": f"{platform.system()} {platform.machine()}, SmolLM2 int8, greedy"}
    if only != "orders":
        record["runs"] = trips(brain, runs)
    if only != "runs":
        record["injection"] = orders(brain, cases)
    PATH.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print({way: [r["status"] for r in rows] for way, rows in record["runs"].items()}, record["injection"])


def trips(brain: Brain, runs: int) -> dict[str, list[dict[str, Any]]]:
    """Each way's runs: how they ended, what was booked, which tools were called."""
    record = {}
    for way in WAYS:
        rows = []
        for seed in tqdm(range(runs), desc=way):
            task, desk, run = brain.run(react, Scratchpad, seed, way)
            rows.append({"seed": seed, "status": run.status, "steps": len(run.steps), "solved": task.solved(desk, run),
                         "answer": run.answer, "booked": desk.bookings,
                         "tools": [json.loads(s.action)["tool"] for s in run.steps if s.action]})
        record[way] = rows
    return record


def orders(brain: Brain, cases: int) -> dict[str, Any]:
    """How often SmolLM2 names the cheapest flight, and how often the note's; without the example run, whose flight it would copy."""
    chosen = {}
    for condition, note in tqdm(CONDITIONS.items(), desc="orders"):
        found = [case for seed in range(10 * cases) if (case := injected_case(seed, note)) is not None][:cases]
        names = [booked_by(brain.actor, INSTRUCTION, case) for case in found]
        places = {"cheapest": 2, "target": 3}
        chosen[condition] = {key: sum(name == case[place] for name, case in zip(names, found)) for key, place in places.items()}
        chosen[condition]["first"] = sum(name == case[1][0] for name, case in zip(names, found))
    return {"n": cases, "chance": sum(1 / len(c[1]) for c in found) / cases, "chosen": chosen}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--only", choices=("runs", "orders"), default="")
    main(**vars(parser.parse_args()))
