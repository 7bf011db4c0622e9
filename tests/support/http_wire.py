"""Raw HTTP requests as bytes, and helpers for their answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable

from tests.support.api import NOTICE, ApiService
from tests.support.waiting import PATIENCE_SECONDS

LEFT_OPEN = b"HTTP/1.1 999 it is not closed\r\n\r\n"
JOB = json.dumps({"type": "crew.notify", "data": NOTICE}).encode()


def head(
    target: str = "/jobs", *headers: str, method: str = "POST", host: str = "localhost"
) -> bytes:
    """Return the head of a request, by default one that submits a job; the server closes after its answer."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def post(body: bytes = JOB, *headers: str) -> bytes:
    """Return a whole request that submits a job."""
    length = f"Content-Length: {len(body)}"
    return head("/jobs", "Content-Type: application/json", length, *headers) + body


async def exchange(service: ApiService, pieces: Iterable[bytes], *, leave: bool = False) -> bytes:
    """Send pieces on one connection, and return the answer once the HTTP server has closed it.

    With `leave`, abort the connection after the last piece.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                return b"" if leave else await reader.read()
            except ConnectionError:
                return b""
    except TimeoutError:
        return LEFT_OPEN
    finally:
        writer.transport.abort() if leave else writer.close()


def status_of(answer: bytes) -> int:
    """Return the status of the first final answer; 0 if there is none."""
    found = [int(each) for each in re.findall(rb"^HTTP/1\.1 (\d{3}) ", answer, re.MULTILINE)]
    return next((status for status in found if status >= 200), 0)


async def accepted(service: ApiService) -> int:
    """Return how many jobs the broker has accepted."""
    queues = await service.backend.inspection.queues()
    return sum(queue.counters["accepted"] for queue in queues)
