"""5.5 and 5.7 measured: a small text classifier, rounded before or after training, and taught by labels or by a larger one.

The task: which of the corpus's 15 categories does a passage belong to? A network on hashed words, without any pretrained part, so that a
run takes a second and five seeds can be shown.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from aieng.data.corpus import load_corpus
from aieng.figures.tradeoffs import seeds
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment
from aieng.quantization.quantization_aware import absmax_scale

WORDS = 1024  # hashed


@lru_cache(maxsize=1)
def _data() -> tuple[Tensor, Tensor, Tensor, list[str]]:
    """Hashed words (n, 1024), MiniLM's embeddings (n, 384), labels (n,), category names; shuffled once."""
    corpus = load_corpus()
    names = sorted(corpus.categories)
    words = torch.zeros(len(corpus), WORDS)
    for i, p in enumerate(corpus.passages):
        for word in re.findall(r"[a-z]{3,}", p.text.lower()):
            words[i, zlib.crc32(word.encode()) % WORDS] = 1.0
    words = F.normalize(words, dim=1)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(corpus)))
    labels = torch.tensor([names.index(p.category) for p in corpus.passages])
    return words[order], torch.from_numpy(corpus.embeddings)[order], labels[order], names


class _Network(nn.Module):
    """Two layers; `rounding` is applied to both weights in every forward pass."""

    def __init__(self, inputs: int, hidden: int, classes: int, seed: int) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.first = nn.Parameter(torch.randn(hidden, inputs, generator=g) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.second = nn.Parameter(torch.randn(classes, hidden, generator=g) / hidden**0.5)
        self.rounding: Any = None

    def forward(self, x: Tensor) -> Tensor:
        first, second = (self.first, self.second) if self.rounding is None else (self.rounding(self.first), self.rounding(self.second))
        return F.linear(F.relu(F.linear(x, first, self.bias)), second)


def _train(net: _Network, x: Tensor, loss: Any, steps: int, seed: int, learning_rate: float = 0.01) -> _Network:
    """Adam on batches of 64; `loss(logits, rows)`."""
    optimizer, g = torch.optim.Adam(net.parameters(), lr=learning_rate), torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,), generator=g)
        optimizer.zero_grad()
        loss(net(x[rows]), rows).backward()
        optimizer.step()
    return net


@torch.no_grad()
def _accuracy(net: _Network, x: Tensor, y: Tensor) -> float:
    return 100 * float((net(x).argmax(-1) == y).float().mean())


@experiment
def before_or_after(fake_quantize: Any, *, n_seeds: int | None = None, bit_widths: tuple[int, ...] = (4, 3, 2)) -> Finding:
    """Test accuracy of PTQ and QAT with symmetric codes, one scale per output channel.

    The numbers: `float32`, `ptq` and `qat` ({bits: [per cent, one per seed]}).
    """
    words, _, labels, names = _data()
    x, y, test_x, test_y = words[:3000], labels[:3000], words[3000:], labels[3000:]
    count, steps = n_seeds or (1 if quick() else 5), 60 if quick() else 300
    full: list[float] = []
    ptq: dict[int, list[float]] = {b: [] for b in bit_widths}
    qat: dict[int, list[float]] = {b: [] for b in bit_widths}

    def rounding(bits: int) -> Any:
        return lambda w: fake_quantize(w, absmax_scale(w, bits, dim=1), bits)

    def loss(out: Tensor, rows: Tensor) -> Tensor:
        return F.cross_entropy(out, y[rows])

    for seed in tqdm(range(count), desc="seeds", leave=False):
        net = _train(_Network(WORDS, 32, len(names), seed), x, loss, steps, seed)
        full.append(_accuracy(net, test_x, test_y))
        for bits in bit_widths:
            net.rounding = rounding(bits)
            ptq[bits].append(_accuracy(net, test_x, test_y))
            aware = _Network(WORDS, 32, len(names), seed)
            aware.rounding = rounding(bits)  # the same start, the same batches, the same number of steps
            qat[bits].append(_accuracy(_train(aware, x, loss, steps, seed), test_x, test_y))
        net.rounding = None
    groups = {"float32": full}
    for bits in bit_widths:
        groups |= {f"PTQ {bits} bits": ptq[bits], f"QAT {bits} bits": qat[bits]}
    told = "; ".join(f"{bits} bits: PTQ {_spread(ptq[bits])}, QAT {_spread(qat[bits])}" for bits in bit_widths)
    sentence = f"Accuracy on {len(test_x):,} passages, mean ± standard deviation over {count} seed(s): float32 {_spread(full)}; {told}."
    return Finding(sentence, seeds(groups, "Rounding after training, or during it", "test accuracy (%)"),
                   {"float32": full, "ptq": ptq, "qat": qat})


