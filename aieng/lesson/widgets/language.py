"""Interactive pictures of section 02. The kernels they run, the learner's own, come in as arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor

from aieng.data.projection import pca_2d
from aieng.figures import language as draw
from aieng.figures.theme import CourseFigure, alt_text
from aieng.lesson.boxes import WordedBox
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.finding import Skipped, drawn
from aieng.lesson.widgets.explorer import Explorer, guarded, live, redraw, slider
from aieng.lesson.widgets.vectors import corpus_explorer
from aieng.vectors.distances import knn

Encode = Callable[[str], Sequence[int]]


def _text_box(value: str, description: str, tooltip: str) -> widgets.Text:
    return widgets.Text(value=value, description=description, tooltip=tooltip, continuous_update=True,
                        style={"description_width": "initial"}, layout=widgets.Layout(width="min(620px, 100%)"))


class TokenBox(WordedBox):
    """A text box, and below it the text's tokens in colours, redrawn with every key."""

    def __init__(self, encode: Encode, decode: Callable[[list[int]], str], text: str) -> None:
        self._encode, self._decode = encode, decode
        self.text = ""  # what is shown, in words
        self.box = _text_box(text, "Your text:", "The tokens below change as you type")
        self.listing = widgets.HTML()
        self.box.observe(lambda _: self.show(), "value")
        self.show()
        super().__init__([self.box, self.listing])

    def show(self) -> None:
        """Cut the text in the box and show its tokens."""
        try:
            self.tokens = coloured_tokens(self._encode, self._decode, self.box.value)
        except Exception as error:  # whatever the learner's function raises
            self.text = f"{type(error).__name__}: {error}"
            self.listing.value = f"<div role='status'>{escape(self.text)}</div>"
            return
        n, letters = len(self.tokens.ids), len(self.box.value)
        ids = " ".join(map(str, self.tokens.ids[:40])) + (" …" if n > 40 else "")
        counted = f"{_count(n, 'token')} for {_count(letters, 'character')}. Ids: {ids}"
        self.text = self.tokens.plain()
        self.listing.value = (f"{self.tokens.html()}<div role='status' aria-live='polite' class='aieng-tokens'>"
                              f"<small>{escape(counted)}</small></div>")

    def plain(self) -> str:
        """The tokens that are shown, in words."""
        return self.text


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def coloured_tokens(encode: Encode, decode: Callable[[list[int]], str], text: str) -> draw.ColouredTokens:
    """A text's tokens for showing."""
    ids = tuple(int(i) for i in encode(text))
    return draw.ColouredTokens(tuple(decode([i]) for i in ids), ids)


@drawn
def token_explorer(encode: Encode, decode: Callable[[list[int]], str], text: str = "unpredictable 🙂 tokens: 3.14, naïve café") -> Any:
    """Type, and see the tokens; while a grader runs, the tokens of the first text only."""
    return TokenBox(encode, decode, text) if interactive_allowed() else coloured_tokens(encode, decode, text)


