"""Compiled parts on torch's OpenMP team: each runs once, however many threads there are."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
import torch

from aieng.transformer import openmp, paged_attention

needs_libgomp = pytest.mark.skipif(openmp.libgomp() is None, reason="torch brings no libgomp here: the parts run one after the other")


@numba.njit(nogil=True)
def count(part, arguments):
    counts = numba.carray(openmp.ints(arguments[0]), arguments[1])
    counts[part] += part + 1


@needs_libgomp
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_every_part_runs_once(parts):
    start = openmp.team(count)
    counts = np.zeros(parts, dtype=np.int64)
    for _ in range(50):
        torch.randn(64, 64) @ torch.randn(64, 64)
        start(np.array([counts.ctypes.data, parts]), parts)
    assert counts.tolist() == [50 * (i + 1) for i in range(parts)]


@needs_libgomp
def test_fewer_threads_than_parts():
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_openmp; test_openmp.test_every_part_runs_once(4)"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"OMP_THREAD_LIMIT": "1"}, check=True, timeout=120)


def inputs(index=torch.int64):
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([900, 1, 0, 777, 1200, 333, 64], dtype=index)
    tables = torch.randperm(7 * 75, generator=generator).view(7, 75).to(index)
    keys, values = torch.randn(2, 7 * 75, 3, 16, 64, generator=generator)
    return torch.randn(7, 9, 64, generator=generator), keys, values, tables, lengths


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("index", [torch.int64, torch.int32])
def test_attention_in_parts_is_attention(monkeypatch, three_threads, index):
    monkeypatch.setattr(paged_attention, "_WORTH_THREADS", 0)
    shared = paged_attention.paged_attention(*inputs(index))
    monkeypatch.setattr(paged_attention, "_compiled_team", lambda: None)  # as on a machine without libgomp
    alone = paged_attention.paged_attention(*inputs(index))
    assert torch.equal(shared, alone) and bool((shared[2] == 0).all())
