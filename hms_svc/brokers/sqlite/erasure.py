"""Erases the personal data of jobs in the queue file and of their events."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hms_svc.brokers.codes import COMPLETED, DEAD, REJECTED, STATE_OF
from hms_svc.brokers.envelope import JobEnvelope, read_envelope
from hms_svc.brokers.history import erased_history
from hms_svc.brokers.sqlite.batches import erase_follow_up
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.brokers.sqlite.transaction import FileTransaction
from hms_svc.domain.causes import cause_of
from hms_svc.domain.erasure import ERASED, erased_text
from hms_svc.domain.strict_json import encode
from hms_svc.domain.views import ActOutcome
from hms_svc.ports.control import must_end_first

SQL: Final = statements_of("erasure.sql")


def erase(transaction: FileTransaction, job_ids: Sequence[str]) -> list[ActOutcome]:
    """Erase jobs, or return why not; their undo rows are removed in one statement for all."""
    outcomes = [_erase_one(transaction, job_id) for job_id in job_ids]
    done = [outcome.job_id for outcome in outcomes if outcome.done]
    transaction.connection.execute(SQL["forget_undo"], (encode(done).decode(),))
    return outcomes


def erase_events(transaction: FileTransaction, rows: Iterable[sqlite3.Row]) -> None:
    """Erase the rows of `events_of`: the texts of life-cycle events, all data of services' events."""
    for position, event_id, data in rows:
        erased = ERASED if event_id else erased_text(data)
        if erased != data:
            transaction.connection.execute(SQL["erase_event"], (erased, position))


def _erase_one(transaction: FileTransaction, job_id: str) -> ActOutcome:
    cursor = transaction.connection.execute(SQL["one"], (job_id,))
    cursor.row_factory = sqlite3.Row
    row = cursor.fetchone()
    if row is None:
        why = erase_follow_up(transaction, job_id)
        return ActOutcome(job_id, not why, why)
    if row["state"] < COMPLETED:
        return ActOutcome(job_id, False, must_end_first(STATE_OF[row["state"]]))
    fields = {
        "row": row["row"],
        "data": ERASED,
        "envelope": _envelope(row),
        "history": erased_history(row["history"]) or None,
        "cause": _cause(transaction, row),
    }
    transaction.connection.execute(SQL["erase"], fields)
    transaction.connection.execute(SQL["drop_progress"], (row["row"],))
    transaction.connection.execute(SQL["drop_steps"], (row["row"],))
    return ActOutcome(job_id, True)


def _envelope(row: sqlite3.Row) -> bytes | None:
    origin = read_envelope(row["envelope"]).retried_from if row["envelope"] else None
    return msgspec.json.encode(JobEnvelope(retried_from=origin)) if origin else None


def _cause(transaction: FileTransaction, row: sqlite3.Row) -> str | None:
    if row["state"] not in (REJECTED, DEAD):
        return None
    reason, by = row["reason"] or "", row["decided_by"] or ""
    state = STATE_OF[row["state"]]
    cause = cause_of(state, row["type"], reason=reason, by=by, detail="", failure="")
    return transaction.causes.file_under(cause)
