"""What a function really does while it runs: the largest tensor it makes, numpy's memory, the products it computes."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Result = TypeVar("Result")


class _Watch(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; skipping would first load torch's compiler, for seconds


class _LargestTensor(_Watch):
    """Remembers how many numbers the largest tensor had that any operation made."""

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


class _MatrixProducts(_Watch):
    """Counts the floating-point operations of all matrix products, two for each multiply-add.

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


def one_thread(work: Callable[..., Result]) -> Callable[..., Result]:
    """Let the decorated function run on one thread: with small tensors, threads wait for each other longer than they compute."""

    @functools.wraps(work)
    def run(*args: Any, **kwargs: Any) -> Result:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return work(*args, **kwargs)
        finally:
            torch.set_num_threads(threads)

    return run


def largest_tensor(function: Callable[..., Any], *args: Any) -> int:
    """Numbers in the largest tensor that any operation of `function(*args)` made."""
    with _LargestTensor() as watch:
        function(*args)
    return watch.numel


def product_flops(function: Callable[..., Any], *args: Any) -> int:
    """Floating-point operations of all matrix products of `function(*args)`, two for each multiply-add."""
    with _MatrixProducts() as watch:
        function(*args)
    return watch.flops


def numpy_bytes(function: Callable[..., Any], *args: Any) -> int:
    """Most bytes that Python and numpy held during `function(*args)`; torch has its own memory, see `largest_tensor`."""
    tracemalloc.start()
    try:
        function(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
