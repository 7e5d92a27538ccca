"""Trains the small language model of section 02 and writes tiny_gpt.safetensors: python assets/make_tiny_gpt.py [--steps N].

Text: the definitions of corpus.jsonl.gz (WordNet 3.0, licence in LICENSES.md), 5 % of them held out. One core, some minutes.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import time

import torch

from aieng.data.corpus import load_corpus
from aieng.models.tiny_gpt import as_ids, save_tiny_gpt, split_texts, tiny_gpt, tiny_tokenizer
from aieng.text.bpe import smollm_pieces
from aieng.text.bpe_training import train_bpe
from aieng.training.loop import TrainingConfig, random_windows, train
from aieng.training.losses import cross_entropy

BATCH, LENGTH, MERGES = 16, 64, 768


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=800)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    training, held_out = split_texts(load_corpus().texts)
    tokenizer = tiny_tokenizer(train_bpe((p.encode() for text in training for p in smollm_pieces(text)), MERGES))
    gpt = tiny_gpt(tokenizer)
    ids, unseen = as_ids(tokenizer, training), as_ids(tokenizer, held_out)
    windows = unseen[: len(unseen) // LENGTH * LENGTH].reshape(-1, LENGTH)
    generator = torch.Generator().manual_seed(0)
    begin = time.perf_counter()

    def loss_of(_: int) -> torch.Tensor:
        batch = random_windows(ids, BATCH, LENGTH, generator)
        return cross_entropy(gpt.model(batch[:, :-1]), batch[:, 1:])

    def unseen_loss() -> float:
        with torch.no_grad():
            return float(cross_entropy(gpt.model(windows[:, :-1]), windows[:, 1:]))

    def report(step: int, loss: float) -> None:
        if step % 200 == 199:
            print(f"step {step + 1}: loss {loss:.3f}, held out {unseen_loss():.3f}, {time.perf_counter() - begin:.0f} s", flush=True)
            save(step + 1)

    def save(done: int) -> None:
        save_tiny_gpt(gpt, steps=str(done), held_out_loss=f"{unseen_loss():.4f}", date=str(datetime.date.today()),
                      machine=f"{platform.system()} {platform.machine()}, one thread")

    train(gpt.weights.values(), loss_of, TrainingConfig(steps), report)
    save(steps)


if __name__ == "__main__":
    main()
