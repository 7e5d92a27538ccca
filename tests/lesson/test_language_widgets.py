"""The interactive pictures of section 02: each control changes the picture and the words; under a grader there is a still figure."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from aieng.data.corpus import load_corpus
from aieng.figures.language import ColouredTokens
from aieng.figures.theme import CourseFigure, alt_text, title_text
from aieng.generation import rag, sampling
from aieng.lesson.widgets.explorer import Explorer
from aieng.lesson.widgets.language import TokenBox, beta_explorer, retrieval_map, sampling_explorer, token_explorer

STEPS = (sampling.scale_temperature, sampling.keep_top_k, sampling.keep_top_p, sampling.sample)
WORDS = [" east", " sky", " west", " morning", " night", "."]


class TinyLM:
    """Six tokens, always with the same logits; what it is asked to write is what the sampler chooses."""

    class Tokenizer:
        def decode(self, ids):
            return "".join(WORDS[i] for i in ids)

    class Made:
        def __init__(self, text):
            self.text = text

    tokenizer = Tokenizer()

    def __init__(self):
        self.prompts: list[str] = []

    def logits(self, prompt):
        self.prompts.append(prompt)
        return torch.tensor([[0.0] * 6, [4.0, 3.0, 2.0, 1.0, 0.0, -1.0]])

    def generate(self, prompt, tokens, choose):
        return self.Made(self.tokenizer.decode([choose(self.logits(prompt)[-1]) for _ in range(tokens)]))


def sampler() -> Any:
    return sampling_explorer(TinyLM(), *STEPS, shown=4)


def runs() -> Any:
    return beta_explorer([{"beta": beta, "reward": [0.0, beta], "gold": [0.0, 1 - beta], "kl": [0.0, 0.1], "texts": [f"said with {beta}"]}
                          for beta in (1.0, 0.0, 0.3)])


def control(explorer: Explorer, start: str) -> Any:
    return next(c for c in explorer.children[1].children if c.description.startswith(start))


def word_tokens(text: str) -> list[int]:
    if "wrong" in text:
        raise KeyError("my mistake")
    return [len(word) for word in text.split()]


def test_tokens_follow_the_text():
    box = token_explorer(word_tokens, lambda ids: "x" * ids[0], "a bb")
    assert isinstance(box, TokenBox) and box.tokens.ids == (1, 2)
    assert "2 tokens for 4 characters. Ids: 1 2" in box.listing.value
    box.box.value = "ccc"
    assert box.tokens.ids == (3,) and "1 tokens for 3" not in box.listing.value and "1 token for 3 characters" in box.listing.value
    assert box._repr_mimebundle_()["text/plain"] == "1 token: xxx"


def test_the_box_shows_an_error_of_the_learners_code_and_goes_on():
    box = token_explorer(word_tokens, str, "a bb")
    box.box.value = "wrong"
    assert "KeyError" in box.listing.value and "my mistake" in box.listing.value
    box.box.value = ""
    assert "(no tokens)" in box.listing.value


def test_a_first_text_that_fails_is_shown_too():
    box = token_explorer(word_tokens, str, "wrong")
    assert "my mistake" in box.listing.value and "my mistake" in box._repr_mimebundle_()["text/plain"]


@pytest.mark.parametrize("make", [sampler, runs])
def test_has_words_names_and_a_still_version(make, monkeypatch):
    explorer = make()
    assert isinstance(explorer, Explorer) and len(explorer.text) > 20
    assert explorer._repr_mimebundle_()["text/plain"].startswith("[Interactive figure] ")
    assert all(widget.tooltip and widget.description for widget in explorer.children[1].children)
    monkeypatch.setenv("AIENG_WIDGETS", "off")
    still = make()
    assert type(still) is CourseFigure and alt_text(still)
    assert isinstance(token_explorer(word_tokens, lambda ids: "x"), ColouredTokens)


def test_the_sliders_change_bars_and_words():
    explorer = sampler()
    assert "6 of 6 tokens can be drawn" in explorer.text
    own, after = explorer.figures[0].data
    before = list(own.x)
    assert before == pytest.approx(TinyLM().logits("")[-1].softmax(-1)[:4].tolist()) and list(after.x) == pytest.approx(before)
    room = explorer.figures[0].layout.xaxis.range[1]
    control(explorer, "temperature").value = 0.1
    assert max(explorer.figures[0].data[1].x) < explorer.figures[0].layout.xaxis.range[1] != room, "the axis grows with the bars"
    control(explorer, "temperature").value = 1.0
    control(explorer, "top-k").value = 2
    assert "2 of 6 tokens" in explorer.text and list(after.text)[2:] == ["out", "out"] and list(own.x) == before
    control(explorer, "top-k").value = 0
    control(explorer, "top-p").value = 0.3
    assert "1 of 6 tokens" in explorer.text and after.x[0] == pytest.approx(1.0)
    control(explorer, "top-p").value = 1.0
    control(explorer, "temperature").value = 2.0
    assert "6 of 6 tokens" in explorer.text and after.x[0] < before[0]


def test_it_writes_with_the_settings_and_differently_each_time():
    explorer = sampler()
    control(explorer, "top-p").value = 0.3
    control(explorer, "Write").click()
    assert "The sun rises in the" + " east" * 16 in explorer.text
    control(explorer, "top-p").value = 1.0
    control(explorer, "temperature").value = 2.5
    texts = []
    for _ in range(2):
        control(explorer, "Write").click()
        texts.append(explorer.text)
    assert texts[0] != texts[1]


def test_a_new_prompt_is_computed_and_an_empty_one_refused():
    lm = TinyLM()
    explorer = sampling_explorer(lm, *STEPS, shown=4)
    control(explorer, "Prompt").value = "Two plus two is"
    assert lm.prompts[-1] == "Two plus two is" and title_text(explorer.figures[0]) == "After “Two plus two is”"
    control(explorer, "Prompt").value = ""
    assert "prompt is empty" in explorer.text and len(lm.prompts) == 2


def test_an_error_of_the_learners_sampler_is_said():
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("my mistake")

    explorer = sampling_explorer(TinyLM(), *STEPS[:3], broken, shown=4)
    control(explorer, "Write").click()
    assert explorer.text == "RuntimeError: my mistake"


def test_the_map_shows_what_retrieve_finds():
    corpus = load_corpus()
    asked = []

    class Encoder:
        def encode(self, texts):
            asked.extend(texts)
            return corpus.embeddings[[100 if "first" in text else 200 for text in texts]]

    explorer = retrieval_map(rag.retrieve, Encoder(), corpus, k=3, question="the first")
    assert asked == ["the first"] and f"1. {corpus.passages[100].title} (1.000)" in explorer.text and "3. " in explorer.text
    next(c for c in explorer.children[1].children if c.description == "Your query:").value = "another"
    assert f"1. {corpus.passages[200].title} (1.000)" in explorer.text


def test_beta_picks_the_run():
    explorer = runs()
    assert "With beta 0.3" in explorer.text and "said with 0.3" in explorer.text
    control(explorer, "beta").value = 0  # the smallest
    assert "With beta 0," in explorer.text and "said with 0.0" in explorer.text
    assert explorer.figures[0].data[1].y[-1] == 0.0
    control(explorer, "beta").value = 2
    assert "With beta 1," in explorer.text and "beta = 1" in title_text(explorer.figures[0])
    with pytest.raises(ValueError, match="runs is empty"):
        beta_explorer([])
