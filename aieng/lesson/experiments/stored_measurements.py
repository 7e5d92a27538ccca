"""Measurements of section 05 that take minutes: made by assets/measure_tradeoffs.py, shipped, and shown with their machine and date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from aieng.figures.tradeoffs import lines, size_perplexity
from aieng.lesson.finding import Finding, experiment

_FILE = Path(__file__).resolve().parents[3] / "assets" / "tradeoffs.json"


def stored() -> dict[str, Any]:
    """Everything that was measured, by name."""
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


@experiment
def size_against_perplexity() -> Finding:
    """All methods in one picture, from the stored measurement.

    The numbers: one entry per method, {"bits", "bytes", "perplexity"}, by its name.
    """
    rows, about = stored()["perplexity"], stored()["perplexity_text"]
    base = rows["float32"]
    order = sorted(rows.items(), key=lambda item: -item[1]["bytes"])
    table = "\n".join(f"| {name} | {r['bits']:.2f} | {r['bytes'] / 1e6:.0f} | {r['perplexity']:.2f} | "
                      f"{r['perplexity'] / base['perplexity'] - 1:+.1%} |"
                      for name, r in order)
    sentence = (f"| method | bits per weight | MB | perplexity | against float32 |\n|---|---|---|---|---|\n{table}\n\n"
                f"Measured once for the course, not now: {about['tokens']:,} tokens of held-out text in windows of {about['window']}, "
                f"GPTQ calibrated on "
                f"{about['calibration_tokens']:,} tokens of another text ({base['processor']}, {base['date']}). "
                "`python assets/measure_tradeoffs.py` repeats it.")
    points = [(name, r["bytes"] / 1e6, r["perplexity"]) for name, r in order if name != "float32"]
    return Finding(sentence, size_perplexity(points, base["perplexity"]), dict(rows))


@experiment
def qlora_in_time() -> Finding:
    """Held-out loss of LoRA and QLoRA along a longer training, from the stored measurement.

    The numbers: `steps`, `last` of them, `lora` and `qlora` (mean over the seeds at each of them), `gaps` {step: one relative difference
    per seed}, `gap` (mean at the end), `interval` of it, `short_gap` (mean after 30 steps), `tail_gap` (first seed, with the frozen blocks
    before left in float32).
    """
    record = stored()["qlora"]
    steps = [int(s) for s in record["runs"][0]["lora"]["held_out"]]
    curves = {name: np.array([[run[name]["held_out"][str(s)] for s in steps] for run in record["runs"]]) for name in ("lora", "qlora")}
    gaps = curves["qlora"] / curves["lora"] - 1  # (seeds, steps)
    mean = {name: values.mean(0).tolist() for name, values in curves.items()}
    last, seeds = steps[-1], len(record["runs"])
    first = steps.index(30)
    tail = record["runs"][0]["tail"]["after"] / record["runs"][0]["lora"]["after"] - 1
    per_seed = ", ".join(f"{g:+.1%}" for g in gaps[:, -1])
    average = float(gaps[:, -1].mean())
    reach = float(student.ppf(0.975, seeds - 1) * gaps[:, -1].std(ddof=1) / seeds**0.5)  # half of Student's 95 % interval
    sentence = (
        f"Measured once for the course ({record['processor']}, {record['date']}; {record['examples']} questions to train on, "
        f"{record['test_examples']} others to test, {seeds} seeds). After 30 steps QLoRA's loss is {gaps[:, first].mean():+.1%} from "
        f"LoRA's on average, after {last} steps {average:+.1%} (by seed {per_seed}; 95 % "
        f"interval of the mean {average - reach:+.1%} to {average + reach:+.1%}"
        + (", so six runs cannot tell whether anything is left of it). " if average - reach < 0 and seeds == 6 else "). ") +
        f"It starts at {mean['qlora'][0]:.2f} in place of {mean['lora'][0]:.2f}: that is the rounding of the frozen blocks *before* the "
        f"trained ones. With those left in float32 and only the trained blocks in NF4, the first seed begins at "
        f"{record['runs'][0]['tail']['before']:.2f} and ends {tail:+.1%} from LoRA.")
    figure = lines({"LoRA over float32": (steps, mean["lora"]), "QLoRA over NF4": (steps, mean["qlora"])},
                   "Fine-tuning on four bits takes longer to arrive", "step", "held-out loss (nats, log scale)", log_y=True,
                   subtitle=f"mean of {seeds} seeds")
    data = {"steps": steps, "last": last, **mean, "gaps": {s: gaps[:, i].tolist() for i, s in enumerate(steps)}, "gap": average,
            "interval": (average - reach, average + reach), "short_gap": float(gaps[:, first].mean()), "tail_gap": tail}
    return Finding(sentence, figure, data)


@experiment
def nf4_beside_bitsandbytes() -> Finding:
    """The course's NF4 beside bitsandbytes' on the CPU, from the stored measurement: {weight: {"ours", "theirs", "different", "of"}}."""
    record = stored()["nf4_bitsandbytes"]
    rows = "\n".join(f"| {name} | {r['ours']:.4%} | {r['theirs']:.4%} | {r['different']:,} of {r['of']:,} |"
                     for name, r in record["weights"].items())
    return Finding(
        f"| weight | error, ours | error, bitsandbytes {record['version']} | codes that differ |\n|---|---|---|---|\n{rows}\n\n"
        f"Measured once ({record['processor']}, {record['date']}): relative error of NF4 in blocks of 64, by the course's functions and by "
        f"the library that QLoRA's authors wrote. A code may differ where a number lies half-way between two levels.",
        data=dict(record["weights"]))
