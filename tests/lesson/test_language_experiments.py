"""What the experiments of section 02 count, against hand-made cases, and that the training's stop button stops it; times are not tested."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from aieng.data.corpus import load_corpus
from aieng.data.questions import load_questions
from aieng.generation import rag, sampling
from aieng.lesson.experiments import instructions, prediction, preferences, retrieval, tokens
from aieng.lesson.experiments import sampling as measured
from aieng.lesson.finding import Skipped
from aieng.models.tiny_gpt import load_tiny_gpt, split_texts, tiny_gpt
from aieng.text import bpe_training
from aieng.text.chunking import chunk
from aieng.training import losses, preference
from aieng.training.instructions import render_chat, sft_example
from aieng.transformer.llama import LlamaConfig


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setenv("AIENG_PACE", "quick")


class TinyLM:
    """Stands in for SmolLM2: words are tokens, and its logits are those of the table's row of the last word."""

    config = LlamaConfig(vocab_size=4, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1,
                         num_key_value_heads=1)
    words = ("The", " cat", " sat", ".")

    class Tokenizer:
        def encode(self, text):
            return [i % 4 for i in range(len(text.split()))]

        def decode(self, ids):
            return "".join(TinyLM.words[i] for i in ids)

    tokenizer = Tokenizer()

    def __init__(self, table: torch.Tensor):
        self.table = table

    def logits(self, text: str | list[int]) -> torch.Tensor:
        return self.table[self.tokenizer.encode(text) if isinstance(text, str) else text]

    def generate(self, prompt: str, count: int, choose: Any, stop_ids: Any = ()) -> Any:
        ids = self.tokenizer.encode(prompt)
        for _ in range(count):
            ids.append(choose(self.table[ids[-1]]))
        new = ids[-count:]
        return type("Made", (), {"new_ids": new, "text": self.tokenizer.decode(new)})()


# --- 2.1 --------------------------------------------------------------------------------------------------------------


def test_more_merges_make_fewer_tokens():
    data = tokens.tokens_against_merges(bpe_training.train_bpe, bpe_training.encode).data
    assert data["merges"][0] == 0 and data["per_word"] == sorted(data["per_word"], reverse=True)
    unseen = " ".join(load_corpus().texts[-60:])
    assert data["per_word"][0] == pytest.approx(len("".join(p.decode() for p in tokens.pieces(unseen)).encode()) / len(unseen.split()))


@pytest.fixture(scope="module")
def tokenizer():
    return load_tiny_gpt().tokenizer


class TestIdsBesideTheLibrary:
    def test_ours_are_theirs(self, tokenizer):
        found = tokens.same_ids_as_the_library(bpe_training.encode, bpe_training.decode, tokenizer)
        assert found.data["same"] == found.data["strings"] == found.data["came_back"] and "identical" in found.sentence

    def test_another_cut_is_counted(self, tokenizer):
        def bytewise(pieces, merges, vocabulary):
            return bpe_training.encode(pieces, [], vocabulary)

        found = tokens.same_ids_as_the_library(bytewise, bpe_training.decode, tokenizer)
        assert found.data["same"] < found.data["strings"] == found.data["came_back"] and "got other ids" in found.sentence

    def test_what_a_character_costs(self, tokenizer):
        data = tokens.tokens_per_word(lambda pieces, *_: list(b"".join(pieces)), tokenizer).data  # one token a byte
        assert data["English"] == 1.0 and data["emoji"] > 3
        assert data["ratio"] == len(tokens.SAMPLES["Greek"].encode()) / len(tokens.SAMPLES["English"])


# --- 2.2 --------------------------------------------------------------------------------------------------------------


def test_context_makes_text_less_surprising():
    data = prediction.bigrams_and_gpt(losses.cross_entropy, losses.perplexity, losses.bigram_probabilities).data
    found = list(data["perplexity"].values())
    assert found[0] == 1026 and found[0] > found[1] > data["bigram"] > data["gpt"]
    assert data["best_smoothing"] > 0


def test_perplexity_of_a_table_that_knows_nothing():
    lm = TinyLM(torch.zeros(4, 4))
    assert prediction.smollm_on_unseen_text(losses.perplexity, lm).data["perplexity"] == pytest.approx(4.0)


