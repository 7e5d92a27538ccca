"""Chunks: every word in one, whole, with the promised overlap, and no chunk inside another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aieng.text.chunking import chunk


@given(st.text(" ab\n猫", max_size=60), st.integers(1, 7), st.data())
def test_chunks_cover_the_words(text, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    chunks = [text[a:b].split() for a, b in chunk(text, size, overlap)]
    words = text.split()
    assert all(text[a:b] == text[a:b].strip() for a, b in chunk(text, size, overlap))
    rebuilt = chunks[0] + [w for c in chunks[1:] for w in c[overlap:]] if chunks else []
    assert rebuilt == words
    assert all(len(c) == size for c in chunks[:-1]) and all(len(c) > overlap for c in chunks[1:])


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (2, 2), (2, 3), (2, -1)])
def test_sizes_that_do_not_advance_are_refused(size, overlap):
    with pytest.raises(ValueError, match="need size >= 1"):
        chunk("a b", size, overlap)
