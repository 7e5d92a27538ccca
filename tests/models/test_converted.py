"""The converted file: made once, made again when it is not what it should be, never seen half-written."""

from __future__ import annotations

import os
import threading

import pytest
import torch

from aieng.models.converted import load_converted

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(5, dtype=torch.uint8)}


class Source:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return TENSORS, {"config": "{}"}


def check(found):
    assert found.about["config"] == "{}"
    assert found.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(found.tensors[name], TENSORS[name]) for name in TENSORS)


def test_converts_once(tmp_path):
    source, path = Source(), tmp_path / "new" / "x.safetensors"
    for _ in range(3):
        check(load_converted(path, "key", source))
    assert source.calls == 1
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.lock", "x.safetensors", "x.stamp.json"]
    found = load_converted(path, "key", source)
    assert all(t.data_ptr() % 64 == 0 for name, t in found.tensors.items() if name == "a")


def damage_size(path):
    path.write_bytes(path.read_bytes()[:-3])


def damage_bytes(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


def damage_stamp(path):
    path.with_suffix(".stamp.json").write_text("{")


def damage_gone(path):
    path.unlink()


@pytest.mark.parametrize("damage", [damage_size, damage_bytes, damage_stamp, damage_gone])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    source, path = Source(), tmp_path / "x.safetensors"
    load_converted(path, "key", source)
    damage(path)
    check(load_converted(path, "key", source))
    check(load_converted(path, "key", source))
    assert source.calls == 2


def test_a_file_that_was_only_touched_is_kept(tmp_path):
    source, path = Source(), tmp_path / "x.safetensors"
    load_converted(path, "key", source)
    os.utime(path, ns=(5, 5))
    check(load_converted(path, "key", source))
    assert source.calls == 1


def test_another_key_is_another_file(tmp_path):
    source, path = Source(), tmp_path / "x.safetensors"
    load_converted(path, "one", source)
    check(load_converted(path, "two", source))
    assert source.calls == 2


def test_a_failed_conversion_leaves_nothing(tmp_path):
    def fail():
        raise ValueError("foreign file")

    with pytest.raises(ValueError, match="foreign file"):
        load_converted(tmp_path / "x.safetensors", "key", fail)
    assert [p.name for p in tmp_path.iterdir()] == ["x.lock"]


def test_without_a_place_to_write_it_works_from_memory(tmp_path):
    (tmp_path / "file").write_text("no folder")
    source = Source()
    check(load_converted(tmp_path / "file" / "x.safetensors", "key", source))
    assert source.calls == 1


def test_threads_that_come_together_convert_once(tmp_path):
    source, path = Source(), tmp_path / "x.safetensors"
    threads = [threading.Thread(target=load_converted, args=(path, "key", source)) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert source.calls == 1
