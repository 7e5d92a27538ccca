"""2.2 measured: how surprised a bigram table, a model trained here and SmolLM2 are by unseen text."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import torch
from IPython.display import HTML, display
from tqdm.auto import tqdm

from aieng.data.corpus import load_corpus
from aieng.data.heldout import load_heldout
from aieng.figures.language import bars, curves, next_token_bars
from aieng.lesson.environment import interactive_allowed, quick
from aieng.lesson.finding import Finding, experiment
from aieng.lesson.widgets.explorer import live
from aieng.models.tiny_gpt import TinyGPT, as_ids, load_tiny_gpt, split_texts, tiny_gpt
from aieng.training.alignment import sample_responses
from aieng.training.loop import TrainingConfig, random_windows, train

BATCH, LENGTH = 16, 64


@experiment
def bigrams_and_gpt(cross_entropy: Any, perplexity: Any, bigram_probabilities: Any) -> Finding:
    """Perplexity on held-out definitions: uniform, unigrams, bigrams with several smoothings, the shipped tiny GPT.

    The numbers: `perplexity` {name: number}, `best_smoothing`.
    """
    gpt = load_tiny_gpt()
    training, held_out = split_texts(load_corpus().texts)
    if quick():
        training, held_out = training[:400], held_out[:40]
    ids, unseen = as_ids(gpt.tokenizer, training), as_ids(gpt.tokenizer, held_out)
    vocab = gpt.model.config.vocab_size
    unigram = (torch.bincount(ids, minlength=vocab) + 1.0).log().expand(len(unseen) - 1, vocab)
    found = {"every token alike": float(vocab), "token frequencies": perplexity(unigram, unseen[1:])}

    def with_smoothing(smoothing: float) -> float:
        table = torch.as_tensor(bigram_probabilities(ids, vocab, smoothing=smoothing)).float()
        return float(perplexity(table.clamp(min=1e-30).log()[unseen[:-1]], unseen[1:]))

    by_smoothing = {s: with_smoothing(s) for s in (0.0, 0.01, 0.1, 1.0, 10.0)}
    best = min(by_smoothing, key=lambda s: by_smoothing[s])
    found[f"bigrams (smoothing {best:g})"] = by_smoothing[best]
    windows = unseen[: len(unseen) // LENGTH * LENGTH].reshape(-1, LENGTH)
    with torch.no_grad():
        found["tiny GPT, trained"] = float(perplexity(gpt.model(windows[:, :-1]), windows[:, 1:]))
    names = list(found)
    return Finding(
        f"Knowing only how often tokens occur, the text looks like a choice among {found['token frequencies']:.0f} equal tokens at every "
        f"step; "
        f"with one token of context, among {by_smoothing[best]:.0f}. Without smoothing the bigrams' perplexity is "
        f"{by_smoothing[0.0]:,.0f}: "
        "a few pairs that were never seen cost everything. The tiny GPT sees up to "
        f"{LENGTH - 1} tokens back and needs {found['tiny GPT, trained']:.0f}.",
        bars("Perplexity on definitions that nothing was trained on", "perplexity (lower is better)", names,
             {"perplexity": [found[n] for n in names]}, form=".0f"),
        {"perplexity": found, "bigram": by_smoothing[best], "best_smoothing": best, "gpt": found["tiny GPT, trained"]})


def hear_while_busy(widget: widgets.Widget) -> None:
    """Let a widget's events reach the kernel while a cell runs.

    JupyterLab sends them to a subshell, a thread beside the cell. ipykernel 7.4 (``ipykernel/comm/comm.py``) turns them round to the shell
    that wrote to the widget last, which is the one that is busy; what it noted for that is forgotten here. Other versions note nothing.
    """
    vars(widget.comm).pop("_reply_subshell_id", None)


class LiveCurve:
    """A loss curve that grows while a model is trained, with a stop button.

    JupyterLab delivers the button's click while the cell is running. Where it does not, the lab's own stop button (■) ends the training
    as well, and what was learned so far is kept.
    """

    def __init__(self, steps: int, every: int = 5) -> None:
        self.stopped = threading.Event()
        self.losses: list[float] = []
        self._every = every
        self._bar = tqdm(total=steps, unit="step", desc="training")
        self._figure: Any = None
        self._button: Any = None
        self._shown: Any = None
        if interactive_allowed():
            self._figure = live(curves("Training loss", "step", "cross entropy (nats a token)", [0.0], {"loss": [7.0]}, markers=False))
            self._button = widgets.Button(description="Stop training", icon="stop", tooltip="End the training and keep what was learned")
            self._button.on_click(lambda _: self.stopped.set())
            self._shown = display(widgets.VBox([self._button, self._figure]), display_id=True)
            hear_while_busy(self._button)

    def __call__(self, step: int, loss: float) -> bool:
        self.losses.append(loss)
        self._bar.update()
        if step % self._every == 0:
            self._draw()
        return not self.stopped.is_set()

    def close(self) -> None:
        """Take the button and its curve away: nothing is left to stop, and the finding shows the whole curve."""
        self._bar.close()
        self._draw()
        if self._shown is not None:
            self._button.disabled = True
            self._shown.update(HTML(""))

    def _draw(self) -> None:
        if self._figure is not None and self.losses:
            with self._figure.batch_update():
                self._figure.data[0].x = list(range(1, len(self.losses) + 1))
                self._figure.data[0].y = list(self.losses)


def train_language_model(gpt: TinyGPT, cross_entropy: Callable[..., Any], texts: list[str], steps: int, seed: int = 0) -> list[float]:
    """Train a tiny GPT with the learner's loss; the losses come back, also after a stop."""
    ids = as_ids(gpt.tokenizer, texts)
    generator = torch.Generator().manual_seed(seed)

    def loss_of(_: int) -> torch.Tensor:
        batch = random_windows(ids, BATCH, LENGTH, generator)
        return cross_entropy(gpt.model(batch[:, :-1]), batch[:, 1:])

    curve = LiveCurve(steps)
    try:
        train(gpt.weights.values(), loss_of, TrainingConfig(steps), curve)
    except KeyboardInterrupt:
        print("Stopped; the model keeps what it has learned so far.")
    finally:
        curve.close()
    return curve.losses