@drawn
def sampling_explorer(
    lm: Any, scale_temperature: Any, keep_top_k: Any, keep_top_p: Any, sample: Any, *, prompt: str = "The sun rises in the",
    shown: int = 12, tokens: int = 16,
) -> Explorer | CourseFigure:
    """SmolLM2's next token with sliders for temperature, top-k and top-p, and on a button the text that these settings make."""

    def process(logits: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
        logits = scale_temperature(logits, temperature)
        logits = keep_top_k(logits, top_k) if top_k else logits
        return keep_top_p(logits, top_p) if top_p < 1 else logits

    def picture(logits: Tensor, text: str, temperature: float, top_k: int, top_p: float) -> tuple[CourseFigure, int]:
        before, after = logits.softmax(-1), process(logits, temperature, top_k, top_p)
        best = before.topk(shown)
        names = [lm.tokenizer.decode([int(i)]) for i in best.indices]
        left = int(after.isfinite().sum())
        shares = after.softmax(-1)[best.indices].tolist()
        return draw.next_token_bars(names, best.values.tolist(), shares, title=f"After “{text[-40:]}”"), left

    logits = lm.logits(prompt)[-1]
    still, left = picture(logits, prompt, 1.0, 0, 1.0)
    if not interactive_allowed():
        return still
    figure = live(still)
    box = widgets.Text(value=prompt, description="Prompt:", continuous_update=False, tooltip="Enter computes the next token",
                       style={"description_width": "initial"}, layout=widgets.Layout(width="min(480px, 100%)"))
    heat = slider("temperature:", 1.0, 0.1, 2.5, step=0.1, tooltip="Below 1 sharper, above 1 flatter")
    top_k = slider("top-k (0: off):", 0, 0, 100, tooltip="Keep the k likeliest")
    top_p = slider("top-p (1: off):", 1.0, 0.05, 1.0, step=0.05, tooltip="Keep the nucleus of this probability")
    button = widgets.Button(description=f"Write {tokens} tokens", icon="pencil", tooltip="Draw a continuation with these settings")
    explorer = Explorer([box, heat, top_k, top_p, button], [figure], "Next token with temperature, top-k and top-p")
    state = {"logits": logits, "prompt": prompt, "seed": 0, "text": ""}

    def tell(left: int) -> None:
        summary = f"{left:,} of {len(state['logits']):,} tokens can be drawn."
        made = f" A continuation: “{state['prompt']}{state['text']}”" if state["text"] else ""
        explorer.say(f"{summary}{made}")

    def update() -> None:
        if box.value != state["prompt"]:
            if not box.value:
                explorer.say("The prompt is empty: type some text, then press Enter.")
                return
            state.update(prompt=box.value, logits=lm.logits(box.value)[-1], text="")
        fresh, left = picture(state["logits"], state["prompt"], heat.value, top_k.value, top_p.value)
        redraw(figure, fresh)
        tell(left)

    def write() -> None:
        update()
        state["seed"] += 1
        generator = torch.Generator().manual_seed(state["seed"])

        def choose(scores: Tensor) -> int:
            return int(sample(process(scores, heat.value, top_k.value, top_p.value), generator=generator))

        state["text"] = lm.generate(state["prompt"], tokens, choose).text
        tell(int(process(state["logits"], heat.value, top_k.value, top_p.value).isfinite().sum()))

    for control in (box, heat, top_k, top_p):
        control.observe(guarded(explorer, update), "value")
    button.on_click(guarded(explorer, write))
    tell(left)
    return explorer


@drawn
def beta_explorer(runs: Sequence[dict[str, Any]]) -> Explorer | CourseFigure:
    """The recorded alignment runs: slide beta and see reward, true preference and KL, and what the policy says in the end.

    runs : {"beta", "reward", "gold", "kl", "texts"} each, of equal length.
    """
    if not runs:
        raise ValueError("runs is empty; give at least one recorded run")
    ordered = sorted(runs, key=lambda run: run["beta"])
    scores = [v for run in ordered for key in ("reward", "gold") for v in run[key]]
    ranges = {"score": (min(scores) - 0.2, max(scores) + 0.2), "kl": (0.0, 1.05 * max(v for run in ordered for v in run["kl"]))}
    first = min(range(len(ordered)), key=lambda i: abs(ordered[i]["beta"] - 0.3))
    still = draw.alignment_curves(ordered[first], ranges)
    if not interactive_allowed():
        return still
    figure = live(still)
    pick = widgets.SelectionSlider(options=[(f"{run['beta']:g}", i) for i, run in enumerate(ordered)], value=first, description="beta:",
                                   tooltip="Weight of the KL to the reference", style={"description_width": "initial"},
                                   layout=widgets.Layout(width="min(420px, 100%)"))
    explorer = Explorer([pick], [figure], "Alignment runs by beta")

    def update() -> None:
        run = ordered[pick.value]
        fresh = draw.alignment_curves(run, ranges)
        redraw(figure, fresh)
        said = "; ".join(f"“{text[:90]}”" for text in run["texts"][:3])
        explorer.say(f"{alt_text(fresh)} At the end it says: {said}.")

    pick.observe(guarded(explorer, update), "value")
    update()
    return explorer


@drawn
def retrieval_map(retrieve: Any, encoder: Any, corpus: Any, *, k: int = 5,
                  question: str = "Which strait separates the European and Asian parts of Turkey?") -> Explorer | CourseFigure | Skipped:
    """Section 01's map with a box for a question: the passages that the learner's `retrieve` finds light up and are listed.

    Parameters
    ----------
    retrieve : (question, embed, search, k) to a list of (id, score)
    encoder : has `encode`, texts to an (n, dim) array
    corpus : has `passages` and `embeddings`, as `corpus_explorer` wants it
    question, k : what to begin with
    """

    def found(vector: Any, embeddings: Any, count: int) -> tuple[Any, Any]:
        hits = list(retrieve("", lambda _: np.asarray(vector)[None], lambda queries, n: knn(queries, embeddings, n, "ip"), count))
        return np.array([score for _, score in hits], dtype=float), np.array([i for i, _ in hits], dtype=int)

    return corpus_explorer(corpus, pca_2d(corpus.embeddings), encoder.encode, found, query=question, k=k)
