"""Followers that misbehave: neither heard nor kept, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import zlib

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.operations.reads import Reads
from tests.support.api import NOTICE, ApiService
from tests.support.http_wire import exchange, status_of
from tests.support.waiting import until

UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def get(path: str, *headers: str) -> bytes:
    told = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(told).encode()


async def follow(service: ApiService, job_id: str) -> ClientConnection:
    socket = await connect(f"ws://127.0.0.1:{service.port}/jobs/{job_id}/events", proxy=None)
    assert json.loads(await socket.recv())["kind"] == "state"
    return socket


async def ending_of(socket: ClientConnection) -> int | None:
    """Read to the end; return the code that the HTTP server closed with."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code


async def all_closed(connections: set[object]) -> None:
    async def none_is_open() -> bool:
        return not connections

    await until("all connections are closed", none_is_open)


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def compressed(data: bytes) -> bytes:
    squeezed = zlib.compressobj(wbits=-12)
    raw = frame(Opcode.TEXT, squeezed.compress(data) + squeezed.flush(zlib.Z_SYNC_FLUSH)[:-4])
    return bytes([raw[0] | 0x40]) + raw[1:]


HEARD_NOTHING = {
    "text": frame(Opcode.TEXT, b"hello"),
    "text that is not UTF-8": frame(Opcode.TEXT, b"\xff\xfe"),
    "bytes": frame(Opcode.BINARY, os.urandom(1000)),
    "pieces": frame(Opcode.TEXT, b"a", fin=False) + frame(Opcode.CONT, b"b"),
    "a thousand messages": frame(Opcode.TEXT, b"x") * 1000,
    "a pong that nobody asked for": frame(Opcode.PONG, b"x"),
}
BROKEN_OFF: dict[str, tuple[bytes, int]] = {
    "a frame too large": (frame(Opcode.TEXT, b"x" * 65_537), 1009),
    "pieces too large": (
        frame(Opcode.TEXT, b"x" * 40_000, fin=False) + frame(Opcode.CONT, b"x" * 40_000),
        1009,
    ),
    "a bomb": (compressed(b"x" * 50_000_000), 1009),
    "a piece of nothing": (frame(Opcode.CONT, b"x"), 1002),
    "not masked": (Frame(Opcode.TEXT, b"x").serialize(mask=False), 1002),
    "an unknown kind": (b"\x83\x80\0\0\0\0", 1002),
    "a ping too long": (b"\x89\xfe\x00\x7e" + b"\0" * 130, 1002),
    "HTTP": (get("/"), 1002),
}


async def test_what_a_follower_says_is_not_heard_or_ends_it(
    service: ApiService, caplog: pytest.LogCaptureFixture, connections: set[object]
) -> None:
    jobs = [{"id": id, "type": "crew.notify", "data": NOTICE} for id in ("ends", "goes-on")]
    assert (await service.post(jobs)).status_code == 202
    with caplog.at_level(logging.ERROR):
        socket = await follow(service, "ends")
        for said in HEARD_NOTHING.values():
            socket.transport.write(said)
        [claimed] = await service.claim(limit=1)
        await service.settle(claimed)
        assert await ending_of(socket) == 1000
        seen = {}
        for name, (said, _) in BROKEN_OFF.items():
            socket = await follow(service, "goes-on")
            socket.transport.write(said)
            seen[name] = await ending_of(socket)
        assert seen == {name: code for name, (_, code) in BROKEN_OFF.items()}
        await service.client.aclose()
        await all_closed(connections)
    assert caplog.records == []


async def test_followers_that_leave_at_once_leave_nothing(
    service: ApiService, caplog: pytest.LogCaptureFixture, connections: set[object]
) -> None:
    await service.post({"id": "goes-on", "type": "crew.notify", "data": NOTICE})
    await service.client.aclose()
    paths = ("/jobs/goes-on/events", "/jobs/nobody/events", "/events", "/jobs")
    with caplog.at_level(logging.ERROR):
        for path in paths:
            for raw in (get(path), get(path, *UPGRADE)):
                await exchange(service, [raw], leave=True)
        await all_closed(connections)
        await until("nobody follows", lambda: _nobody_follows(service))
    assert caplog.records == []


async def _nobody_follows(service: ApiService) -> bool:
    return not service.api.events.followers and not service.api.jobs.followers


async def test_an_upgrade_waits_for_nothing(service: ApiService) -> None:
    """One behind a request that is still answered would talk into its answer."""
    first, upgrade = get("/events"), get("/jobs/x/events", *UPGRADE)
    answering = asyncio.create_task(exchange(service, [first + upgrade]), name="answering")
    await until("the stream is followed", lambda: _followed(service))
    service.api.close()
    answer = await answering
    assert status_of(answer) == 200
    assert answer.count(b"HTTP/1.1 ") == 1


async def _followed(service: ApiService) -> bool:
    return service.api.events.followers > 0


async def test_an_outage_ends_streams_without_a_fuss(
    service: ApiService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(self: Reads, *, after: int, limit: int) -> list[object]:
        raise BrokerUnavailable("it went away")

    monkeypatch.setattr(Reads, "kept_events", away)
    with caplog.at_level(logging.ERROR):
        answer = await service.client.get("/events", headers={"last-event-id": "0"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert caplog.records == []
