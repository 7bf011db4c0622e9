"""The outbox: events and follow-up jobs that were committed with their effect and wait to be relayed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update

from hms_svc.domain.event import Event
from hms_svc.domain.job import Job
from hms_svc.persistence.engine import Engine
from hms_svc.persistence.statements import Part, Query, among, insert_rows
from hms_svc.persistence.tables import outbox
from hms_svc.ports.clock import Clock
from hms_svc.ports.stores import OutboxEntry, WaitingJob

Message: TypeAlias = Event | Job
MOST_LOOKED_THROUGH: Final = 10_000
"""Unpublished rows among which one job is looked for: no index has their ids."""
CHANNEL: Final = "hms_svc_outbox"
"""Where transactions of producers say on PostgreSQL that they have added rows; the payload is the schema."""
_EVENT: Final = "event"
_JOB: Final = "job"
_encode_job = msgspec.json.Encoder().encode
_decode_job = msgspec.json.Decoder(Job).decode

_INSERT = insert_rows(outbox, "kind", "id", "type", "subject", "at", "data")
_ENTRIES = (
    select(
        outbox.c.number,
        outbox.c.kind,
        outbox.c.id,
        outbox.c.type,
        outbox.c.subject,
        outbox.c.at,
        outbox.c.data,
    )
    .order_by(outbox.c.number)
    .limit(bindparam("limit"))
)
_UNPUBLISHED = _ENTRIES.where(outbox.c.published_at.is_(None))
_WAITING = Query(_UNPUBLISHED)
_TAKE = Query(_UNPUBLISHED.with_for_update(skip_locked=True))
_OLDEST = (
    select(outbox.c.at).where(outbox.c.published_at.is_(None)).order_by(outbox.c.number).limit(1)
)
_FIRST = (
    select(outbox.c.kind, outbox.c.id, outbox.c.type, outbox.c.at)
    .where(outbox.c.published_at.is_(None))
    .order_by(outbox.c.number)
    .limit(MOST_LOOKED_THROUGH)
    .subquery()
)
_WAITING_JOB = (
    select(_FIRST.c.type, _FIRST.c.at)
    .where(_FIRST.c.kind == _JOB, _FIRST.c.id == bindparam("job_id"))
    .limit(1)
)
_KEPT = (outbox.c.kind == _EVENT, outbox.c.type.startswith("case."))
_REPLAY = Query(_ENTRIES.where(outbox.c.number > bindparam("after"), *_KEPT))
_NAMED = among(outbox.c.number)
_MARK = Query(
    update(outbox)
    .where(_NAMED, outbox.c.published_at.is_(None), *_KEPT)
    .values(published_at=bindparam("now"))
)
_DROP = Query(delete(outbox).where(_NAMED, outbox.c.published_at.is_(None)))


def insertion(messages: Sequence[Message]) -> Part:
    """Return the insertion of messages, to be relayed in this order after the commit."""
    return _INSERT, [_row(message) for message in messages]


class SqlOutbox:
    """Implements ports.stores.OutboxStore."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def waiting(self, limit: int) -> list[OutboxEntry]:
        return await self._engine.read(lambda on: _entries(on, _WAITING, limit=limit))

    async def waiting_job(self, job_id: str) -> WaitingJob | None:
        found = await self._engine.read(
            lambda on: on.execute(_WAITING_JOB, {"job_id": job_id}).first()
        )
        return None if found is None else WaitingJob(*found)

    async def lag_ms(self) -> int:
        since: int | None = await self._engine.read(lambda on: on.scalar(_OLDEST))
        return 0 if since is None else max(0, self._clock.now_ms() - since)

    async def listen(self, wake: Callable[[], None]) -> None:
        await self._engine.listen(CHANNEL, wake)

    async def relay(
        self, limit: int, deliver: Callable[[Sequence[OutboxEntry]], Awaitable[None]]
    ) -> int:
        now = self._clock.now_ms()
        return await self._engine.relay(
            lambda on: _entries(on, _TAKE, limit=limit),
            deliver,
            lambda on, taken: mark_published(on, [entry.number for entry in taken], now),
        )

    async def replay(self, *, after: int, limit: int) -> list[OutboxEntry]:
        return await self._engine.read(lambda on: _entries(on, _REPLAY, after=after, limit=limit))


def _entries(connection: Connection, query: Query, **bounds: int) -> list[OutboxEntry]:
    return [_entry(*row) for row in query.run(connection, **bounds)]


def mark_published(connection: Connection, numbers: Sequence[int], now: int) -> None:
    """Mark `case.*` events as published, and remove the other rows."""
    named = list(numbers)
    _MARK.run(connection, values=named, now=now)
    _DROP.run(connection, values=named)


def _row(message: Message) -> tuple[Any, ...]:
    if isinstance(message, Event):
        return _EVENT, message.id, message.type, message.subject, message.at, message.data
    data = _encode_job(message)
    return _JOB, message.id, message.type, message.id, message.enqueued_at, data


def _entry(
    number: int, kind: str, id: str, type: str, subject: str, at: int, data: bytes
) -> OutboxEntry:
    if kind == _EVENT:
        event = Event(id=id, type=type, subject=subject, at=at, data=data)
        return OutboxEntry(number, event, None)
    return OutboxEntry(number, None, _decode_job(data))
