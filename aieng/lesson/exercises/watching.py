"""What a function really does while it runs: the largest tensor it makes, numpy's memory, the products it computes."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class _Watch(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; skipping would first load torch's compiler, for seconds


class LargestTensor(_Watch):
    """Remembers how many numbers the largest tensor had that any operation inside the `with` block made."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            # The memory behind it: an expanded view looks larger than what is there, a slice smaller.
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.untyped_storage().nbytes() // max(1, tensor.element_size()))
        return made


class MatrixProducts(_Watch):
    """Counts the floating-point operations of all matrix products inside the `with` block, two for each multiply-add.

    Two or three axes each way; torch's own FlopCounterMode knows more operations and takes seconds to load.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        aten = torch.ops.aten
        if func.overloadpacket in (aten.mm, aten.bmm, aten.mv, aten.dot):
            self.flops += 2 * made.numel() * args[0].shape[-1]
        elif func.overloadpacket in (aten.addmm, aten.addmm_, aten.baddbmm, aten.baddbmm_, aten.addmv):
            self.flops += 2 * made.numel() * args[1].shape[-1]
        return made


def one_thread(test: Callable[..., None]) -> Callable[..., None]:
    """Let the decorated test run on one thread: with small tensors, threads wait for each other longer than they compute."""

    @functools.wraps(test)
    def run(*answers: Any) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            test(*answers)
        finally:
            torch.set_num_threads(threads)

    return run


def numpy_bytes(call: Callable[[], Any]) -> int:
    """Most bytes that Python and numpy held beside what was there before; torch has its own memory, see `LargestTensor`."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
