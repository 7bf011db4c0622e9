"""The common part of all writing transactions of the queue file: queues, counts, fences, events."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from hms_svc.brokers.codes import STATE_OF
from hms_svc.brokers.envelope import read_envelope
from hms_svc.brokers.sqlite.causes import CauseIndex
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.domain.event import TRACE_MEMBER
from hms_svc.domain.job import Job
from hms_svc.domain.strict_json import encode
from hms_svc.domain.trace_context import read_traceparent
from hms_svc.sqlite.statements import run_many

SQL: Final = statements_of("jobs.sql")
EventRow = tuple[int, str, str, int, bytes]


class FileTransaction:
    """One transaction of the queue file: collects counts and events, and writes them once at its end."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.causes = CauseIndex(connection)
        self.lets_in = False
        """Whether a limit has let in jobs, or may, for which workers wait."""
        self.limited: set[int] = set()
        """Those of its queues whose type declares limits for itself."""
        self.has_places = False
        """Whether a job counted for a limit with a key, or waited for one, when the last queue was found."""
        self._queues: dict[str, int] = {}
        self._priorities: dict[int, int] = {}
        self._tallies: Counter[tuple[int, str]] = Counter()
        self._events: list[EventRow] = []

    def queue(self, type: str) -> int:
        """Return the number of a type's queue; a new queue is added.

        A queue may be removed between two transactions, so numbers are valid only within one.
        """
        known = self._queues.get(type)
        if known is None:
            row = self.connection.execute(SQL["queue_of"], (type,)).fetchone()
            if row is None:
                row = self.connection.execute(SQL["add_queue"], (type,)).fetchone()
            known = self._queues[type] = int(row[0])
            if row[1]:
                self.limited.add(known)
            self.has_places = bool(row[2])
            self._priorities[known] = int(row[3])
        return known

    def priority(self, job: Job, queue: int) -> int:
        """Return the priority of a job, or else the one that its type declares; `queue` is what `queue` returned."""
        return self._priorities[queue] if job.priority is None else job.priority

    def move(self, queue: int, source: int | None, target: int | None, count: int = 1) -> None:
        """Move jobs from one state's count to another's; None and discarded are not counted."""
        if source in STATE_OF:
            self._tallies[queue, STATE_OF[source]] -= count
        if target in STATE_OF:
            self._tallies[queue, STATE_OF[target]] += count

    def count(self, queue: int, counter: str, count: int = 1) -> None:
        """Add to a running counter; its name in the file starts with `+`."""
        self._tallies[queue, "+" + counter] += count

    def announce(
        self, at: int, event: str, job_id: str, fence: int, data: Mapping[str, Any] | msgspec.Struct
    ) -> None:
        """Add a life-cycle event; the trace context of its job is added if `data` is a mapping."""
        if not isinstance(data, msgspec.Struct):
            data = {**data, **self._trace_of(job_id)}
        self._events.append((at, event, job_id, fence, encode(data)))

    def _trace_of(self, job_id: str) -> dict[str, str]:
        row = self.connection.execute(
            "SELECT envelope FROM jobs WHERE id = ?", (job_id,)
        ).fetchone()
        trace = read_envelope(row[0]).traceparent if row and row[0] else None
        return {TRACE_MEMBER: trace} if read_traceparent(trace) and trace else {}

    def next_fences(self, count: int) -> int:
        """Take `count` fences from the counter; return the first."""
        row = self.connection.execute("SELECT value FROM meta WHERE name = 'fence'").fetchone()
        first = int(row[0])
        self.connection.execute("UPDATE meta SET value = ? WHERE name = 'fence'", (first + count,))
        return first

    def turns(self, count: int, now: int) -> int:
        """Take `count` consecutive times for queued jobs, not before now; return the first.

        Setting the clock back does not change the order, because the last time is stored.
        """
        bounds = {"count": count, "now": now}
        return int(self.connection.execute(SQL["take_turns"], bounds).fetchone()[0]) - count + 1

    def each(self, statement: str, rows: Iterable[Any]) -> None:
        """Run one statement for many rows."""
        self.connection.executemany(statement, rows)

    def finish(self) -> None:
        """Write counts and events."""
        if self._tallies:
            rows = [(queue, name, n) for (queue, name), n in self._tallies.items() if n]
            run_many(self.connection, SQL["tally"], rows)
        if self._events:
            run_many(self.connection, SQL["announce"], self._events)
