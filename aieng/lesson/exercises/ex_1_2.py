"""1.2 Analogies by arithmetic: visible properties and hints."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.lesson.checking import CheckFailed, expect, expect_close, expect_raises, hints, prop

hints(
    "1.2",
    "The target is one vector: unit(a) − unit(b) + unit(c). Then this is 1.1 again: the words whose vectors have the largest cosine to it. "
    "When do the three given words have to leave, before the best k are chosen or after?",
    "Collect the candidate words in a list (all keys, or all but a, b and c), stack their vectors in that order, and score all of them "
    "against the target at once. Position i of the scores then belongs to word i of the list.",
    "Refuse unknown words. words = those of the vocabulary that may answer. Refuse k outside 1..number of words.\n"
    "target = unit(a) − unit(b) + unit(c); scores = cosine of every word's vector and the target.\n"
    "order = argsort of the negative scores, first k; a list of (word, float(score)).",
)

_HAND = {word: np.array(vector) for word, vector in (
    ("king", [0.6, 0.8, 0.0]), ("man", [1.0, 0.0, 0.0]), ("woman", [0.0, 0.0, 1.0]), ("queen", [0.0, 0.8, 0.6]), ("boat", [-0.6, 0.8, 0.0]),
    ("tree", [0.0, -1.0, 0.0]))}


def _vocabulary(n: int, dim: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """Words w0, w1, … whose vectors have lengths from 0.1 to 10."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, dim)) * rng.uniform(0.1, 10, size=(n, 1))
    return {f"w{i}": row for i, row in enumerate(rows.astype(np.float32))}


def _scores(a: str, b: str, c: str, vocabulary: Any) -> dict[str, float]:
    """Every word's cosine to unit(a) − unit(b) + unit(c), word by word."""
    unit = {w: np.asarray(v, dtype=np.float64) / (np.sqrt(np.sum(np.square(v, dtype=np.float64))) or 1) for w, v in vocabulary.items()}
    target = unit[a] - unit[b] + unit[c]
    return {w: float(v @ target / np.sqrt(target @ target)) for w, v in unit.items()}


def _ask(analogy: Any, a: str, b: str, c: str, vocabulary: Any, **kwargs: Any) -> tuple[list[str], NDArray[np.float64]]:
    """The learner's words and scores, once they have the right form; each call on a copy, lest one mistake spoil the next."""
    found = analogy(a, b, c, {word: vector.copy() for word, vector in vocabulary.items()}, **kwargs)
    k = kwargs.get("k", 1)
    expect(found is not None, "Your function returned None: does it end without a `return`?")
    expect(not isinstance(found, str), f"You returned the word {found!r}; return a list of (word, score) pairs, also for k = 1.")
    try:
        found = list(found)
    except TypeError:
        raise CheckFailed(f"You returned a {type(found).__name__}; return a list of (word, score) pairs.") from None
    expect(len(found) == k, f"For k = {k} you returned {len(found)} entries"
           + ("; leave a, b and c out *before* you take the best k." if len(found) < k else f"; return exactly {k}."))
    for entry in found:
        expect(isinstance(entry, tuple | list) and len(entry) == 2 and isinstance(entry[0], str),
               f"Each entry is a pair (word, score); yours is {entry!r:.60}.")
    return [str(word) for word, _ in found], np.array([float(score) for _, score in found])


@prop("1.2", "the example by hand")
def by_hand(analogy: Any) -> None:
    words, scores = _ask(analogy, "king", "man", "woman", _HAND)
    right = 1.24 / np.sqrt(1.8)
    expect(words[0] != "boat", "You gave boat, which is nearest to king − man − woman or king − man: the vector of `c` is *added*.")
    expect(words[0] != "tree", "You gave tree. It is the farthest from king − man + woman, and the nearest to man − king + woman: did you "
                               "sort the smallest cosine first, or swap a and b?")
    expect(words[0] not in ("king", "man", "woman"), f"You gave {words[0]}, one of the words that went in: leave a, b and c out.")
    expect(words[0] == "queen", f"king − man + woman = (−0.4, 0.8, 1), and the nearest of the other words is queen; you gave {words[0]}.")
    expect(not np.isclose(scores[0], 1.24, rtol=1e-3), "For queen you gave 1.24, the dot product; divide by the target's length, 1.34.")
    expect(not np.isclose(scores[0], 1 - right, rtol=1e-3), "You gave 1 − cosine; return the cosine.")
    expect_close(scores[0], right, "The cosine of queen and (−0.4, 0.8, 1) is 1.24 / √1.8 = 0.924.", rtol=1e-4)


