"""Files of indexes: whole, or refused; never half written."""

import os

import numpy as np
import pytest

from aieng.vectors.storage import load_arrays, save_arrays

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.empty((0, 4), np.int64), "c": np.array([True, False])}


def test_what_is_saved_is_loaded(tmp_path):
    save_arrays(tmp_path / "x", "Thing", ARRAYS, {"k": 3})
    arrays, meta = load_arrays(tmp_path / "x", "Thing")
    assert meta == {"k": 3} and arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_every_damage_is_noticed(tmp_path):
    path = tmp_path / "x"
    save_arrays(path, "Thing", ARRAYS, {})
    good = path.read_bytes()
    for place in range(0, len(good), 5):
        bad = bytearray(good)
        bad[place] ^= 1
        path.write_bytes(bad)
        with pytest.raises(ValueError):
            load_arrays(path, "Thing")
    for length in (0, 3, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(ValueError):
            load_arrays(path, "Thing")


def test_another_kind_and_a_missing_file(tmp_path):
    save_arrays(tmp_path / "x", "Thing", ARRAYS, {})
    with pytest.raises(ValueError, match="Other"):
        load_arrays(tmp_path / "x", "Other")
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "y", "Thing")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    save_arrays(tmp_path / "x", "Thing", ARRAYS, {"version": 1})

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        save_arrays(tmp_path / "x", "Thing", ARRAYS, {"version": 2})
    monkeypatch.undo()
    assert load_arrays(tmp_path / "x", "Thing")[1] == {"version": 1} and [p.name for p in tmp_path.iterdir()] == ["x"]
