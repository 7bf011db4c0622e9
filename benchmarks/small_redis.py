"""A Redis client of one page: what a Python process can do at best. Needs hiredis.

Commands called in one turn of the loop leave in one write; replies come back in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

hiredis: Any = import_module("hiredis")


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None  # that of uvloop is no asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand replies to those who wait for them."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            waiting = self._waiting.popleft()
            if isinstance(reply, Exception):
                waiting.set_exception(reply)
            else:
                waiting.set_result(reply)

    def call(self, *words: Any) -> asyncio.Future[Any]:
        """Send a command at the end of this turn of the loop; await the reply."""
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(reply)
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(hiredis.pack_command(words))
        return reply

    def _send(self) -> None:
        self._transport.write(b"".join(self._unsent))
        self._unsent.clear()


async def connect(url: str) -> Connection:
    """Dial a server."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        Connection, parts.hostname or "", parts.port or 6379
    )
    return connection
