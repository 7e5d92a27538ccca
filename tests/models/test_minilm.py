"""Our encoder against sentence-transformers and transformers on the same weights, offline."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from aieng.models import weights

TEXTS = [
    "",
    " \t\n ",
    "a",
    "The bank of the river is eroding.",
    "Crème brûlée, naïve façade: 你好 🙂 ﬁ Ωμέγα \u0000 ​",
    "snake_case and 12,345.678 % of https://example.org/?q=1",
    "antidisestablishmentarianism " * 3,
    "[MASK] [SEP] ordinary text may hold a special token's name",
    "word " * 700,
    "Sundress: a light loose sleeveless summer dress",
    *(f"sentence number {n} " + "with some more words " * (n % 7) for n in range(70)),
]


@pytest.fixture(scope="module")
def folder(minilm):
    return weights.ensure("minilm", progress=False)["config.json"].parent


@pytest.fixture(scope="module")
def sentence_transformer(folder):
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    from sentence_transformers import SentenceTransformer

    parts = [modules.Transformer(str(folder), max_seq_length=256), modules.Pooling(384), modules.Normalize()]
    return SentenceTransformer(modules=parts, device="cpu")


def test_equals_sentence_transformers(minilm, sentence_transformer):
    ours = minilm.encode(TEXTS)
    theirs = sentence_transformer.encode(TEXTS, batch_size=16)
    assert ours.shape == theirs.shape == (len(TEXTS), 384)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def test_token_vectors_equal_transformers(minilm, folder):
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import load_file

    config = transformers.BertConfig(**json.loads((folder / "config.json").read_text()))
    bert = transformers.BertModel(config, add_pooling_layer=False).eval()
    state = {name: tensor for name, tensor in load_file(folder / "model.safetensors").items() if "pooler" not in name}
    bert.load_state_dict(state, strict=False)
    generator = torch.Generator().manual_seed(4)
    ids = torch.randint(1000, 30000, (3, 41), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 30:] = 0
    mask[2, 1:] = 0
    with torch.inference_mode():
        theirs = bert(input_ids=ids, attention_mask=mask).last_hidden_state
        ours = minilm.encoder(ids, mask)
    torch.testing.assert_close(ours[mask == 1], theirs[mask == 1], atol=2e-5, rtol=0)


def test_rows_have_length_one(minilm):
    np.testing.assert_allclose(np.linalg.norm(minilm.encode(TEXTS[:12]), axis=1), 1.0, atol=1e-6)


def test_a_text_alone_and_in_a_batch_of_any_size_is_the_same(minilm):
    texts = TEXTS[:20]
    together = minilm.encode(texts)
    np.testing.assert_allclose(np.concatenate([minilm.encode([text]) for text in texts]), together, atol=2e-6)
    np.testing.assert_allclose(minilm.encode(texts, batch_size=3), together, atol=2e-6)


def test_order_is_kept_although_batches_are_sorted_by_length(minilm):
    texts = ["a dog", "a cat and a dog and a bird in a tree", "a fish", "the cat sat"]
    np.testing.assert_allclose(minilm.encode(texts[::-1])[::-1], minilm.encode(texts), atol=2e-6)


def test_text_beyond_256_tokens_is_cut_off(minilm):
    ids = minilm.tokenize(["word " * 700])[0]
    assert (len(ids), ids[0], ids[-1]) == (256, 101, 102)
    kept = "word " * 254
    np.testing.assert_allclose(minilm.encode([kept + "tail that is lost"]), minilm.encode([kept]), atol=1e-6)


def test_empty_inputs(minilm):
    nothing = minilm.encode([])
    assert nothing.shape == (0, 384)
    assert nothing.dtype == np.float32
    assert minilm.tokenize([""]) == [[101, 102]]


def test_tokens_are_readable(minilm):
    assert minilm.tokens("Unaffable Café") == ["[CLS]", "una", "##ffa", "##ble", "cafe", "[SEP]"]


def test_like_texts_are_near(minilm):
    dress, robe, tax = minilm.encode(["a light summer dress", "a thin garment for hot days", "income tax law"])
    assert dress @ robe > 0.4 > 0.2 > dress @ tax


def test_progress_bar(minilm, capsys):
    minilm.encode(["a", "b"])
    assert capsys.readouterr().err == ""
    minilm.encode(["a", "b"], progress=True)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("texts", "kind", "message"),
    [
        ("one string", TypeError, "put it in a list"),
        (["fine", 3], TypeError, r"texts\[1\] is int"),
        ([None], TypeError, r"texts\[0\] is NoneType"),
        (["\ud800"], ValueError, "no valid Unicode"),
    ],
)
def test_wrong_texts(minilm, texts, kind, message):
    for method in (minilm.encode, minilm.tokenize):
        with pytest.raises(kind, match=message):
            method(texts)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, "8"])
def test_wrong_batch_size(minilm, batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        minilm.encode(["a"], batch_size=batch_size)
