"""The operator's changes to the queue file: each act on a job is one step of a transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from hms_svc.brokers.chunks import MOST_JOBS
from hms_svc.brokers.codes import (
    CANCELLED,
    COMPLETED,
    DEAD,
    DISCARDED,
    FIRST_TERMINAL,
    HELD,
    PROCESSING,
    QUEUED,
    REJECTED,
    RETRYING,
    SCHEDULED,
    STATE_OF,
)
from hms_svc.brokers.damaged_records import readable
from hms_svc.brokers.history import Step, line
from hms_svc.brokers.refused_acts import (
    CANNOT_RUN,
    ENDED_ALREADY,
    NOT_HELD,
    NOT_TO_RETRY,
    NOTHING_TO_RETRY,
    NOTHING_TO_RUN,
    STILL_RUNNING,
)
from hms_svc.brokers.retention import Retention
from hms_svc.brokers.sqlite import erasure, retention, undo
from hms_svc.brokers.sqlite.causes import repair_causes
from hms_svc.brokers.sqlite.inspector import SQL as OPERATOR_SQL
from hms_svc.brokers.sqlite.queue_control import QueueControl
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.brokers.sqlite.transaction import FileTransaction
from hms_svc.brokers.sqlite.views import job_detail
from hms_svc.domain.causes import FAILED, cause_of
from hms_svc.domain.erasure import ERASED
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.lifecycle import REASON_CANCELLED, REASON_GOVERNANCE, Trigger, beside_case
from hms_svc.domain.strict_json import encode
from hms_svc.domain.views import ActOutcome, JobDetail
from hms_svc.ports.control import (
    MOVED_ON,
    NOT_KNOWN,
    NOT_SEEN,
    Act,
    ActBatch,
    ActRequest,
    Eviction,
    SeenClaim,
)
from hms_svc.sqlite.backup import copy_database
from hms_svc.sqlite.wake_socket import ANY_WORK

SQL: Final = OPERATOR_SQL
_ERASED_AT_ONCE: Final = 100


class _Target:
    """One job that an operator changes, within the transaction of the change."""

    def __init__(
        self, transaction: FileTransaction, row: sqlite3.Row, request: ActRequest, now: int
    ):
        self.transaction = transaction
        self.row = row
        self.request = request
        self.now = now
        self.state: int = row["state"]

    def change(self, statement: str, target: int, **fields: Any) -> None:
        """Run a statement that changes the state, with its history line and counts."""
        note = f"{self.request.act.value} by {self.request.by}"
        step = Step(
            at=self.now,
            source=STATE_OF[self.state],
            target=STATE_OF[self.state if target == DISCARDED else target],
            trigger=Trigger.OPERATOR,
            detail=f"{note}: {self.request.note}" if self.request.note else note,
        )
        turn = self.transaction.turns(1, self.now) if target == QUEUED else None
        bounds = {"row": self.row["row"], "now": self.now, "turn": turn, "line": line(step)}
        self.transaction.connection.execute(SQL[statement], bounds | fields)
        self.transaction.move(self.row["queue"], self.state, target)

    @property
    def seen(self) -> SeenClaim | None:
        """What was known of the job when the act was decided."""
        return self.request.seen.get(self.row["id"])

    def finish(self, target: int, reason: str) -> None:
        """End a waiting job; one that has a case becomes dead instead."""
        by, detail = self.request.by, self.request.note
        case_id = self.row["case_id"] or (self.seen.case_id if self.seen else None)
        if case_id:
            target, detail = DEAD, beside_case(detail, case_id)
        state, cause = STATE_OF[target], None
        if state in FAILED:
            group = cause_of(
                state, self.row["type"], reason=reason, by=by, detail=detail, failure=""
            )
            cause = self.transaction.causes.file_under(group)
        fields = {"reason": reason, "decided_by": by, "detail": detail or None}
        self.change("finish", target, state=target, cause=cause, case_id=case_id, **fields)
        self.transaction.count(self.row["queue"], state.value)
        data = {"type": self.row["type"], "reason": reason, "by": by, "detail": detail}
        self.transaction.announce(
            self.now, f"job.{state.value}", self.row["id"], self.row["fence"], data
        )


def _retry(target: _Target) -> str:
    if target.state in (SCHEDULED, RETRYING):
        target.change("run_now", QUEUED)
        return ""
    if target.state < FIRST_TERMINAL:
        return NOT_TO_RETRY.format(state=_name(target.state))
    if target.state == COMPLETED:
        return NOTHING_TO_RETRY
    if target.row["data"] == ERASED:
        return NOTHING_TO_RUN
    if target.row["raw"] is not None:
        return CANNOT_RUN
    target.change("requeue", QUEUED)
    return ""


def _cancel(target: _Target) -> str:
    if target.state >= FIRST_TERMINAL:
        return ENDED_ALREADY.format(state=_name(target.state))
    if target.state == PROCESSING:
        row = (target.row["row"], target.row["fence"], target.request.by, target.request.note)
        target.transaction.connection.execute(SQL["request_cancel"], row)
        return ""
    if target.row["fence"] and target.seen is None:
        return NOT_SEEN
    target.finish(CANCELLED, REASON_CANCELLED)
    return ""


def _discard(target: _Target) -> str:
    if target.state == PROCESSING:
        return STILL_RUNNING
    target.change("discard", DISCARDED)
    target.transaction.count(target.row["queue"], "discarded")
    return ""


def _approve(target: _Target) -> str:
    if target.state != HELD:
        return NOT_HELD.format(state=_name(target.state))
    if target.seen is None or not target.seen.hold:
        return NOT_SEEN
    approved = {"row": target.row["row"], "hold": target.seen.hold}
    target.transaction.connection.execute(SQL["approve"], approved)
    target.change("run_now", QUEUED)
    return ""


def _deny(target: _Target) -> str:
    if target.state != HELD:
        return NOT_HELD.format(state=_name(target.state))
    if target.seen is None:
        return NOT_SEEN
    target.finish(REJECTED, REASON_GOVERNANCE)
    return ""


_ACTS: Final[dict[Act, Callable[[_Target], str]]] = {
    Act.RETRY: _retry,
    Act.CANCEL: _cancel,
    Act.DISCARD: _discard,
    Act.APPROVE: _approve,
    Act.DENY: _deny,
}


class SQLiteControl(QueueControl):
    """Implements `ports.control.Control`."""

    def __init__(self, file: QueueFile, keep: Retention, *, lease_seconds: float) -> None:
        super().__init__(file)
        self._keep = keep
        self.eviction: Eviction | None = None
        self._worker_lives_ms = int(lease_seconds * 1500)

    async def act(self, request: ActRequest) -> list[ActOutcome]:
        """Do one act on each job, some hundreds in one transaction."""
        outcomes: list[ActOutcome] = []
        for first in range(0, len(request.job_ids), MOST_JOBS):
            outcomes += await self._act(request, request.job_ids[first : first + MOST_JOBS])
        return outcomes

    async def _act(self, request: ActRequest, job_ids: Sequence[str]) -> list[ActOutcome]:
        now = self._file.clock.now_ms()
        return await self._file.write(
            lambda transaction: [_act_on(transaction, request, job_id, now) for job_id in job_ids],
            notify=ANY_WORK,
        )

    async def undo(
        self, batch: str, *, after: str = "", limit: int = 250, dry: bool = False
    ) -> list[ActOutcome]:
        """Undo the acts of a batch within its lifetime; with `dry` only report."""
        now = self._file.clock.now_ms()
        batch_slice = undo.BatchSlice(batch, self._undone_since(), after, limit)
        if dry:
            bounds = msgspec.structs.asdict(batch_slice)
            return undo.preview(await self._file.fetch(SQL["in_batch"], bounds))
        return await self._file.write(
            lambda transaction: undo.undo(transaction, batch_slice, now), notify=ANY_WORK
        )

    async def undoable(self, batch: str, *, after: str = "") -> int:
        """Count the jobs of a batch after an id."""
        rows = await self._file.fetch(SQL["undoable"], (batch, self._undone_since(), after))
        return int(rows[0][0])

    async def last_batch(self) -> str | None:
        """Return the newest batch that can still be undone."""
        rows = await self._file.fetch(SQL["last_batch"], (self._undone_since(),))
        return str(rows[0][0]) if rows else None

    async def batches(self, *, limit: int, name: str = "") -> list[ActBatch]:
        """Return batches that can still be undone, newest first."""
        bounds = {"since": self._undone_since(), "limit": limit, "name": name}
        return [ActBatch(*row) for row in await self._file.fetch(SQL["batches"], bounds)]

    def _undone_since(self) -> int:
        return self._file.clock.now_ms() - int(self._keep.undo_seconds * 1000)

    async def waiting(self, type: str, *, limit: int) -> list[tuple[str, int]]:
        """Return the next waiting jobs."""
        found: list[tuple[str, int]] = []
        for state in (QUEUED, SCHEDULED, RETRYING):
            rows = await self._file.fetch(SQL["waiting"], (type, state, limit - len(found)))
            found += [(row["id"], row["fence"]) for row in rows]
        return found

    async def erase(self, job_ids: Sequence[str]) -> list[ActOutcome]:
        """Erase jobs, several in one transaction, then their events."""
        outcomes: list[ActOutcome] = []
        for first in range(0, len(job_ids), _ERASED_AT_ONCE):
            outcomes += await self._erase(job_ids[first : first + _ERASED_AT_ONCE])
        return outcomes

    async def _erase(self, job_ids: Sequence[str]) -> list[ActOutcome]:
        """Erase jobs in one transaction, then their events, which are found outside of a transaction."""
        outcomes = await self._file.write(lambda transaction: erasure.erase(transaction, job_ids))
        named = [outcome.job_id for outcome in outcomes if outcome.done or outcome.why == NOT_KNOWN]
        rows = await self._file.fetch(erasure.SQL["events_of"], (encode(named).decode(),))
        await self._file.write(lambda transaction: erasure.erase_events(transaction, rows))
        return outcomes

    async def to_archive(self, *, older_than: int, limit: int) -> list[JobDetail]:
        """Return rejected and dead jobs that ended before a time."""
        found: list[JobDetail] = []
        for queue, *_ in await self._file.fetch(SQL["queues"]):
            for state in (REJECTED, DEAD):
                found += await self._ended(state, queue, older_than, limit - len(found))
        return found

    async def _ended(self, state: int, queue: int, older_than: int, limit: int) -> list[JobDetail]:
        """Return the jobs of a state and queue that ended first; unreadable ones do not count."""
        found: list[JobDetail] = []
        examined = 0
        while len(found) < limit:
            bounds = (state, queue, older_than, limit - len(found), examined)
            rows = await self._file.fetch(SQL["oldest_from"], bounds)
            if not rows:
                break
            examined += len(rows)
            for (job_id,) in rows:
                full = await self._file.fetch(SQL["one"], (job_id,))
                detail = readable(job_id, partial(job_detail, full[0], [])) if full else None
                if detail is not None:
                    found.append(detail)
        return found

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Remove terminal records."""
        await self._file.write(lambda transaction: retention.forget(transaction, job_ids))

    async def trim(self, *, limit: int) -> int:
        """Remove what is past its retention."""
        now = self._file.clock.now_ms()
        day = 86_400_000
        keep = self._keep

        def remove(transaction: FileTransaction) -> int:
            removed = retention.trim_terminal(
                transaction, now - int(keep.completed_days * day), keep.completed_most, limit
            )
            undone_since = now - int(keep.undo_seconds * 1000)
            removed += retention.trim_discarded(transaction, undone_since, limit - removed)
            retention.trim_acts(transaction, undone_since, now)
            bounds = {"most": keep.event_most, "before": now - int(keep.event_days * day)}
            return removed + retention.trim_events(transaction, bounds, limit - removed)

        removed = await self._file.write(remove)
        await self._forget_queues()
        await self._repair_causes()
        return removed

    async def _repair_causes(self) -> None:
        """Recount failure groups if a process of an older version uses the file too."""
        if (await self._file.fetch(SQL["have_causes_drifted"]))[0][0]:
            await self._file.write(lambda transaction: repair_causes(transaction.connection))

    async def _forget_queues(self) -> None:
        """Find empty queues outside of a transaction, then remove those that are still empty."""
        since = self._file.clock.lease_ms() - self._worker_lives_ms
        served = retention.served_types(await self._file.fetch(SQL["served"], (since,)))
        rows = await self._file.fetch(SQL["idle_queues"], retention.idle_bounds(served))
        if found := [row[0] for row in rows]:
            await self._file.write(
                lambda transaction: retention.forget_queues(transaction, since, found)
            )

    async def bury_unserved(self, *, older_than: int, limit: int) -> int:
        """Dead-letter old ready jobs of types that no live worker serves."""
        now = self._file.clock.now_ms()
        since = self._file.clock.lease_ms() - self._worker_lives_ms
        return await self._file.write(
            lambda transaction: retention.bury_unserved(transaction, since, older_than, now, limit)
        )

    async def backup(self, path: str) -> None:
        """Write a consistent copy of the file to a new one."""
        try:
            await asyncio.to_thread(copy_database, self._file.path, Path(path))
        except sqlite3.Error as error:
            raise BrokerUnavailable(f"backup of {self._file.path}: {error}") from error


def _act_on(transaction: FileTransaction, request: ActRequest, job_id: str, now: int) -> ActOutcome:
    cursor = transaction.connection.execute(SQL["one"], (job_id,))
    cursor.row_factory = sqlite3.Row
    row = cursor.fetchone()
    if row is None or row["state"] == DISCARDED:
        return ActOutcome(job_id, False, NOT_KNOWN)
    target = _Target(transaction, row, request, now)
    if target.seen is not None and target.seen.fence != row["fence"]:
        return ActOutcome(job_id, False, MOVED_ON)
    try:
        why = _ACTS[request.act](target)
    except sqlite3.IntegrityError:
        why = f"cannot be retried: its unique key {row['unique_key']!r} is held by another job"
    if not why:
        undo.remember(transaction, row, request, now)
    return ActOutcome(job_id, not why, why)


def _name(code: int) -> str:
    return STATE_OF[code].value
