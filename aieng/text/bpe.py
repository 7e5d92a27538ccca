"""Byte-level byte-pair encoding: any text to ids of a fixed vocabulary, and back.

Text is cut into pieces (pre-tokenizer); each piece starts as single bytes, and the pair of neighbours that was merged earliest in training
is merged first, until no pair is left that was ever merged.

Source: Sennrich et al. 2016 (arXiv:1508.07909), section 3.2; on bytes: Radford et al. 2019, "GPT-2", section 2.2.
"""

from __future__ import annotations

import codecs
import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

# Unicode's White_Space; Python's \s has four control characters more.
_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# GPT-2's pieces, for text without digits: English endings, words, runs of signs (each with one space in front), white space.
_GPT2_PIECES = re.compile(rf"'(?:s|t|re|ve|m|ll|d)| ?[^\W_]+| ?(?:[^{_SPACE}\w]|_)+|[{_SPACE}]+(?![^{_SPACE}])|[{_SPACE}]+")


@lru_cache(maxsize=1)
def _numeral() -> re.Pattern[str]:
    """Matches one character of Unicode's categories Nd, Nl, No. (\\d is Nd only; isnumeric() alone takes in Chinese numerals.)

    Most text is ASCII, so that the long class is asked for other characters only.
    """
    others = "".join(c for c in map(chr, range(0x80, 0x110000)) if c.isnumeric() and not c.isalpha())
    return re.compile(rf"([0-9]|(?=[^\x00-\x7f])[{others}])")


def smollm_pieces(text: str) -> Iterator[str]:
    """SmolLM2's pre-tokenizer: every digit is a piece of its own, then GPT-2's rule."""
    for position, part in enumerate(_numeral().split(text)):
        if position % 2:
            yield part
        else:
            yield from _GPT2_PIECES.findall(part)


class BPETokenizer:
    """Byte-level BPE with special tokens.

    Parameters
    ----------
    vocabulary : mapping of bytes to int
        Every token's bytes and id; the single bytes among them.
    merges : sequence of (bytes, bytes)
        Pairs in the order in which training merged them.
    special_tokens : mapping of str to int
        Tokens that stand for no bytes of text, such as ``<|im_end|>``.
    pieces : callable
        The pre-tokenizer: cuts a text into pieces that are encoded apart.
    unknown_id : int, optional
        Stands for a byte that the vocabulary lacks; None leaves such bytes out, as the tokenizers library does. (SmolLM2's vocabulary lacks
        21 bytes: 13 that no UTF-8 text holds, and 8 control characters.)

    Raises
    ------
    ValueError
        An id is used twice, or a merge's result is no token.
    """

    def __init__(
        self, vocabulary: Mapping[bytes, int], merges: Sequence[tuple[bytes, bytes]], special_tokens: Mapping[str, int] | None = None,
        pieces: Callable[[str], Iterable[str]] = smollm_pieces, unknown_id: int | None = None,
    ) -> None:
        self.vocabulary, self.merges, self.special_tokens = dict(vocabulary), list(merges), dict(special_tokens or {})
        self.pieces, self.unknown_id = pieces, unknown_id
        self._bytes = {i: token for token, i in self.vocabulary.items()} | {i: s.encode() for s, i in self.special_tokens.items()}
        if len(self._bytes) != len(self.vocabulary) + len(self.special_tokens):
            raise ValueError("an id stands for two tokens; ids must be unique, also among special tokens")
        for left, right in self.merges:
            if left + right not in self.vocabulary:
                raise ValueError(f"merge {left!r} + {right!r} gives {left + right!r}, which is not in the vocabulary")
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        self._special = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if longest_first else None
        self._encode_piece = lru_cache(maxsize=1 << 16)(self._merge)  # most text is the same few thousand words

    @property
    def vocab_size(self) -> int:
        return max(self._bytes) + 1

    def encode(self, text: str, parse_special: bool = True) -> list[int]:
        """Token ids of a text.

        Parameters
        ----------
        text : str
        parse_special : bool
            Read ``<|im_end|>`` in the text as the special token. False reads it as ten ordinary characters: right for what a user typed.

        Raises
        ------
        TypeError
            text is no str.
        ValueError
            text is no valid Unicode (half a surrogate pair).
        """
        if not isinstance(text, str):
            raise TypeError(f"text is {type(text).__name__}, expected str")
        parts = self._special.split(text) if self._special is not None and parse_special else [text]
        ids: list[int] = []
        for position, part in enumerate(parts):
            if position % 2:
                ids.append(self.special_tokens[part])
                continue
            try:
                for piece in self.pieces(part):
                    ids += self._encode_piece(piece.encode("utf-8"))
            except UnicodeEncodeError as error:
                raise ValueError(f"text is no valid Unicode (half a surrogate pair): {error}") from error
        return ids

    def _merge(self, piece: bytes) -> tuple[int, ...]:
        """Ids of one piece. A heap of mergeable pairs and a linked list of tokens: n log n, also for a piece of a million bytes."""
        tokens: list[bytes] = [piece[i : i + 1] for i in range(len(piece))]  # b"" once a token is merged into its left neighbour
        after = list(range(1, len(piece) + 1))
        before = list(range(-1, len(piece) - 1))
        heap: list[tuple[int, int, bytes, bytes]] = []  # (rank, place of the left token, left, right)

        def offer(place: int) -> None:
            if place >= 0 and after[place] < len(piece):
                pair = tokens[place], tokens[after[place]]
                rank = self._ranks.get(pair)
                if rank is not None:
                    heapq.heappush(heap, (rank, place, *pair))

        for place in range(len(piece) - 1):
            offer(place)
        while heap:
            _, place, left, right = heapq.heappop(heap)
            if tokens[place] != left or after[place] >= len(piece) or tokens[after[place]] != right:
                continue  # one of the two was merged with another meanwhile
            gone = after[place]
            tokens[place], tokens[gone] = left + right, b""
            after[place] = after[gone]
            if after[gone] < len(piece):
                before[after[gone]] = place
            offer(before[place])
            offer(place)
        ids = (self.vocabulary.get(token, self.unknown_id) for token in tokens if token)
        return tuple(i for i in ids if i is not None)

    def token_bytes(self, token: int) -> bytes:
        """The bytes that an id stands for; a special token's name. ValueError for ids outside the vocabulary."""
        try:
            return self._bytes[int(token)]
        except KeyError:
            raise ValueError(f"token id {token} is outside the vocabulary, 0 … {self.vocab_size - 1}") from None

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """Text of token ids. Bytes that are no complete character become U+FFFD; `skip_special` leaves special tokens out."""
        special = set(self.special_tokens.values()) if skip_special else set()
        return b"".join(self.token_bytes(i) for i in ids if int(i) not in special).decode("utf-8", errors="replace")

    def tokens(self, text: str) -> list[str]:
        """The pieces that `encode` makes of a text, as text, for showing."""
        return [self.decode([i]) for i in self.encode(text)]

    def stream(self) -> Callable[[int], str]:
        """A function that turns ids into text one by one, and keeps bytes back until their character is complete."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return lambda token: decoder.decode(self.token_bytes(token))
