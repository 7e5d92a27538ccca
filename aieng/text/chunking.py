"""Cutting a long text into overlapping pieces that can be embedded, found and cited."""

from __future__ import annotations

import re


def chunk(text: str, size: int, overlap: int = 0) -> list[tuple[int, int]]:
    """Cut a text into chunks of `size` words, each beginning `size - overlap` words after the one before.

    Parameters
    ----------
    text : str
        A word is a run of characters that are not white space.
    size : int >= 1
        Words a chunk; the last one may have fewer.
    overlap : int, 0 <= overlap < size
        Words that neighbours share.

    Returns
    -------
    list of (start, end)
        Character positions: text[start:end] begins and ends with a word. No words, no chunks. The chunks end with the one that
        reaches the last word, so none lies inside another.

    Raises
    ------
    ValueError
        size or overlap out of range.
    """
    if size < 1 or not 0 <= overlap < size:
        raise ValueError(f"size={size}, overlap={overlap}: need size >= 1 and 0 <= overlap < size, or the chunks would not advance")
    words = [match.span() for match in re.finditer(r"\S+", text)]
    last_start = max(len(words) - overlap, 1)  # a chunk from here on would hold shared words only
    return [(words[i][0], words[min(i + size, len(words)) - 1][1]) for i in range(0, min(last_start, len(words)), size - overlap)]
