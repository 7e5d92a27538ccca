"""Runs a compiled loop on torch's own OpenMP threads, from numba.

torch's idle workers do not sleep at once: they spin, for some milliseconds, in the hope of more work. A second set of threads, numba's or
Python's, shares the cores with them meanwhile and gets half of what it could. Work handed to the same team does not.

The call is what a compiler makes of ``#pragma omp parallel``: ``GOMP_parallel(function, data, threads, flags)``, part of libgomp's ABI
since GCC 4.9 (https://gcc.gnu.org/onlinedocs/libgomp/Implementing-PARALLEL-construct.html).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numba import types
from numba.extending import intrinsic


@cache
def libgomp() -> ctypes.CDLL | None:
    """The OpenMP runtime that torch brings along; None where torch uses another one (macOS, Windows)."""
    found = sorted(Path(torch.__file__).parent.glob("lib/libgomp*.so*"))
    return ctypes.CDLL(str(found[0])) if found and hasattr(ctypes.CDLL(str(found[0])), "GOMP_parallel") else None


def team(body: Callable[[int, Any], None]) -> Callable[[Any, int], None] | None:
    """Compile `body` for torch's team.

    Parameters
    ----------
    body : numba function (number of the part: int, arguments: 1-d int64 array)
        Called once for each of `threads` parts. It finds its arrays with `floats` and `ints`.

    Returns
    -------
    callable (arguments: 1-d int64 array, threads: int), or None
        Returns when all parts are done, also where OpenMP grants fewer threads than there are parts (OMP_THREAD_LIMIT). The arrays
        behind the arguments must live until then. None without libgomp.
    """
    library = libgomp()
    if library is None:
        return None
    number, size = library.omp_get_thread_num, library.omp_get_num_threads
    for function in (number, size):
        function.restype, function.argtypes = ctypes.c_int, ()

    @numba.cfunc(types.void(types.CPointer(types.int64)))
    def share(address: Any) -> None:
        parts, length = address[0], address[1]
        for part in range(number(), parts, size()):
            body(part, numba.carray(address, length)[2:])

    run = library.GOMP_parallel
    run.restype, run.argtypes = None, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)

    def start(arguments: Any, threads: int) -> None:
        given = np.array([threads, len(arguments) + 2, *arguments], dtype=np.int64)
        run(share.address, given.ctypes.data, threads, 0)

    return start


@intrinsic
def floats(typing: Any, address: Any) -> Any:
    """Within numba: an address (int64) as a pointer to float32, for `numba.carray`."""
    return types.CPointer(types.float32)(types.int64), _pointer


@intrinsic
def ints(typing: Any, address: Any) -> Any:
    """Within numba: an address (int64) as a pointer to int64, for `numba.carray`."""
    return types.CPointer(types.int64)(types.int64), _pointer


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))
