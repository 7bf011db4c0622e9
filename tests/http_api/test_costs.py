"""What a posted job costs the HTTP server, in calls: numbers that a slow machine does not change.

A limit is the number on the day that it was set, plus five percent.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from types import FrameType
from typing import Any, Final

import fastapi
import pytest
import starlette
import uvicorn

from hms_svc.http_api import authentication
from hms_svc.operations import admission
from tests.support.api import NOTICE, ApiService
from tests.support.calls import Calls, listed

POSTS: Final = 200
CALLS_OF_A_POST: Final = 240
JOB: Final = json.dumps({"type": "crew.notify", "data": NOTICE}).encode()
HEAD: Final = (
    f"POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    f"content-length: {len(JOB)}\r\n\r\n"
).encode()


@pytest.fixture(autouse=True)
def cached(attentive: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the HTTP server keep tokens and queues as it does in production."""
    monkeypatch.setattr(authentication, "FRESH_SECONDS", 600.0)
    monkeypatch.setattr(admission, "CHECK_EVERY_SECONDS", 600.0)


async def post(service: ApiService, times: int) -> None:
    """Post jobs one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    for _ in range(times):
        writer.write(HEAD + JOB)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 202 ")
        [length] = (
            line.partition(b":")[2]
            for line in head.lower().splitlines()
            if line.startswith(b"content-length:")
        )
        assert json.loads(await reader.readexactly(int(length)))["state"] == "queued"
    writer.close()


async def test_calls_for_a_posted_job(service: ApiService) -> None:
    await post(service, 5)
    calls = Calls(fastapi, starlette, uvicorn)
    with calls.counted():
        await post(service, POSTS)
    found = calls.for_each_of(POSTS)
    assert sum(found.values()) <= CALLS_OF_A_POST, listed(found)


async def test_an_answer_leaves_in_one_piece(service: ApiService) -> None:
    sent: Counter[int] = Counter()

    def note(_frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ == "send":
            sent[function.__self__.getsockname()[1]] += 1

    await post(service, 5)
    sys.setprofile(note)
    try:
        await post(service, POSTS)
    finally:
        sys.setprofile(None)
    assert sent[service.port] == POSTS
