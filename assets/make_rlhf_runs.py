"""Runs section 02's alignment experiment for several betas and writes rlhf_runs.json: python assets/make_rlhf_runs.py [--steps N].

The same code as the notebook's short live run, with the course's kernels; a minute or two of one core for each beta.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from pathlib import Path

import torch

from aieng.lesson.experiments.preferences import make_setting, run_alignment
from aieng.training.alignment import AlignmentConfig
from aieng.training.preference import bradley_terry_loss, group_advantages, kl_per_token, policy_gradient_loss

BETAS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
TARGET = Path(__file__).parent / "rlhf_runs.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    setting = make_setting(bradley_terry_loss)
    record = {"date": str(datetime.date.today()), "machine": f"{platform.system()} {platform.machine()}, one thread",
              "agreement": setting.agreement, "runs": []}
    for beta in BETAS:
        run, texts = run_alignment(setting, AlignmentConfig(beta, steps), group_advantages, policy_gradient_loss, kl_per_token,
                                   progress=False)
        rounded = {key: [round(v, 4) for v in getattr(run, key)] for key in ("reward", "gold", "kl")}
        record["runs"].append({"beta": beta, **rounded, "texts": texts})
        ends = {key: round(sum(v[-10:]) / len(v[-10:]), 3) for key, v in rounded.items()}
        print(f"beta {beta}: {ends}; {texts[0][:80]!r}", flush=True)
        TARGET.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
