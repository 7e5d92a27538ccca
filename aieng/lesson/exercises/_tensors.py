"""What the checks of section 05 share: seeded numbers, and a look at a tensor before its numbers are compared."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def expect_tensor(value: Any, name: str, shape: tuple[int, ...] | None = None, dtype: torch.dtype | None = None, hint: str = "") -> Tensor:
    """Expect a torch tensor of this shape and dtype; say what came instead."""
    expect(value is not None, f"`{name}` is None: does your function end without a `return`?")
    expect(isinstance(value, Tensor), f"`{name}` is a {type(value).__name__}, expected a torch tensor. {hint}".strip())
    if shape is not None:
        expect(tuple(value.shape) == tuple(shape), f"`{name}` has shape {tuple(value.shape)}, expected {tuple(shape)}. {hint}".strip())
    if dtype is not None:
        expect(value.dtype == dtype, f"`{name}` has dtype {value.dtype}, expected {dtype}. {hint}".strip())
    tensor: Tensor = value
    return tensor


def expect_tuple(value: Any, names: str) -> tuple[Any, ...]:
    """Expect a tuple with one entry per name."""
    wanted = names.split(", ")
    expect(value is not None, f"the result is None; expected ({names}): does your function end without a `return`?")
    expect(isinstance(value, tuple | list) and len(value) == len(wanted),
           f"the result is {_kind(value)}; expected {len(wanted)} things: ({names})")
    return tuple(value)


def _kind(value: Any) -> str:
    return f"a {type(value).__name__} of {len(value)}" if isinstance(value, tuple | list) else f"one {type(value).__name__}"
