"""Messages between the grader and a sandboxed process: length-prefixed JSON over a Unix socket, never pickle.

On Linux the kernel attaches the sender's process id to what it sends, so a message says by itself which process wrote it.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from typing import Any

LIMIT = 32 << 20  # no message is larger than this, whatever its header says
_HEADER = struct.Struct("!I")
_CREDENTIALS = struct.Struct("3i")
KNOWS_SENDERS = sys.platform == "linux"


class WireError(Exception):
    """The other side sent something that no honest process sends."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets; the first one is told who sends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    if KNOWS_SENDERS:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def send(sock: socket.socket, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    sock.sendall(_HEADER.pack(len(data)) + data)


def receive(sock: socket.socket, deadline: float | None = None) -> tuple[dict[str, Any], int]:
    """The next message and its sender's process id (0 where the system does not tell). EOFError when the other side is gone,
    TimeoutError when `deadline` (of time.monotonic) passes, WireError when it is no message or comes from two processes."""
    header, sender = _exactly(sock, _HEADER.size, deadline)
    (length,) = _HEADER.unpack(header)
    if length > LIMIT:
        raise WireError(f"a message of {length:,} bytes was announced; {LIMIT:,} is the most")
    data, also = _exactly(sock, length, deadline)
    if sender != also:
        raise WireError("two processes wrote one message")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a message: {error}") from None
    if not isinstance(message, dict):
        raise WireError("not a message")
    return message, sender


def _exactly(sock: socket.socket, count: int, deadline: float | None) -> tuple[bytes, int]:
    parts: list[bytes] = []
    sender = -1
    while count:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            sock.settimeout(left)
        try:
            data, ancillary, _, _ = sock.recvmsg(min(count, 1 << 18), socket.CMSG_SPACE(_CREDENTIALS.size) if KNOWS_SENDERS else 0)
        except ConnectionResetError:
            raise EOFError from None
        if not data:
            raise EOFError
        pid = next((_CREDENTIALS.unpack(d[:12])[0] for _, kind, d in ancillary if kind == 2), 0)  # 2: SCM_CREDENTIALS
        if sender not in (-1, pid):
            raise WireError("two processes wrote one message")
        sender = pid
        parts.append(data)
        count -= len(data)
    return b"".join(parts), sender
