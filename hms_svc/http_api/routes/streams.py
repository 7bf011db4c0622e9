"""Live streams: one job to its end, over WebSocket or server-sent events, and the result bus."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, WebSocket
from fastapi.exceptions import RequestValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocketDisconnect

from hms_svc.domain.errors import Outage
from hms_svc.domain.event import EVENTS_GAP, Event, is_of_types
from hms_svc.domain.strict_json import encode
from hms_svc.domain.timestamps import from_rfc3339, to_rfc3339
from hms_svc.http_api.access_recheck import AccessRecheck
from hms_svc.http_api.context import ApiContext
from hms_svc.http_api.job_stream import BEAT_SECONDS, END_ID, StreamMessage, follow_job, last_line
from hms_svc.http_api.methods import is_head
from hms_svc.http_api.problems import Problem
from hms_svc.http_api.query import check_query
from hms_svc.http_api.requests import Admitted, admitted
from hms_svc.http_api.route_description import event_stream
from hms_svc.http_api.server_sent_events import sse
from hms_svc.http_api.shared_streams import woken
from hms_svc.operations.tokens import Scope

log: Final = logging.getLogger("hms_svc.http")
router: Final = APIRouter(tags=["streams"])
Viewer = Annotated[Admitted, Depends(admitted(Scope.VIEW))]
BEAT: Final = b": beat\n\n"
BEARER_PROTOCOL: Final = "hms-bearer."
"""A page cannot set headers of a WebSocket: it sends its token as a second subprotocol."""
PROTOCOL: Final = "hms-svc"
GOING_AWAY, NOT_ALLOWED = 1001, 1008
MOST_GLOBS: Final = 20


@router.websocket("/jobs/{job_id}/events")
async def job_over_websocket(socket: WebSocket, job_id: str) -> None:
    """Follow a job: one JSON object per message, the last of kind `end`."""
    api = socket.app.state.api
    assert isinstance(api, ApiContext)
    token, protocol = _offered(socket)
    authorization = token or socket.headers.get("authorization")
    await api.admit(authorization, Scope.VIEW)
    try:
        check_query(socket, "after")
    except RequestValidationError as error:
        raise Problem(400, "bad-input", str(error.errors()[0]["msg"])) from error
    after = last_line(socket.query_params.get("after"))
    messages = AccessRecheck(api, authorization).pass_on(follow_job(api, job_id, after=after))
    try:
        first = await anext(messages)
        await socket.accept(subprotocol=protocol)
        await _send(socket, first)
        sending = asyncio.create_task(_send_all(socket, api, messages), name="job-socket")
        leaving = asyncio.create_task(_wait_until_left(socket), name="job-socket-left")
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, leaving):
            task.cancel()
        await asyncio.wait({sending, leaving})
        if not sending.cancelled():
            sending.result()
    finally:
        await messages.aclose()


@router.get(
    "/jobs/{job_id}/events",
    **event_stream("The messages of a job; the last one is `end`.", ends=True),
)
async def follow_job_events(job_id: str, caller: Viewer) -> Response:
    """Follow a job as server-sent events. `Last-Event-ID` continues after that line; 204 after `end`."""
    last = caller.request.headers.get("last-event-id")
    if last == END_ID:
        return Response(status_code=204)  # Otherwise an EventSource would reconnect for ever.
    messages = follow_job(caller.api, job_id, after=last_line(last))
    first = await anext(messages)
    return await _stream(caller, _sse_messages(first, messages))


@router.get("/events", **event_stream("CloudEvents.", ends=False))
async def follow_events(
    caller: Viewer,
    type: Annotated[
        list[str] | None,
        Query(max_length=MOST_GLOBS, description="Only events of these types, such as `case.*`."),
    ] = None,
    start: Annotated[
        str,
        Query(
            alias="from",
            max_length=64,
            description="Where to begin: `start`, `now`, a position or a time.",
        ),
    ] = "start",
    follow: Annotated[bool, Query(description="Wait for new events.")] = True,
) -> StreamingResponse:
    """Follow the events, from the oldest that is kept. `Last-Event-ID` continues after that event."""
    api = caller.api
    last = caller.request.headers.get("last-event-id")
    place = start if last is None else last
    after = await _position(api, place, resumed=last is not None)
    seen = place == "now" or place.isdecimal()
    chunks = _sse_events(api, after, tuple(type or ()), follow, seen)
    return await _stream(caller, chunks)


async def _send_all(
    socket: WebSocket, api: ApiContext, messages: AsyncIterator[StreamMessage]
) -> None:
    try:
        async for message in messages:
            await _send(socket, message)
        await socket.close(GOING_AWAY if api.closing.is_set() else 1000)
    except Problem as error:
        log.info("a stream ends: %s", error.detail)
        await socket.close(NOT_ALLOWED)
    except (ClientDisconnect, WebSocketDisconnect):
        log.debug("a follower disconnected")


async def _wait_until_left(socket: WebSocket) -> None:
    """Read and ignore what the client sends, until it disconnects."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _send(socket: WebSocket, message: StreamMessage) -> None:
    if message.kind != "beat":  # the protocol has its own pings
        await socket.send_text(message.to_json().decode())


