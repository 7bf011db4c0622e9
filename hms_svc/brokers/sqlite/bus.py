"""The result bus in the queue file: one table, and a cursor for each consumer group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hms_svc.brokers.sqlite.audit_anchor import SQLiteAuditAnchor
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.brokers.sqlite.transaction import FileTransaction
from hms_svc.domain.event import AUDIT_SEALED, EVENTS_GAP, Event, check_group
from hms_svc.domain.ids import event_id
from hms_svc.domain.strict_json import encode
from hms_svc.sqlite.statements import run_many
from hms_svc.sqlite.wake_socket import NEWS

SQL: Final = statements_of("bus.sql")
AGAIN_AFTER_MS: Final = 60_000
EventRow = tuple[int, int, str, str, int | None, str | None, bytes]


class SQLiteBus:
    """Implements `ports.bus.Bus`."""

    def __init__(self, file: QueueFile) -> None:
        self._file = file
        self.audit_anchor = SQLiteAuditAnchor(file)

    async def publish(self, events: Sequence[Event]) -> None:
        """Append events; one whose id exists already is skipped."""
        rows = [(event.at, event.type, event.subject, event.id, event.data) for event in events]
        await self._file.write(
            lambda transaction: run_many(transaction.connection, SQL["publish"], rows),
            notify=NEWS,
        )

    async def read(self, *, after: int, limit: int) -> list[Event]:
        """Return the events above a position."""
        return [_event(tuple(row)) for row in await self._file.fetch(SQL["read"], (after, limit))]

    async def newest(self, limit: int) -> list[Event]:
        """Return the newest events."""
        return [_event(tuple(row)) for row in await self._file.fetch(SQL["last"], (limit,))]

    async def read_group(
        self, group: str, consumer: str, *, limit: int, from_start: bool = True
    ) -> list[Event]:
        """Return overdue events first, then new ones."""
        check_group(group)
        lease_now, now = self._file.clock.lease_ms(), self._file.clock.now_ms()
        return await self._file.write(
            lambda transaction: _deliver(
                transaction, (group, consumer), limit, from_start, lease_now, now
            )
        )

    async def acknowledge(self, group: str, positions: Sequence[int]) -> None:
        """Remove processed deliveries."""
        rows = [(group, position) for position in positions]
        await self._file.write(lambda transaction: transaction.each(SQL["acknowledge"], rows))

    async def wait(self, after: int, timeout_seconds: float) -> bool:
        """Wait until there is an event above the position."""
        news = self._file.next_news()
        if await self._file.fetch(SQL["read"], (after, 1)):
            return True
        await self._file.wait_for_news(news, timeout_seconds)
        return bool(await self._file.fetch(SQL["read"], (after, 1)))

    async def latest(self, type: str) -> Event | None:
        """Return the newest stored event of a type."""
        if type == AUDIT_SEALED:
            rows = await self._file.fetch(SQL["latest_sealed"])
        else:
            rows = await self._file.fetch(
                "SELECT position, at, type, job_id, fence, event_id, data FROM events "
                "WHERE type = ? ORDER BY position DESC LIMIT 1",
                (type,),
            )
        return _event(tuple(rows[0])) if rows else None


def _event(row: EventRow) -> Event:
    position, at, type, job_id, fence, stored_id, data = row
    return Event(
        id=stored_id or event_id(job_id, type, str(fence)),
        type=type,
        subject=job_id,
        at=at,
        data=data,
        position=position,
    )


def _gap(group: str, first: int, last: int, now: int) -> Event:
    lost = {"group": group, "from": first, "to": last}
    gap_id = event_id(group, EVENTS_GAP, f"{first - 1}-{last + 1}")
    return Event(id=gap_id, type=EVENTS_GAP, subject=group, at=now, data=encode(lost))


def _deliver(
    transaction: FileTransaction,
    reader: tuple[str, str],
    limit: int,
    from_start: bool,
    lease_now: int,
    now: int,
) -> list[Event]:
    group, consumer = reader
    execute = transaction.connection.execute
    known = execute(SQL["group"], (group,)).fetchone()
    newest = execute(SQL["newest"]).fetchone()[0]
    oldest = execute(SQL["oldest"]).fetchone()[0] or newest + 1
    delivered = known[0] if known else (oldest - 1 if from_start else newest)
    events: list[Event] = []
    lost: list[int] = []
    if known and oldest > delivered + 1:
        lost = [delivered + 1, oldest - 1]
        delivered = oldest - 1
    positions = [row[0] for row in execute(SQL["overdue"], (group, lease_now, limit))]
    for position in positions:
        row = execute(SQL["one"], (position,)).fetchone()
        if row is None:
            execute(SQL["acknowledge"], (group, position))
            lost += [position] if position < oldest else []
        else:
            events.append(_event(row))
    fresh = [_event(row) for row in execute(SQL["read"], (delivered, limit - len(positions)))]
    events += fresh
    if lost:
        events.insert(0, _gap(group, min(lost), max(lost), now))
    again_at = lease_now + AGAIN_AFTER_MS
    transaction.each(
        SQL["deliver"],
        [(group, event.position, consumer, again_at) for event in events if event.position],
    )
    if known is None or fresh or delivered != known[0]:
        execute(SQL["set_group"], (group, fresh[-1].position if fresh else delivered))
    return events
