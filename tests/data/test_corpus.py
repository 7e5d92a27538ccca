"""The shipped passages and words: complete, sound, and embedded by the encoder that the course runs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from aieng.data import corpus as corpus_module
from aieng.data.corpus import ASSETS, load_corpus, load_vocabulary
from aieng.models.minilm import load_minilm


@pytest.fixture(scope="module")
def corpus():
    return load_corpus()


@pytest.fixture(scope="module")
def vocabulary():
    return load_vocabulary()


@pytest.fixture(scope="module")
def minilm():
    return load_minilm(progress=False)


def search(corpus, minilm, query, k=5):
    scores = corpus.embeddings @ minilm.encode([query])[0]
    return [corpus.passages[i].title for i in np.argsort(-scores)[:k]]


def nearest_word(vocabulary, a, b, c):
    words = [word for word in vocabulary if word not in (a, b, c)]
    scores = np.stack([vocabulary[word] for word in words]) @ (vocabulary[a] - vocabulary[b] + vocabulary[c])
    return words[int(np.argmax(scores))]


def test_passages_are_sound(corpus):
    assert 3800 <= len(corpus) <= 4300
    assert len({passage.title.lower() for passage in corpus.passages}) == len(corpus)
    for row, passage in enumerate(corpus.passages):
        assert passage.id == row
        assert passage.text.startswith(passage.title + ": ")
        assert 40 <= len(passage.text) <= 450
        assert re.fullmatch(r"[a-z]+", passage.category)


def test_categories_are_balanced(corpus):
    counts = corpus.categories
    assert sum(counts.values()) == len(corpus)
    assert 10 <= len(counts) <= 16
    assert max(counts.values()) <= 0.15 * len(corpus)
    assert counts["clothing"] >= 300
    assert counts["food"] >= 400


def test_prices_are_where_a_shop_could_sell(corpus):
    for passage in corpus.passages:
        assert (passage.price is not None) == (passage.category in {"clothing", "object", "food", "plant"})
        assert passage.price is None or 1 <= passage.price <= 1000


def test_nothing_that_hurts(corpus, vocabulary):
    unfit = re.compile(r"\b(ethnic slur|offensive term|disparag\w*|prostitut\w*|rapist|genital\w*|porn\w*|nazi\w*)\b", re.I)
    assert [p.title for p in corpus.passages if unfit.search(p.text)] == []
    assert [word for word in vocabulary if unfit.search(word)] == []


def test_embeddings_are_unit_float32(corpus, vocabulary):
    for matrix in (corpus.embeddings, np.stack(list(vocabulary.values()))):
        assert matrix.dtype == np.float32
        assert matrix.shape[1] == 384
        np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1.0, atol=1e-6)


def test_embeddings_are_those_of_the_texts(corpus, vocabulary, minilm):
    rows = np.random.default_rng(0).choice(len(corpus), 60, replace=False)
    fresh = minilm.encode([corpus.passages[row].text for row in rows])
    np.testing.assert_allclose(corpus.embeddings[rows], fresh, atol=2e-4)  # half precision: 2**-11 of at most 0.25
    words = list(vocabulary)[::100]
    np.testing.assert_allclose(np.stack([vocabulary[word] for word in words]), minilm.encode(words), atol=2e-4)


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("light dress for a hot day", "Sundress"),
        ("animal that eats termites", "Aardvark"),
        ("what does the aardvark feed on", "Aardvark"),
        ("the capital of France", "Paris"),
        ("Which planet is the largest?", "Jupiter"),
        ("who invented the telephone", "Alexander Graham Bell"),
        ("who deciphered hieroglyphs", "Jean Francois Champollion"),
        ("when was the battle of Hastings", "Battle of Hastings"),
        ("cold soup with tomatoes", "Gazpacho"),
    ],
)
def test_the_questions_of_the_notebooks_find_their_passage(corpus, minilm, query, title):
    assert title in search(corpus, minilm, query, k=3)


def test_vocabulary_has_the_words_of_the_analogies(vocabulary):
    assert 2800 <= len(vocabulary) <= 3300
    wanted = "king queen man woman prince princess actor actress brother sister father mother uncle aunt paris france"
    wanted += " berlin germany rome italy madrid spain tokyo japan walk walking"
    assert set(wanted.split()) <= set(vocabulary)
    assert all(re.fullmatch(r"[a-z]+", word) for word in vocabulary)


def test_known_analogies(vocabulary):
    assert nearest_word(vocabulary, "king", "man", "woman") == "queen"
    assert nearest_word(vocabulary, "paris", "france", "germany") == "berlin"
    assert nearest_word(vocabulary, "walking", "walk", "swim") == "swimming"


def test_small_enough_for_git():
    assert sum(path.stat().st_size for path in ASSETS.iterdir() if path.is_file()) < 10e6


def test_missing_and_mismatched_assets(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "ASSETS", tmp_path)
    for load in (load_corpus, load_vocabulary):
        with pytest.raises(FileNotFoundError, match="git checkout assets"):
            load()
    (tmp_path / "corpus.jsonl.gz").write_bytes((ASSETS / "corpus.jsonl.gz").read_bytes())
    np.save(tmp_path / "corpus_embeddings.npy", np.ones((3, 384), dtype=np.float16))
    with pytest.raises(ValueError, match="3 embeddings"):
        load_corpus()
