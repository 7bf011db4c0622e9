"""`hms-svc events`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hms_svc.cli.options import AsJson
from hms_svc.cli.output import echo, emit, flush, when
from hms_svc.cli.session import Session, run, session_of
from hms_svc.domain.errors import BadInput

MOST_DIGITS: Final = 18

if TYPE_CHECKING:
    from hms_svc.domain.event import Event
    from hms_svc.operations.reads import Reads


def events(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", help="Continue with new events.")] = False,
    group: Annotated[
        str | None,
        typer.Option(
            help="Read as this consumer group, and acknowledge the events.", show_default=False
        ),
    ] = None,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="start|now|outbox|POSITION|TIME",
            help="Where to begin; `outbox` replays all case.* events from the database.",
        ),
    ] = "start",
    as_json: AsJson = False,
) -> None:
    """Print the events that are kept; --follow adds new ones."""
    if group is not None and start not in {"start", "now"}:
        raise BadInput("--group requires --from start or --from now: a group has its own position")
    if group is not None:
        session_of(context).check_writable("events --group")
    run(lambda: _events(session_of(context), follow, group, start, as_json))


async def _events(
    session: Session, follow: bool, group: str | None, start: str, as_json: bool
) -> None:
    namespace = session.settings.namespace
    async with session.operations(database=start == "outbox") as operations:
        async for event in _chosen(operations.reads, follow, group, start):
            if as_json:
                emit(event.to_cloudevent(namespace))
            else:
                echo(
                    f"{when(event.at)}  {event.type:<14} {event.subject}  {event.written().decode()}"
                )
            flush()


async def _chosen(
    reads: Reads, follow: bool, group: str | None, start: str
) -> AsyncIterator[Event]:
    if group is not None:
        consumer = _consumer()
        source = reads.group_events(group, consumer, follow=follow, from_start=start == "start")
    elif start == "outbox":
        async for event in reads.replayed_events():
            yield event
        if not follow:
            return
        source = reads.events(after=await reads.newest_position(), follow=True)
    else:
        source = reads.events(after=await _position(reads, start), follow=follow)
    async for event in source:
        yield event


async def _position(reads: Reads, start: str) -> int:
    from hms_svc.domain.timestamps import from_rfc3339

    if start == "start":
        return 0
    if start == "now":
        return await reads.newest_position()
    if start.isdecimal() and start.isascii() and len(start) <= MOST_DIGITS:
        return int(start)
    return await reads.position_at(from_rfc3339(start))


def _consumer() -> str:
    import os
    import socket

    return f"{socket.gethostname()}-{os.getpid()}"
