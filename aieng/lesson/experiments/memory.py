"""How much memory a call takes, measured at the allocator, and how many bytes it moves through slow memory, counted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def peak_bytes(call: Callable[[], Any], device: str = "cpu") -> int:
    """Most bytes that torch held at one time during the call, beyond what it held before; the result itself included.

    On the processor every allocation and release is taken from torch's profiler and summed up in order; on a graphics card the
    allocator keeps the maximum itself.
    """
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    with _quiet(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        kept = call()
    events = profile.profiler.kineto_results.events()
    del kept
    held = peak = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The profiler's C++ code reports its own start and stop on standard error."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations inside the `with` block read from and write to slow memory.

    The model of a graphics card: a tensor lives in fast memory while the memory behind it is no larger than `sram_bytes`, otherwise in
    slow memory. An operation reads each of its inputs that lives in slow memory once, as much of it as the view covers, and writes its
    result there if the result lives there.
    """

    def __init__(self, sram_bytes: int) -> None:
        super().__init__()
        self.sram_bytes, self.read, self.written = sram_bytes, 0, 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; skipping would first load torch's compiler, for seconds

    def _slow(self, tensor: Any) -> bool:
        return isinstance(tensor, Tensor) and tensor.untyped_storage().nbytes() > self.sram_bytes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [t for t in args if self._slow(t)]
        results = [t for t in (result if isinstance(result, tuple | list) else (result,)) if self._slow(t)]
        addresses = {t.untyped_storage().data_ptr() for t in inputs}
        # A view only says where to look, and memory that was merely set aside has not been written.
        if func.is_view or "empty" in func.name():
            return result
        if "_like" in func.name() or "aten::new_" in func.name():
            inputs = []  # asked for their shape only
        in_place = func._schema.is_mutable
        only_written = any(word in func.name() for word in ("::copy_", "::fill_", "::zero_"))
        self.read += sum(_bytes(t) for t in inputs if not (only_written and t is args[0]))
        self.written += sum(_bytes(t) for t in results if in_place or t.untyped_storage().data_ptr() not in addresses)
        return result


def _bytes(tensor: Tensor) -> int:
    """Of the numbers that a view covers; an expanded axis is read once."""
    numbers = 1
    for size, stride in zip(tensor.shape, tensor.stride()):
        numbers *= size if stride else 1
    return numbers * tensor.element_size()
