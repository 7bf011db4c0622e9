"""The outbox: events and follow-up jobs that were committed with their effect and wait to be relayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update

from hms_svc.domain.event import Event
from hms_svc.domain.job import Job
from hms_svc.persistence.statements import AnyRow, Part, among, insert_rows
from hms_svc.persistence.tables import outbox
from hms_svc.ports.stores import OutboxEntry

Message: TypeAlias = Event | Job
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
_WAITING = _ENTRIES.where(outbox.c.published_at.is_(None))
_OLDEST = (
    select(outbox.c.at).where(outbox.c.published_at.is_(None)).order_by(outbox.c.number).limit(1)
)
_KEPT = (outbox.c.kind == _EVENT, outbox.c.type.startswith("case."))
_REPLAY = _ENTRIES.where(outbox.c.number > bindparam("after"), *_KEPT)
_NAMED = among(outbox.c.number)
_MARK = (
    update(outbox)
    .where(_NAMED, outbox.c.published_at.is_(None), *_KEPT)
    .values(published_at=bindparam("now"))
)
_DROP = delete(outbox).where(_NAMED, outbox.c.published_at.is_(None))


def insertion(messages: Sequence[Message]) -> Part:
    """Return the insertion of messages, to be relayed in this order after the commit."""
    return _INSERT, [_row(message) for message in messages]


def waiting(connection: Connection, limit: int) -> list[OutboxEntry]:
    """Return unpublished rows, oldest first, including numbers that were committed late."""
    return [_entry(row) for row in connection.execute(_WAITING, {"limit": limit})]


def oldest_waiting(connection: Connection) -> int | None:
    """Return when the oldest unpublished row was inserted (Unix ms), or None."""
    return connection.scalar(_OLDEST)


def take(connection: Connection, limit: int) -> list[OutboxEntry]:
    """Return and lock unpublished rows, oldest first; locked rows are skipped."""
    rows = connection.execute(_WAITING.with_for_update(skip_locked=True), {"limit": limit})
    return [_entry(row) for row in rows]


def replay(connection: Connection, after: int, limit: int) -> list[OutboxEntry]:
    """Return the `case.*` events above a number, oldest first."""
    return [_entry(row) for row in connection.execute(_REPLAY, {"after": after, "limit": limit})]


def mark_published(connection: Connection, numbers: Sequence[int], now: int) -> None:
    """Mark `case.*` events as published, and remove the other rows."""
    named = list(numbers)
    connection.execute(_MARK, {"values": named, "now": now})
    connection.execute(_DROP, {"values": named})


def _row(message: Message) -> tuple[Any, ...]:
    if isinstance(message, Event):
        return _EVENT, message.id, message.type, message.subject, message.at, message.data
    data = _encode_job(message)
    return _JOB, message.id, message.type, message.id, message.enqueued_at, data


def _entry(row: AnyRow) -> OutboxEntry:
    number, kind, id, type, subject, at, data = row
    if kind == _EVENT:
        event = Event(id=id, type=type, subject=subject, at=at, data=data)
        return OutboxEntry(number, event, None)
    return OutboxEntry(number, None, _decode_job(data))
