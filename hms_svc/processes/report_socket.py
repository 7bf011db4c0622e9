"""Sends a worker's metrics to the HTTP server process, as datagrams that never block."""

from __future__ import annotations

import socket
from collections.abc import Callable


def sender_of(descriptor: int) -> Callable[[bytes], bool] | None:
    """Return a function that sends over an inherited socket, or returns False; None for descriptor -1."""
    if descriptor < 0:
        return None
    line = socket.socket(fileno=descriptor)
    line.setblocking(False)

    def send(message: bytes) -> bool:
        try:
            line.send(message)
        except OSError:
            return False
        return True

    return send
