"""Progress survives crashes, two notebooks at once and a broken file."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from aieng.lesson import progress


def test_once_passed_stays_passed_and_attempts_are_counted():
    progress.record_check("1.3", False)
    progress.record_check("1.3", True)
    record = progress.record_check("1.3", False)
    assert progress.passed_exercises(record) == {"1.3"}
    assert record["exercises"]["1.3"]["attempts"] == 3


def test_two_notebooks_at_once_lose_nothing():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: progress.record_check(f"1.{i % 8 + 1}", True), range(64)))
    record = progress.load()
    assert progress.passed_exercises(record) == {f"1.{i}" for i in range(1, 9)}
    assert sum(e["attempts"] for e in record["exercises"].values()) == 64


def test_an_interrupted_write_leaves_the_old_record(monkeypatch):
    progress.record_check("1.1", True)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        progress.record_check("1.2", True)
    monkeypatch.undo()
    folder = progress.directory()
    assert not list(folder.glob("*.tmp"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 99}'])
def test_an_unreadable_file_is_kept_aside(content):
    folder = progress.directory()
    folder.mkdir(parents=True)
    (folder / "progress.json").write_text(content)
    with pytest.warns(UserWarning, match="kept as"):
        progress.record_check("1.1", True)
    aside = list(folder.glob("progress.json.unreadable-*"))
    assert [a.read_text() for a in aside] == [content]
    assert progress.passed_exercises() == {"1.1"}


def test_the_file_is_plain_json():
    progress.record_check("1.1", True)
    assert json.loads((progress.directory() / "progress.json").read_text())["version"] == progress.VERSION
