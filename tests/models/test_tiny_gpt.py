"""The shipped small model: what it is, and that a copy trains apart."""

from __future__ import annotations

import pytest
import torch

from aieng.data.corpus import load_corpus
from aieng.models.tiny_gpt import as_ids, load_tiny_gpt, save_tiny_gpt, split_texts, tiny_gpt, tiny_tokenizer
from aieng.training.losses import cross_entropy


@pytest.fixture(scope="module")
def gpt():
    return load_tiny_gpt()


def test_it_predicts_unseen_definitions(gpt):
    held_out = as_ids(gpt.tokenizer, split_texts(load_corpus().texts)[1][:30])
    windows = held_out[: len(held_out) // 64 * 64].reshape(-1, 64)
    with torch.no_grad():
        loss = float(cross_entropy(gpt.model(windows[:, :-1]), windows[:, 1:]))
        fresh = float(cross_entropy(tiny_gpt(gpt.tokenizer, seed=3).model(windows[:, :-1]), windows[:, 1:]))
    assert loss < 4.2 and fresh > 6.5


def test_saved_and_loaded_it_is_the_same(gpt, tmp_path):
    save_tiny_gpt(gpt, tmp_path / "x.safetensors", steps="1")
    again = load_tiny_gpt(tmp_path / "x.safetensors")
    assert again.tokenizer.merges == gpt.tokenizer.merges
    ids = torch.tensor([gpt.tokenizer.encode("Teapot: a")])
    assert torch.equal(again.model(ids), gpt.model(ids))
    with pytest.raises(FileNotFoundError, match="checkout"):
        load_tiny_gpt(tmp_path / "missing")


def test_a_copy_trains_apart(gpt):
    copy = gpt.copy()
    with torch.no_grad():
        copy.weights["model.norm.weight"].zero_()
    assert bool(gpt.weights["model.norm.weight"].any()) and not gpt.copy(requires_grad=False).weights["model.norm.weight"].requires_grad


def test_special_tokens_and_sizes(gpt):
    ids = gpt.tokenizer.encode("<|im_start|>user\nx<|im_end|>")
    assert ids[0] == 1024 and ids[-1] == gpt.end_id == 1025 and sum(w.numel() for w in gpt.weights.values()) == 430_944
    with pytest.raises(ValueError, match="tokens"):
        tiny_gpt(tiny_tokenizer([(b"a", b"b")]))


def test_split_holds_out_texts_that_training_lacks():
    texts = [str(i) for i in range(200)]
    training, held_out = split_texts(texts)
    assert len(held_out) == 10 and not set(training) & set(held_out) and len(training) == 190
