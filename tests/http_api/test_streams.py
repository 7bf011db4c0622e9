"""A job followed to its end, and the bus followed from any place."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.event import Event, service_event
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import ProgressView
from hms_svc.http_api import access_recheck, job_stream, shared_streams
from hms_svc.http_api.routes import streams
from hms_svc.http_api.shared_streams import EventTail, Watched
from hms_svc.operations.reads import Reads
from hms_svc.operations.tokens import Scope
from tests.support.api import ApiService
from tests.support.waiting import until


def socket_url(service: ApiService, job_id: str, query: str = "") -> str:
    return f"ws://127.0.0.1:{service.port}/jobs/{job_id}/events{query}"


async def new_job(service: ApiService) -> str:
    return str((await service.post()).json()["id"])


async def told(socket: Any, kind: str) -> dict[str, Any]:
    """Read messages up to the first of a kind."""
    async with asyncio.timeout(30):
        async for text in socket:
            message: dict[str, Any] = json.loads(text)
            if message["kind"] == kind:
                return message
    raise AssertionError(f"the stream ended without {kind}")


async def test_a_job_is_followed_over_a_websocket_to_its_end(any_service: ApiService) -> None:
    job_id = await new_job(any_service)
    async with connect(socket_url(any_service, job_id)) as socket:
        assert (await told(socket, "state"))["state"] == "queued"
        [job] = await any_service.claim()
        await any_service.report(job, "on the way")
        assert (await told(socket, "progress"))["message"] == "on the way"
        await any_service.report(job, "a line", log=True)
        assert (await told(socket, "log"))["message"] == "a line"
        await any_service.report(job, "nearly")
        await any_service.settle(job)
        assert (await told(socket, "progress"))["message"] == "nearly"
        assert (await told(socket, "event"))["type"] == "job.completed"
        end = await told(socket, "end")
        assert (end["id"], end["state"], end["result"]) == (job_id, "completed", {"ok": True})
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1000


@pytest.mark.parametrize("state", [State.REJECTED, State.DEAD, State.CANCELLED])
async def test_the_end_is_told_however_the_job_ended(service: ApiService, state: State) -> None:
    job_id = await new_job(service)
    async with connect(socket_url(service, job_id)) as socket:
        await told(socket, "state")
        [job] = await service.claim()
        await service.settle(job, state, reason="error", by="me", detail="no")
        assert (await told(socket, "end"))["state"] == state.value


async def test_a_job_that_has_ended_is_told_whole_and_at_once(service: ApiService) -> None:
    job_id = await new_job(service)
    [job] = await service.claim()
    await service.report(job, "one", "two")
    await service.settle(job)
    answer = await service.client.get(f"/jobs/{job_id}/events")
    kinds = [line for line in answer.text.splitlines() if line.startswith("event: ")]
    assert kinds == ["event: state", "event: progress", "event: progress", "event: end"]
    assert "id: 2" in answer.text
    resumed = await service.client.get(f"/jobs/{job_id}/events", headers={"last-event-id": "1"})
    lines = [line for line in resumed.text.splitlines() if '"kind":"progress"' in line]
    [two] = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert (two["message"], two["number"]) == ("two", 2)
    assert "id: end" in resumed.text
    again = await service.client.get(f"/jobs/{job_id}/events", headers={"last-event-id": "end"})
    assert (again.status_code, again.content) == (204, b"")
    async with connect(socket_url(service, job_id, "?after=1")) as socket:
        assert (await told(socket, "progress"))["number"] == 2


async def test_a_follower_is_told_how_many_lines_it_missed(service: ApiService) -> None:
    job_id = await new_job(service)
    [job] = await service.claim()
    for start in range(0, 250, 50):
        await service.report(job, *(f"line {number}" for number in range(start, start + 50)))
    await service.settle(job)
    async with connect(socket_url(service, job_id)) as socket:
        assert (await told(socket, "gap"))["missed"] == 50
        assert (await told(socket, "progress"))["message"] == "line 50"
        await told(socket, "end")


async def test_a_load_balancer_may_ask_with_head(service: ApiService) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await service.client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


async def test_an_unknown_job_has_no_stream(service: ApiService) -> None:
    assert (await service.client.get("/jobs/nobody/events")).status_code == 404
    with pytest.raises(InvalidStatus):
        async with connect(socket_url(service, "nobody")):
            pass


async def test_a_follower_that_leaves_is_forgotten(service: ApiService) -> None:
    async with connect(socket_url(service, await new_job(service))) as socket:
        await told(socket, "state")
        assert service.api.jobs.followers == 1

    async def nobody_is_left() -> bool:
        return not service.api.jobs.followers and not service.api.events.followers

    await until("the follower is forgotten", nobody_is_left)


@asynccontextmanager
async def followed(service: ApiService, query: str = "", **headers: str) -> AsyncIterator[Any]:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    async with service.client.stream("GET", f"/events{query}", headers=named) as answer:
        assert answer.status_code == 200
        yield answer.aiter_lines()


async def next_event(lines: AsyncIterator[str]) -> tuple[str, dict[str, Any]]:
    """Return the id and the CloudEvent of the next event."""
    id = ""
    async with asyncio.timeout(30):
        async for line in lines:
            if line.startswith("id: "):
                id = line.removeprefix("id: ")
            if line.startswith("data: "):
                return id, json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended")


async def announce(service: ApiService, *names: str) -> None:
    events = [service_event("job-1", name, str(at), {}, 1000) for at, name in enumerate(names)]
    await service.backend.bus.publish(events)


async def test_the_bus_is_followed_from_what_is_kept_on_to_what_comes(
    any_service: ApiService,
) -> None:
    await announce(any_service, "case.opened")
    async with followed(any_service) as lines:
        first, event = await next_event(lines)
        assert (event["type"], event["specversion"]) == ("case.opened", "1.0")
        await announce(any_service, "case.closed")
        second, event = await next_event(lines)
        assert event["type"] == "case.closed"
        assert int(first) < int(second)
    async with followed(any_service, last_event_id=first) as lines:
        assert (await next_event(lines))[0] == second


async def test_the_first_event_of_an_empty_bus_is_behind_no_gap(any_service: ApiService) -> None:
    async with followed(any_service, "?from=now") as lines:
        await announce(any_service, "case.opened")
        assert (await next_event(lines))[1]["type"] == "case.opened"


async def test_only_the_types_that_were_asked_for_come(service: ApiService) -> None:
    await announce(service, "case.opened", "tree.cut", "case.closed")
    answer = await service.client.get("/events?follow=false&type=case.*")
    assert answer.text.count("data: ") == 2
    assert "tree.cut" not in answer.text
    assert (await service.client.get("/events?follow=false&from=now")).text == ""


def forget(service: ApiService, *, but: str = "", skipped: int = 0) -> None:
    """Let the bus keep one type only; the next position is further by as many as were skipped."""
    with closing(sqlite3.connect(service.api.settings.broker.path)) as file, file:
        file.execute("DELETE FROM events WHERE type <> ?", [but])
        file.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'events'", [skipped])


async def test_one_that_was_away_longer_than_the_bus_keeps_is_told_of_the_gap(
    service: ApiService,
) -> None:
    await announce(service, "a.b", "a.c", "a.d")
    first = (await service.backend.bus.read(after=0, limit=1))[0].position
    forget(service, but="a.d")
    headers = {"last-event-id": str(first)}
    resumed = await service.client.get("/events?follow=false", headers=headers)
    placed = await service.client.get(f"/events?follow=false&from={first}")
    for answer in (resumed, placed):
        names = [line for line in answer.text.splitlines() if line.startswith("event: ")]
        assert names == ["event: events.gap", "event: a.d"]
    whole = await service.client.get("/events?follow=false&from=start")
    assert "events.gap" not in whole.text


async def test_a_connected_one_that_the_bus_left_behind_is_told_of_the_gap(
    service: ApiService,
) -> None:
    await announce(service, "a.b")
    async with followed(service) as lines:
        first, _ = await next_event(lines)
        forget(service, skipped=10)
        await announce(service, "a.z")
        _, gap = await next_event(lines)
        assert (gap["type"], gap["data"]["after"]) == ("events.gap", int(first))
        assert (await next_event(lines))[1]["type"] == "a.z"


async def test_an_event_is_encoded_once_for_all_followers(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[Event] = []
    really = Event.to_cloudevent

    def counted(self: Event, namespace: str) -> dict[str, Any]:
        encoded.append(self)
        return really(self, namespace)

    monkeypatch.setattr(Event, "to_cloudevent", counted)
    async with followed(service, "?from=now") as first, followed(service, "?from=now") as second:
        await until("both follow", lambda: _followers(service, 2))
        await announce(service, "a.b")
        assert await next_event(first) == await next_event(second)
    assert len(encoded) == 1


async def _followers(service: ApiService, number: int) -> bool:
    return service.api.events.followers == number


async def test_news_is_told_although_the_broker_was_away_for_a_moment(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    wake: list[Any] = []
    failed: list[bool] = []
    begun = asyncio.Event()
    after, progress_of = EventTail.after, Reads.progress_of

    async def listening(self: EventTail, position: int) -> list[Any]:
        begun.set()
        found = await after(self, position)
        wake.extend(found)
        return found

    async def failing(self: Reads, numbers: Mapping[str, int]) -> dict[str, list[ProgressView]]:
        if wake and not failed:
            failed.append(True)
            raise BrokerUnavailable("it went away")
        return await progress_of(self, numbers)

    monkeypatch.setattr(EventTail, "after", listening)
    monkeypatch.setattr(Reads, "progress_of", failing)
    monkeypatch.setattr(shared_streams, "OUTAGE_SECONDS", 0.0)
    job_id = await new_job(service)
    async with connect(socket_url(service, job_id)) as socket:
        await told(socket, "state")
        await begun.wait()
        event = service_event(job_id, "case.opened", "1", {}, 1000)
        await service.backend.bus.publish([event])
        assert (await told(socket, "event"))["type"] == "case.opened"
    assert failed == [True]


async def test_who_follows_after_a_retry_is_not_told_the_first_end(service: ApiService) -> None:
    job_id = await new_job(service)
    async with service.api.jobs.watching(job_id) as slow:
        [job] = await service.claim()
        await service.settle(job, State.DEAD, reason="error", by="me", detail="no")
        await until("the first end is known", lambda: _ended(slow))
        assert (await service.client.post(f"/jobs/{job_id}/retry")).status_code == 200
        async with connect(socket_url(service, job_id)) as socket:
            await told(socket, "state")
            [job] = await service.claim()
            await service.settle(job)
            assert (await told(socket, "end"))["state"] == "completed"


async def _ended(watched: Watched) -> bool:
    return watched.end is not None


async def test_streams_end_when_the_server_stops(service: ApiService) -> None:
    job_id = await new_job(service)
    async with connect(socket_url(service, job_id)) as socket, followed(service) as lines:
        await told(socket, "state")
        service.api.close()
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1001
        assert [line async for line in lines if line.startswith("data: ")] == []


@pytest.mark.parametrize("start", ["yesterday", "-1", "1e3"])
async def test_a_place_that_is_none_is_refused(service: ApiService, start: str) -> None:
    job_id = await new_job(service)
    of_job = await service.client.get(f"/jobs/{job_id}/events", headers={"last-event-id": start})
    assert of_job.status_code == 400
    with pytest.raises(InvalidStatus) as refused:
        async with connect(socket_url(service, job_id, f"?after={start}")):
            pass
    assert refused.value.response.status_code == 400
    assert (await service.client.get(f"/events?from={start}")).status_code == 400
    resumed = await service.client.get("/events", headers={"last-event-id": start})
    assert resumed.status_code == 400


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let followers be asked who they are each time, and get a beat at once."""
    monkeypatch.setattr(access_recheck, "RECHECK_SECONDS", -1.0)
    for module in (job_stream, streams):
        monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_streams_end_with_the_token(service: ApiService) -> None:
    job_id = await new_job(service)
    tokens = service.api.operations("tester").tokens
    token, bearer = await tokens.create("portal", [Scope.VIEW])
    headers = {"authorization": f"Bearer {bearer.text}"}
    async with (
        connect(socket_url(service, job_id), additional_headers=headers) as socket,
        followed(service, **headers) as lines,
        service.client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as of_job,
        asyncio.timeout(30),
    ):
        await told(socket, "state")
        chunks, seen = of_job.aiter_raw(), b""
        while b"event: state" not in seen:
            seen += await anext(chunks)
        await tokens.revoke(token.id)
        await socket.wait_closed()
        assert socket.close_code == 1008
        assert [line async for line in lines if line.startswith("data: ")] == []
        assert b"event: state" not in b"".join([chunk async for chunk in chunks])
