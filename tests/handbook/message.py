"""Messages between processes: JSON, and open files with it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from json import dumps, loads
from typing import Any

HEADER = struct.Struct("!I")
MOST_DESCRIPTORS = 4


def send(connection: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send a message, with open files, through a connection."""
    data = dumps(message).encode()
    data = HEADER.pack(len(data)) + data
    # In one piece: a copy of this process may be sending as well.
    sent = socket.send_fds(connection, [data], list(descriptors))
    connection.sendall(data[sent:])


def receive(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next message of a connection, and the files that came with it; no message where the other end is gone."""
    header, descriptors, _, _ = socket.recv_fds(connection, HEADER.size, MOST_DESCRIPTORS)
    header += _exactly(connection, HEADER.size - len(header)) if header else b""
    if len(header) < HEADER.size:
        return None, []
    data = _exactly(connection, HEADER.unpack(header)[0])
    return (loads(data) if data else None), descriptors


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = []
    while count and (part := connection.recv(min(count, 1 << 20))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts) if not count else b""