@experiment
def soft_or_hard(distillation_loss: Any, *, n_seeds: int | None = None, labelled: int = 300, temperature: float = 2.0) -> Finding:
    """Test accuracy of one student (hashed words, 16 hidden units) taught in three ways, with as many steps each.

    The teacher sees MiniLM's embeddings and learns from `labelled` passages. *Scratch* learns from the same labels; *hard* from the
    teacher's answers to 3,000 passages, *soft* from its probabilities. The numbers: `teacher`, `scratch`, `hard`, `soft` (%, one per seed).
    """
    words, embeddings, labels, names = _data()
    test = slice(3000, None)
    count, steps = n_seeds or (1 if quick() else 5), 80 if quick() else 400
    found: dict[str, list[float]] = {"teacher": [], "scratch": [], "hard": [], "soft": []}
    for seed in tqdm(range(count), desc="seeds", leave=False):
        chosen = torch.randperm(3000, generator=torch.Generator().manual_seed(seed))[:labelled]
        own, few = labels[chosen], embeddings[chosen]
        teacher = _train(_Network(384, 128, len(names), seed), few, lambda out, rows, own=own: F.cross_entropy(out, own[rows]), steps, seed)
        found["teacher"].append(_accuracy(teacher, embeddings[test], labels[test]))
        with torch.no_grad():
            answers = teacher(embeddings[:3000])
        best = answers.argmax(-1)
        ways: dict[str, tuple[Tensor, Any]] = {
            "scratch": (words[chosen], lambda out, rows, own=own: F.cross_entropy(out, own[rows])),
            "hard": (words[:3000], lambda out, rows, best=best: F.cross_entropy(out, best[rows])),
            "soft": (words[:3000], lambda out, rows, answers=answers,
                     best=best: distillation_loss(out, answers[rows], best[rows], temperature, 1.0)),
        }
        for name, (x, loss) in ways.items():
            student = _train(_Network(WORDS, 16, len(names), seed + 50), x, loss, steps, seed)
            found[name].append(_accuracy(student, words[test], labels[test]))
    difference = np.array(found["soft"]) - np.array(found["hard"])
    sentence = (f"Accuracy on {len(labels) - 3000:,} passages over {count} seed(s): teacher {_spread(found['teacher'])}; student from "
                f"{labelled} labels alone "
                f"{_spread(found['scratch'])}, from the teacher's answers to 3,000 passages {_spread(found['hard'])}, from its "
                f"probabilities "
                f"{_spread(found['soft'])}. Soft minus hard, seed by seed: {difference.mean():+.1f} points, from "
                f"{difference.min():+.1f} to "
                f"{difference.max():+.1f}.")
    return Finding(sentence, seeds(found, "What a student learns from whom", "test accuracy (%)"),
                   {**found, "difference": difference.tolist()})


@experiment
def clean_or_large(*, n_seeds: int | None = None, small: int = 1000, large: int = 3000, wrong: float = 0.4) -> Finding:
    """Few clean labels against three times as many of which a share is wrong, at the same number of steps: `clean`, `noisy`."""
    words, _, labels, names = _data()
    test = slice(3000, None)
    count, steps = n_seeds or (1 if quick() else 5), 80 if quick() else 400
    found: dict[str, list[float]] = {f"{small:,} clean": [], f"{large:,}, {wrong:.0%} wrong": []}
    for seed in range(count):
        g = torch.Generator().manual_seed(seed)
        noisy = labels[:large].clone()
        hit = torch.rand(large, generator=g) < wrong
        noisy[hit] = torch.randint(len(names), (int(hit.sum()),), generator=g)
        for name, x, y in zip(found, (words[:small], words[:large]), (labels[:small], noisy)):
            net = _train(_Network(WORDS, 32, len(names), seed), x, lambda out, rows, y=y: F.cross_entropy(out, y[rows]), steps, seed)
            found[name].append(_accuracy(net, words[test], labels[test]))
    (a, clean), (b, dirty) = found.items()
    sentence = (f"The same network, the same {steps} steps: {a} labels give {_spread(clean)}, {b} give {_spread(dirty)}. "
                + ("Quality won over quantity here" if np.mean(clean) > np.mean(dirty) else "Quantity won over quality here")
                + "; with another share of wrong labels it may be the other way round. Try `clean_or_large(wrong=0.2)`.")
    return Finding(sentence, seeds(found, "Few clean labels or many noisy ones", "test accuracy (%)"), {"clean": clean, "noisy": dirty})


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.1f} %" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "")
