"""Section 02: choosing a token from 49,152 logits beside transformers' logits processors, and BPE training beside tokenizers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from aieng.data.corpus import load_corpus
from aieng.data.heldout import load_heldout
from aieng.generation.sampling import Sampler, keep_top_k, keep_top_p, sample
from aieng.text.bpe import smollm_pieces
from aieng.text.bpe_training import train_bpe
from benchmarks.harness import Row, compare, main

VOCAB, MERGES = 49_152, 4_000


def steps(tag: str) -> Iterator[Row]:
    """Flat logits (a nucleus of 36,000 tokens), ordinary ones (some thousands) and peaked ones (about a hundred)."""
    k, p, t = TopKLogitsWarper(50), TopPLogitsWarper(0.95), TemperatureLogitsWarper(0.8)
    for name, spread in (("flat", 1.0), ("ordinary", 3.0), ("peaked", 6.0)):
        x = spread * torch.randn(1, VOCAB, generator=torch.Generator().manual_seed(0))
        whole, nucleus = Sampler(0.8, 50, 0.95, seed=0), Sampler(0.8, None, 0.95, seed=0)

        def theirs(*steps: Any, x: torch.Tensor = x) -> torch.Tensor:
            logits = x
            for step in steps:
                logits = step(None, logits)
            return torch.multinomial(logits.softmax(-1), 1)

        for what, mine, other in (
            ("top-k 50", lambda x=x: keep_top_k(x, 50), lambda x=x: k(None, x)),
            ("top-p 0.95", lambda x=x: keep_top_p(x, 0.95), lambda x=x: p(None, x)),
            ("one draw", lambda x=x: sample(x), lambda theirs=theirs: theirs()),
            ("T 0.8, top-p 0.95, draw", lambda x=x, s=nucleus: s(x), lambda theirs=theirs: theirs(t, p)),
            ("T 0.8, top-k 50, top-p 0.95, draw", lambda x=x, s=whole: s(x), lambda theirs=theirs: theirs(t, k, p)),
        ):
            yield compare(f"{what}, {name} logits{tag}", "transformers", _repeated(mine), _repeated(other), work=20, unit="tokens/s",
                          target=1.0, repeats=9)


def _repeated(call: Any, times: int = 20) -> Any:
    """Several calls in a row: one is too short to be timed."""
    return lambda: [call() for _ in range(times)]


def megabyte() -> str:
    """A text of 1,000,000 characters: definitions, essays, and definitions with other words put in, so that few words repeat exactly."""
    text = "\n".join(load_corpus().texts) + load_heldout()
    turned = re.sub(r"\b([a-z]{3,})([a-z]{3})\b", r"\2\1", text)
    return (text + turned)[:1_000_000]


def training(tag: str) -> Iterator[Row]:
    text = megabyte()

    def theirs() -> None:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        trainer = trainers.BpeTrainer(vocab_size=256 + MERGES, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        tokenizer.train_from_iterator([text], trainer)

    yield compare(f"BPE training, {MERGES:,} merges from 1 MB, cutting included{tag}", "tokenizers",
                  lambda: train_bpe((piece.encode() for piece in smollm_pieces(text)), MERGES), theirs, work=MERGES, unit="merges/s",
                  target=0.5, repeats=3)


def measure(threads: int) -> list[Row]:
    torch.set_num_threads(threads)
    tag = f" · {threads} thread{'s' if threads > 1 else ''}"
    return [*steps(tag), *training(tag)]


if __name__ == "__main__":
    main(measure, __doc__)
