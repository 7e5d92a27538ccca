"""Trains the two small networks of exercise 6.4 and writes game24.safetensors: python assets/make_game24.py. About two minutes, one thread.

Labels come from the exhaustive solver, on states of the training puzzles only.
"""

from __future__ import annotations

import json
import random

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional

from aieng.reasoning.game24 import CHECKPOINT, features, propose, puzzles, result, solvable

EPOCHS, BATCH, WIDTH = 6, 256, 96


def network(outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4 * 41, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))


def train(net: nn.Sequential, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    generator = torch.Generator().manual_seed(0)
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            loss = functional.binary_cross_entropy_with_logits(net(x[rows]), y[rows], weight=mask[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        print(f"epoch {epoch}: {total / len(x):.4f}", flush=True)


def states(starts: list, most: int) -> tuple[list, list]:
    """Three-number states of the puzzles, and up to `most` of the two-number states below them."""
    threes = sorted({child for p in starts for child in propose(p)})
    twos = sorted({child for p in random.Random(1).sample(threes, min(len(threes), most // 6)) for child in propose(p)})
    return threes, random.Random(2).sample(twos, min(len(twos), most))


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    ranks = scores.argsort().argsort() + 1.0
    n = labels.sum()
    return float((ranks[labels].sum() - n * (n + 1) / 2) / (n * (~labels).sum()))


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    training, held_out = puzzles()
    threes, twos = states(list(training), 40_000)
    print(len(training), "puzzles;", len(threes), "states of three,", len(twos), "of two", flush=True)
    known = threes + twos
    x = torch.tensor(np.array([features(s) for s in known]))
    y = torch.tensor([[float(solvable(s))] for s in known])
    value = network(1)
    train(value, x, y, torch.ones_like(y))

    hopeful = [s for s in [*training, *known] if solvable(s)]
    after = [[result(s, a) for a in range(36)] for s in hopeful]
    legal = torch.tensor([[float(r is not None) for r in row] for row in after])
    good = torch.tensor([[float(r is not None and solvable(r)) for r in row] for row in after])
    policy = network(36)
    train(policy, torch.tensor(np.array([features(s) for s in hopeful])), good, legal)

    test_threes, _ = states(list(held_out), 0)
    seen = set(threes)
    unseen = [s for s in test_threes if s not in seen]
    labels = np.array([solvable(s) for s in unseen])
    with torch.no_grad():
        scores = value(torch.tensor(np.array([features(s) for s in unseen])))[:, 0].numpy()
    about = {"unseen_states": str(len(unseen)), "solvable_share": f"{labels.mean():.3f}", "auc": f"{auc(scores, labels):.3f}"}
    print(about)
    tensors = {f"{name}.{i}.{kind}": getattr(net[2 * i], kind).detach().numpy().astype(np.float16)
               for name, net in (("value", value), ("policy", policy)) for i in range(3) for kind in ("weight", "bias")}
    save_file(tensors, CHECKPOINT, metadata=about)
    print(json.dumps(about), CHECKPOINT.stat().st_size)


if __name__ == "__main__":
    main()
