"""Undoes an operator's acts: each job is restored to what it was, unless it has changed since."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

import msgspec

from hms_svc.brokers.codes import DISCARDED, PROCESSING, STATE_OF
from hms_svc.brokers.history import Step, line
from hms_svc.brokers.refused_acts import GONE, MOVED_SINCE, WAS_RUNNING
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.brokers.sqlite.transaction import FileTransaction
from hms_svc.domain.causes import GROUPED
from hms_svc.domain.lifecycle import Trigger
from hms_svc.domain.views import ActOutcome
from hms_svc.ports.control import UNDOABLE, ActRequest

SQL: Final = statements_of("operator.sql")


def remember(transaction: FileTransaction, row: sqlite3.Row, request: ActRequest, now: int) -> None:
    """Store what a job was before an act that was just done, if the act can be undone."""
    if request.batch and request.act in UNDOABLE:
        fields = {**dict(row), "batch": request.batch, "now": now}
        transaction.connection.execute(SQL["remember"], fields)


class BatchSlice(msgspec.Struct, frozen=True):
    """A slice of a batch: at most `limit` jobs after an id, whose act was after `since` (Unix ms)."""

    batch: str
    since: int
    after: str
    limit: int


def preview(rows: Iterable[sqlite3.Row]) -> list[ActOutcome]:
    """Return for each row of a slice whether it would be restored, or why not."""
    return [ActOutcome(row["id"], not (why := _why_not(row)), why) for row in rows]


def undo(transaction: FileTransaction, batch_slice: BatchSlice, now: int) -> list[ActOutcome]:
    """Restore the jobs of a slice, or return why not."""
    cursor = transaction.connection.execute(SQL["in_batch"], msgspec.structs.asdict(batch_slice))
    cursor.row_factory = sqlite3.Row
    outcomes = []
    for row in cursor.fetchall():
        why = _why_not(row) or _restore(transaction, row, batch_slice.batch, now)
        if why:
            transaction.connection.execute(SQL["remember_asked"], (batch_slice.batch, row["id"]))
        outcomes.append(ActOutcome(row["id"], not why, why))
    return outcomes


def _why_not(row: sqlite3.Row) -> str:
    if row["state"] is None:
        return GONE
    if row["to_state"] == PROCESSING:
        return WAS_RUNNING
    if (row["state"], row["position"], row["fence"]) != (
        row["to_state"],
        row["to_position"],
        row["to_fence"],
    ):
        return MOVED_SINCE.format(state=_name(row["state"]))
    return _key_is_held(row) if row["is_taken"] else ""


def _key_is_held(row: sqlite3.Row) -> str:
    return f"its unique key {row['unique_key']!r} is held by another job"


def _restore(transaction: FileTransaction, row: sqlite3.Row, batch: str, now: int) -> str:
    was = STATE_OF[row["was"]]
    source = STATE_OF.get(row["state"], was)
    step = Step(at=now, source=source, target=was, trigger=Trigger.UNDONE, detail="undo")
    try:
        transaction.connection.execute(
            SQL["restore"], {"row": row["row"], "batch": batch, "line": line(step)}
        )
    except sqlite3.IntegrityError:
        return _key_is_held(row)
    if was in GROUPED:
        transaction.causes.file_row(row["row"])
    transaction.connection.execute(SQL["forget_undone"], (batch, row["id"]))
    transaction.move(row["queue"], row["state"], row["was"])
    if row["state"] == DISCARDED:
        transaction.count(row["queue"], "discarded", -1)
    return ""


def _name(code: int) -> str:
    return "discarded" if code == DISCARDED else STATE_OF[code].value
