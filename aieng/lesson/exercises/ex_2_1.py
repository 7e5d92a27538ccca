"""2.1 Byte-level BPE: visible properties and hints."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aieng.lesson.checking import expect, expect_raises, hints, prop

hints(
    "2.1",
    "Keep each piece as a list of tokens, at first one `bytes` of length 1 per byte: `[piece[i:i+1] for i in range(len(piece))]` "
    "(indexing with `piece[i]` gives a number). Learning and encoding share one helper: replace a pair in a list.",
    "Training: count `zip(word, word[1:])` over all pieces in a `Counter`; `max(counts, key=counts.get)` is the pair to merge; "
    "replace it everywhere; count again. Encoding: of all the pairs that stand in the piece take the one with the smallest "
    "place in `merges`, not the longest token and not the first from the left.",
    "merge(word, pair): walk i from 0; where word[i], word[i+1] is the pair, append left + right and move by 2, else append and "
    "move by 1.\ntrain: words = lists of single bytes; num_merges times: count, stop when there is no pair, remember the best, "
    "merge it in every word.\nencode: rank = {pair: i}; while some pair of the piece has a rank: merge the one of lowest rank; then "
    "vocabulary[token].\ndecode: turn the vocabulary round, join all bytes, decode once with errors=\"replace\".",
)

TEXT = (
    "the cat sat on the mat and the cat ate the rat that sat on the mat. a naïve café, 3 cafés: déjà vu! 猫がマットに座った。 猫 猫 "
    "the thin thing thinks that the thick thicket is there 🙂🙂 and then the theory of these things"
)


def pieces_of(text: str) -> list[bytes]:
    """Words with their leading space, as bytes."""
    first, *rest = text.split(" ")
    return [first.encode(), *(f" {word}".encode() for word in rest)]


def merged(word: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    """The word with the pair replaced, from left to right."""
    out: list[bytes] = []
    for token in word:
        if out and (out[-1], token) == pair:
            # A token made just now cannot be the left half again: it is longer than pair[0].
            out[-1] += token
        else:
            out.append(token)
    return out


def replay(pieces: list[bytes], merges: Any) -> None:
    """Check each merge against a recount of the text as it stands then; any of equally frequent pairs will do."""
    words = Counter(pieces)
    split = {w: [w[i : i + 1] for i in range(len(w))] for w in words}
    for step, pair in enumerate(merges):
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for w, times in words.items():
            for p in zip(split[w], split[w][1:]):
                counts[p] += times
        best, most = counts.most_common(1)[0]
        expect(counts[pair] == most,
               f"Merge number {step + 1} joined {pair}, which stands {counts[pair]} times in the text at that moment; {best} stands "
               f"there {most} times. Do you count anew after each merge, every piece as often as it occurs, and within pieces only?")
        split = {w: merged(s, pair) for w, s in split.items()}


class _Vocabulary(dict[bytes, int]):
    """A dict that says what is wrong with a token that it does not have."""

    def __missing__(self, token: Any) -> int:
        kind = type(token).__name__
        why = "was never learned" if isinstance(token, bytes) else f"is of type {kind}, tokens are bytes: `piece[i:i+1]`"
        raise KeyError(f"the vocabulary has no token {token!r}: it {why}")


def _vocabulary(merges: list[tuple[bytes, bytes]], first: int = 0) -> dict[bytes, int]:
    tokens = [*(bytes([b]) for b in range(256)), *(a + b for a, b in merges)]
    return _Vocabulary({token: first + 3 * i for i, token in enumerate(dict.fromkeys(tokens))})


@prop("2.1", "merges are pairs of bytes")
def form(train_bpe: Any, encode: Any, decode: Any) -> None:
    merges = train_bpe(pieces_of(TEXT), 5)
    expect(isinstance(merges, list), f"train_bpe should return a list of pairs; yours is a {type(merges).__name__}.")
    expect(len(merges) == 5, f"Asked for 5 merges, you returned {len(merges)}.")
    for pair in merges:
        expect(isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(t, bytes) for t in pair),
               f"A merge is a tuple (left, right) of two `bytes`; you have {pair!r}."
               + (" Single bytes of a piece are `piece[i:i+1]`; `list(piece)` and `piece[i]` give numbers."
                  if isinstance(pair, tuple) and any(isinstance(t, int) for t in pair) else ""))


@prop("2.1", "the example by hand")
def by_hand(train_bpe: Any, encode: Any, decode: Any) -> None:
    merges = train_bpe([b"low"] * 5 + [b"lower"] * 2 + [b"newest"] * 6 + [b"widest"] * 3, 3)
    expect(merges[0] in ((b"e", b"s"), (b"s", b"t")),
           f"In low ×5, lower ×2, newest ×6, widest ×3 the pairs e s and s t stand 9 times each; you began with {merges[0]}. "
           "A piece that occurs six times counts six times.")
    expect(b"".join(merges[1]) == b"est", f"After the first merge only one pair stands 9 times, and it makes est; you took {merges[1]}.")
    expect(b"".join(merges[2]) == b"lo" or merges[2] == (b"o", b"w"),
           f"The third is l o (or o w), 7 times; you took {merges[2]}. Count again after every merge.")


@prop("2.1", "always the most frequent pair")
def most_frequent(train_bpe: Any, encode: Any, decode: Any) -> None:
    pieces = pieces_of(TEXT)
    replay(pieces, train_bpe(pieces, 40))


@prop("2.1", "no token crosses two pieces")
def borders(train_bpe: Any, encode: Any, decode: Any) -> None:
    merges = train_bpe([b"ab", b"ba"] * 10 + [b"cd"], 10)
    expect(len(merges) == 3, f"The pieces ab, ba and cd hold three pairs and no more, so 10 asked merges give 3; you returned "
                             f"{len(merges)}: {merges[:5]}. " + ("Tokens may not cross from one piece to the "
                                                                 "next." if len(merges) > 3 else ""))
    expect(train_bpe([b"a", b"b", b""], 4) == [], "Pieces of one byte (or none) hold no pair: return an empty list.")
    expect(train_bpe([b"abab"], 0) == [], "0 merges asked, 0 to return.")


@prop("2.1", "aaa has two pairs")
def overlaps(train_bpe: Any, encode: Any, decode: Any) -> None:
    merges = train_bpe([b"aaa"] * 2 + [b"bc"] * 3, 3)
    expect(merges[0] == (b"a", b"a"),
           f"In aaa the pair a a stands at two positions, so twice aaa counts 4, more than bc ×3; you merged {merges[0]} first.")
    expect((b"aa", b"a") in merges, f"aaa becomes aa a, merging from the left, so (aa, a) is a later merge; yours: {merges}.")


@prop("2.1", "encode merges what was learned first")
def earliest(train_bpe: Any, encode: Any, decode: Any) -> None:
    merges = [(b"b", b"c"), (b"a", b"b"), (b"ab", b"d")]
    vocabulary = _vocabulary(merges)
    names = {i: token for token, i in vocabulary.items()}
    got = encode([b"abc"], merges, vocabulary)
    expect(isinstance(got, list) and all(isinstance(i, int) for i in got), f"encode returns a list of ids (int); yours is {got!r}.")
    shown = [names.get(i) for i in got]
    expect(shown != [b"ab", b"c"], "abc with the merges b c, then a b: b c was learned first, so the tokens are a, bc. You went from left "
                                   "to right (or took the longest token).")
    expect(shown == [b"a", b"bc"], f"abc should be cut into a, bc by the merges {merges}; yours: {shown}.")
    got = [names.get(i) for i in encode([b"ababd", b"d"], merges, vocabulary)]
    expect(got == [b"ab", b"abd", b"d"], f"ababd and d should be cut into ab, abd, d; yours: {got}.")


@prop("2.1", "ids come from the vocabulary")
def given_ids(train_bpe: Any, encode: Any, decode: Any) -> None:
    merges = [(b"t", b"h"), (b"th", b"e")]
    got = encode([b"the"], merges, _vocabulary(merges, first=7))
    expect(got == [7 + 3 * 257], f"The token `the` has id {7 + 3 * 257} in the vocabulary that was passed; you returned {got}. A "
                                 "token's id need not be its place in the list.")
    expect(encode([], merges, _vocabulary(merges)) == [], "No pieces, no ids: return an empty list.")
    expect(encode([b""], merges, _vocabulary(merges)) == [], "An empty piece has no tokens.")


@prop("2.1", "decode puts bytes together first")
def bytes_first(train_bpe: Any, encode: Any, decode: Any) -> None:
    vocabulary = _vocabulary([])
    ids = [vocabulary[bytes([b])] for b in "é猫".encode()]
    got = decode(ids, vocabulary)
    expect(isinstance(got, str), f"decode returns a str; yours is a {type(got).__name__}.")
    expect("�" not in got or len(got) != len(ids),
           "Each byte of é and 猫 became its own replacement sign: join all the bytes first, decode them once.")
    expect(got == "é猫", f"The bytes of é猫 should decode to é猫; yours: {got!r}.")
    cut = decode(ids[:-1], vocabulary)
    expect(cut == "é�", f"A text cut inside a letter shows a replacement sign for it; é and two of 猫's three bytes gave {cut!r}. "
                             "Decode with errors=\"replace\".")


@prop("2.1", "there and back")
def round_trip(train_bpe: Any, encode: Any, decode: Any) -> None:
    pieces = pieces_of(TEXT)
    merges = train_bpe(pieces, 60)
    vocabulary = _vocabulary(merges, first=11)
    for text in (TEXT, "unseen words: ZEBRA 42\t\n", "añb🙂c", ""):
        ids = encode(pieces_of(text), merges, vocabulary)
        back = decode(ids, vocabulary)
        expect(back == text, f"decode(encode(text)) should be the text; {text[:30]!r} came back as {back[:30]!r}.")
    ids = encode(pieces, merges, vocabulary)
    expect(len(ids) < 0.8 * sum(map(len, pieces)),
           f"With 60 merges learned from it the text still has {len(ids)} tokens for {sum(map(len, pieces))} bytes: are merges applied "
           "again and again, until none fits?")


@prop("2.1", "inputs and errors")
def errors(train_bpe: Any, encode: Any, decode: Any) -> None:
    pieces, merges = pieces_of(TEXT), [(b"t", b"h")]
    vocabulary = _vocabulary(merges)
    before = list(pieces), list(merges), dict(vocabulary)
    train_bpe(pieces, 3)
    encode(pieces, merges, vocabulary)
    expect(before == (pieces, merges, vocabulary), "Your code changed one of its inputs; work on copies.")
    expect_raises(ValueError, lambda: decode([1], vocabulary), "An id that is not in the vocabulary should raise ValueError.")
    expect_raises(ValueError, lambda: train_bpe(pieces, -1), "A negative num_merges should raise ValueError.")