def test_the_likeliest_comes_first():
    lm = TinyLM(torch.tensor([[0.0, 2.0, 1.0, -1.0]]).expand(4, 4))
    data = prediction.what_comes_next(lm, "one two", top=3).data
    assert data["tokens"] == [" cat", " sat", "The"] and data["share"] == pytest.approx(math.exp(2) / sum(map(math.exp, (0, 2, 1, -1))))


class Shown:
    """What the training displays: the box with its button and its live figure."""

    def __init__(self, monkeypatch):
        self.boxes: list[Any] = []
        self.later: list[Any] = []
        monkeypatch.setattr(prediction, "display", self.show)

    def show(self, box: Any, display_id: bool = False) -> Any:
        self.boxes.append(box)
        return type("Handle", (), {"update": lambda _, shown: self.later.append(shown)})()

    @property
    def button(self) -> Any:
        return self.boxes[0].children[0]

    @property
    def line(self) -> Any:
        return self.boxes[0].children[1].data[0]


def fresh_gpt() -> Any:
    return tiny_gpt(load_tiny_gpt().tokenizer, seed=1)


def training(loss: Any, steps: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    gpt = fresh_gpt()
    made = prediction.train_language_model(gpt, loss, split_texts(load_corpus().texts)[0][:60], steps)
    return made, {name: w.detach().clone() for name, w in gpt.weights.items()}


class TestTheStopButton:
    def test_it_stops_and_what_was_learned_is_kept(self, monkeypatch):
        shown, calls = Shown(monkeypatch), 0

        def clicks_in_the_third_step(logits, targets):
            nonlocal calls
            calls += 1
            if calls == 3:
                shown.button.click()
            return losses.cross_entropy(logits, targets)

        made, weights = training(clicks_in_the_third_step, 400)
        assert len(made) == calls == 3, "the step during which the button was pressed is the last"
        start = fresh_gpt().weights
        assert all(not torch.equal(start[name], w) for name, w in weights.items()), "every weight has moved, and stays so"
        assert made[-1] < made[0]

    def test_without_a_click_it_runs_to_the_end(self, monkeypatch):
        Shown(monkeypatch)
        assert len(training(losses.cross_entropy, 5)[0]) == 5

    def test_the_labs_own_stop_keeps_what_was_learned_as_well(self, monkeypatch, capsys):
        Shown(monkeypatch)
        calls = 0

        def interrupted_in_the_third_step(logits, targets):
            nonlocal calls
            calls += 1
            if calls == 3:
                raise KeyboardInterrupt
            return losses.cross_entropy(logits, targets)

        made, weights = training(interrupted_in_the_third_step, 400)
        start = fresh_gpt().weights
        assert len(made) == 2 and any(not torch.equal(start[name], w) for name, w in weights.items())
        assert "keeps what it has learned" in capsys.readouterr().out

    def test_the_curve_grows_in_view(self, monkeypatch):
        shown = Shown(monkeypatch)
        made, _ = training(losses.cross_entropy, 6)
        assert list(shown.line.y) == made and list(shown.line.x) == [1, 2, 3, 4, 5, 6]
        assert shown.button.disabled and len(shown.later) == 1, "nothing is left to stop, and the finding brings a figure of its own"

    def test_a_click_is_not_sent_to_the_shell_that_is_busy(self, monkeypatch):
        heard = []
        monkeypatch.setattr(prediction, "hear_while_busy", heard.append)
        shown = Shown(monkeypatch)
        training(losses.cross_entropy, 1)
        assert heard == [shown.button]
        monkeypatch.undo()
        shown.button.comm._reply_subshell_id = None  # what ipykernel 7.4 notes when the main shell writes to a widget
        prediction.hear_while_busy(shown.button)
        assert not hasattr(shown.button.comm, "_reply_subshell_id")
        prediction.hear_while_busy(shown.button)

    def test_no_button_while_grading(self, monkeypatch):
        shown = Shown(monkeypatch)
        monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
        assert len(training(losses.cross_entropy, 2)[0]) == 2 and shown.boxes == []

    @pytest.mark.parametrize("steps_before", [0, 2])
    def test_the_finding_counts_the_steps_that_were_made(self, monkeypatch, steps_before):
        Shown(monkeypatch)
        calls = 0

        def interrupted(logits, targets):
            nonlocal calls
            calls += 1
            if calls > steps_before:
                raise KeyboardInterrupt
            return losses.cross_entropy(logits, targets)

        found = prediction.train_a_gpt(interrupted)
        assert len(found.data["losses"]) == steps_before
        assert (f"{steps_before} steps" in found.sentence) == bool(steps_before)


# --- 2.3 --------------------------------------------------------------------------------------------------------------

FLAT_AND_SHARP = torch.tensor([[0.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0], [0.0, 9.0, 0.0, 0.0], [0.0, 0.0, 0.0, 9.0]])
STEPS = (sampling.scale_temperature, sampling.keep_top_k, sampling.keep_top_p, sampling.sample)


def test_distinct_runs():
    assert measured.distinct_share([1, 2, 3, 4]) == 1.0
    assert measured.distinct_share([1, 1, 1, 1, 1]) == pytest.approx(1 / 3)
    assert measured.distinct_share([1, 2]) == 0.0


def test_entropy_of_four_equal_tokens_is_two_bits():
    data = measured.entropy_against_temperature(sampling.scale_temperature, TinyLM(torch.zeros(4, 4))).data
    assert data["cold"] == data["one"] == data["warm"] == pytest.approx(2.0)


def test_nucleus_is_small_where_the_model_is_sure():
    data = measured.nucleus_along_a_text(sampling.keep_top_p, TinyLM(FLAT_AND_SHARP), text="a b c d e", k=2).data
    assert data["sizes"] == [4, 1, 1, 1] and (data["smallest"], data["largest"], data["within"]) == (1, 4, 0.25)


def test_greedy_repeats_where_a_loop_is_likeliest():
    loop = torch.tensor([[0.0, 2.0, 0, 0], [2.0, 0, 0, 0], [2.0, 0, 0, 0], [2.0, 0, 0, 0]])
    data = measured.greedy_repeats(sampling.greedy, *STEPS, TinyLM(loop)).data
    assert data["greedy"] == pytest.approx(2 / 14) and data["nucleus"] > data["greedy"]


# --- 2.4 --------------------------------------------------------------------------------------------------------------


def test_examples_fit_and_end_with_the_answer():
    gpt = load_tiny_gpt()
    for passage in load_corpus().passages[:200:10]:
        prompt, response = instructions.chat_ids(gpt, render_chat, passage)
        assert len(prompt) + len(response) <= instructions.LONGEST
        assert gpt.tokenizer.decode(prompt).endswith("?<|im_end|>\n<|im_start|>assistant\n")
        assert response[-1] == gpt.end_id and gpt.tokenizer.decode(response[:-1]) == passage.category


def test_the_mask_leaves_the_prompt_out():
    data = instructions.loss_with_and_without_mask(render_chat, sft_example, losses.sft_loss).data
    assert data["masked"] != pytest.approx(data["unmasked"]) and data["prompt_tokens"] > data["response_tokens"] > 1


def test_tuning_lowers_the_loss_of_answers():
    data = instructions.tune_to_answer(render_chat, sft_example, losses.sft_loss).data
    assert len(data["losses"]) == 4 and data["losses"][-1] < data["losses"][0] and data["before"] == 0.0


# --- 2.5 --------------------------------------------------------------------------------------------------------------


def test_reward_and_alignment_run_on_the_learners_functions():
    rewarded = preferences.reward_from_comparisons(preference.bradley_terry_loss)
    assert rewarded.data["first_loss"] == pytest.approx(math.log(2), abs=1e-4) and rewarded.data["last_loss"] < rewarded.data["first_loss"]
    used: list[str] = []

    def noted(function):
        def call(*args, **kwargs):
            used.append(function.__name__)
            return function(*args, **kwargs)

        return call

    steps = [noted(f) for f in (preference.group_advantages, preference.policy_gradient_loss, preference.kl_per_token)]
    data = preferences.align_a_little(rewarded.data["setting"], *steps).data
    assert set(used) == {"group_advantages", "policy_gradient_loss", "kl_per_token"}
    assert data["kl"]["first"] == pytest.approx(0.0, abs=0.05) and all(math.isfinite(v) for n in data.values() for v in n.values())
    with pytest.raises(ValueError, match="reward model first"):
        preferences.align_a_little(float("nan"), *steps)


def test_the_recorded_runs_show_what_the_text_says():
    data = preferences.reward_hacking().data
    free = data["betas"].index(0.0)
    assert data["reward"][free] == max(data["reward"]) and data["hacked"] < data["start"] < data["best"] and data["best_beta"] > 0


# --- 2.6 --------------------------------------------------------------------------------------------------------------


class Words:
    """An encoder by words: two texts are near where they share many."""

    def __init__(self) -> None:
        self.place: dict[str, int] = {}

    def encode(self, texts: list[str]) -> np.ndarray:
        rows = np.zeros((len(texts), 4096), dtype=np.float32)
        for row, text in zip(rows, texts):
            for word in text.lower().replace("?", "").replace(",", "").split():
                row[self.place.setdefault(word, len(self.place)) % 4096] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


@pytest.fixture(scope="module")
def corpus():
    return load_corpus()


def test_wilson_interval():
    low, high = retrieval.wilson(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-4) and high == pytest.approx(0.9433, abs=1e-4)  # Newcombe 1998's formula by hand
    assert retrieval.wilson(0, 20)[0] == 0.0 and retrieval.wilson(20, 20)[1] == 1.0


def test_larger_chunks_hold_more(corpus):
    data = retrieval.chunk_sizes(chunk, Words(), corpus).data
    for name, counts in data["chunks"].items():
        assert counts == sorted(counts, reverse=True) and all(0 <= share <= 1 for share in data["hits"][name])
    without, overlapping = data["chunks"].values()
    assert all(a < b for a, b in zip(without[:-1], overlapping[:-1]))


class Gold(Words):
    """Puts each question on its own passage, or far from all of them."""

    def __init__(self, corpus: Any) -> None:
        self.corpus, self.place_of = corpus, {q.question: q.passage for q in load_questions()}
        self.row = {p.title: p.id for p in corpus.passages}

    def encode(self, texts: list[str]) -> np.ndarray:
        rows = [self.place_of[text] for text in texts]
        return np.stack([self.corpus.embeddings[self.row[r]] if r else -self.corpus.embeddings.mean(0) for r in rows])


def test_hits_and_refusals_of_a_perfect_retriever(corpus):
    data = retrieval.hit_rates(rag.retrieve, Gold(corpus), corpus).data
    assert set(data["at"].values()) == {1.0}
    data = retrieval.refuse_by_score(rag.retrieve, Gold(corpus), corpus).data
    assert (data["caught"], data["turned_away"]) == (1.0, 0.0)


def test_a_blind_retriever_hits_nothing(corpus):
    def last(question, embed, search, k, min_score=-1.0):
        return [(len(corpus) - 1 - i, 0.5) for i in range(k)]

    assert set(retrieval.hit_rates(last, Gold(corpus), corpus).data["at"].values()) == {0.0}


def test_a_question_goes_through_retrieval_prompt_and_answer(corpus):
    asked: list[str] = []

    class Echo:
        def chat(self, prompt, tokens):
            asked.append(prompt)
            return prompt.split("[1]")[1]

    found = retrieval.answer_live(rag.retrieve, rag.build_prompt, Echo(), Gold(corpus), corpus, count_tokens=lambda t: len(t.split()))
    question = load_questions()[0]
    assert found.data["right"] == found.data["asked"] == 1 and question.question in asked[0]
    assert question.passage in found.sentence and found.data["tokens"] == len(asked[0].split()) <= 400


@pytest.mark.parametrize(("answer", "unsure"), [
    ("I do not know.", True), ("The passages don't mention it; I cannot answer.", True), ("A cat.", False), ("", False)])
def test_admitting(answer, unsure):
    assert retrieval.admits(answer) is unsure


def test_the_recorded_evaluation_is_counted_again():
    found = retrieval.recorded_accuracy()
    assert found.data["n"] == 64 and found.data["closed"] < found.data["retrieved"] and found.data["wrong"] < found.data["gold"]
    for name, (low, high) in found.data["ends"].items():
        assert low <= found.data[name] <= high


def test_nothing_is_measured_while_grading(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert isinstance(retrieval.recorded_accuracy(), Skipped)
