"""The loop that all followers of a stream share, and the frames that it makes for them."""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

import pytest
from msgspec.structs import replace

from hms_svc.domain.event import Event, service_event
from hms_svc.http_api import shared_streams
from hms_svc.http_api.server_sent_events import Announced, sse
from hms_svc.http_api.shared_streams import EventTail, Shared
from hms_svc.operations.reads import Reads


class Shaky(Shared):
    """Breaks in its first round."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0
        self.mended = asyncio.Event()

    def _begin(self) -> None:
        self.rounds = 0

    async def _round(self) -> None:
        self.rounds += 1
        if self.rounds == 1:
            raise ValueError("a fault of ours")
        self.mended.set()
        await asyncio.Event().wait()


async def test_a_round_that_breaks_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_streams, "OUTAGE_SECONDS", 0.0)
    shaky = Shaky()
    async with shaky.followed(), asyncio.timeout(30):
        await shaky.mended.wait()
    assert "Shaky: a round failed" in caplog.text


def test_no_value_of_an_event_begins_a_field_of_its_own() -> None:
    forged = "x\ndata: {}\n\nid: 900000\r\nevent: case.opened\rdata: {}"
    frame = sse(forged, b'{"n":1}', id="1\n\nid: 9")
    assert re.split(rb"\r\n|\r|\n", frame) == [
        b"id: 1  id: 9",
        b"event: x data: {}  id: 900000  event: case.opened data: {}",
        b'data: {"n":1}',
        b"",
        b"",
    ]


class HundredEvents:
    """What an `EventTail` asks of `Reads`."""

    async def newest_position(self) -> int:
        return 0

    async def kept_events(self, *, after: int, limit: int) -> list[Event]:
        made = service_event("job-1", "a.b", "1", {}, 1000)
        return [replace(made, position=place) for place in range(after + 1, 101)]

    async def wait_for_event(self, after: int, seconds: float) -> None:
        await asyncio.Event().wait()


async def test_who_has_seen_nearly_all_looks_at_the_last_events_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examined: list[int] = []

    class Looked(Announced):
        def __getattribute__(self, name: str) -> Any:
            examined.append(1)
            return super().__getattribute__(name)

    monkeypatch.setattr(shared_streams, "Announced", Looked)
    tail = EventTail(cast("Reads", HundredEvents()))
    wake = tail.wake_up.listen()
    async with tail.followed():
        await wake.wait()
        examined.clear()
        assert len(await tail.after(99)) == 1
        assert len(examined) == 2
