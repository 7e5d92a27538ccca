"""Long-term memory on section 01's HNSW: found by meaning, saved whole, read again after a restart."""

from __future__ import annotations

import numpy as np
import pytest

from aieng.agents.memory import Memory
from aieng.lesson.exercises.agent_partners import ExactIndex, WordEncoder
from aieng.vectors.hnsw import HNSW

TEXTS = ["The user wants a window seat.", "The user is allergic to nuts.", "The office is closed on Sunday."]


@pytest.fixture(params=[ExactIndex, lambda: HNSW(64, metric="cosine")], ids=["exact", "hnsw"])
def new_index(request):
    return request.param


def test_finds_and_survives_a_restart(new_index, tmp_path):
    encode = WordEncoder()
    memory = Memory(encode, new_index())
    assert memory.search("anything") == []
    assert [memory.add(t) for t in (*TEXTS, TEXTS[1])] == [0, 1, 2, 1] and memory.index.ntotal == 3
    path = tmp_path / "m"
    memory.save(path)
    fresh = WordEncoder()
    again = Memory.load(path, fresh, new_index())
    assert not fresh.encoded and again.texts == TEXTS
    for book in (memory, again):
        [(text, score)] = book.search("allergic to nuts", 1)
        assert text == TEXTS[1] and score == pytest.approx(float(encode(["allergic to nuts"])[0] @ encode([text])[0]), abs=1e-5)
        assert book.search("zebra") == [] and len(book.search("the", 9, -1.0)) == 3


def test_saving_leaves_the_old_file_or_the_new_one(tmp_path, monkeypatch):
    memory = Memory(WordEncoder(), ExactIndex())
    memory.add(TEXTS[0])
    path = tmp_path / "m"
    memory.save(path)
    before = path.read_bytes()
    memory.add(TEXTS[1])

    def crash(*_):
        raise OSError("the machine stops here")

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(OSError, match="stops here"):
        memory.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["m"]
    assert Memory.load(path, WordEncoder(), ExactIndex()).texts == TEXTS[:1]


def test_empty_and_foreign(tmp_path):
    memory = Memory(WordEncoder(), ExactIndex())
    memory.save(tmp_path / "m")
    assert Memory.load(tmp_path / "m", WordEncoder(), ExactIndex()).add("a") == 0
    with pytest.raises(ValueError, match="nothing to remember"):
        memory.add("  ")
    (tmp_path / "x").write_bytes(np.arange(9).tobytes())
    with pytest.raises(ValueError, match="not saved by this package"):
        Memory.load(tmp_path / "x", WordEncoder(), ExactIndex())
