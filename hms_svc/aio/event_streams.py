"""`aio.events`: the result bus, awaitable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from hms_svc.api.events import open_stream
from hms_svc.operations.event_stream import EventStream


@asynccontextmanager
async def events(
    *,
    group: str | None = None,
    types: Sequence[str] = (),
    after: int | None = None,
    from_start: bool = True,
) -> AsyncIterator[EventStream]:
    """Follow the result bus: all events, or those whose type matches one of the globs `types`.

    Without a group the stream starts now, or after the position `after` (0 is the beginning). With one, each
    event goes to one of the group's consumers at least once: again every minute until it is
    acknowledged. A new group begins at the oldest event, or now if `from_start` is False.
    """
    yield await open_stream(group, types, after, from_start)
