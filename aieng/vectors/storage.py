"""Saves an index as one file, atomically, and notices when that file is not what was saved.

Layout: 8 bytes of magic, the SHA-256 of all that follows, the length of a JSON header, the header (kind, meta, and each array's name,
dtype and shape), then the arrays' bytes. Nothing is unpickled, so a foreign file cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC = b"AIENG\x01\r\n"
_LENGTH = 8


def save_arrays(path: str | Path, kind: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write `arrays` and `meta` to `path`. The file is either the old one or the whole new one, also after a crash.

    Parameters
    ----------
    path : where; its folder must exist
    kind : what it is, such as "IVFIndex"; `load_arrays` asks for the same
    arrays : names to arrays of numbers
    meta : whatever JSON can hold
    """
    path = Path(path)
    parts = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = json.dumps({"kind": kind, "meta": meta,
                         "arrays": [[name, a.dtype.str, list(a.shape)] for name, a in parts.items()]}).encode()
    body = b"".join([len(header).to_bytes(_LENGTH, "little"), header, *(a.tobytes() for a in parts.values())])
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(body).digest() + body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_arrays(path: str | Path, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_arrays` wrote.

    Returns
    -------
    arrays, meta

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        A truncated, changed or foreign file, or one of another kind.
    """
    raw = Path(path).read_bytes()
    if raw[: len(_MAGIC)] != _MAGIC:
        raise ValueError(f"{path} was not saved by this package: its first bytes are {raw[:8]!r}")
    digest, body = raw[len(_MAGIC) : len(_MAGIC) + 32], raw[len(_MAGIC) + 32 :]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError(f"{path} is damaged ({len(raw)} bytes, checksum differs): build the index again, or restore the file")
    start = _LENGTH + int.from_bytes(body[:_LENGTH], "little")
    header = json.loads(body[_LENGTH:start])
    if header["kind"] != kind:
        raise ValueError(f"{path} holds a {header['kind']}, not a {kind}")
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        size = np.dtype(dtype).itemsize * math.prod(shape)
        arrays[name] = np.frombuffer(body[start : start + size], dtype=dtype).reshape(shape).copy()
        start += size
    return arrays, header["meta"]
