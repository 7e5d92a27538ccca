"""A model's weights in the form in which they are computed with, converted once and memory-mapped ever after.

One safetensors file for each form (float32, packed int4, …) in the cache, written beside and moved into place, so that a half-written one
is never seen. A stamp holds its sha256, size and modification time: a file whose stamp fits is not hashed again, one that does not fit is
converted again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from torch import Tensor

_DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.int8: "I8", torch.uint8: "U8", torch.int16: "I16", torch.int32: "I32"}


@dataclass(frozen=True)
class Converted:
    """tensors : memory-mapped, all views of one storage; about : whatever text was stored beside them."""

    tensors: dict[str, Tensor]
    about: dict[str, str]


def load_converted(path: Path, key: str, convert: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, str]]]) -> Converted:
    """Open a converted file; convert first when there is none, or one that is damaged or made from something else.

    Parameters
    ----------
    path : Path
        Of the file. Its folder is made when missing.
    key : str
        Names the source and the form's version; a file with another key is replaced.
    convert : callable
        Gives tensors and texts.

    Returns
    -------
    Converted
        When the folder cannot be written, the tensors are in memory instead.
    """
    found = open_converted(path, key)
    if found is not None:
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            found = open_converted(path, key)  # another process may have converted while this one waited
            if found is None:
                tensors, about = convert()
                _write(path, key, tensors, about)
                del tensors
                found = open_converted(path, key)
            if found is None:
                raise OSError(f"{path} cannot be read back")
            return found
    except OSError:  # no room, or no right to write: costs the conversion every time, and nothing else
        tensors, about = convert()
        return Converted(dict(tensors), dict(about))


def _stamp_path(path: Path) -> Path:
    return path.with_suffix(".stamp.json")


def open_converted(path: Path, key: str) -> Converted | None:
    """Open a converted file; None when it is not there, is damaged, or was made from something else."""
    try:
        stamp = json.loads(_stamp_path(path).read_text(encoding="utf-8"))
        stat = path.stat()
        if stamp["key"] != key or stamp["size"] != stat.st_size:
            return None
        if stamp["mtime_ns"] != stat.st_mtime_ns:
            if _sha256(path) != stamp["sha256"]:
                return None
            with contextlib.suppress(OSError):  # a folder that is only read: hashed again next time
                _write_text(_stamp_path(path), json.dumps(stamp | {"mtime_ns": stat.st_mtime_ns}))
        with safe_open(path, framework="pt") as file:
            return Converted({name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {}))  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None


def _write(path: Path, key: str, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    temporary = _temporary(path)
    try:
        _save_aligned(temporary, tensors, about)
        digest, stat = _sha256(temporary), temporary.stat()
        # The stamp goes first: without its file it says nothing, and a file without its stamp would be hashed for nothing.
        _write_text(_stamp_path(path), json.dumps({"key": key, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": digest}))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _save_aligned(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write the safetensors format with the data on a multiple of 64 bytes: its own library aligns to 8, and a product over a memory-mapped
    weight would then load across two cache lines at every step."""
    header: dict[str, object] = {"__metadata__": dict(about)}
    end = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [end, end + tensor.nbytes]}
        end += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            stream.write(tensor.contiguous().numpy().data)


def _write_text(path: Path, text: str) -> None:
    temporary = _temporary(path)
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _temporary(path: Path) -> Path:
    """A new name in the same folder, so that moving is atomic."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