def _offered(socket: WebSocket) -> tuple[str, str | None]:
    offered = [
        protocol.strip() for protocol in socket.headers.get("sec-websocket-protocol", "").split(",")
    ]
    tokens = [protocol for protocol in offered if protocol.startswith(BEARER_PROTOCOL)]
    token = f"Bearer {tokens[0].removeprefix(BEARER_PROTOCOL)}" if tokens else ""
    return token, PROTOCOL if PROTOCOL in offered else None


async def _position(api: ApiContext, start: str, *, resumed: bool) -> int:
    if start.isdecimal() and start.isascii() and len(start) <= 18:
        return int(start)
    if resumed:
        raise Problem(400, "bad-input", f"Last-Event-ID {start!r:.40} is not a position of the bus")
    if start == "now":
        return await api.reads.newest_position()
    return 0 if start == "start" else await api.reads.position_at(from_rfc3339(start))


async def _stream(caller: Admitted, chunks: AsyncGenerator[bytes]) -> StreamingResponse:
    headers = {"x-accel-buffering": "no"}
    if is_head(caller.request):
        await chunks.aclose()
        chunks = _nothing()
    recheck = AccessRecheck(caller.api, caller.request.headers.get("authorization"))
    chunks_until_end = _ended(recheck.pass_on(chunks))
    return StreamingResponse(chunks_until_end, media_type="text/event-stream", headers=headers)


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield


async def _ended(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """End a stream in an outage, or with its token: a client that is still allowed reconnects, and resumes."""
    try:
        async for chunk in chunks:
            if chunk:
                yield chunk
    except (Outage, Problem) as error:
        log.info("a stream ends: %s", error)


async def _sse_messages(
    first: StreamMessage, messages: AsyncGenerator[StreamMessage]
) -> AsyncGenerator[bytes]:
    yield sse(first.kind, first.to_json(), first.id)
    async for message in messages:
        yield BEAT if message.kind == "beat" else sse(message.kind, message.to_json(), message.id)


async def _sse_events(
    api: ApiContext, after: int, globs: tuple[str, ...], follow: bool, seen: bool
) -> AsyncGenerator[bytes]:
    """Read on at the pace of the follower: nothing is buffered for a slow one.

    With `seen` it has received all up to `after`; otherwise it starts with what is kept, and has missed nothing.
    Yields b"" if none of the new events match.
    """
    async with api.events.followed():
        while not api.closing.is_set():
            wake = api.events.wake_up.listen()
            found = await api.events.after(after)
            if found:
                skips = seen and found[0].event.position > after + 1
                if skips and (gap := await _gap(api, after)):
                    yield gap
                wanted = [each for each in found if _matches(each.event, globs)]
                yield b"".join(each.to_sse(api.settings.namespace) for each in wanted)
                after, seen = found[-1].event.position, True
            elif not follow:
                return
            elif not await woken(wake, BEAT_SECONDS):
                yield BEAT


async def _gap(api: ApiContext, after: int) -> bytes | None:
    """Notify a follower that fell behind what the bus keeps that it may have missed events."""
    if not after:  # It has received nothing yet: the first position of a bus may be any.
        return None
    oldest = await api.reads.kept_events(after=0, limit=1)
    if not oldest or oldest[0].position <= after + 1:
        return None
    found = await api.reads.kept_events(after=after - 1, limit=1)
    if found and found[0].position == after:
        return None
    data = {
        "specversion": "1.0",
        "id": f"gap-{after}",
        "type": EVENTS_GAP,
        "source": f"/hms-svc/{api.settings.namespace}",
        "time": to_rfc3339(api.reads.now_ms()),
        "data": {"after": after, "oldest": oldest[0].position},
    }
    return sse(EVENTS_GAP, encode(data))


def _matches(event: Event, globs: tuple[str, ...]) -> bool:
    return not globs or is_of_types(event.type, globs)
