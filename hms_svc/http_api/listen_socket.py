"""The socket that `serve` accepts from: bound before anything starts, and passed to the HTTP server."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Final

from hms_svc.domain.errors import BadInput

BACKLOG: Final = 2048
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


def listen(address: str) -> socket.socket:
    """Bind HOST:PORT and listen, for a child to inherit. BadInput if that is not possible."""
    host, port = split_address(address)
    try:
        family, kind, number, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, OverflowError) as error:
        raise BadInput(f"--http {address}: the host {host} has no address: {error}") from error
    bound = socket.socket(family, kind, number)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise BadInput(f"--http {address}: {_message(error)}") from error
    bound.set_inheritable(True)
    return bound


def split_address(address: str) -> tuple[str, int]:
    """Return host, without brackets, and port of HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise BadInput(f"--http {address!r:.80} is not HOST:PORT, such as 127.0.0.1:8710")
    return host.strip("[]"), int(port)


def bound_address(address: str, bound: socket.socket) -> str:
    """Return HOST:PORT with the port that was bound: port 0 means any free one."""
    return f"{address.rpartition(':')[0]}:{bound.getsockname()[1]}"


def is_loopback(bound: socket.socket) -> bool:
    """Return whether only this machine can reach a bound socket."""
    return ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def _message(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another process uses this address; choose another --http HOST:PORT, or --no-http"
    return error.strerror or str(error)