@prop("1.2", "a − b + c, in this order")
def order_of_words(analogy: Any) -> None:
    vocabulary = _vocabulary(200, 12, seed=1)
    truth = _scores("w0", "w1", "w2", vocabulary)
    words, scores = _ask(analogy, "w0", "w1", "w2", vocabulary, k=5)
    want = sorted((w for w in truth if w not in ("w0", "w1", "w2")), key=lambda w: -truth[w])[:5]
    for (a, b, c), meaning in ((("w1", "w0", "w2"), "b − a + c"), (("w0", "w2", "w1"), "a − c + b")):
        other = _scores(a, b, c, vocabulary)
        swapped = sorted((w for w in other if w not in (a, b, c)), key=lambda w: -other[w])[:5]
        expect(words != swapped, f"These are the words nearest to {meaning}; the target is a − b + c.")
    if words != want:
        raw = {w: np.asarray(v, dtype=np.float64) for w, v in vocabulary.items()}
        target = raw["w0"] - raw["w1"] + raw["w2"]
        cosine = {w: v @ target / np.sqrt((v @ v) * (target @ target)) for w, v in raw.items() if w not in ("w0", "w1", "w2")}
        expect(words != sorted(cosine, key=lambda w: -cosine[w])[:5],
               "You added the vectors with the lengths they have, so that the longest decides: bring a, b and c to length 1 first.")
        unit_target = sum(s * raw[w] / np.sqrt(raw[w] @ raw[w]) for s, w in ((1, "w0"), (-1, "w1"), (1, "w2")))
        product = {w: v @ unit_target for w, v in raw.items() if w not in ("w0", "w1", "w2")}
        expect(words != sorted(product, key=lambda w: -product[w])[:5],
               "You ranked by the dot product, where words with long vectors win; rank by the cosine.")
    expect(words == want, f"The five words nearest to w0 − w1 + w2 are {', '.join(want)}; yours: {', '.join(words)}.")
    expect_close(scores, [truth[w] for w in want], "The scores are not the cosines to unit(a) − unit(b) + unit(c).", rtol=1e-4, atol=1e-5)


@prop("1.2", "length does not matter")
def any_length(analogy: Any) -> None:
    stretched = {w: (0.01 if w == "man" else 7.0) * v for w, v in _HAND.items()}
    words, scores = _ask(analogy, "king", "man", "woman", stretched)
    expect(words[0] == "queen" and np.isclose(scores[0], 1.24 / np.sqrt(1.8), rtol=1e-4),
           f"With a shorter vector for man and longer ones for the others you gave {words[0]} with {scores[0]:.4g}, before it was queen "
           "with 0.924: bring the three vectors to length 1 before you add them, and compare by the cosine.")


@prop("1.2", "inputs left out, or not")
def inputs_in_or_out(analogy: Any) -> None:
    vocabulary = _vocabulary(60, 5, seed=2)
    out = {"w3", "w8", "w20"}
    words, _ = _ask(analogy, "w3", "w8", "w20", vocabulary, k=57)
    expect(not out & set(words), f"{', '.join(sorted(out & set(words)))} went in and came out again: leave a, b and c out.")
    expect(len(set(words)) == 57, "A word came twice.")
    truth = _scores("w3", "w8", "w20", vocabulary)
    words, scores = _ask(analogy, "w3", "w8", "w20", vocabulary, k=60, exclude_inputs=False)
    expect(set(words) == set(vocabulary), "With exclude_inputs=False all words may answer, a, b and c too.")
    expect((np.diff(scores) <= 1e-9).all(), "Scores should fall from first to last.")
    expect_close(scores, [truth[w] for w in words], "A word has another word's score: keep words and scores in the same order.",
                 rtol=1e-4, atol=1e-5)


@prop("1.2", "the vocabulary stays as it was")
def untouched_vocabulary(analogy: Any) -> None:
    vocabulary = _vocabulary(20, 4, seed=3)
    before = {w: v.copy() for w, v in vocabulary.items()}
    analogy("w0", "w1", "w2", vocabulary, k=3)
    expect(list(before) == list(vocabulary), "Words were removed from the vocabulary (or added): make a list of the candidates instead.")
    expect(all(np.array_equal(before[w], vocabulary[w]) for w in before),
           "A vector of the vocabulary changed: `x /= …` and `x -= …` work in place; write `x = x / …`.")


@prop("1.2", "errors that say so")
def errors(analogy: Any) -> None:
    vocabulary = _vocabulary(6, 3, seed=4)
    for words in (("nobody", "w1", "w2"), ("w0", "nobody", "w2"), ("w0", "w1", "nobody")):
        expect_raises(ValueError, lambda given=words: analogy(*given, vocabulary),  # type: ignore[misc]
                      "A word that is not in the vocabulary should raise ValueError, not KeyError.")
    expect_raises(ValueError, lambda: analogy("w0", "w1", "w2", vocabulary, k=4),
                  "Six words, three of them left out: k = 4 should raise ValueError.")
    expect_raises(ValueError, lambda: analogy("w0", "w1", "w2", vocabulary, k=0), "k = 0 should raise ValueError.")
    expect_raises(ValueError, lambda: analogy("w0", "w1", "w2", vocabulary, k=7, exclude_inputs=False),
                  "k = 7 of 6 words should raise ValueError.")
