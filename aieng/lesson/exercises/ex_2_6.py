"""2.6 Retrieval-augmented generation: visible properties and hints."""

from __future__ import annotations

import itertools
import re
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.lesson.checking import expect, expect_raises, hints, prop

hints(
    "2.6",
    "chunk works on positions: find all words with `re.finditer(r\"\\S+\", text)` and remember each one's start and end. A chunk then runs "
    "from the start of its first word to the end of its last. retrieve is glue around two callables. build_prompt adds a passage, counts, "
    "and takes it back when the whole prompt has become too long.",
    "Chunks begin at words 0, size - overlap, 2 · (size - overlap) … and end with the first one that reaches the last word. In retrieve, "
    "embed a *list* of one question, take row 0 of what search returns, and drop ids of -1 and scores below min_score. In build_prompt "
    "count the tokens of the whole text, never of the parts: joining can change how it is cut.",
    "chunk: refuse size < 1 or overlap outside 0 … size - 1; loop over the starts; append (start of word i, end of word min(i + size, n) "
    "- 1); stop when i + size >= n.\n"
    "retrieve: scores, ids = search(embed([question]), k); keep (int(id), float(score)) where id >= 0 and score >= min_score.\n"
    "build_prompt: a helper renders a list of places; refuse when it is over budget with none; for each place in turn, skip repeated "
    "texts, render with it, keep it if it fits.",
)

TEXT = "  One two three,\tfour  five six\nseven eight nine ten eleven "


def _words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\S+", text)]


def _parts(chunk: Any, text: str, size: int, overlap: int) -> list[str]:
    spans = chunk(text, size, overlap)
    expect(isinstance(spans, list), f"chunk returns a list of (start, end); yours is a {type(spans).__name__}.")
    for span in spans:
        expect(isinstance(span, tuple) and len(span) == 2, f"Each chunk is a tuple (start, end) of character positions; you have {span!r}.")
    return [text[start:end] for start, end in spans]


@prop("2.6", "chunks by hand")
def by_hand(chunk: Any, retrieve: Any, build_prompt: Any) -> None:
    text = "a bb  ccc d e"
    got = _parts(chunk, text, 2, 0)
    expect(got == ["a bb", "ccc d", "e"], f"'a bb  ccc d e' in chunks of 2 words without overlap: 'a bb', 'ccc d', 'e'; yours: {got}.")
    got = _parts(chunk, text, 3, 1)
    expect(got[-1:] != ["e"], "With size 3 and overlap 1 your last chunk is 'e' alone, which the chunk before holds already: stop at the "
                              "chunk "
                              "that reaches the last word.")
    expect(got == ["a bb  ccc", "ccc d e"], f"Size 3, overlap 1: 'a bb  ccc' and 'ccc d e' (spaces inside stay); yours: {got}.")


@prop("2.6", "every word, whole words, the right overlap")
def covers(chunk: Any, retrieve: Any, build_prompt: Any) -> None:
    words = _words(TEXT)
    for size, overlap in ((1, 0), (3, 0), (4, 1), (4, 3), (5, 2), (11, 0), (11, 10), (12, 4)):
        spans = chunk(TEXT, size, overlap)
        held = [[i for i, (a, b) in enumerate(words) if start <= a and b <= end] for start, end in spans]
        where = f"size {size}, overlap {overlap}"
        expect({i for h in held for i in h} == set(range(11)), f"With {where} some of the 11 words are in no chunk whole.")
        for h, (start, end) in zip(held, spans):
            expect((start, end) == (words[h[0]][0], words[h[-1]][1]), f"With {where} a chunk begins or ends in the middle of a word or "
                                                                      f"with a "
                                                                      f"space: {TEXT[start:end]!r}.")
        expect(all(len(h) == size for h in held[:-1]), f"With {where} all chunks but the last have {size} words; yours have "
                                                       f"{[len(h) for h in held]}.")
        shared = [len(set(a) & set(b)) for a, b in itertools.pairwise(held)]
        expect(all(s == overlap for s in shared), f"With {where} neighbours should share {overlap} words; yours share {shared}.")
        expect(len(held) < 2 or held[-1][-1] > held[-2][-1], f"With {where} your last chunk adds no word to the one before: leave it out.")


@prop("2.6", "chunks: nothing, and errors")
def chunk_errors(chunk: Any, retrieve: Any, build_prompt: Any) -> None:
    for empty in ("", " \n "):
        expect(list(chunk(empty, 3, 1)) == [], f"A text without words ({empty!r}) has no chunks.")
    for size, overlap in ((0, 0), (3, 3), (3, 4), (3, -1)):
        expect_raises(ValueError, partial(chunk, TEXT, size, overlap),
                      f"size {size} with overlap {overlap} should raise ValueError.")


class _Index:
    """Three passages of known scores, and a record of what was asked of it."""

    def __init__(self) -> None:
        self.embedded: list[Any] = []
        self.asked: list[tuple[tuple[int, ...], int]] = []

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        expect(isinstance(texts, list), f"embed got {texts!r}: it takes a list of texts, so give it [question].")
        self.embedded.append(list(texts))
        return np.ones((len(texts), 4), dtype=np.float32)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        expect(getattr(queries, "ndim", 0) == 2, "search takes queries of shape (n, dim), as embed returns them.")
        self.asked.append((queries.shape, k))
        scores = np.array([[0.9, 0.4, 0.1] + [-1.0] * k], dtype=np.float32)[:, :k]
        ids = np.array([[7, 2, 5] + [-1] * k])[:, :k]
        return scores, ids