def write(gpt: TinyGPT, prompt: str, tokens: int = 40, seed: int = 0) -> str:
    """A continuation drawn from the model, up to the end of the line."""
    ids = torch.tensor([gpt.tokenizer.encode(prompt)])
    newline = gpt.tokenizer.encode("\n")[0]
    made = sample_responses(gpt.model, ids, tokens, newline, torch.Generator().manual_seed(seed))
    return prompt + gpt.tokenizer.decode(made.new[0][made.mask[0]].tolist()).rstrip("\n")


@experiment
def train_a_gpt(cross_entropy: Any, *, steps: int = 500, prompts: tuple[str, ...] = ("Teapot:", "Sparrow:", "Norway:")) -> Finding:
    """Train a GPT from random weights on the corpus, here and now (about half a minute on two free cores).

    It writes something before and after.

    The numbers: `losses`, `first`, `last` (mean of ten), `seconds`, `gpt` (the model).
    """
    if quick():
        steps = 6
    gpt = tiny_gpt(load_tiny_gpt().tokenizer, seed=1)
    before = [write(gpt, p, seed=n) for n, p in enumerate(prompts)]
    begin = time.perf_counter()
    losses = train_language_model(gpt, cross_entropy, split_texts(load_corpus().texts)[0], steps)
    seconds = time.perf_counter() - begin
    if not losses:
        return Finding("The training was stopped before its first step; run the cell again to train.", data={"losses": [], "gpt": gpt})
    after = [write(gpt, p, seed=n) for n, p in enumerate(prompts)]
    weights = sum(w.numel() for w in gpt.weights.values())
    first, last = losses[0], sum(losses[-10:]) / len(losses[-10:])
    texts = "\n\n".join(f"*before:* {_quoted(a)}  \n*after {len(losses)} steps:* {_quoted(b)}" for a, b in zip(before, after))
    return Finding(
        f"{len(losses)} steps in {seconds:.0f} s took the loss from {first:.2f} (ln 1,026 = 6.93 is pure guessing) to {last:.2f} nats a "
        f"token: "
        f"from {math.exp(first):,.0f} equally likely tokens to {math.exp(last):,.0f}. "
        + (f"Its text looks like a definition, and means little: {weights / 1e6:.1f} million weights and a minute are a beginning."
           if last < 4.5 else "Its text is no language yet: that takes some hundred steps.") + f"\n\n{texts}",
        curves("Training loss of your tiny GPT", "step", "cross entropy (nats a token)", list(range(1, len(losses) + 1)), {"loss": losses},
               markers=False, levels={"guessing": 6.93}),
        {"losses": losses, "first": first, "last": last, "seconds": seconds, "gpt": gpt})


def _quoted(text: str) -> str:
    flat = "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))
    return "`" + flat.replace("`", "'")[:160] + "`"


@experiment
def smollm_on_unseen_text(perplexity: Any, lm: Any, *, tokens: int = 768, window: int = 256) -> Finding:
    """SmolLM2's perplexity on a text of 1911, by the learner's function.

    The numbers: `perplexity`, `tokens`.
    """
    if quick():
        tokens, window = 128, 64
    ids = lm.tokenizer.encode(load_heldout())[:tokens]
    logits = [lm.logits(ids[i : i + window])[:-1] for i in range(0, tokens, window)]
    targets = [torch.tensor(ids[i + 1 : i + window]) for i in range(0, tokens, window)]
    value = float(perplexity(torch.cat(logits), torch.cat(targets)))
    return Finding(
        f"On {tokens} tokens of The Devil's Dictionary (1911), SmolLM2's perplexity is {value:.1f} in a vocabulary of "
        f"{lm.config.vocab_size:,}. "
        "The number cannot be laid beside the tiny GPT's: a perplexity is per token, and the two cut text into other tokens.",
        data={"perplexity": value, "tokens": tokens})


@experiment
def what_comes_next(lm: Any, prompt: str = "The sun rises in the", top: int = 10) -> Finding:
    """SmolLM2's likeliest next tokens.

    The numbers: `tokens`, `probabilities`, `first` (the likeliest).
    """
    probabilities = lm.logits(prompt)[-1].softmax(-1)
    best = probabilities.topk(top)
    tokens = [lm.tokenizer.decode([int(i)]) for i in best.indices]
    shares = best.values.tolist()
    return Finding(
        f"After “{prompt}” the model gives {shares[0]:.0%} to {tokens[0]!r} and {shares[1]:.0%} to {tokens[1]!r}; the other "
        f"{lm.config.vocab_size - 2:,} tokens share {1 - shares[0] - shares[1]:.0%}. That list of numbers is all that a language model "
        f"computes.",
        next_token_bars(tokens, shares, title=f"After “{prompt}”"),
        {"tokens": tokens, "probabilities": shares, "first": tokens[0], "share": shares[0]})
