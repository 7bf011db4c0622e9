"""The way of a worker's reports to the HTTP server beside it: datagrams that never wait."""

from __future__ import annotations

import socket
from collections.abc import Callable


def sender_of(descriptor: int) -> Callable[[bytes], bool] | None:
    """Make what sends over an inherited socket; it gives False where it could not. -1 is none."""
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
