"""A real HTTP server on loopback with configurable answers, which records its requests."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec


class Received(msgspec.Struct, frozen=True):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class LocalHttp:
    def __init__(self) -> None:
        self.status = 200
        self.first_statuses: list[int] = []
        self.body = b"{}"
        self.headers: dict[str, str] = {}
        self.silent = False
        self.received: list[Received] = []
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.received.append(Received(method, path, headers, body))
            if self.silent:
                await reader.read()
                return
            fields = {"content-length": str(len(self.body)), "connection": "close", **self.headers}
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            status = self.first_statuses.pop(0) if self.first_statuses else self.status
            writer.write(f"HTTP/1.1 {status} Status\r\n{lines}\r\n".encode() + self.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def local_http(tls: tuple[Path, Path] | None = None) -> AsyncIterator[LocalHttp]:
    """Serve until the block ends; over TLS if the files of a certificate and its key are given."""
    context = None
    service = LocalHttp()
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
        service.scheme = "https"
    server = await asyncio.start_server(service.answer, "127.0.0.1", 0, ssl=context)
    service.port = server.sockets[0].getsockname()[1]
    async with server:
        yield service
