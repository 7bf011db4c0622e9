"""`events`: the result bus for consumers in Python, in blocking form, and the opening of both forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hms_svc.api.portal import follow, on_portal, portal, refuse_running_loop
from hms_svc.domain.errors import BadInput
from hms_svc.domain.event import Event
from hms_svc.operations.bus_positions import newest_position
from hms_svc.operations.event_stream import EventStream, Runner, here
from hms_svc.runtime.worker_ids import make_worker_id


class BlockingEventStream:
    """An event stream for plain code: iterate over it, and acknowledge events if it has a group."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    def __iter__(self) -> BlockingEventStream:
        return self

    def __next__(self) -> Event:
        """Wait for the next event."""
        return follow(self._stream.__anext__()).result()

    def acknowledge(self, *events: Event) -> None:
        """Report these events as processed by the group; BadInput if there is no group."""
        follow(self._stream.acknowledge(*events)).result()


@contextmanager
def events(
    *,
    group: str | None = None,
    types: Sequence[str] = (),
    after: int | None = None,
    from_start: bool = True,
) -> Iterator[BlockingEventStream]:
    """Follow the result bus; see `hms_svc.aio.events`."""
    refuse_running_loop("hms_svc.aio.events")
    opened = follow(open_stream(group, types, after, from_start, run=here)).result()
    yield BlockingEventStream(opened)


async def open_stream(
    group: str | None,
    types: Sequence[str],
    after: int | None,
    from_start: bool,
    *,
    run: Runner = on_portal,
) -> EventStream:
    """Open a stream over the bus of this process's portal; BadInput for a group with `after`."""
    if group is not None and after is not None:
        raise BadInput("group and after cannot be combined: a group has its own position")
    bus = (await run(portal().backend())).bus
    if group is None and after is None:
        after = await run(newest_position(bus))
    return EventStream(
        bus,
        types=(types,) if isinstance(types, str) else types,
        group=group,
        consumer=make_worker_id(),
        after=after or 0,
        from_start=from_start,
        run=run,
    )
