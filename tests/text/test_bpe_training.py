"""BPE training against the tokenizers library and against a plain recount."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from aieng.data.corpus import load_corpus
from aieng.text.bpe import BPETokenizer, smollm_pieces
from aieng.text.bpe_training import decode, encode, train_bpe, vocabulary_of


def their_merges(text: str, merges: int) -> list[tuple[bytes, bytes]]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trainer = trainers.BpeTrainer(vocab_size=256 + merges, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text], trainer)
    names = dict(zip(sorted(pre_tokenizers.ByteLevel.alphabet()), vocabulary_of([])))
    return [tuple(b"".join(names[c] for c in part) for part in pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def plain_training(pieces: list[bytes], num_merges: int) -> list[int]:
    """How often the pair stands that is merged, step by step, with everything counted anew."""
    words = [[p[i : i + 1] for i in range(len(p))] for p in pieces]
    tops = []
    for left, right in train_bpe(pieces, num_merges):
        counts = Counter(pair for w in words for pair in pairwise(w))
        assert counts[left, right] == max(counts.values())
        tops.append(counts[left, right])
        for w in words:
            i = 0
            while i < len(w) - 1:
                if (w[i], w[i + 1]) == (left, right):
                    w[i : i + 2] = [left + right]
                i += 1
    return tops


def test_same_merges_as_the_tokenizers_library_in_the_same_order():
    text = "\n".join(load_corpus().texts[:600])
    assert train_bpe((p.encode() for p in smollm_pieces(text)), 800) == their_merges(text, 800)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("abc", max_size=9).map(str.encode), max_size=25), st.integers(0, 12))
def test_every_merge_is_a_most_frequent_pair(pieces, num_merges):
    tops = plain_training(pieces, num_merges)
    assert tops == sorted(tops, reverse=True)  # a merge never makes a pair more frequent than the one merged
    if len(tops) < num_merges:  # it stopped early: every piece is one token by then
        merges = train_bpe(pieces, num_merges)
        assert len(encode(pieces, merges, vocabulary_of(merges))) == sum(bool(p) for p in pieces)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_encode_is_the_tokenizers_and_decode_gives_it_back(text):
    merges = train_bpe((p.encode() for p in smollm_pieces("the theatre of the thing: naïve café 猫猫 🙂🙂 " * 3)), 40)
    vocabulary = vocabulary_of(merges)
    pieces = [p.encode() for p in smollm_pieces(text)]
    ids = encode(pieces, merges, vocabulary)
    assert ids == BPETokenizer(vocabulary, merges).encode(text)
    assert decode(ids, vocabulary) == text


@given(st.binary(max_size=40))
def test_any_bytes_survive(raw):
    vocabulary = vocabulary_of([(b"a", b"b")])
    assert decode(encode([raw], [(b"a", b"b")], vocabulary), vocabulary) == raw.decode("utf-8", errors="replace")


def test_edges_and_errors():
    assert train_bpe([], 5) == train_bpe([b"a", b""], 5) == train_bpe([b"ab"], 0) == []
    assert train_bpe([b"aaaa"], 9) == [(b"a", b"a"), (b"aa", b"aa")]
    with pytest.raises(ValueError, match="0 or more"):
        train_bpe([b"ab"], -1)
    with pytest.raises(ValueError, match="no token with id 999"):
        decode([999], vocabulary_of([]))
