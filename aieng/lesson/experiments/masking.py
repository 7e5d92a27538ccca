"""7.1 measured: whether the future leaks into the past, and what a model learns when nothing is hidden from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from aieng.data.corpus import load_corpus
from aieng.figures.heads import noticed_bars
from aieng.figures.language import curves
from aieng.lesson.environment import quick
from aieng.lesson.experiments.single_thread import single_thread
from aieng.lesson.finding import Finding, experiment
from aieng.training.loop import TrainingConfig, random_windows, train
from aieng.transformer.llama import Kernels, Llama, LlamaConfig, init_weights

TEXT, REPLACED, INSTEAD = "The bank of the river is eroding, so the old house near it is not safe.", 4, " city"


@experiment
@single_thread()
def leak(masked_attention: Any, causal_mask: Any, lm: Any) -> Finding:
    """Replace one token of a text; how far do SmolLM2's scores move at each position, with the mask and without?

    The numbers: `before` and `after` (largest change of a score before, and from, the replaced token on, with the mask), `before_open` (the
    largest change before it without a mask).
    """
    model = lm.with_kernels(attention=masked_attention).model
    ids = torch.tensor([lm.tokenizer.encode(TEXT)])
    changed = ids.clone()
    changed[0, REPLACED] = lm.tokenizer.encode(INSTEAD)[0]
    n = ids.shape[1]
    moved = {}
    with torch.inference_mode():
        for name, mask in (("with the mask", causal_mask(n)), ("without a mask", torch.zeros(n, n))):
            moved[name] = (model(changed, mask=mask) - model(ids, mask=mask)).abs().amax(-1)[0].tolist()
    masked, free = moved.values()
    before, after, before_open = max(masked[:REPLACED]), max(masked[REPLACED:]), max(free[:REPLACED])
    tokens = [lm.tokenizer.decode([i]) for i in ids[0].tolist()]
    verdict = ("not one bit of the scores before it changed" if before == 0 else
               f"scores before it moved by up to {before:.3g}: something of the future leaks through")
    return Finding(
        f"“{tokens[REPLACED].strip()}” was replaced by “{INSTEAD.strip()}”. With the mask, {verdict}; from there on they moved by up to "
        f"{after:.1f}. Without a mask, the scores of the {REPLACED} tokens before it moved by up to {before_open:.1f}. This is also why "
        f"a cache "
        "works at all: what was computed for the past stays valid whatever comes.",
        noticed_bars(tokens, moved, REPLACED), {"before": before, "after": after, "before_open": before_open})


class Letters:
    """A vocabulary of the letters of some texts; what is not among them is left out."""

    def __init__(self, text: str) -> None:
        self.letters = sorted(set(text))
        self._ids = {letter: i for i, letter in enumerate(self.letters)}

    def encode(self, text: str) -> Tensor:
        return torch.tensor([self._ids[c] for c in text if c in self._ids])

    def decode(self, ids: list[int]) -> str:
        return "".join(self.letters[i] for i in ids)


@experiment
@single_thread()
def with_and_without_mask(
    masked_attention: Any, causal_mask: Any, *, steps: int = 300, batch: int = 16, length: int = 40, seed: int = 0,
    prompt: str = "Horse: a ",
) -> Finding:
    """Train the same small model twice from the same start; then let both predict letters that are not there yet.

    The numbers: `masked_loss`, `peeking_loss` (training, mean of the last ten steps), `masked_honest`, `peeking_honest` (the next
    letter when only the past is given, held-out text), `guessing` (ln of the vocabulary), `seconds`, `losses`, `written`.
    """
    steps = 12 if quick() else steps
    texts = load_corpus().texts
    letters = Letters("".join(texts[:400]))
    training, held_out = letters.encode("\n".join(texts[200:])), letters.encode("\n".join(texts[:200]))
    config = LlamaConfig(hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
                         vocab_size=len(letters.letters), max_position_embeddings=256)
    losses: dict[str, list[float]] = {}
    honest: dict[str, float] = {}
    written: dict[str, str] = {}
    begin = time.perf_counter()
    with tqdm(total=2 * steps, unit="step", desc="training") as bar:
        for name, mask in (("with the mask", causal_mask(length)), ("without", torch.zeros(length, length))):
            weights = init_weights(config, seed, std=0.06)
            model = Llama(config, weights, Kernels(attention=masked_attention))
            losses[name] = train(weights.values(), _loss_of(model, mask, training, batch, length, seed),
                                 TrainingConfig(steps, learning_rate=5e-3), lambda step, loss: _tick(bar))
            open_ = name == "without"
            honest[name] = _honest_loss(model, held_out, open_, length, seed)
            written[name] = _write(model, letters, prompt, open_, 60)
    seconds = time.perf_counter() - begin
    last = {name: sum(values[-10:]) / len(values[-10:]) for name, values in losses.items()}
    guessing = float(torch.tensor(float(config.vocab_size)).log())
    sentence = (
        "| | loss in training | loss when only the past is there | it writes |\n|---|---|---|---|\n"
        + "\n".join(f"| {name} | {last[name]:.2f} | {honest[name]:.2f} | {_cell(prompt + written[name])} |" for name in losses)
        + f"\n\n{steps} steps each, {seconds:.0f} s in all; losses in nats a letter, guessing among {config.vocab_size} letters costs "
          f"{guessing:.2f}. "
        + _verdict(last, honest, guessing))
    return Finding(sentence, curves("Training loss with and without a "
                                    "mask", "step", "cross entropy (nats a letter)", list(range(1, steps + 1)),
                                    losses, markers=False, levels={"guessing": guessing}),
                   {"masked_loss": last["with the mask"], "peeking_loss": last["without"], "masked_honest": honest["with the mask"],
                    "peeking_honest": honest["without"], "guessing": guessing, "seconds": seconds, "losses": losses, "written": written})


def _tick(bar: Any) -> None:
    bar.update()


def _verdict(last: dict[str, float], honest: dict[str, float], guessing: float) -> str:
    masked, peeking = "with the mask", "without"
    if last[peeking] > 0.5 * last[masked]:
        return ("In so few steps the model without a mask has not found out yet that it can read the answer off the next position.")
    end = "worse than blind guessing" if honest[peeking] > guessing else "much worse than the other"
    return (f"The model that may read ahead looks {last[masked] / max(last[peeking], 1e-3):.0f} times as good while it is trained. It "
            f"learned to copy the letter "
            f"at the next position, and where there is none it is {end}: {honest[peeking]:.2f} against {honest[masked]:.2f} nats. "
            "A training loss that is too good to be true is the symptom to remember.")


def _loss_of(model: Llama, mask: Tensor, ids: Tensor, batch: int, length: int, seed: int) -> Callable[[int], Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def loss_of(_: int) -> Tensor:
        windows = random_windows(ids, batch, length + 1, generator)
        return cross_entropy(model(windows[:, :-1], mask=mask).flatten(0, 1), windows[:, 1:].flatten())

    return loss_of


@torch.no_grad()
def _honest_loss(model: Llama, ids: Tensor, open_: bool, length: int, seed: int) -> float:
    """Loss of the letter after each of several prefixes, from the prefix alone."""
    generator = torch.Generator().manual_seed(seed + 1)
    total = []
    for n in range(4, length, 4):
        windows = random_windows(ids, 32, n + 1, generator)
        mask = torch.zeros(n, n) if open_ else None
        total.append(cross_entropy(model(windows[:, :-1], mask=mask, logits_to_keep=1)[:, 0], windows[:, -1]))
    return float(torch.stack(total).mean())


@torch.no_grad()
def _write(model: Llama, letters: Letters, prompt: str, open_: bool, count: int) -> str:
    """The likeliest next letter, again and again; without a mask no cache is possible, since every letter changes all before it."""
    ids = letters.encode(prompt).tolist()
    start = len(ids)
    for _ in range(count):
        n = len(ids)
        ids.append(int(model(torch.tensor([ids]), mask=torch.zeros(n, n) if open_ else None, logits_to_keep=1)[0, -1].argmax()))
    return letters.decode(ids[start:])


def _cell(text: str) -> str:
    return "`" + text.replace("\n", "⏎").replace("|", "/").replace("`", "'") + "`"
