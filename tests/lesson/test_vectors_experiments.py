"""Experiments of 1.1, 1.2 and 1.6: what they compute on data whose answer is known, and what they say."""

from dataclasses import replace

import numpy as np
import pytest

from aieng.data.corpus import Corpus, Passage, load_corpus, load_vocabulary
from aieng.lesson.experiments import analogies, ivf, similarity
from aieng.vectors.analogies import analogy
from aieng.vectors.distances import cosine_similarity, semantic_search
from aieng.vectors.ivf import IVFIndex

WORDS = {"king": [0.6, 0.8, 0], "man": [1, 0, 0], "woman": [0, 0, 1], "queen": [0, 0.8, 0.6], "prince": [0.7, 0.714, 0], "tree": [0, -1, 0]}
VOCABULARY = {word: np.array(vector, np.float32) for word, vector in WORDS.items()}


class Encoder:
    """Stands in for MiniLM: one dimension a word."""

    def __init__(self, *words):
        self.words = words

    def encode(self, texts):
        return np.array([[float(w in text.lower()) for w in self.words] for text in texts], np.float32)


def small_corpus():
    titles = ("Red hat", "Blue hat", "Green tea", "Black tea")
    passages = [Passage(i, t, f"{t}: a thing", "hat" if "hat" in t else "tea", None) for i, t in enumerate(titles)]
    encoder = Encoder("red", "blue", "hat", "tea")
    return Corpus(passages, encoder.encode(titles)), encoder


def test_sentence_pairs_reads_its_groups_off_the_scores():
    pairs = ((similarity.SAME_MEANING, "red hat", "red hat"), (similarity.UNRELATED, "red", "tea"),
             (similarity.SAME_WORDS, "red tea", "red hat"))
    found = similarity.sentence_pairs(cosine_similarity, Encoder("red", "hat", "tea", "weather", "sunny", "stadium"), pairs)
    assert found.data["lowest_similar"] == pytest.approx(1) and found.data["highest_unrelated"] == 0
    assert found.data["traps"] == {"red hat": pytest.approx(0.5)}
    assert found.data["published_error"] == pytest.approx(0.666)  # this encoder sees nothing in common there


def test_words_and_meaning_disagree():
    corpus, encoder = small_corpus()
    found = similarity.words_or_meaning(semantic_search, corpus, encoder, ["red hat", "red tea"], k=2)
    assert found.data["exact"] == {"red hat": ["Red hat"], "red tea": []}
    assert found.data["near"]["red hat"][0] == "Red hat" and "| red tea | none |" in found.sentence and "1 of 2" in found.sentence


def test_neighbours_agree_counts_categories():
    corpus, _ = small_corpus()
    assert similarity.neighbours_agree(semantic_search, corpus, n_queries=4).data == {"share": 1.0, "chance": 0.5}
    mixed = Corpus([replace(p, category=str(p.id)) for p in corpus.passages], corpus.embeddings)
    assert similarity.neighbours_agree(semantic_search, mixed, n_queries=4).data["share"] == 0


def test_ranks_of_an_analogy():
    found = analogies.rank_of_answer(analogy, VOCABULARY, "king", "man", "woman", "queen", shown=4)
    assert found.data == {"with_inputs": 1, "without_inputs": 1, "no_arithmetic": 2}  # prince is nearer to king
    table = analogies.many_analogies(analogy, VOCABULARY, [("king", "man", "woman", "queen"), ("king", "queen", "woman", "tree")])
    assert table.data == {"first_with_inputs": 1, "first_without_inputs": 1, "first_no_arithmetic": 0, "of": 2}


def test_queen_of_the_real_vocabulary_needs_its_inputs_left_out():
    found = analogies.rank_of_answer(analogy, load_vocabulary(), "king", "man", "woman", "queen")
    assert found.data["without_inputs"] == 1 < found.data["with_inputs"]


def test_recall_against_nprobe_compares_like_with_like():
    data = ivf.recall_against_nprobe(IVFIndex, n=3000, dim=8, nlist=16, nprobes=(1, 4, 16), n_queries=20).data
    for curve in data["curves"].values():
        recalls = [r for _, r, _ in curve]
        assert recalls == sorted(recalls) and recalls[-1] == pytest.approx(1, abs=0.01)
    assert data["share"][16] == 1 and data["share"][1] < 0.3 and (data["low"], data["high"]) == (1, 16)


def test_who_is_faster_is_read_off_the_times():
    assert "nprobe = 4" in ivf._overtaken([(1, 0.5, 1.0), (4, 0.9, 3.0)], 2.0, 0.5)
    assert "longer than any" in ivf._overtaken([(1, 0.5, 1.0)], 2.0, 0.5)


def test_drift_lowers_the_recall_of_the_new_kind_only():
    data = ivf.drift(IVFIndex, load_corpus()).data
    assert data["old"] > data["before"] - 0.05 and data["new"] < data["retrained"] - 0.2
    assert data["share_new"] > 1.3 * data["share_retrained"]