@prop("2.6", "retrieve: best first, near enough, real")
def finds(chunk: Any, retrieve: Any, build_prompt: Any) -> None:
    index = _Index()
    got = list(retrieve("who?", index.embed, index.search, 2))
    expect(index.embedded == [["who?"]], f"embed should be called once, with the question; it got {index.embedded}.")
    expect(index.asked and index.asked[0][1] == 2, "search should be asked for k passages.")
    expect([i for i, _ in got] == [7, 2] and np.allclose([s for _, s in got], [0.9, 0.4]),
           f"The two best are (7, 0.9) and (2, 0.4), best first, as (id, score); yours: {got}.")
    expect(all(type(i) is int and type(s) is float for i, s in got), "Ids are plain int and scores plain float.")
    got = [i for i, _ in retrieve("who?", index.embed, index.search, 5)]
    expect(-1 not in got, "An id of -1 says that nothing more was found; you returned it as a passage, and passages[-1] is a real one.")
    expect(got == [7, 2, 5], f"Asked for 5 of 3 passages: ids 7, 2, 5; yours: {got}.")
    got = [i for i, _ in retrieve("who?", index.embed, index.search, 3, min_score=0.3)]
    expect(got == [7, 2], f"With min_score 0.3 the passage that scores 0.1 is left out; yours: {got}.")
    expect(list(retrieve("who?", index.embed, index.search, 3, min_score=0.95)) == [], "Nothing near enough: an empty list.")
    expect_raises(ValueError, lambda: retrieve("who?", index.embed, index.search, 0), "k = 0 should raise ValueError.")


def _count(text: str) -> int:
    return len(text.split())


PASSAGES = ["Ada wrote notes.", "Bo ran far and wide over many hills that day.", "Cy sang.", "Ada wrote notes.", "Di slept."]


@prop("2.6", "the prompt's form")
def form(chunk: Any, retrieve: Any, build_prompt: Any) -> None:
    got = build_prompt("Who sang?", PASSAGES[:2], 100, _count, instruction="Use the passages.")
    expect(isinstance(got, tuple) and len(got) == 2, "build_prompt returns (prompt, used).")
    prompt, used = got
    want = "Use the passages.\n\n[1] Ada wrote notes.\n[2] Bo ran far and wide over many hills that day.\n\nQuestion: Who sang?\nAnswer:"
    expect("[0]" not in prompt, "Numbers begin at [1].")
    expect(prompt == want, f"The prompt should be\n{want!r}\nyours is\n{prompt!r}")
    expect(list(used) == [0, 1], f"[1] and [2] are passages 0 and 1; `used` is {list(used)}.")
    prompt, used = build_prompt("Who sang?", [], 100, _count, instruction="Use the passages.")
    expect((prompt, list(used)) == ("Use the passages.\n\nQuestion: Who sang?\nAnswer:", []),
           f"Without passages one empty line stands between instruction and question; yours: {prompt!r}.")


@prop("2.6", "within the budget, as much as fits")
def budget(chunk: Any, retrieve: Any, build_prompt: Any) -> None:
    base = _count(build_prompt("Who sang?", [], 100, _count)[0])
    for room in range(30):
        prompt, used = build_prompt("Who sang?", PASSAGES, base + room, _count)
        n = _count(prompt)
        expect(n <= base + room, f"A budget of {base + room} tokens, a prompt of {n}: count the whole prompt, numbers and question too.")
        want, total, seen = [], base, set[str]()
        for i, passage in enumerate(PASSAGES):
            if passage not in seen and total + 1 + _count(passage) <= base + room:
                total += 1 + _count(passage)
                seen.add(passage)
                want.append(i)
        expect(not (room >= 4 and not list(used)), f"With room for {room} words more, no passage was used.")
        expect(len({PASSAGES[i] for i in used}) == len(used), f"The same text stands in the prompt twice (places {list(used)}): once is "
                                                              f"enough.")
        expect(list(used) == want, f"With room for {room} words beside instruction and question the places are {want}: each passage in "
                                   f"turn "
                                   f"that fits whole, one that does not is passed over; yours: {list(used)}.")
        for number, i in enumerate(used, 1):
            expect(f"[{number}] {PASSAGES[i]}\n" in prompt, f"Passage {i} should stand in the prompt whole, as [{number}].")
    expect_raises(ValueError, lambda: build_prompt("Who sang?", PASSAGES, base - 1, _count),
                  "A budget too small for instruction and question should raise ValueError.")


@prop("2.6", "tokens of the whole, not of the parts")
def whole_text(chunk: Any, retrieve: Any, build_prompt: Any) -> None:
    # Counts 3 more for each text it is called with, as a tokenizer with a start and two end tokens would.
    def framed(text: str) -> int:
        return len(text.split()) + 3

    base = framed(build_prompt("Who?", [], 100, framed)[0])
    _, used = build_prompt("Who?", ["one two", "three four", "five six"], base + 9, framed)
    expect(list(used) == [0, 1, 2], f"This counter adds 3 for every text it is given; with budget for all three passages you used "
                                    f"{list(used)}. "
                                    "Count the whole prompt once, not its parts one by one.")
    before = list(PASSAGES)
    build_prompt("Who?", PASSAGES, 100, framed)
    expect(before == PASSAGES, "build_prompt changed the list of passages: work on a copy.")
