"""A task of many steps and a Transformer small enough to learn it in half a minute, with and without room to write the steps down.

The task is clock arithmetic: start at a digit, apply operations one after the other, keep only the last digit of each result.
``7 +5 *3 -8`` goes 7, 2, 6, 8. Multipliers are 3, 7 and 9, the ones that lose no information on a clock of ten: with *2 or *5 different
starts would meet, and part of the question could be left unread.

Source of the idea: Nye et al. 2021, "Show Your Work: Scratchpads for Intermediate Computation with Language Models" (arXiv:2112.00114).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from aieng.models.shipped import shipped
from aieng.training.loop import TrainingConfig, train
from aieng.transformer.llama import Kernels, Llama, LlamaConfig, init_weights

OPERATIONS = tuple([f"+{d}" for d in range(1, 10)] + [f"-{d}" for d in range(1, 10)] + ["*3", "*7", "*9"])
BLANK, ASK = "_", "="
VOCABULARY = (*map(str, range(10)), *OPERATIONS, BLANK, ASK)
TOKEN = {text: i for i, text in enumerate(VOCABULARY)}
LONGEST = 5  # operations of the longest question
CONFIG = LlamaConfig(vocab_size=len(VOCABULARY), hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=4, max_position_embeddings=32)
STYLES = ("direct", "scratchpad")
TOKENS = 1_500_000  # fed to each model in training: the equal compute of the comparison
CHECKPOINT = Path(__file__).resolve().parents[2] / "assets" / "scratchpads.safetensors"


@dataclass(frozen=True)
class Chain:
    """A question: the digit to start from, and what to do with it, one operation after the other."""

    start: int
    operations: tuple[str, ...]

    @property
    def values(self) -> tuple[int, ...]:
        """The running value after each operation; the last one is the answer."""
        made, value = [], self.start
        for operation in self.operations:
            value = apply(value, operation)
            made.append(value)
        return tuple(made)

    @property
    def answer(self) -> int:
        return self.values[-1]

    def __str__(self) -> str:
        return " ".join([str(self.start), *self.operations])


def apply(value: int, operation: str) -> int:
    """The last digit of ``value operation``: ``apply(7, "+5")`` is 2."""
    d = int(operation[1:])
    return {"+": value + d, "-": value - d, "*": value * d}[operation[0]] % 10


def random_chain(rng: random.Random, steps: int) -> Chain:
    """A question of `steps` operations."""
    return Chain(rng.randrange(10), tuple(rng.choices(OPERATIONS, k=steps)))


def question_ids(chain: Chain) -> list[int]:
    """Start, operations, blanks up to the longest question, "=": always LONGEST + 2 tokens."""
    blanks = [BLANK] * (LONGEST - len(chain.operations))
    return [TOKEN[t] for t in (str(chain.start), *chain.operations, *blanks, ASK)]


def answer_ids(chain: Chain, style: str) -> list[int]:
    """What the model learns to write after "=": the answer, or every value on the way to it."""
    if style not in STYLES:
        raise ValueError(f"style is {style!r}; choose one of {', '.join(STYLES)}")
    return [chain.answer] if style == "direct" else list(chain.values)


@dataclass(frozen=True)
class Solver:
    """A trained model. style : "direct" or "scratchpad"."""

    model: Llama
    weights: dict[str, Tensor]
    style: str

    @torch.no_grad()
    def step_probabilities(self, chain: Chain, written: Sequence[int] | None = None) -> Tensor:
        """Probability of each digit at each place of the answer: (places, 10), float32.

        `written` are the digits before each place (default: the right ones); a direct model has one place.
        """
        digits = list(answer_ids(chain, self.style) if written is None else written)
        ids = torch.tensor([question_ids(chain) + digits[:-1] if digits else question_ids(chain)])
        return self.model(ids)[0, LONGEST + 1 :, :10].softmax(-1)

    @torch.no_grad()
    def write(self, chains: Sequence[Chain], temperature: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """The digits that the model writes for questions of equal length: (questions, places), int64. Temperature 0 is greedy."""
        lengths = {len(chain.operations) for chain in chains}
        if len(lengths) != 1:
            raise ValueError(f"questions of {sorted(lengths)} steps in one batch; give questions of equal length")
        ids = torch.tensor([question_ids(chain) for chain in chains])
        cache = self.model.new_cache(len(chains), LONGEST + 2 + lengths.pop())
        places = 1 if self.style == "direct" else len(chains[0].operations)
        written = []
        for _ in range(places):
            logits = self.model(ids, cache, logits_to_keep=1)[:, -1, :10]
            ids = logits.argmax(-1, keepdim=True) if temperature == 0 else torch.multinomial(
                (logits / temperature).softmax(-1), 1, generator=generator)
            written.append(ids)
        return torch.cat(written, dim=1)

    def accuracy(self, chains: Sequence[Chain]) -> float:
        """Share of the questions (of equal length) whose last written digit is right."""
        return float((self.write(chains)[:, -1] == torch.tensor([c.answer for c in chains])).double().mean())


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def solver(style: str, weights: dict[str, Tensor] | None = None, seed: int = 0) -> Solver:
    """A model around these weights, or around fresh ones."""
    weights = init_weights(CONFIG, seed, std=0.08) if weights is None else weights
    return Solver(Llama(CONFIG, weights, Kernels(attention=_attention)), weights, style)


def train_solver(style: str, seed: int = 0, tokens: int = TOKENS, batch: int = 64,
                 on_step: Callable[[int, float], bool | None] | None = None) -> Solver:
    """Train a fresh model on fresh questions of 1 to LONGEST steps until it has been fed `tokens` tokens.

    Both styles get the same architecture, questions of the same kind, and the same number of tokens, so about the same arithmetic. A
    direct answer is shorter, so a direct model sees more questions for it.
    """
    fresh, rng = solver(style, seed=seed), random.Random(1000 + seed)
    length = LONGEST + 2 + (0 if style == "direct" else LONGEST - 1)  # the last written token is never fed
    steps = max(1, tokens // (batch * length))

    def loss_of(_: int) -> Tensor:
        chains = [random_chain(rng, 1 + i % LONGEST) for i in range(batch)]
        answers = [answer_ids(chain, style) for chain in chains]
        width = 1 if style == "direct" else LONGEST
        rows = torch.tensor([question_ids(c) + a + [TOKEN[BLANK]] * (width - len(a)) for c, a in zip(chains, answers)])
        targets = torch.tensor([a + [-100] * (width - len(a)) for a in answers])
        logits = fresh.model(rows[:, :-1])[:, LONGEST + 1 :]  # (batch, width, vocabulary), from "=" on
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)

    config = TrainingConfig(steps, learning_rate=2e-3, warmup=30, weight_decay=0.02)
    train(fresh.weights.values(), loss_of, config, on_step)
    return fresh


def save_solvers(solvers: dict[str, Solver], path: Path = CHECKPOINT, **about: str) -> None:
    """Write several models into one file, weights as float16; names such as "scratchpad-0"."""
    save_file({f"{name}/{key}": w.detach().half().contiguous() for name, s in solvers.items() for key, w in s.weights.items()}, path,
              metadata=about)


def load_solver(name: str, path: Path = CHECKPOINT) -> Solver:
    """One of the shipped models: "direct-0", "scratchpad-0", or "scratchpad-early", one that was stopped early.

    Raises
    ------
    FileNotFoundError, KeyError
        The file is not beside the package, or holds no model of that name.
    """
    tensors = load_file(shipped(path))
    weights = {key.removeprefix(f"{name}/"): w.float() for key, w in tensors.items() if key.startswith(f"{name}/")}
    if not weights:
        raise KeyError(f"no model {name!r} in {path.name}; it holds {', '.join(sorted({k.split('/')[0] for k in tensors}))}")
    return solver(name.split("-")[0], weights)
