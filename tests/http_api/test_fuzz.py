"""Requests and attacks, bent at random: no answer of ours is our fault, and no connection stays."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

import pytest

from hms_svc.http_api import protocol, request_body, server
from tests.support.api import ServiceMaker
from tests.support.http_wire import JOB, exchange, head, post, status_of
from tests.support.waiting import until

from .test_bodies import ATTACKS as BODIES
from .test_bodies import CHUNKED, LAST, chunk
from .test_request_guard import ATTACKS as GUARD_ATTACKS

SEED: Final = 5
REQUESTS: Final = 1_000
AT_ONCE: Final = 50
SHORT: Final = 3_000
WHOLE: Final = [
    post(),
    head("/jobs", *CHUNKED) + chunk(JOB) + LAST,
    head("/jobs/x/events", method="GET"),
    head("/jobs?where=state:dead", method="GET"),
    *(raw for raw, _ in GUARD_ATTACKS.values()),
    *(b"".join(p) for p, _ in BODIES.values() if isinstance(p, list) and sum(map(len, p)) < SHORT),
]
PIECES: Final = [
    b"\r\n",
    b"\0",
    b"\xff",
    b":",
    b"0",
    b'"',
    b"%00",
    b"\xed\xa0\x80",
    b"[" * 70,
    b"1e999",
    b"\\ud800",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"HTTP/1.0",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: keep-alive\r\n",
    b"GET / HTTP/1.1\r\n",
]


def bent(raw: bytes, dice: random.Random) -> bytes:
    """Change, put in, cut out, repeat or append something, up to four times."""
    for _ in range(dice.randint(1, 4)):
        at, to = sorted((dice.randrange(len(raw) + 1), dice.randrange(len(raw) + 1)))
        middle = dice.choice(
            (
                bytes([dice.randrange(256)]),
                dice.choice(PIECES) + raw[at:to],
                raw[at + 20 : to],
                raw[at:to] * 2,
                raw[at:to] + dice.choice(WHOLE),
            )
        )
        raw = raw[:at] + middle + raw[to:]
    return raw


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the HTTP server wait for nobody: what comes late, be it by our own slowness, is given up."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(protocol, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(request_body, "BODY_SECONDS", 0.1)


@pytest.mark.usefixtures("hasty")
async def test_no_malformed_request_breaks_the_server(
    make_service: ServiceMaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    connections: set[object],
) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", 0.1)
    service = await make_service()
    dice, few = random.Random(SEED), asyncio.Semaphore(AT_ONCE)
    requests = [(bent(dice.choice(WHOLE), dice), dice.random() < 0.1) for _ in range(REQUESTS)]

    async def send(raw: bytes, leave: bool) -> int:
        async with few:
            return status_of(await exchange(service, [raw], leave=leave))

    with caplog.at_level(logging.ERROR):
        seen = await asyncio.gather(*(send(raw, leave) for raw, leave in requests))

        async def none_is_open() -> bool:
            return not connections

        await until("all connections are closed", none_is_open)
    broken = [raw for (raw, _), status in zip(requests, seen, strict=True) if status >= 500]
    assert broken == []
    assert caplog.records == []
    assert len(set(seen)) > 5
    monkeypatch.undo()
    assert status_of(await exchange(service, [post()])) == 202
