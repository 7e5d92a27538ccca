"""Learning a byte-level BPE vocabulary from text.

Source: Sennrich, Haddow, Birch 2016, "Neural Machine Translation of Rare Words with Subword Units" (arXiv:1508.07909),
section 3.2 and figure 3; on bytes instead of characters as in GPT-2 (Radford et al. 2019, section 2.2).
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

Pair = tuple[int, int]

# GPT-2 numbers the 256 bytes with the printable ones first; equal counts are settled by these numbers.
_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
_BYTES = [bytes([b]) for b in [*_PRINTABLE, *sorted(set(range(256)) - set(_PRINTABLE))]]


def train_bpe(pieces: Iterable[bytes], num_merges: int) -> list[tuple[bytes, bytes]]:
    """Merge the most frequent pair of neighbouring tokens, again and again.

    Parameters
    ----------
    pieces : iterable of bytes
        The text, already cut (into words with their leading space, as a rule); no token crosses a cut. Repeats count.
    num_merges : int >= 0

    Returns
    -------
    list of (left, right)
        In the order learned; each makes the token left + right. Shorter than num_merges where no pair is left. A pair is
        counted at every position, also overlapping ones. Of equally frequent pairs the one with the smaller token
        numbers is merged (the bytes in GPT-2's order, then the merges), which is what the tokenizers library does.

    Raises
    ------
    ValueError
        num_merges negative.

    Notes
    -----
    The plain way counts all pairs anew for every merge. Here a merge touches only the words that hold its pair, and the
    next pair comes from a heap whose outdated entries are corrected when they surface.
    """
    if num_merges < 0:
        raise ValueError(f"num_merges is {num_merges}; it must be 0 or more")
    tokens = list(_BYTES)
    number = {token[0]: i for i, token in enumerate(tokens)}
    unique = Counter(pieces)
    words = [[number[byte] for byte in piece] for piece in unique]
    times = list(unique.values())

    counts: defaultdict[Pair, int] = defaultdict(int)
    places: defaultdict[Pair, set[int]] = defaultdict(set)  # the words that hold, or held, a pair
    for w, word in enumerate(words):
        for pair in itertools.pairwise(word):
            counts[pair] += times[w]
            places[pair].add(w)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)

    merges: list[tuple[bytes, bytes]] = []
    while heap and len(merges) < num_merges:
        negative, pair = heapq.heappop(heap)
        count = counts.get(pair, 0)
        if count != -negative:  # it became rarer since it was pushed
            if count > 0:
                heapq.heappush(heap, (-count, pair))
            continue
        new = len(tokens)
        merges.append((tokens[pair[0]], tokens[pair[1]]))
        tokens.append(tokens[pair[0]] + tokens[pair[1]])
        grown: set[Pair] = set()
        for w in places.pop(pair):
            _merge_in_word(words[w], pair, new, times[w], w, counts, places, grown)
        del counts[pair]
        for changed in grown:
            if counts[changed] > 0:  # in "aaaa" a new pair can be gone again
                heapq.heappush(heap, (-counts[changed], changed))
    return merges


def _merge_in_word(
    word: list[int], pair: Pair, new: int, times: int, w: int,
    counts: defaultdict[Pair, int], places: defaultdict[Pair, set[int]], grown: set[Pair],
) -> None:
    """Replace the pair in one word, from left to right, and move the counts of its neighbours."""
    left, right = pair
    i = 0
    while True:
        try:
            i = word.index(left, i)
        except ValueError:
            return
        if i + 1 >= len(word) or word[i + 1] != right:
            i += 1
            continue
        if i > 0:
            counts[word[i - 1], left] -= times
            before = (word[i - 1], new)
            counts[before] += times
            places[before].add(w)
            grown.add(before)
        if i + 2 < len(word):
            counts[right, word[i + 2]] -= times
            after = (new, word[i + 2])
            counts[after] += times
            places[after].add(w)
            grown.add(after)
        word[i : i + 2] = [new]
        i += 1


def vocabulary_of(merges: Iterable[tuple[bytes, bytes]]) -> dict[bytes, int]:
    """Number the tokens: the 256 bytes in GPT-2's order, then one token for each merge in the order learned."""
    return {token: i for i, token in enumerate([*_BYTES, *(left + right for left, right in merges)])}


def encode(pieces: Iterable[bytes], merges: Sequence[tuple[bytes, bytes]], vocabulary: Mapping[bytes, int]) -> list[int]:
    """Cut pieces into tokens: merge the pair that was learned first, wherever it stands, until no learned pair is left.

    Parameters
    ----------
    pieces : iterable of bytes
        The text, cut in the same way as for training.
    merges : sequence of (left, right), in the order learned
    vocabulary : mapping of token to its id

    Returns
    -------
    list of int

    Notes
    -----
    Equal pieces are cut once. `aieng.text.bpe.BPETokenizer` is the whole tokenizer, special tokens and cutting included.
    """
    rank = {pair: i for i, pair in enumerate(merges)}
    known: dict[bytes, list[int]] = {}
    ids: list[int] = []
    for piece in pieces:
        if piece not in known:
            known[piece] = [vocabulary[token] for token in _merged(piece, rank)]
        ids += known[piece]
    return ids


def _merged(piece: bytes, rank: Mapping[tuple[bytes, bytes], int]) -> list[bytes]:
    word = [piece[i : i + 1] for i in range(len(piece))]
    while len(word) > 1:
        best = min(itertools.pairwise(word), key=lambda pair: rank.get(pair, len(rank)))
        if best not in rank:
            break
        i = 0
        while i < len(word) - 1:
            if (word[i], word[i + 1]) == best:
                word[i : i + 2] = [best[0] + best[1]]
            i += 1
    return word


def decode(ids: Iterable[int], vocabulary: Mapping[bytes, int]) -> str:
    """Put the tokens' bytes together and read them as UTF-8; bytes that are no valid text become U+FFFD.

    Raises
    ------
    ValueError
        An id that the vocabulary does not have.
    """
    token_of = {i: token for token, i in vocabulary.items()}
    try:
        return b"".join(token_of[i] for i in ids).decode("utf-8", errors="replace")
    except KeyError as unknown:
        raise ValueError(f"the vocabulary has no token with id {unknown}; its {len(token_of)} ids go up to {max(token_of)}") from None
