"""Heads of the audit chain in the queue file: rows of `meta`, to which no retention applies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hms_svc.brokers import audit_heads as lines
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.brokers.sqlite.transaction import FileTransaction
from hms_svc.domain.audit_heads import DAYS_KEPT, DOUBTS_KEPT, AuditHead, Doubt, KeptHeads

_PREFIX: Final = "audit:"
_READ: Final = "SELECT name, value FROM meta WHERE name >= 'audit:' AND name < 'audit;'"
_WRITE: Final = (
    "INSERT INTO meta (name, value) VALUES (?, ?) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


class SQLiteAuditAnchor:
    """Implements `ports.audit_anchor.AuditAnchor`."""

    def __init__(self, file: QueueFile) -> None:
        self._file = file

    async def heads(self) -> KeptHeads:
        """Read the rows."""
        rows = await self._file.fetch(_READ)
        return lines.read_heads({name.removeprefix(_PREFIX): str(value) for name, value in rows})

    async def keep(self, head: AuditHead, *, over: AuditHead | None) -> bool:
        """Make a head the newest if `over` is the newest now."""
        return await self._file.write(lambda transaction: _keep(transaction, head, over))

    async def doubt(self, doubt: Doubt) -> None:
        """Store evidence, up to its limit."""

        def add(transaction: FileTransaction) -> None:
            name, entries = lines.doubt_name(doubt), _entries(transaction)
            if name not in entries and lines.count_doubts(entries) < DOUBTS_KEPT:
                _put(transaction, name, lines.doubt_line(doubt))

        await self._file.write(add)

    async def replace(
        self, head: AuditHead, daily: Sequence[AuditHead], *, over: AuditHead | None
    ) -> bool:
        """Replace all stored heads."""

        def swap(transaction: FileTransaction) -> bool:
            entries = _entries(transaction)
            if lines.read_heads(entries).newest != over:
                return False
            _drop(transaction, entries)
            for each in daily:
                _put(transaction, lines.day_name(each), lines.head_line(each))
            _put(transaction, lines.NEWEST, lines.head_line(head))
            return True

        return await self._file.write(swap)


def _keep(transaction: FileTransaction, head: AuditHead, over: AuditHead | None) -> bool:
    entries, line = _entries(transaction), lines.head_line(head)
    newest = entries.get(lines.NEWEST, "")
    if newest == line:
        return True
    if not newest.startswith(lines.mark_of(over)) or bool(newest) != (over is not None):
        return False
    if newest:
        if not lines.may_follow(newest, head):
            return False
        day = lines.day_of_line(newest)
        if day != lines.day_name(head):
            _put(transaction, day, newest)
            _drop(transaction, lines.days_beyond({*entries, day}, DAYS_KEPT))
    _put(transaction, lines.NEWEST, line)
    return True


def _entries(transaction: FileTransaction) -> dict[str, str]:
    rows = transaction.connection.execute(_READ).fetchall()
    return {name.removeprefix(_PREFIX): str(value) for name, value in rows}


def _put(transaction: FileTransaction, name: str, line: str) -> None:
    transaction.connection.execute(_WRITE, (_PREFIX + name, line))


def _drop(transaction: FileTransaction, names: Sequence[str] | dict[str, str]) -> None:
    transaction.each("DELETE FROM meta WHERE name = ?", [(_PREFIX + name,) for name in names])
