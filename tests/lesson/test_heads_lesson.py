"""Section 07: what its experiments compute on models whose answer is known, and what its figures say."""

import numpy as np
import pytest
import torch

from aieng.figures import heads as draw
from aieng.figures.theme import alt_text
from aieng.lesson.experiments import head_roles, masking, multi_head
from aieng.lesson.widgets import heads as widgets
from aieng.transformer import head_scores
from aieng.transformer.attention import MultiHeadAttention, attention_weights, causal_mask, scaled_dot_product_attention
from aieng.transformer.llama import Kernels, Llama, LlamaConfig, init_weights

FUNCTIONS = {name: getattr(head_scores, name) for name in ("previous_token_score", "attention_sink_score", "induction_score",
                                                           "ablation_effects")}


class Words:
    """A tokenizer of words."""

    def __init__(self):
        self.words = []

    def encode(self, text):
        ids = []
        for i, word in enumerate(text.split(" ")):
            word = word if i == 0 else " " + word
            if word not in self.words:
                self.words.append(word)
            ids.append(self.words.index(word))
        return ids

    def decode(self, ids):
        return "".join(self.words[i] for i in ids)


class TinyLM:
    """Stands in for SmolLM2."""

    config = LlamaConfig(hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3,
                         vocab_size=400)

    def __init__(self, kernels=None, tokenizer=None):
        self.model = Llama(self.config, init_weights(self.config, seed=5, std=0.3, requires_grad=False), kernels)
        self.tokenizer = tokenizer or Words()

    def with_kernels(self, **kernels):
        return TinyLM(Kernels(**kernels), self.tokenizer)

    @torch.inference_mode()
    def logits(self, text):
        return self.model(torch.tensor([self.tokenizer.encode(text) if isinstance(text, str) else list(text)]))[0]


def test_leak_sees_a_leak():
    lm = TinyLM()
    assert masking.leak(scaled_dot_product_attention, causal_mask, lm).data["before"] == 0
    found = masking.leak(scaled_dot_product_attention, lambda n: causal_mask(n + 1)[1:, 1:].roll(-1, 0), lm)
    assert found.data["before_open"] > 0
    found = masking.leak(scaled_dot_product_attention, lambda n: torch.zeros(n, n), lm)
    assert found.data["before"] > 0 and "leaks" in found.sentence


def test_training_without_a_mask(monkeypatch):
    monkeypatch.setenv("AIENG_PACE", "quick")
    found = masking.with_and_without_mask(scaled_dot_product_attention, causal_mask)
    assert len(found.data["losses"]["without"]) == 12
    assert found.data["guessing"] == pytest.approx(np.log(len(masking.Letters("".join(masking.load_corpus().texts[:400])).letters)),
                                                   rel=1e-5)


def test_costs(monkeypatch):
    monkeypatch.setenv("AIENG_PACE", "quick")
    data = multi_head.cost_of_heads(MultiHeadAttention, scaled_dot_product_attention, hidden=36, tokens=16).data
    # four projections, scores and weighted values: 2 · 16 · 36 · 36 · 4 + 2 · 2 · 16 · 16 · 36
    assert data["flops_one"] == data["flops_many"] == 2 * 16 * 36 * 36 * 4 + 4 * 16 * 16 * 36
    assert data["parameters_one"] == data["parameters_many"] == 4 * 36 * 36
    assert data["softmax_many"] == 9 * data["softmax_one"]
    assert data["rows"][9, 3][3] * 3 == data["rows"][9, 9][3] == 2 * 36 * 4


def test_heads_and_quality(monkeypatch):
    monkeypatch.setenv("AIENG_PACE", "quick")
    found = multi_head.heads_and_quality(MultiHeadAttention, scaled_dot_product_attention, causal_mask, heads=(1, 4))
    assert set(found.data["accuracy"]) == {1, 4} and "4: " in found.sentence


def test_roles_and_ablations(monkeypatch):
    monkeypatch.setenv("AIENG_PACE", "quick")
    lm = TinyLM()
    found = head_roles.roles(lm, FUNCTIONS, length=8)
    weights = head_roles.all_weights(lm, head_roles.repeated_tokens(400, 8, 0).tolist())
    np.testing.assert_allclose(found.data["scores"]["previous token"], head_scores.previous_token_score(weights), rtol=1e-5)
    assert found.data["best"]["induction"][0] == np.unravel_index(found.data["scores"]["induction"].argmax(), (2, 3))
    assert len(set(head_roles.repeated_tokens(400, 8, 0)[:8].tolist())) == 8
    missed = head_roles.ablations(lm, FUNCTIONS, found, group=1)
    assert len(missed.data["names"]) == len(missed.data["effects"]["prose"]) == 6 and missed.data["single"] == 3


def test_specialists_find_a_planted_head(monkeypatch):
    relation = head_roles.Relation("verb to its subject", head_roles._PHRASES)
    lm = TinyLM()

    def planted(model, ids):
        weights = torch.zeros(2, 3, len(ids), len(ids))
        weights[:, :, :, 0] = 1.0
        weights[1, 2, :, 0], weights[1, 2, :, 1] = 0.1, 0.9  # the subject is the second word of every sentence
        return weights

    monkeypatch.setattr(head_roles, "all_weights", planted)
    found = head_roles.specialists(lm, (relation,), chosen_on=4)
    assert found.data["heads"] == {"verb to its subject": (1, 2)}
    assert found.data["syntax"] == pytest.approx(0.9) and found.data["syntax_other"] == 0


def test_figures_and_widgets_say_what_they_show():
    lm = TinyLM()
    explorer = widgets.mask_explorer(lm, "a b c a", causal_mask, attention_weights, layer=1, head=2)
    assert "6 of 16 scores are hidden" in explorer.text
    explorer.children[1].children[0].value = False
    assert "0 of 16 scores are hidden" in explorer.text
    found = head_roles.roles(lm, FUNCTIONS, length=8)
    explorer = widgets.head_explorer(lm, found, "a b c a")
    _, layers, heads, box = explorer.children[1].children
    layers.value, heads.value = 0, 1
    assert explorer.text.startswith("Layer 0, head 1") and alt_text(explorer.figures[0]) == explorer.text
    box.value = "x"
    assert "2 to 24" in explorer.text
    assert "up to 0 before" in alt_text(draw.noticed_bars(["a", "b"], {"with": [0.0, 1.0]}, 1))
