"""Trains the two small networks of exercise 6.4: python assets/make_game24.py. One thread, a few minutes.

Labels come from the exhaustive solver, on states of the training puzzles only. Writes game24.safetensors (weights) and game24.json
(the held-out puzzles, and how good the networks are on states that no training puzzle leads to).
"""

from __future__ import annotations

import json
import platform
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional

from aieng.reasoning.game24 import CHECKPOINT, RECORD, Numbers, features, puzzles, result, solvable
from aieng.reasoning.tree_search import propose

EPOCHS, BATCH, WIDTH, TWOS = 12, 256, 128, 30_000


def network(outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(len(features(())), WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))


def train(net: nn.Sequential, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    generator = torch.Generator().manual_seed(0)
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            loss = functional.binary_cross_entropy_with_logits(net(x[rows]), y[rows], weight=weight[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        schedule.step()
        print(f"epoch {epoch}: {total / len(x):.4f}", flush=True)


def as_input(states: Sequence[Numbers]) -> torch.Tensor:
    return torch.tensor(np.array([features(s) for s in states]))


def states(starts: Sequence[Numbers], most: int) -> tuple[list[Numbers], list[Numbers]]:
    """Three-number states of the puzzles, and up to `most` of the two-number states below them."""
    threes = sorted({child for p in starts for child in propose(p)})
    some = random.Random(1).sample(threes, min(len(threes), most // 6))
    twos = sorted({child for p in some for child in propose(p)})
    return threes, random.Random(2).sample(twos, min(len(twos), most))


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The chance that a solvable state scores above an unsolvable one."""
    ranks = scores.argsort().argsort() + 1.0
    n = labels.sum()
    return float((ranks[labels].sum() - n * (n + 1) / 2) / (n * (~labels).sum()))


def main() -> None:
    begin = time.perf_counter()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    training, held_out = puzzles()
    threes, twos = states(training, TWOS)
    print(f"{len(training)} puzzles; {len(threes)} states of three, {len(twos)} of two; {time.perf_counter() - begin:.0f} s", flush=True)
    known = threes + twos
    y = torch.tensor([[float(solvable(s))] for s in known])
    value = network(1)
    train(value, as_input(known), y, torch.ones_like(y))

    hopeful = [s for s in [*training, *known] if solvable(s)]
    after = [[result(s, a) for a in range(36)] for s in hopeful]
    legal = torch.tensor([[float(r is not None) for r in row] for row in after])
    good = torch.tensor([[float(r is not None and solvable(r)) for r in row] for row in after])
    policy = network(36)
    train(policy, as_input(hopeful), good, legal)

    seen = set(threes)
    unseen = [s for s in states(held_out, 0)[0] if s not in seen]
    labels = np.array([solvable(s) for s in unseen])
    with torch.no_grad():
        scores = value(as_input(unseen))[:, 0].numpy()
        likes = policy(as_input(held_out)).numpy()
    options = [[result(p, a) for a in range(36)] for p in held_out]
    first = [row[int(np.argmax([like if r is not None else -np.inf for like, r in zip(ours, row)]))] for ours, row in zip(likes, options)]
    about = {
        "made_by": "assets/make_game24.py",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.machine(),
        "seconds": round(time.perf_counter() - begin),
        "training_puzzles": len(training),
        "training_states": len(known),
        "unseen_states": len(unseen),
        "unseen_solvable_share": round(float(labels.mean()), 4),
        "value_auc": round(auc(scores, labels), 4),
        "policy_first_move_right": round(float(np.mean([r is not None and solvable(r) for r in first])), 4),
        "held_out": [[int(n) for n in p] for p in held_out],
    }
    tensors = {
        f"{name}.{i}.{kind}": getattr(net[2 * i], kind).detach().numpy().astype(np.float16)
        for name, net in (("value", value), ("policy", policy))
        for i in range(3)
        for kind in ("weight", "bias")
    }
    save_file(tensors, CHECKPOINT)
    RECORD.write_text(json.dumps(about) + "\n", encoding="utf-8")
    print({name: found for name, found in about.items() if name != "held_out"}, CHECKPOINT.stat().st_size)


if __name__ == "__main__":
    main()
