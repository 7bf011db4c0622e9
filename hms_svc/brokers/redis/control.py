"""The operator's changes in Redis: each act on a job is one step of a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hms_svc.brokers.chunks import in_slices
from hms_svc.brokers.redis import (
    bus_calls,
    erasure,
    operator_calls,
    schedule_calls,
    worker_calls,
)
from hms_svc.brokers.redis.eviction import RedisEviction
from hms_svc.brokers.redis.inspector import RedisInspector
from hms_svc.brokers.redis.keys import worker_field
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.redis.record import HEAD_SIZE, Record
from hms_svc.brokers.retention import Retention
from hms_svc.domain.errors import BadInput
from hms_svc.domain.views import ActOutcome, JobDetail, WorkerRequest
from hms_svc.ports.control import ActBatch, ActRequest, ClosedBatch, Eviction

_DAY_MS: Final = 86_400_000
_AT_ONCE: Final = 500
Found = tuple[str, str, int]
"""Id, type and state code of a job in an index."""


class RedisControl:
    """Implements `ports.control.Control`."""

    def __init__(self, link: Link, keep: Retention, inspector: RedisInspector) -> None:
        self._link = link
        self._keep = keep
        self._inspector = inspector
        self.eviction: Eviction | None = RedisEviction(link, inspector)

    async def act(self, request: ActRequest) -> list[ActOutcome]:
        """Do one act on each job, some hundreds in one script, fewer if they are large."""
        outcomes: list[ActOutcome] = []
        until = self._link.clock.now_ms() + int(self._keep.undo_seconds * 2000) + 1000
        while len(outcomes) < len(request.job_ids):
            ids = request.job_ids[len(outcomes) : len(outcomes) + _AT_ONCE]
            answers = await self._link.run(operator_calls.act(request, ids, until))
            outcomes += [
                ActOutcome(job_id, not why, why) for job_id, why in zip(ids, answers, strict=False)
            ]
        return outcomes

    async def undo(
        self, batch: str, *, after: str = "", limit: int = 250, dry: bool = False
    ) -> list[ActOutcome]:
        """Undo the acts of a batch within its lifetime; with `dry` only report."""
        outcomes: list[ActOutcome] = []
        while len(outcomes) < limit:
            left = limit - len(outcomes)
            undone = await self._link.run(
                operator_calls.undo(
                    batch, since=self._undone_since(), after=after, limit=left, dry=dry
                )
            )
            if not undone:
                break
            outcomes += undone
            after = outcomes[-1].job_id
        return outcomes

    async def undoable(self, batch: str, *, after: str = "") -> int:
        """Count the jobs of a batch after an id."""
        behind = b"(" + after.encode() + b" \xff" if after else b"-"
        return int(
            await self._link.ask("ZLEXCOUNT", self._link.keys.ours("undo", batch), behind, "+")
        )

    async def last_batch(self) -> str | None:
        """Return the newest batch that can still be undone."""
        name, since = self._link.keys.ours("batches"), f"({self._undone_since()}"
        found = await self._link.ask("ZREVRANGEBYSCORE", name, "+inf", since, "LIMIT", 0, 1)
        return found[0].decode() if found else None

    async def batches(self, *, limit: int, name: str = "") -> list[ActBatch]:
        """Return batches that can still be undone, newest first."""
        times, since = self._link.keys.ours("batches"), self._undone_since()
        if name:
            score = await self._link.ask("ZSCORE", times, name)
            known = [(name, abs(int(float(score))))] if score is not None else []
        else:
            rows = await self._link.ask(
                "ZREVRANGEBYSCORE", times, "+inf", f"({since}", "WITHSCORES", "LIMIT", 0, limit
            )
            pairs = zip(rows[::2], rows[1::2], strict=True)
            known = [(batch.decode(), int(float(score))) for batch, score in pairs]
        keys = [self._link.keys.ours("undo", batch) for batch, _ in known]
        questions = [("ZRANGE", key, 0, 0) for key in keys] + [("ZCARD", key) for key in keys]
        answers = await self._link.ask_all(questions) if keys else []
        return [
            ActBatch(batch, at, first[0].split(b" ", 1)[0].decode(), jobs)
            for (batch, at), first, jobs in zip(
                known, answers[: len(known)], answers[len(known) :], strict=True
            )
            if first and at > since
        ]

    def _undone_since(self) -> int:
        return self._link.clock.now_ms() - int(self._keep.undo_seconds * 1000)

    async def waiting(self, type: str, *, limit: int) -> list[tuple[str, int]]:
        """Find the next waiting jobs, and read the beginning of their records."""
        ids: list[str] = []
        for state in ("queued", "suspects", "limited", "scheduled", "retrying"):
            if len(ids) < limit:
                ids += await self._ids(self._link.keys.index(state, type), "+inf", limit - len(ids))
        commands = [
            ("GETRANGE", self._link.keys.ours("job", job_id), 0, HEAD_SIZE - 1) for job_id in ids
        ]
        heads = await self._link.ask_all(commands) if commands else []
        return [
            (job_id, Record(job_id, head).fence)
            for job_id, head in zip(ids, heads, strict=True)
            if len(head) == HEAD_SIZE
        ]

    async def erase(self, job_ids: Sequence[str]) -> list[ActOutcome]:
        """Erase records, each in one step, and their events on the bus in bounded steps."""
        return await erasure.erase(self._link, job_ids)

    async def pause(self, type: str, *, by: str, reason: str, intake: bool = False) -> None:
        """Mark a queue as paused."""
        await self._link.run(operator_calls.pause(type, by=by, reason=reason, intake=intake))

    async def resume(self, type: str) -> None:
        """Clear the mark and notify workers."""
        await self._link.run(operator_calls.resume(type))

    async def pause_schedule(self, type: str, *, by: str, reason: str) -> bool:
        """Mark a schedule as paused."""
        return await self._link.run(schedule_calls.pause(type, by=by, reason=reason))

    async def resume_schedule(self, type: str) -> bool:
        """Clear the mark."""
        return await self._link.run(schedule_calls.pause(type, by="", reason=""))

    async def close_batch(self, batch_id: str, *, by: str) -> ClosedBatch:
        """Close an open batch."""
        return await self._link.run(operator_calls.close_batch(batch_id, by))

    async def ask_worker(self, worker: str, request: WorkerRequest) -> bool:
        """Record a request if the worker is in the register, and notify the worker."""
        return await self._link.run(
            worker_calls.ask_worker(worker_field(worker), msgspec.json.encode(request))
        )

    async def to_archive(self, *, older_than: int, limit: int) -> list[JobDetail]:
        """Return rejected and dead jobs that ended before a time."""
        details: list[JobDetail] = []
        for state, code in (("rejected", 7), ("dead", 8)):
            for type in await self._types_with(state):
                details += await self._readable(state, type, code, older_than, limit - len(details))
        return details

    async def _readable(
        self, state: str, type: str, code: int, older_than: int, limit: int
    ) -> list[JobDetail]:
        """Return the jobs of a state and type that ended first; unreadable ones do not count.

        An index entry without a record is removed.
        """
        name, details, examined = self._link.keys.index(state, type), list[JobDetail](), 0
        while len(details) < limit:
            wanted = limit - len(details)
            ids = await self._ids(name, f"({older_than}", wanted, examined)
            if not ids:
                break
            known = await self._inspector.details(ids)
            details += [detail for detail in known if detail is not None]
            unread = [job_id for job_id, detail in zip(ids, known, strict=True) if detail is None]
            gone = await self._without_record(unread)
            await self._remove([(job_id, type, code) for job_id in gone])
            examined += len(ids) - len(gone)
        return details

    async def _without_record(self, job_ids: Sequence[str]) -> list[str]:
        commands = [("EXISTS", self._link.keys.ours("job", job_id)) for job_id in job_ids]
        answers = await self._link.ask_all(commands)
        return [job_id for job_id, exists in zip(job_ids, answers, strict=True) if not exists]

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Remove terminal records."""
        for some in in_slices(job_ids, _AT_ONCE):
            await self._link.run(operator_calls.remove([(job_id, "", 0) for job_id in some]))

    async def trim(self, *, limit: int) -> int:
        """Remove what is past its retention."""
        now, keep = self._link.clock.now_ms(), self._keep
        before = now - int(keep.completed_days * _DAY_MS)
        removed = 0
        for state, code, until in (
            ("completed", 6, before),
            ("cancelled", 9, before),
            ("discarded", 10, self._undone_since()),
        ):
            removed += await self._remove(await self._ended(state, code, until, limit - removed))
        removed += await self._remove_surplus(limit - removed)
        await self._forget_batches()
        await self._forget_types()
        events_before = now - int(keep.event_days * _DAY_MS)
        return removed + await self._link.run(
            bus_calls.trim_bus(most=keep.event_most, before=events_before, limit=limit - removed)
        )

    async def bury_unserved(self, *, older_than: int, limit: int) -> int:
        """Dead-letter old ready jobs of types that no live worker serves."""
        buried = 0
        for some in in_slices(await self._unserved()):
            buried += await self._link.run(
                operator_calls.bury(some, before=older_than, limit=limit - buried)
            )
        return buried

    async def _unserved(self) -> list[str]:
        served = {type for worker in await self._inspector.workers() for type in worker.types}
        return [type for type in await self._inspector.types() if type not in served]

    async def _forget_types(self) -> None:
        for some in in_slices(await self._unserved()):
            await self._link.run(operator_calls.forget_types(some))

    async def _types_with(self, state: str) -> list[str]:
        """Return the types that have jobs in a state."""
        found: list[str] = []
        for some in in_slices(await self._inspector.types()):
            names = [self._link.keys.index(state, type) for type in some]
            sizes = await self._link.ask_all([("ZCARD", name) for name in names])
            found += [type for type, size in zip(some, sizes, strict=True) if size]
        return found

    async def backup(self, path: str) -> None:
        """Raise BadInput: the server's own files are its backup."""
        raise BadInput(
            f"backup to {path!r}: {self._link.address} stores its own files; "
            "copy its RDB or AOF file, or use a replica"
        )

    async def _ended(self, state: str, code: int, before: int, limit: int) -> list[Found]:
        """Return jobs of a state that ended before a time (Unix ms), oldest first within a type."""
        found: list[Found] = []
        for type in await self._types_with(state):
            if len(found) < limit:
                name = self._link.keys.index(state, type)
                ids = await self._ids(name, f"({before}", limit - len(found))
                found += [(job_id, type, code) for job_id in ids]
        return found

    async def _remove(self, found: Sequence[Found]) -> int:
        removed = 0
        for first in range(0, len(found), _AT_ONCE):
            some = found[first : first + _AT_ONCE]
            removed += await self._link.run(operator_calls.remove(some))
        return removed

    async def _remove_surplus(self, limit: int) -> int:
        """Remove the oldest completed jobs of all types beyond the number kept."""
        types = await self._types_with("completed")
        names = [self._link.keys.index("completed", type) for type in types]

        sizes = await self._link.ask_all([("ZCARD", name) for name in names])
        surplus = min(sum(sizes) - self._keep.completed_most, limit)
        if surplus <= 0:
            return 0
        ends: list[tuple[float, str, str]] = []
        for type, name in zip(types, names, strict=True):
            rows = await self._link.ask("ZRANGE", name, 0, surplus - 1, "WITHSCORES")
            scores = zip(rows[::2], rows[1::2], strict=True)
            ends += [(float(score), job_id.decode(), type) for job_id, score in scores]
        first = sorted(ends)[:surplus]
        return await self._remove([(job_id, type, 6) for _, job_id, type in first])

    async def _forget_batches(self) -> None:
        """Remove batches that can no longer be undone; large ones are freed in the background."""
        name, since = self._link.keys.ours("batches"), self._undone_since()
        ranges = [("ZRANGEBYSCORE", name, *edges) for edges in ((0, since), (-since, 0))]
        open_batches, undone_batches = await self._link.ask_all(ranges)
        expired = [*open_batches, *undone_batches]
        for batch in expired:
            await self._link.ask("UNLINK", self._link.keys.ours("undo", batch.decode()))
        if expired:
            await self._link.ask("ZREM", name, *expired)

    async def _ids(self, name: str, high: str, limit: int, skipped: int = 0) -> list[str]:
        arguments = ("-inf", high, "LIMIT", skipped, limit)
        found = await self._link.ask("ZRANGEBYSCORE", name, *arguments)
        return [job_id.decode() for job_id in found]
