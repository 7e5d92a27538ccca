"""Measurements of section 05 that take minutes: made by assets/measure_tradeoffs.py, shipped, and shown with their machine and date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from aieng.figures.tradeoffs import lines, size_perplexity
from aieng.lesson.experiments.nf4_and_lora import NAMES
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

    The numbers: `steps`, `last` of them, `lora`, `tail` and `qlora` (means over the seeds at each of them), and of the relative difference
    from `lora` at the end, for the trained blocks in NF4 and for all of them: `tail_gap` and `gap` (means), `tail_interval` and `interval`
    (95 %).
    """
    record = stored()["qlora"]
    steps = [int(s) for s in record["runs"][0]["lora"]["held_out"]]
    curves = {name: np.array([[run[name]["held_out"][str(s)] for s in steps] for run in record["runs"]]) for name in NAMES}
    mean = {name: values.mean(0).tolist() for name, values in curves.items()}
    last, seeds = steps[-1], len(record["runs"])
    data: dict[str, Any] = {"steps": steps, "last": last, **mean}
    told = {}
    for name, prefix in (("tail", "tail_"), ("qlora", "")):
        gaps = curves[name][:, -1] / curves["lora"][:, -1] - 1
        reach = float(student.ppf(0.975, seeds - 1) * gaps.std(ddof=1) / seeds**0.5)  # half of Student's 95 % interval
        average = float(gaps.mean())
        data |= {f"{prefix}gap": average, f"{prefix}interval": (average - reach, average + reach)}
        told[name] = (f"{average:+.1%} from LoRA's on average (by seed {', '.join(f'{g:+.1%}' for g in gaps)}; 95 % interval of the mean "
                      f"{average - reach:+.1%} to {average + reach:+.1%})")
    sentence = (
        f"Measured once for the course ({record['processor']}, {record['date']}; {record['examples']} questions to train on, "
        f"{record['test_examples']} others to test, {seeds} seeds). After {last} steps the held-out loss with the trained blocks in NF4 is "
        f"{told['tail']}, with all blocks in NF4 {told['qlora']}. All in NF4 it starts at {mean['qlora'][0]:.2f} in place of "
        f"{mean['lora'][0]:.2f}: that is the rounding of the frozen blocks before the trained ones.")
    figure = lines({label: (steps, mean[name]) for name, label in NAMES.items()},
                   "What four bits cost, and where", "step", "held-out loss (nats, log scale)", log_y=True,
                   subtitle=f"mean of {seeds} seeds")
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
