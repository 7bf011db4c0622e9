"""Failure groups of the queue file: the group of a job, and the content of groups."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from hms_svc.brokers.codes import DEAD, REJECTED, RETRYING, STATE_OF
from hms_svc.brokers.failures import SLOTS, StoredGroup, slots_until
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.brokers.sqlite.views import job_view
from hms_svc.domain.causes import MOST_CAUSES, MOST_HISTORIES, FailureCause, cause_of, other_causes

SQL: Final = statements_of("operator.sql")
_FailedRow = tuple[int, int, str, str | None, str | None, str | None, str | None]


class CauseIndex:
    """The groups to which one transaction adds jobs; new ones up to a maximum number."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: set[str] = set()
        self._new = 0

    def file_under(self, cause: FailureCause) -> str:
        """Return the id of the group for a cause: its own, or the one of other causes of its type."""
        if cause.id in self._known:
            return cause.id
        known, count = self._connection.execute(SQL["knows_cause"], (cause.id,)).fetchone()
        if not known and count + self._new >= MOST_CAUSES:
            return other_causes(cause.state, cause.type).id
        self._known.add(cause.id)
        self._new += not known
        return cause.id

    def file_row(self, row: int) -> None:
        """Add a job that failed under an older version to its group, if it has none."""
        self.file_rows(self._connection.execute(SQL["failed_row_without_cause"], (row,)).fetchall())

    def file_rows(self, rows: Iterable[_FailedRow]) -> None:
        """Add jobs, rows of `failed_without_cause`, to their groups."""
        self._connection.executemany(
            "UPDATE jobs SET cause = ? WHERE row = ?",
            [(self.file_under(_cause_of_row(row)), row[0]) for row in rows],
        )

    def note_failure(self, cause: str, job_id: str, at: int) -> None:
        """Record when a job that will be retried failed (Unix ms), before it enters its group."""
        failure = {"cause": cause, "job": job_id, "at": at}
        self._connection.execute(SQL["note_failure"], failure)
        self._connection.execute(SQL["count_failure"], failure)

    def limit_histories(self) -> None:
        """Remove the histories of the groups that failed longest ago, beyond MOST_HISTORIES."""
        surplus = self._connection.execute(SQL["surplus_histories"], (MOST_HISTORIES,)).fetchall()
        for statement in ("forget_history", "forget_failures"):
            self._connection.executemany(SQL[statement], surplus)


def fill_in_causes(connection: sqlite3.Connection) -> None:
    """Add jobs that failed under an older version to their groups."""
    register = CauseIndex(connection)
    for code in (RETRYING, REJECTED, DEAD):
        rows = connection.execute(SQL["failed_without_cause"], (code,)).fetchall()
        register.file_rows(rows)


def repair_causes(connection: sqlite3.Connection) -> None:
    """Recount the groups if a process of an older version has changed the file in the meantime."""
    if connection.execute(SQL["are_causes_sound"]).fetchone()[0]:
        return
    fill_in_causes(connection)
    for statement in ("forget_causes", "recount_causes", "forget_arrivals", "recount_arrivals"):
        connection.execute(SQL[statement])


def _cause_of_row(row: _FailedRow) -> FailureCause:
    _, code, type, *texts = row
    reason, by, detail, failure = (text or "" for text in texts)
    return cause_of(STATE_OF[code], type, reason=reason, by=by, detail=detail, failure=failure)


def stored_groups(
    rows: Iterable[sqlite3.Row], arrivals: Iterable[sqlite3.Row], now_ms: int
) -> Iterator[StoredGroup]:
    """Return the groups from the rows of `failures` and `arrivals`."""
    first = slots_until(now_ms)[0]
    recent: defaultdict[str, list[int]] = defaultdict(lambda: [0] * SLOTS)
    for cause, slot, n in arrivals:
        recent[cause][slot - first] = max(n, 0)
    for row in rows:
        counts = tuple(recent[row["group"]])
        newest = job_view(row)
        first, last, due = row["lowest"], newest.finished_at or 0, None
        if row["state"] == RETRYING:
            known = newest.started_at or newest.enqueued_at
            first, last, due = row["first_at"] or known, row["last_at"] or known, row["lowest"]
        yield StoredGroup(row["group"], row["n"], first, last, due, newest, counts)
